// Not in the tutorial: its upload with the mistake of its interview question.
const fs = require('fs');
const http = require('http');

http.createServer((req, res) => {
  const writable = fs.createWriteStream('uploaded-file.dat');
  req.on('data', (chunk) => {
    writable.write(chunk);
  });
  req.on('end', () => {
    writable.end(() => res.end('Upload complete'));
  });
}).listen(3000);
