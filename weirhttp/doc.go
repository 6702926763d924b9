// Package weirhttp sends and receives files of any size over HTTP in small, bounded
// memory. Its handlers are plain [net/http] handlers.
//
// [Files] serves a folder. [Respond] answers a request with any stream of bytes.
// [UploadTo] receives files, and [Body] makes a stream of the body of a request. A
// [Guard] runs an http.Server so that slow clients cost little and stalled clients are
// disconnected, and limits connections, rates and memory:
//
//	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
//	guard := &weirhttp.Guard{}
//	err := guard.Serve(&http.Server{Handler: mux}, listener)
//
// Everything works without a Guard too. But then nothing disconnects stalled clients, and
// a long download keeps the goroutine and the buffers of net/http.
//
// [Transfers] lists the transfers under way, and what each of them waits for.
package weirhttp
