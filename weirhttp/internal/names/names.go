// Package names makes file names of the names that clients send, and file paths of the
// paths of URLs.
package names

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-go/weir/internal/atomicfile"
)

// longestName is the longest name that Safe returns, in bytes. It leaves space for a
// number, since file systems allow 255.
const longestName = 230

// Safe makes a valid file name of a name that a client sent, which can be anything.
// It is [weirhttp.SafeName].
func Safe(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(safeRune, name)
	name = shorten(strings.TrimFunc(name, isEdge))
	if isDevice(name) { // shorten can leave the name of a device
		name = shorten("_" + name)
	}
	return name
}

// safeRune replaces characters that one of the systems forbids in file names, and
// removes invisible ones: control characters, and marks that display a name in another
// order than it is stored.
func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	case r == '\u2028' || r == '\u2029' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

// isEdge reports whether r must not begin or end a name. A leading dot hides the file
// on Unix; Windows drops a trailing dot or space.
func isEdge(r rune) bool { return r == '.' || unicode.IsSpace(r) }

// isDevice reports whether Windows treats name, with any extension, as a device.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if n, ok := strings.CutPrefix(stem, "COM"); ok {
		return isPort(n)
	}
	n, ok := strings.CutPrefix(stem, "LPT")
	return ok && isPort(n)
}

func isPort(n string) bool {
	r, size := utf8.DecodeRuneInString(n)
	return size > 0 && size == len(n) && strings.ContainsRune("0123456789¹²³", r)
}

// shorten cuts a name to longestName bytes between two characters. It keeps a short
// extension.
func shorten(name string) string {
	if len(name) <= longestName {
		return name
	}
	stem, ext := split(name)
	if len(ext) > 20 {
		stem, ext = name, ""
	}
	n := longestName - len(ext)
	for !utf8.RuneStart(stem[n]) {
		n--
	}
	return strings.TrimRightFunc(stem[:n], isEdge) + ext
}

// split cuts a name before its extension. The extension of "a.tar.gz" is ".tar.gz".
func split(name string) (stem, ext string) {
	ext = path.Ext(name)
	stem = name[:len(name)-len(ext)]
	if s, ok := strings.CutSuffix(stem, ".tar"); ok {
		stem, ext = s, ".tar"+ext
	}
	if stem == "" {
		return name, ""
	}
	return stem, ext
}

// MostNumbered is the largest number that Numbered appends. Callers try one number
// after the other.
const MostNumbered = 100

// Numbered returns the name for the n-th file called name, from 1 on: "a.txt",
// "a (2).txt", and so on. Beyond MostNumbered it appends random letters.
func Numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	tag := strconv.Itoa(n)
	if n > MostNumbered {
		tag = rand.Text()[:12]
	}
	stem, ext := split(name)
	return stem + " (" + tag + ")" + ext
}

// New returns a unique name for a file whose client sent no usable one.
func New() string { return "upload-" + strings.ToLower(rand.Text()) }

// FromURL returns the file that the path of a URL names, relative to the root of the
// server. slash reports that the path names a folder. If status is not 0, it is the
// HTTP status of a path that is refused. hidden accepts names that begin with a dot.
func FromURL(p string, hidden bool) (name string, slash bool, status int) {
	if len(p) > longestPath {
		return "", false, http.StatusRequestURITooLong
	}
	if !Printable(p) {
		return "", false, http.StatusBadRequest
	}
	for e := range strings.SplitSeq(p, "/") {
		switch {
		case e == "..":
			return "", false, http.StatusBadRequest
		case len(e) > longestElement:
			return "", false, http.StatusNotFound
		case e != "." && Withheld(e, hidden):
			return "", false, http.StatusNotFound
		}
	}
	slash = p == "" || p[len(p)-1] == '/' || strings.HasSuffix(p, "/.") || p == "."
	name = path.Clean("/" + p)[1:]
	if name == "" {
		return ".", true, 0
	}
	// On Windows, backslashes, drives and device names have a meaning too.
	if filepath.Separator != '/' {
		var err error
		if name, err = filepath.Localize(name); err != nil {
			return "", false, http.StatusNotFound
		}
	}
	return name, slash, 0
}

// Withheld reports whether clients must not see a name. These are names that begin with
// a dot, unless hidden is set, and always the names of files that are being written.
func Withheld(name string, hidden bool) bool {
	if !strings.HasPrefix(name, ".") {
		return false
	}
	return !hidden || strings.EqualFold(name, UploadsDir) || atomicfile.IsTemp(name)
}

// Escape escapes a path for a URL. It leaves slashes as they are.
func Escape(p string) string {
	u := url.URL{Path: p}
	return u.EscapedPath()
}

// AppendEscaped appends Escape of p to b. For listings, which have many names, it is
// faster than net/url.
func AppendEscaped(b []byte, p string) []byte {
	if p == "*" { // net/url leaves this one as it is
		return append(b, p...)
	}
	for i := range len(p) {
		if c := p[i]; inPaths[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&0xf])
		}
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// inPaths has the bytes that Escape leaves as they are.
var inPaths = func() (t [256]bool) {
	for _, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.~$&+,/:;=@" {
		t[c] = true
	}
	return t
}()

// The longest path that FromURL accepts, and the longest name in it, in bytes: the
// limits of common systems.
const (
	longestPath    = 4096
	longestElement = 255
)

// Printable reports whether FromURL accepts the characters of a name: none of them is a
// control character. Bytes that are not UTF-8 are accepted.
func Printable(name string) bool { return !strings.ContainsFunc(name, unicode.IsControl) }

// Served reports whether clients can get the file at a path below the root, which has no
// links in it, under that path. It is the rule of FromURL for names that come from the
// file system.
func Served(path string, hidden bool) bool {
	for e := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == filepath.Separator }) {
		if e != "." && (Withheld(e, hidden) || !Printable(e)) {
			return false
		}
	}
	return true
}

// UploadsDir is the hidden folder of resumable uploads, inside the folder that they
// are for.
const UploadsDir = ".weir-uploads"
