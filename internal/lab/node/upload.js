const fs = require('fs');
const http = require('http');

http.createServer((req, res) => {
  if (req.method === 'POST' && req.url === '/upload') {
    const writable = fs.createWriteStream('uploaded-file.dat');

    // ✅ req es un Readable stream, pipe maneja backpressure
    req.pipe(writable);

    writable.on('finish', () => {
      res.end('Upload complete');
    });

    writable.on('error', (err) => {
      res.statusCode = 500;
      res.end('Upload failed');
    });
  } else {
    res.statusCode = 404;
    res.end('Not found');
  }
}).listen(3000);
