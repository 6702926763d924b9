package weirhttp

import (
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir/internal/atomicfile"
)

// The longest path, and the longest name in it, that is looked for, in bytes:
// those of the systems we know.
const (
	longestPath    = 4096
	longestElement = 255
)

// cleanPath makes of the path of a URL the name of a file below the root. slash
// says that it names a folder. A status that is not 0 refuses it.
func cleanPath(p string, hidden bool) (name string, slash bool, status int) {
	if len(p) > longestPath {
		return "", false, http.StatusRequestURITooLong
	}
	for i := range len(p) {
		if p[i] < 0x20 || p[i] == 0x7f {
			return "", false, http.StatusBadRequest
		}
	}
	for e := range strings.SplitSeq(p, "/") {
		switch {
		case e == "..":
			return "", false, http.StatusBadRequest
		case len(e) > longestElement:
			return "", false, http.StatusNotFound
		case e != "." && withheld(e, hidden):
			return "", false, http.StatusNotFound
		}
	}
	slash = p == "" || p[len(p)-1] == '/' || strings.HasSuffix(p, "/.") || p == "."
	name = path.Clean("/" + p)[1:]
	if name == "" {
		return ".", true, 0
	}
	// What else means something to this system: on Windows backslashes,
	// drives, and devices.
	if filepath.Separator != '/' {
		var err error
		if name, err = filepath.Localize(name); err != nil {
			return "", false, http.StatusNotFound
		}
	}
	return name, slash, 0
}

// withheld reports whether a name is not for clients: one that begins with a
// dot, unless hidden says otherwise, and always what is being written.
func withheld(name string, hidden bool) bool {
	if !strings.HasPrefix(name, ".") {
		return false
	}
	return !hidden || strings.EqualFold(name, hiddenDir) || atomicfile.IsTemp(name)
}

// escapePath escapes a path for a URL, but for its slashes.
func escapePath(p string) string {
	u := url.URL{Path: p}
	return u.EscapedPath()
}
