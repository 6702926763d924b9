package weirhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
)

// This file has everything that relies on how net/http and os work inside, beyond their
// documentation. TestGoInternals_* fail when a release of Go changes one of these:
//
//   - isOwnBody: the names of the types of request bodies.
//   - announcesClose: how net/http spells a header field.
//   - leavesRoot: the text of an error of os.Root.
//   - sendThrough: after a flush, the ReadFrom of net/http's ResponseWriter passes our
//     reader itself, not a copy of its bytes, to the ReadFrom of the connection.
//   - bufferedBody: the size of net/http's read buffer.
//   - streamPiece: how much of an HTTP/2 answer net/http gathers before it sends a frame.

// isOwnBody reports whether body is the type of net/http itself. A reader around that,
// which limits or decodes the body, would not see the bytes that the kernel moves. The
// types have no exported names. If Go renames them, uploads are copied.
func isOwnBody(body io.ReadCloser) bool {
	switch fmt.Sprintf("%T", body) {
	case "*http.body", "*http.expectContinueReader":
		return true
	}
	return false
}

// announcesClose reports whether the header of an answer, as net/http writes it, says
// that the connection ends after the answer.
func announcesClose(header []byte) bool {
	return bytes.Contains(header, []byte("\r\nConnection: close\r\n"))
}

// leavesRoot reports whether err says that a path leads out of an os.Root. os exports no
// name for that error.
func leavesRoot(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && pe.Err != nil && pe.Err.Error() == "path escapes from parent"
}

// sendThrough calls body, which sends the body of an answer over c such that the header
// leaves together with the first bytes.
func sendThrough(w http.ResponseWriter, c interface {
	holdHeader()
	letGo() error
}, body func() error) error {
	c.holdHeader()
	// Without the flush, net/http would read the first bytes of the body itself, to
	// guess its type.
	err := http.NewResponseController(w).Flush()
	if errors.Is(err, http.ErrNotSupported) { // middleware has wrapped w
		if err = c.letGo(); err == nil {
			return body()
		}
	}
	if err == nil {
		err = body()
	}
	return errors.Join(err, c.letGo())
}

// bufferedBody is more than net/http and TLS have of a body in their buffers, in bytes.
const bufferedBody = 64 << 10

// streamPiece is how much of an answer net/http gathers before it sends a frame over
// HTTP/2, in bytes. A client must receive that much within Stall.
const streamPiece = 4 << 10
