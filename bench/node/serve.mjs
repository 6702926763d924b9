// node serve.mjs ADDR DIR: a server that sends files with pipe, as tutorials do.
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';

const [addr, dir] = process.argv.slice(2);
const [host, port] = addr.split(':');
createServer((req, res) => {
  const path = join(dir, basename(req.url));
  res.setHeader('Content-Length', statSync(path).size);
  createReadStream(path).pipe(res);
}).listen({ host, port: Number(port), backlog: 4096 });
