// The same with the tutorial's pipeline().
const { pipeline, Readable, Transform, Writable } = require('stream');

class Thousand extends Transform {
  constructor() { super({ objectMode: true }); }
  _transform(item, encoding, callback) {
    for (let i = 0; i < 1000; i++) {
      LAB.made(1024);
      this.push(Buffer.alloc(1024, item));
    }
    callback();
  }
}
LAB.ready();
pipeline(
  Readable.from(Array(Math.max(1, Math.floor(LAB.Settings.size / 1024000))).fill('item')),
  new Thousand(),
  new Writable({ write: (chunk, _, done) => LAB.disk(chunk, done) }),
  () => LAB.end()
);
