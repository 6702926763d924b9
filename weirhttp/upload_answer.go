package weirhttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deny"
	"github.com/weir-go/weir/internal/errno"
)

// refusal is a request that cannot be served for a reason that lies with its
// client, who is told it.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// answer tells the client what was stored.
func (u *Uploads) answer(w http.ResponseWriter, r *http.Request, status int, name string, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		u.log().Error("the answer to an upload cannot be written", "error", err)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Location", u.location(r, name))
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	closeBehind(h, r)
	w.WriteHeader(status)
	w.Write(body) // a client that has gone has its file all the same
}

// location is the URL of the file called name.
func (u *Uploads) location(r *http.Request, name string) string {
	base := u.URL
	if base == "" {
		base = requestPath(r)
		if r.Method == http.MethodPut {
			base = base[:strings.LastIndexByte(base, '/')+1]
		}
	}
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	return base + url.PathEscape(name)
}

// requestPath is the path that the client asked for, which StripPrefix leaves in
// RequestURI.
func requestPath(r *http.Request) string {
	if target, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return target.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// uploadStatus returns the status for an upload that failed, and what its client is
// told: nothing about the inside of the server.
func uploadStatus(err error) (status int, text string) {
	var r *refusal
	var tooLarge *http.MaxBytesError
	var stage *weir.StageError
	switch {
	case errors.As(err, &r):
		return r.status, r.text
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "The file is larger than " + weir.FormatBytes(tooLarge.Limit)
	case errors.Is(err, errNoSpace), errno.Is(err, syscall.ENOSPC), isOverQuota(err):
		return http.StatusInsufficientStorage, "There is not enough space for the file"
	case errors.Is(err, errDigest):
		return http.StatusBadRequest, "What arrived does not match its digest"
	case errors.Is(err, errClosed), errors.Is(err, errBudgetBusy), errors.Is(err, weir.ErrBudget):
		return http.StatusServiceUnavailable, "The server is busy"
	case errors.Is(err, fs.ErrExist):
		return http.StatusPreconditionFailed, "There is a file of this name"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "Nothing came for too long"
	case errors.Is(err, io.ErrUnexpectedEOF), errno.Is(err, syscall.ECONNRESET),
		errors.As(err, &stage) && stage.Stage == "client" && !isPathError(err):
		return http.StatusBadRequest, "The upload ended too early or is malformed"
	case errors.Is(err, context.Canceled):
		return http.StatusBadRequest, "The client has gone"
	}
	return http.StatusInternalServerError, "The upload failed"
}

// isPathError reports whether a file is to blame.
func isPathError(err error) bool {
	var e *fs.PathError
	return errors.As(err, &e)
}

// failureLevel is how bad an upload that failed is: the client's fault, a refusal for
// want of memory or space, or something that is wrong here.
func failureLevel(status int) slog.Level {
	switch {
	case status < 500:
		return slog.LevelInfo
	case status == http.StatusServiceUnavailable, status == http.StatusInsufficientStorage:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// refuse answers an upload that failed.
func (u *Uploads) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text := uploadStatus(err)
	u.log().Log(r.Context(), failureLevel(status), "upload failed", "status", status, "error", err, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr)
	if status == http.StatusServiceUnavailable {
		tellRetry(w.Header(), retryAfter(u.Queue))
	}
	if status == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Encoding", "identity")
	}
	refuseUpload(w, r, status, text)
}

// refuseUpload answers a request whose body may be unread, and then waits for
// the client to read the answer. A server that closes the connection while the
// client is still sending resets it, and the answer is lost.
func refuseUpload(w http.ResponseWriter, r *http.Request, status int, text string) {
	deny.Tell(w, r, status, text, isLast(r))
	linger(w, r)
}

// tellRetry tells the client when to come again, in seconds rounded up.
func tellRetry(h http.Header, after time.Duration) {
	h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
}

// hearBytes is how much a refused client may send while it is listened to.
var hearBytes int64 = deny.HearBytes

// isLast reports whether the answer to r is the last one of its connection: net/http
// would read on before it answers, or does not know where the next request begins.
func isLast(r *http.Request) bool {
	b, ok := r.Body.(*requestBody)
	return bodyPending(r) || ok && b.beside
}

func closeBehind(h http.Header, r *http.Request) {
	if isLast(r) {
		h.Set("Connection", "close")
	}
}

// bodyPending reports whether more of the body of r may come. HTTP/2 does not mind:
// there an answer has a stream of its own.
func bodyPending(r *http.Request) bool {
	b, ok := r.Body.(*requestBody)
	return r.ProtoMajor == 1 && r.ContentLength != 0 && !(ok && b.ended)
}

// linger drops what the client sends after the answer, until it closes its
// side. A client that waits for 100 Continue sends nothing.
func linger(w http.ResponseWriter, r *http.Request) {
	if !bodyPending(r) {
		return
	}
	rc := http.NewResponseController(w)
	if b, ok := r.Body.(*requestBody); ok && !b.touched && r.Header.Get("Expect") != "" {
		_ = rc.SetReadDeadline(time.Unix(1, 0)) // net/http would wait for the body
		return
	}
	if rc.Flush() != nil {
		return
	}
	if w.Header().Get("Content-Length") == "" {
		return // somebody between rewrites the answer, and only net/http can end its last chunk
	}
	conn, _, err := rc.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	deny.Drop(conn, conn, hearBytes)
}
