package weirhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/digest"
	"github.com/weir-go/weir/weirhttp/internal/quota"
)

// refusal is the error of a request that the client is to blame for. The client gets the
// text.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

var errClosed = errors.New("upload handler is closed")

// errSpecial is the cause when a name belongs to a device, a pipe or a socket.
var errSpecial = errors.New("neither a file nor a folder")

// ErrEncoding is the cause when the Content-Encoding of a request is unknown. The status
// for it is 415.
var ErrEncoding = errors.New("unsupported Content-Encoding")

// statusOf returns the status for an answer that failed before its first byte.
func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist), isAbsent(err):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errSpecial):
		return http.StatusForbidden
	case errors.Is(err, budget.ErrBusy), errors.Is(err, weir.ErrBudget):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// isAbsent reports whether err says that there can be no file at a path.
func isAbsent(err error) bool {
	return errno.Is(err, syscall.ENAMETOOLONG) || errno.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) || leavesRoot(err)
}

// BodyStatus returns the HTTP status for a flow that began at a Body and ended with err:
// 400, 408, 413 or 415 if the client is to blame, and 500 otherwise. For a body that
// exceeds the limit of a stage, a [*weir.LimitError], it returns 413.
func BodyStatus(err error) int {
	var stage *weir.StageError
	var tooLarge *http.MaxBytesError
	var corrupt *compress.CorruptError
	var limit *weir.LimitError
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &limit):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrEncoding):
		return http.StatusUnsupportedMediaType
	case errors.As(err, &corrupt):
		return http.StatusBadRequest
	case errors.As(err, &stage) && stage.Stage == "body":
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return http.StatusRequestTimeout
		}
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// uploadStatus returns the status for an upload that failed with err, and the text for
// its client. The text says nothing about the inside of the server.
func uploadStatus(err error) (status int, text string) {
	var r *refusal
	var tooLarge *http.MaxBytesError
	var stage *weir.StageError
	var header *digest.HeaderError
	switch {
	case errors.As(err, &r):
		return r.status, r.text
	case errors.As(err, &header):
		return http.StatusBadRequest, upperFirst(header.Error())
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "The file is larger than " + weir.FormatBytes(tooLarge.Limit)
	case errors.Is(err, quota.ErrNoSpace), errno.Is(err, syscall.ENOSPC), quota.IsExceeded(err):
		return http.StatusInsufficientStorage, "There is not enough space for the file"
	case errors.Is(err, digest.ErrMismatch):
		return http.StatusBadRequest, "The content does not match its digest"
	case errors.Is(err, errClosed), errors.Is(err, budget.ErrBusy), errors.Is(err, weir.ErrBudget):
		return http.StatusServiceUnavailable, "The server is busy"
	case errors.Is(err, fs.ErrExist):
		return http.StatusPreconditionFailed, "A file with this name already exists"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, "Timed out waiting for upload data"
	case errors.Is(err, io.ErrUnexpectedEOF), errno.Is(err, syscall.ECONNRESET),
		errors.As(err, &stage) && stage.Stage == "client" && !isPathError(err):
		return http.StatusBadRequest, "The upload is incomplete or malformed"
	case errors.Is(err, context.Canceled):
		return http.StatusBadRequest, "The client has disconnected"
	}
	return http.StatusInternalServerError, "The upload failed"
}

func upperFirst(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// fromClient marks err as the client's, as the first stage of an upload's flow does.
func fromClient(err error) error { return &weir.StageError{Stage: "client", Err: err} }

// isPathError reports whether a file operation has failed.
func isPathError(err error) bool {
	var e *fs.PathError
	return errors.As(err, &e)
}

// failureLevel returns the log level for an upload that failed: info if the client is to
// blame, warn if the server lacks memory or space, error otherwise.
func failureLevel(status int) slog.Level {
	switch {
	case status < 500:
		return slog.LevelInfo
	case status == http.StatusServiceUnavailable, status == http.StatusInsufficientStorage:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// httpError answers with a status and its text. It removes the header fields that
// describe the answer that failed.
func httpError(w http.ResponseWriter, status int) {
	undescribe(w.Header())
	http.Error(w, http.StatusText(status), status)
}

// undescribe removes the header fields that describe an answer.
func undescribe(h http.Header) {
	for _, k := range [...]string{"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length",
		"Content-Range", "Etag", "Last-Modified"} {
		h.Del(k)
	}
}

// httpTime formats a time for a header.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
