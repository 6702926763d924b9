package endpoint

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// StatusError is the answer of a server that refused a request, or failed. It
// matches [fs.ErrNotExist], [fs.ErrPermission] and [fs.ErrExist] where the
// status means that.
type StatusError struct {
	Method     string
	URL        string // without user name, password and query
	StatusCode int
	Text       string        // the first line of the answer's body, at most 200 bytes
	RetryAfter time.Duration // how long the server asks to wait; 0 if it does not say

	exclusive bool // a failed precondition means that there is a file
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.StatusCode, http.StatusText(e.StatusCode))
	s = strings.TrimSuffix(s, " ")
	if e.Text != "" && !strings.EqualFold(e.Text, http.StatusText(e.StatusCode)) {
		s += ": " + e.Text
	}
	return s
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Is makes the error match the errors of package fs.
func (e *StatusError) Is(target error) bool {
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return target == fs.ErrPermission
	case http.StatusPreconditionFailed:
		return target == fs.ErrExist && e.exclusive
	}
	return false
}

// statusError describes resp and reads the first line of its body, which it
// leaves open.
func statusError(resp *http.Response, name string) *StatusError {
	return &StatusError{
		Method:     resp.Request.Method,
		URL:        name,
		StatusCode: resp.StatusCode,
		Text:       firstLine(resp),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// firstLine returns the message in the body for people, safe to print. A page
// of HTML says nothing in its first line.
func firstLine(resp *http.Response) string {
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); strings.Contains(t, "html") || strings.Contains(t, "xml") ||
		resp.Header.Get("Content-Encoding") != "" {
		return ""
	}
	const most = 200
	line, _ := bufio.NewReaderSize(io.LimitReader(resp.Body, most), most).ReadString('\n')
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, ""))
	return strings.TrimSpace(line)
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
