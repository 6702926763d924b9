// node copy.mjs SRC DST: copies a file with stream.pipeline.
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

const [src, dst] = process.argv.slice(2);
await pipeline(createReadStream(src), createWriteStream(dst));
