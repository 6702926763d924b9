package weirhttp

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How much of a request's body is read, in bytes and for how long, after an
// answer that does not need it.
const (
	lingerBytes = 4 << 20
	lingerTime  = 3 * time.Second
)

// refuse answers a request whose body is not wanted, and closes the connection.
// It goes on reading for a while: a connection that is closed with unread data
// is reset, and the reset may overtake the answer. A retryAfter above zero is
// sent in whole seconds.
func refuse(w http.ResponseWriter, r *http.Request, status int, text string, retryAfter time.Duration) {
	ctl := http.NewResponseController(w)
	_ = ctl.EnableFullDuplex() // or else the body is read before the answer leaves
	h := w.Header()
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((retryAfter+time.Second-1)/time.Second), 10))
	}
	text = strings.TrimSuffix(text, "\n") + "\n"
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, text)
	}
	if ctl.Flush() != nil || r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// It waits for leave to send. net/http would wait for the body.
		_ = ctl.SetReadDeadline(time.Unix(1, 0))
		return
	}
	if ctl.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		io.CopyN(io.Discard, r.Body, lingerBytes)
	}
}
