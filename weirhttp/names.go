package weirhttp

import (
	"crypto/rand"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestName is how many bytes a name may have, so that a number still fits
// into the 255 that file systems allow.
const longestName = 230

// SafeName makes a file name of what a client calls its file, which may be
// anything: it returns the last element of a path, with either kind of
// separator, as a name that is valid on Linux, macOS and Windows. It is not
// hidden, has no control or formatting characters, is not the name of a device
// and has at most 230 bytes of UTF-8. The result is "" if nothing is left.
func SafeName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(safeRune, name)
	name = shorten(strings.TrimFunc(name, isEdge))
	if isDevice(name) { // which a name may become when it is cut
		name = shorten("_" + name)
	}
	return name
}

// safeRune replaces what a file name must not have on one of the systems, and
// takes out what nobody can see: control characters, and marks that show a
// name in another order than it has.
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

// isEdge reports whether r must not begin or end a name: a dot hides the file
// on one system and is lost on another, as a space is.
func isEdge(r rune) bool { return r == '.' || unicode.IsSpace(r) }

// isDevice reports whether Windows takes name for a device, whatever its
// extension.
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

// shorten cuts a name to longestName bytes, between two characters, and keeps a
// short extension.
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

// split cuts a name in front of its extension; that of "a.tar.gz" is ".tar.gz".
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

// mostNumbered is how many files of one name are told apart by a number, which
// is found by trying one after the other.
const mostNumbered = 100

// numbered returns the name that the n-th file called name gets, from 1 on:
// "a.txt", "a (2).txt", and so on.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	tag := strconv.Itoa(n)
	if n > mostNumbered {
		tag = rand.Text()[:12]
	}
	stem, ext := split(name)
	return stem + " (" + tag + ")" + ext
}

// unnamed makes a name for a file whose client gave none that is of use.
func unnamed() string { return "upload-" + strings.ToLower(rand.Text()) }
