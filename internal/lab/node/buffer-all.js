const fs = require('fs');
const http = require('http');

// ❌ MAL: No maneja backpressure
http.createServer((req, res) => {
  const stream = fs.createReadStream('huge-file.mp4');

  // Lee TODO el archivo en memoria antes de enviarlo
  let data = '';
  stream.on('data', (chunk) => {
    data += chunk; // ⚠️ Acumula en memoria
  });

  stream.on('end', () => {
    res.end(data); // ⚠️ Envía todo de una vez
  });
}).listen(3000);
