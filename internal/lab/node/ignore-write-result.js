// ❌ No maneja backpressure
http.createServer((req, res) => {
  const stream = fs.createReadStream('1gb-file.mp4');

  stream.on('data', (chunk) => {
    res.write(chunk); // NO verifica si puede escribir
  });
}).listen(3000);
