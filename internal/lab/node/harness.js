// What surrounds the tutorial's code while weir lab measures it: it replaces the
// names of files and the port, counts, and ends when it is told to. The tutorial's
// lines are run as they are.
const fs = require('fs'), http = require('http'), stream = require('stream');
globalThis.http = http;
// A terminal sends its signals to weir too, which ends this process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
const LAB = JSON.parse(process.env.WEIR_LAB_SPEC);
let made = 0, taken = 0;
const tell = (kind, more) => process.stdout.write(JSON.stringify({
  Kind: kind, Made: made, Taken: taken, Memory: process.memoryUsage.rss(), ...more,
}) + '\n');
console.log = () => {};

// Whatever file the tutorial names, it is the run's.
const createReadStream = fs.createReadStream;
fs.createReadStream = (name, options) => createReadStream(LAB.File, options);

// A disk that takes so many bytes a second and keeps none of them, for all streams.
let free = 0;
LAB.disk = (chunk, done) => {
  free = Math.max(free, performance.now()) + 1000 * chunk.length / LAB.Settings.rate;
  const wait = free - performance.now();
  const end = () => { taken += chunk.length; done(); };
  if (wait > 1) setTimeout(end, wait); else setImmediate(end);
};
fs.createWriteStream = () => new stream.Writable({ write: (chunk, _, done) => LAB.disk(chunk, done) });
LAB.made = (n) => { made += n; };

// Whatever port the tutorial names, it is a free one of the loopback interface.
const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function () {
  return listen.call(this, 0, '127.0.0.1', () => tell('ready', { Addr: '127.0.0.1:' + this.address().port }));
};
LAB.ready = () => tell('ready');
LAB.end = () => tell('end');
setInterval(() => tell('count'), 50).unref();

let input = '';
process.stdin.setEncoding('utf8').on('data', (text) => {
  input += text;
  if (input === 'stop\n') { tell('end'); process.stdout.write('', () => process.exit(0)); }
}).on('end', () => { // weir has died
  if (LAB.Dir) fs.rmSync(LAB.Dir, { recursive: true, force: true });
  process.exit(1);
});
