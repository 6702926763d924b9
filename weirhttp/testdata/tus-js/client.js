// Does what a case of TestTus_JSClient… asks for: node client.js URL FILE CASE, with
// the case as JSON. Its last line is JSON: the upload's URL, how many bytes the server
// took, and the error, if there was one.
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { Upload } from 'tus-js-client'

const [url, file, text] = process.argv.slice(2)
const { options = {}, stream = false, abortAt, terminate = false, resume = false } = JSON.parse(text)

// run makes one upload, which is aborted after abortAt bytes.
function run(extra, stopAt) {
  return new Promise((resolve) => {
    const input = stream ? createReadStream(file) : readFileSync(file)
    let requests = 0
    const upload = new Upload(input, {
      endpoint: url,
      retryDelays: null,
      metadata: { filename: 'from-js.bin', filetype: 'application/octet-stream' },
      ...(stream && !options.uploadLengthDeferred ? { uploadSize: statSync(file).size } : {}),
      ...options,
      ...extra,
      onBeforeRequest() { requests++ },
      onError(err) { resolve({ url: upload.url, requests, error: String(err), status: err.originalResponse?.getStatus() }) },
      onSuccess() { resolve({ url: upload.url, requests }) },
      async onChunkComplete(_, accepted) {
        if (stopAt === undefined || accepted < stopAt) return
        stopAt = undefined
        await upload.abort(terminate)
        resolve({ url: upload.url, requests, accepted })
      },
    })
    upload.start()
  })
}

let result = await run({}, abortAt)
if (resume && !result.error) result = await run({ uploadUrl: result.url })
console.log(JSON.stringify(result))
process.exit(0)
