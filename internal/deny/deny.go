// Package deny answers requests that are refused before their body is read.
package deny

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// How long and how far a refused client is listened to.
const (
	HearBytes = 256 << 20        // bytes
	HearIdle  = 2 * time.Second  // without a byte: it has read the answer, or never will
	hearMost  = 10 * time.Second // in all
)

// Request answers with a status and a line of text, and then waits for the
// client to read the answer: a server that closes the connection while the
// client is still sending resets it, and the answer is lost. The connection is
// not used again. None of this applies to HTTP/2, where each answer has its own
// stream.
func Request(w http.ResponseWriter, r *http.Request, status int, text string) {
	comes := r.ProtoMajor == 1 && r.ContentLength != 0
	Tell(w, r, status, text, comes)
	rc := http.NewResponseController(w)
	if !comes || rc.Flush() != nil {
		return
	}
	if r.Header.Get("Expect") == "" { // a client that waits for 100 Continue sends nothing
		Drop(rc, r.Body, HearBytes)
	}
	_ = rc.SetReadDeadline(time.Unix(1, 0)) // net/http would wait for the body
}

// Tell answers with a status and a line of text. The length is stated, since
// nothing may follow; last says that the connection ends behind it.
func Tell(w http.ResponseWriter, r *http.Request, status int, text string, last bool) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	if last {
		h.Set("Connection", "close")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text+"\n") // the client may have gone
	}
}

// Drop reads r to its end, or as far as a refused client is listened to, but no
// more than most bytes. d sets the deadlines of r.
func Drop(d interface{ SetReadDeadline(time.Time) error }, r io.Reader, most int64) {
	buf := make([]byte, 32<<10)
	end := time.Now().Add(hearMost)
	for left := most; left > 0; {
		idle := time.Now().Add(HearIdle)
		if end.Before(idle) {
			idle = end
		}
		if d.SetReadDeadline(idle) != nil {
			return
		}
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		left -= int64(n)
	}
}
