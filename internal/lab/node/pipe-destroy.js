const fs = require('fs');
const http = require('http');

http.createServer((req, res) => {
  const stream = fs.createReadStream('large-file.json');

  // ✅ pipe() maneja backpressure automáticamente
  stream.pipe(res);

  // Manejar errores
  stream.on('error', (err) => {
    res.statusCode = 500;
    res.end('Server Error');
  });

  // Manejar si el cliente cierra la conexión
  req.on('close', () => {
    stream.destroy(); // Detener lectura
  });
}).listen(3000);
