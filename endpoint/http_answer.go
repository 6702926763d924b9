package endpoint

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir/internal/units"
)

// facts has the properties of a file from the header of an answer.
type facts struct {
	name      string
	size      int64 // of the whole file, or -1
	validator string
	modified  time.Time
	ranges    bool
}

func (in *httpInput) facts(resp *http.Response) facts {
	f := facts{
		name:      remoteName(in.url, resp.Header),
		size:      resp.ContentLength,
		validator: validator(resp.Header),
		ranges:    strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes"),
	}
	f.modified, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	if resp.StatusCode == http.StatusPartialContent {
		f.size, f.ranges = -1, true
	}
	return f
}

// validator returns a value for If-Range: a strong entity tag, or else a date
// that is strong by RFC 9110, section 8.8.2.2: the file was at least a second
// old when the answer was made, so that another change in the same second
// cannot hide.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if isStrong(tag) {
			return tag
		}
		return ""
	}
	changed, err1 := http.ParseTime(h.Get("Last-Modified"))
	now, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || now.Sub(changed) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

func isStrong(tag string) bool {
	return len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"'
}

func isWhole(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNonAuthoritativeInfo
}

// accept judges the header of an answer, and returns how many of its bytes the
// caller has already.
func (d *download) accept(resp *http.Response) (skip int64, err error) {
	switch {
	case isWhole(resp):
		return d.acceptWhole(resp)
	case resp.StatusCode == http.StatusPartialContent && d.at > 0:
		return 0, d.acceptPart(resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.at > 0:
		return 0, d.acceptEnd(resp)
	}
	return 0, statusError(resp, d.in.name)
}

// acceptWhole takes an answer with the whole file. Where a part was asked for,
// it means that the file has changed, unless the validator says that it has
// not: the server does not know ranges then.
func (d *download) acceptWhole(resp *http.Response) (skip int64, err error) {
	f := d.in.facts(resp)
	if d.at > 0 && d.known.validator != f.validator && (d.met || d.known.validator != "") {
		return 0, d.changed()
	}
	if err := d.sameSize(f.size); d.at > 0 && err != nil {
		return 0, err
	}
	if f.size >= 0 && d.at > f.size {
		return 0, d.changed()
	}
	if d.at == 0 {
		d.sum = announced(resp.Header)
	}
	d.learn(f)
	d.left = -1
	return d.at, nil
}

// acceptPart takes an answer whose content must begin at byte at.
func (d *download) acceptPart(resp *http.Response) error {
	first, last, total, err := contentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return d.lie("sent a part without saying which: %v", err)
	case first != d.at:
		return d.lie("was asked for what begins at byte %d and sent what begins at byte %d", d.at, first)
	case resp.ContentLength >= 0 && resp.ContentLength != last-first+1:
		return d.lie("announced %s and a part of %d", units.Count(resp.ContentLength, "byte"), last-first+1)
	}
	f := d.in.facts(resp)
	f.size = total
	key := "ETag"
	if !isStrong(d.known.validator) {
		key = "Last-Modified"
	}
	if v := resp.Header.Get(key); v != "" && d.known.validator != "" && v != d.known.validator {
		return d.changed()
	}
	if err := d.sameSize(total); err != nil {
		return err
	}
	if d.known.validator != "" { // a part need not repeat it
		f.validator = d.known.validator
	}
	d.learn(f)
	d.left = last - first + 1
	return nil
}

// acceptEnd takes the answer that there is nothing at or behind at.
func (d *download) acceptEnd(resp *http.Response) error {
	total, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes */"), 10, 64)
	switch {
	case err != nil:
		return statusError(resp, d.in.name)
	case total != d.at:
		return d.changed()
	}
	if err := d.sameSize(total); err != nil {
		return err
	}
	f := d.in.facts(resp)
	f.size, f.ranges, f.validator = total, true, d.known.validator
	d.learn(f)
	d.ended = true
	return nil
}

// learn keeps the facts of an answer, for the next answer and for the caller.
func (d *download) learn(f facts) {
	if f.size < 0 && d.met && d.at > 0 {
		f.size = d.known.size
	}
	d.met, d.known = true, f
	d.in.learn(f)
}

func (d *download) sameSize(size int64) error {
	if d.met && size >= 0 && d.known.size >= 0 && size != d.known.size {
		return d.changed()
	}
	return nil
}

func (d *download) changed() error {
	return final{fmt.Errorf("GET %s: %w (at byte %d)", d.in.name, ErrChanged, d.at)}
}

// contentRange reads "bytes first-last/total"; total is -1 for "*".
func contentRange(v string) (first, last, total int64, err error) {
	malformed := fmt.Errorf("Content-Range %q", v)
	if v == "" {
		return 0, 0, 0, errors.New("no Content-Range")
	}
	unit, rest, _ := strings.Cut(v, " ")
	span, size, ok := strings.Cut(rest, "/")
	from, to, ok2 := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !ok || !ok2 {
		return 0, 0, 0, malformed
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total = -1
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total <= last {
			return 0, 0, 0, malformed
		}
	}
	if err1 != nil || err2 != nil || first < 0 || last < first {
		return 0, 0, 0, malformed
	}
	return first, last, total, nil
}
