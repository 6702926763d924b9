// Package deny answers requests that are refused before their body is read.
package deny

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// How long and how far a refused client is listened to. Who sends nothing for
// hearIdle has read the answer, or never will.
const (
	hearBytes = 256 << 20
	hearIdle  = 2 * time.Second
	hearMost  = 10 * time.Second
)

// Request answers with a status and a line of text, and then waits for the
// client to read that: a server that closes the connection while the client is
// still sending resets it, and the answer is lost. The connection is not used
// again. HTTP/2 minds none of that: there an answer has a stream of its own.
func Request(w http.ResponseWriter, r *http.Request, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	comes := r.ProtoMajor == 1 && r.ContentLength != 0
	if comes {
		h.Set("Connection", "close")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text+"\n") // the client may have gone: nobody to tell
	}
	rc := http.NewResponseController(w)
	if !comes || rc.Flush() != nil {
		return
	}
	if r.Header.Get("Expect") == "" { // who waits for 100 Continue sends nothing
		drop(rc, r.Body)
	}
	_ = rc.SetReadDeadline(time.Unix(1, 0)) // net/http would wait for the body
}

// drop reads body to its end, or as far as a refused client is listened to.
func drop(rc *http.ResponseController, body io.Reader) {
	buf := make([]byte, 32<<10)
	end := time.Now().Add(hearMost)
	for left := hearBytes; left > 0; {
		idle := time.Now().Add(hearIdle)
		if end.Before(idle) {
			idle = end
		}
		if rc.SetReadDeadline(idle) != nil {
			return
		}
		n, err := body.Read(buf)
		if err != nil {
			return
		}
		left -= n
	}
}
