const fs = require('fs');
const http = require('http');

// ✅ BIEN: Usa pipe() que maneja backpressure automáticamente
http.createServer((req, res) => {
  const stream = fs.createReadStream('huge-file.mp4');

  stream.pipe(res);
  // pipe() maneja backpressure automáticamente
  // Solo lee chunks cuando res puede escribirlos
}).listen(3000);
