// node recode.mjs SRC DST: file → gunzip → upper → gzip (level 1) → file.
import { createReadStream, createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';

const [src, dst] = process.argv.slice(2);
const upper = new Transform({
  transform(chunk, encoding, callback) {
    callback(null, chunk.toString().toUpperCase());
  },
});
await pipeline(
  createReadStream(src),
  createGunzip(),
  upper,
  createGzip({ level: 1 }),
  createWriteStream(dst),
);
