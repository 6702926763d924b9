// Not in the tutorial as a program: what it says never to do, a thousand times for
// each item, with a consumer whose result nobody looks at.
const { Transform, Writable } = require('stream');

const thousand = new Transform({
  objectMode: true,
  transform(item, encoding, callback) {
    for (let i = 0; i < 1000; i++) {
      LAB.made(1024);
      this.push(Buffer.alloc(1024, item));
    }
    callback();
  },
});
const sink = new Writable({ write: (chunk, _, done) => LAB.disk(chunk, done) });
thousand.on('data', (record) => {
  sink.write(record);
});
thousand.on('end', () => sink.end(LAB.end));
LAB.ready();
let left = Math.max(1, Math.floor(LAB.Settings.size / 1024000));
(function next() {
  if (left-- > 0) {
    thousand.write('item');
    setImmediate(next);
  } else {
    thousand.end();
  }
})();
