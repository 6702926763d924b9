package weirhttp

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/weir-go/weir/weirhttp/internal/names"
)

// acceptable refuses a body that would be stored in another form than its file has.
func acceptable(r *http.Request) error {
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return &refusal{http.StatusUnsupportedMediaType, "Content-Encoding is not supported"}
	}
	if r.Header.Get("Content-Range") != "" {
		return &refusal{http.StatusBadRequest, "Content-Range is not supported; use tus to resume"}
	}
	return nil
}

func isMultipart(r *http.Request) bool {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t == "multipart/form-data"
}

// isTus reports whether r is part of an upload by tus 1.0. A client of tus says so in
// Tus-Resumable, except in OPTIONS.
func isTus(r *http.Request) bool {
	if r.Header.Get("Tus-Resumable") != "" {
		return r.Method != http.MethodPut && r.Method != http.MethodGet
	}
	return r.Method == http.MethodOptions || r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/offset+octet-stream"
}

// hasNoLength reports whether r should bring a file and does not say how long its body is.
// Over HTTP/1 the body is empty then, and the client has most likely forgotten the length.
// net/http reports a length of 0 both then and for "Content-Length: 0".
func hasNoLength(r *http.Request) bool {
	return (r.Method == http.MethodPut || r.Method == http.MethodPost) &&
		r.ProtoMajor == 1 && r.ContentLength == 0 && r.Header.Get("Content-Length") == ""
}

var errNoLength = &refusal{http.StatusLengthRequired, "The request has neither Content-Length nor Transfer-Encoding"}

// dispositionName returns the file name in a Content-Disposition header.
func dispositionName(h string) string {
	_, params, err := mime.ParseMediaType(h)
	if err != nil {
		return ""
	}
	return params["filename"]
}

// requestPath returns the path that the client asked for. http.StripPrefix changes
// r.URL, but not RequestURI.
func requestPath(r *http.Request) string {
	if target, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return target.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// mountOf returns the path at which the handler is mounted, with a slash at its end. It
// finds the path from the pattern of the http.ServeMux and from the prefix that
// http.StripPrefix has removed. Without either, it is the path of the request: for PUT,
// up to the last slash.
func mountOf(r *http.Request) string {
	asked, err := url.PathUnescape(requestPath(r))
	if err != nil {
		asked = r.URL.Path
	}
	stripped, ok := strings.CutSuffix(asked, r.URL.Path)
	_, pattern, found := strings.Cut(r.Pattern, "/") // behind the method and the host
	switch n := segments(pattern, r.Method); {
	case !ok, !found && stripped == "":
		if r.Method == http.MethodPut {
			asked = asked[:strings.LastIndexByte(asked, '/')+1]
		}
		stripped = asked
	case stripped == "" || found && n > 0 && matches(pattern, r.URL.Path, n):
		stripped += leading(r.URL.Path, n)
	}
	return (&url.URL{Path: strings.TrimSuffix(stripped, "/") + "/"}).EscapedPath()
}

// segments returns how many segments of a pattern belong to the folder for uploads. The
// rest of a path names a file.
func segments(pattern, method string) int {
	parts := strings.Split(pattern, "/")
	last := parts[len(parts)-1]
	if last == "" || last == "{$}" || strings.HasSuffix(last, "...}") || method == http.MethodPut {
		return len(parts) - 1
	}
	return len(parts)
}

// matches reports whether the first n segments of a path match a pattern.
func matches(pattern, path string, n int) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range min(n, len(want)) {
		if i >= len(got) || want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

// leading returns the first n segments of a path.
func leading(path string, n int) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	return "/" + strings.Join(parts[:min(n, len(parts))], "/")
}

// nameOf returns a safe name for the body of r.
func nameOf(r *http.Request) (string, error) {
	if r.Method == http.MethodPut {
		if name := names.Safe(path.Base("/" + r.URL.Path)); name != "" && !strings.HasSuffix(r.URL.Path, "/") {
			return name, nil
		}
		return "", &refusal{http.StatusBadRequest, "The path does not name a file"}
	}
	if name := names.Safe(dispositionName(r.Header.Get("Content-Disposition"))); name != "" {
		return name, nil
	}
	if name := names.Safe(r.URL.Query().Get("name")); name != "" {
		return name, nil
	}
	return names.New(), nil
}
