package precondition

import (
	"net/http"
	"time"
)

// Read evaluates the preconditions of a GET or HEAD (RFC 9110, 13.2.2) for a
// representation with a strong entity tag and, unless modified is zero, a modification
// date. It returns 412, 304, or 0 if the request is to be answered.
func Read(h http.Header, tag string, modified time.Time) int {
	modified = modified.Truncate(time.Second)
	if has(h, "If-Match") {
		if match := joined(h, "If-Match"); match != "*" && !hasTag(match, tag, false) {
			return http.StatusPreconditionFailed
		}
	} else if since, ok := date(h, "If-Unmodified-Since"); ok && !modified.IsZero() && modified.After(since) {
		return http.StatusPreconditionFailed
	}
	if has(h, "If-None-Match") {
		if none := joined(h, "If-None-Match"); none == "*" || hasTag(none, tag, true) {
			return http.StatusNotModified
		}
	} else if since, ok := date(h, "If-Modified-Since"); ok && isOver(modified) && !modified.After(since) {
		return http.StatusNotModified
	}
	return 0
}

// RangeCounts reports whether the Range field of a GET counts: the request has no
// If-Range, or one that names the representation.
func RangeCounts(h http.Header, tag string, modified time.Time) bool {
	if !has(h, "If-Range") {
		return true
	}
	if one := joined(h, "If-Range"); one != "" && (one[0] == '"' || one[0] == 'W') {
		return one == tag // a weak tag does not identify bytes
	}
	modified = modified.Truncate(time.Second)
	want, ok := date(h, "If-Range")
	return ok && isOver(modified) && want.Equal(modified)
}

// isOver reports whether the second that modified names is over. Until then the file can
// change once more without getting another date, so the date does not identify it. It
// reports false for the zero time.
func isOver(modified time.Time) bool {
	return !modified.IsZero() && time.Since(modified) >= time.Second
}

func has(h http.Header, name string) bool { return len(h[name]) > 0 }

// date reads a field that has one date. It reports false for any other value: such a
// field is to be ignored.
func date(h http.Header, name string) (time.Time, bool) {
	if len(h[name]) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(h[name][0])
	return t, err == nil
}
