// Package weirhttp sends and receives files of any size over HTTP in small,
// bounded memory. Its handlers are plain [net/http] handlers.
//
// [Files] serves a folder. [Respond] answers a request with any stream of bytes.
// A [Guard] runs an http.Server such that slow clients cost little and stalled
// ones are cut off, and bounds connections, rates and memory:
//
//	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
//	guard := &weirhttp.Guard{}
//	err := guard.Serve(&http.Server{Handler: mux}, listener)
//
// Everything works without a Guard too, but then nobody looks after clients that
// take nothing, and a long download keeps the goroutine and the buffers of
// net/http.
//
// [Transfers] says what is on its way, and who is waited for.
package weirhttp
