// Uploads a file as a tus client does: node upload.js URL FILE CHUNK [NAME]
import { createReadStream, statSync } from 'node:fs'
import { Upload } from 'tus-js-client'

const [url, file, chunk, name = 'from-js.bin'] = process.argv.slice(2)
const upload = new Upload(createReadStream(file), {
  endpoint: url,
  chunkSize: Number(chunk),
  uploadSize: statSync(file).size,
  retryDelays: Array(100).fill(50),
  metadata: { filename: name, filetype: 'application/octet-stream' },
  onError(err) {
    console.error(String(err))
    process.exit(1)
  },
  onSuccess() {
    console.log(upload.url)
  },
})
upload.start()
