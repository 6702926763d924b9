package weirhttp

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// terms say what must be true of the file that has the name of an upload, for
// anything to be stored: the preconditions of its request (RFC 9110, 13.1). The
// record of a resumable upload keeps them until that is whole.
type terms struct {
	OnlyNew    bool      `json:"onlyNew,omitempty"`   // If-None-Match: *
	Match      string    `json:"match,omitempty"`     // If-Match
	NoneMatch  string    `json:"noneMatch,omitempty"` // If-None-Match, with entity tags
	Unmodified time.Time `json:"unmodified,omitzero"` // If-Unmodified-Since
}

// termsOf reads the preconditions of a request. If-Modified-Since is for
// reading only, and a date that cannot be read is to be ignored.
func termsOf(h http.Header) terms {
	t := terms{Match: joined(h, "If-Match"), NoneMatch: joined(h, "If-None-Match")}
	if t.NoneMatch == "*" {
		t.NoneMatch, t.OnlyNew = "", true
	}
	if t.Match == "" { // which is the more exact one
		if since, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil {
			t.Unmodified = since
		}
	}
	return t
}

// joined returns the lines of a header as one.
func joined(h http.Header, name string) string {
	return strings.Trim(strings.Join(h.Values(name), ","), " \t")
}

// mode is what becomes of a file whose name is taken.
type mode int

const (
	keepBoth mode = iota // the new one gets a number
	replace              // the new one takes its place
	onlyNew              // the new one is refused
)

// rule is mode and terms of one upload.
type rule struct {
	mode mode
	terms
}

// rule returns what holds for an upload with the terms.
func (u *Uploads) rule(t terms) rule {
	switch {
	case t.OnlyNew:
		return rule{onlyNew, t}
	case u.Overwrite:
		return rule{replace, t}
	}
	return rule{keepBoth, t}
}

var errTerms = &refusal{http.StatusPreconditionFailed, "The file of this name is not the one that was expected"}

// allows refuses an upload that could not get its name if it was whole now. It
// returns the size of the file that has the name, -1 if there is none.
func (d *folder) allows(name string, r rule) (was int64, err error) {
	if r == (rule{}) {
		return -1, nil // another name is found for it
	}
	info, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.Match != "":
		return -1, errTerms
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return -1, err
	case r.mode == onlyNew:
		return -1, fs.ErrExist
	case r.mode == replace && !info.Mode().IsRegular():
		return -1, &refusal{http.StatusConflict, "What has this name is not a file"}
	case !r.met(info):
		return -1, errTerms
	}
	return info.Size(), nil
}

// met reports whether the terms are met by a file that is there. Its entity tag
// is the one that a [FileServer] serves it with.
func (t terms) met(info fs.FileInfo) bool {
	tag := ""
	if info.Mode().IsRegular() {
		tag = tagOf(info.ModTime(), info.Size(), identify(info))
	}
	switch {
	case t.Match != "" && t.Match != "*" && !hasTag(t.Match, tag, false):
		return false
	case !t.Unmodified.IsZero() && info.ModTime().Truncate(time.Second).After(t.Unmodified):
		return false // a date has no fractions
	}
	return !hasTag(t.NoneMatch, tag, true)
}

// hasTag reports whether an entity tag is among those of a list; a weak one
// counts only where it does not matter that it is weak.
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
