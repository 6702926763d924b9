package weirhttp

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
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

// isResumable reports whether r is part of a resumable upload. A POST of an unknown
// version of the draft is an ordinary POST, as the draft intends.
func isResumable(r *http.Request) bool {
	switch r.Method {
	case http.MethodHead, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodPost:
		return r.Header.Get("Tus-Resumable") != "" || isDraft(r)
	}
	return false
}

// isDraft reports whether r uses a known version of the IETF draft.
func isDraft(r *http.Request) bool {
	switch r.Header.Get("Upload-Draft-Interop-Version") {
	case "3", "4", "5", "6":
		return true
	}
	return false
}

// isPart reports whether r announces that more of the file follows. A server that does
// not know the version of the protocol must not store it as a complete file.
func isPart(r *http.Request) bool {
	return (r.Method == http.MethodPost || r.Method == http.MethodPut) &&
		(strings.HasPrefix(r.Header.Get("Upload-Complete"), "?0") || strings.HasPrefix(r.Header.Get("Upload-Incomplete"), "?1"))
}

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
