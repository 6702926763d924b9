package endpoint

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// remoteName returns a name for the copy of a download. A name that the server
// proposes comes first, then the URL that was asked for.
func remoteName(u *url.URL, h http.Header) string {
	if _, params, err := mime.ParseMediaType(h.Get("Content-Disposition")); err == nil {
		if name := safeName(params["filename"]); name != "" {
			return name
		}
	}
	if p := u.Path; !strings.HasSuffix(p, "/") {
		if name := safeName(path.Base(p)); name != "" {
			return name
		}
	}
	return "download"
}

// safeName makes one plain path element of a name from outside, or returns "".
// Leading dots go, so that nobody plants a .profile, and so do characters that
// cannot be seen.
func safeName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	name = strings.Trim(name, ". ")
	const most = 255 // bytes, in most file systems
	if len(name) > most {
		ext := path.Ext(name)
		if len(ext) > 16 {
			ext = ""
		}
		name = strings.TrimRight(strings.ToValidUTF8(name[:most-len(ext)], ""), ". ") + ext
	}
	if !filepath.IsLocal(name) {
		return ""
	}
	return name
}
