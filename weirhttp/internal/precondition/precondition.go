// Package precondition evaluates the preconditions of a request that writes a file
// (RFC 9110, 13.1).
package precondition

import (
	"net/http"
	"strings"
	"time"
)

// Terms are preconditions about the file that already has the name of an upload. If
// they do not hold, nothing is stored. The record of a resumable upload keeps them,
// as JSON, until the upload is complete.
type Terms struct {
	OnlyNew    bool      `json:"onlyNew,omitempty"`   // If-None-Match: *
	Match      string    `json:"match,omitempty"`     // If-Match
	NoneMatch  string    `json:"noneMatch,omitempty"` // If-None-Match, with entity tags
	Unmodified time.Time `json:"unmodified,omitzero"` // If-Unmodified-Since
}

// Of reads the preconditions from the header of a request. It leaves out
// If-Modified-Since, which applies to GET and HEAD only, and a malformed date, as the
// RFC demands.
func Of(h http.Header) Terms {
	t := Terms{Match: joined(h, "If-Match"), NoneMatch: joined(h, "If-None-Match")}
	if t.NoneMatch == "*" {
		t.NoneMatch, t.OnlyNew = "", true
	}
	if t.Match == "" { // the more exact precondition wins
		if since, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil {
			t.Unmodified = since
		}
	}
	return t
}

// joined returns the lines of a header field as one line.
func joined(h http.Header, name string) string {
	return strings.Trim(strings.Join(h.Values(name), ","), " \t")
}

// Met reports whether a file that exists meets the terms. tag is its entity tag, ""
// if it has none.
func (t Terms) Met(tag string, modified time.Time) bool {
	switch {
	case t.Match != "" && t.Match != "*" && !hasTag(t.Match, tag, false):
		return false
	case !t.Unmodified.IsZero() && modified.Truncate(time.Second).After(t.Unmodified):
		return false // an HTTP date has no fractions of a second
	}
	return !hasTag(t.NoneMatch, tag, true)
}

// hasTag reports whether list contains the entity tag. Weak tags in the list count
// only if weak is set.
func hasTag(list, tag string, weak bool) bool {
	for {
		list = strings.TrimLeft(list, ", \t")
		one, isWeak := strings.CutPrefix(list, "W/")
		if !strings.HasPrefix(one, `"`) {
			return false
		}
		end := strings.IndexByte(one[1:], '"')
		if end < 0 {
			return false
		}
		if one[:end+2] == tag && (weak || !isWeak) {
			return true
		}
		list = one[end+2:]
	}
}
