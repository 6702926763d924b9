package weirhttp

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/openfile"
	"github.com/weir-go/weir/weirhttp/internal/precondition"
	"github.com/weir-go/weir/weirhttp/internal/ranges"
)

// sliceable is content of which a GET can have parts. Its bytes do not change.
type sliceable interface {
	// cut puts a piece that begins at offset off into s, and returns its length: at
	// least 1, at most n. off and n are within the content.
	cut(s *span, off, n int64) (int64, error)
	// close releases the resources of the content and of the piece that it cut last.
	close()
}

// described is content with its description in HTTP.
type described struct {
	sliceable
	name     string // of the transfer
	kind     string // media type
	size     int64
	tag      string    // strong entity tag
	modified time.Time // zero: unknown
	memory   int64     // bytes that sending it takes from the budget; 0: as a file does
	log      *slog.Logger
}

// answer responds to a GET or HEAD with d, or the part of it that the client wants, as
// RFC 9110 says, and closes d. Fields of w's header that describe d in another way stay.
func (d *described) answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", d.tag)
	h.Set("Accept-Ranges", "bytes")
	// A date that has not come yet would make clients believe in it for too long.
	if !d.modified.IsZero() && !d.modified.After(time.Now()) {
		h.Set("Last-Modified", httpTime(d.modified))
	}
	if status := precondition.Read(r.Header, d.tag, d.modified); status != 0 {
		d.close()
		for _, k := range [...]string{"Content-Type", "Content-Encoding", "Content-Disposition", "Content-Length"} {
			h.Del(k)
		}
		if status != http.StatusNotModified { // a 304 has the same caching headers as a 200
			h.Del("Last-Modified")
			h.Del("Accept-Ranges")
		}
		w.WriteHeader(status)
		return
	}
	if _, ok := h["Content-Type"]; !ok {
		h.Set("Content-Type", d.kind)
	}
	list, how := []ranges.Range(nil), ranges.Whole
	if r.Method == http.MethodGet && precondition.RangeCounts(r.Header, d.tag, d.modified) {
		list, how = ranges.Parse(r.Header["Range"], d.size)
	}
	status, length := http.StatusOK, d.size
	var s *span
	switch {
	case how == ranges.Unsatisfiable:
		d.close()
		undescribe(h)
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", d.size))
		http.Error(w, http.StatusText(http.StatusRequestedRangeNotSatisfiable), http.StatusRequestedRangeNotSatisfiable)
		return
	case len(list) == 1:
		status, length = http.StatusPartialContent, list[0].N
		h.Set("Content-Range", contentRange(list[0], d.size))
		s = d.span(list[0].Off, length)
	case len(list) > 1:
		status = http.StatusPartialContent
		s = d.several(h, list)
		length = s.left
	default:
		s = d.span(0, d.size)
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	if r.Method == http.MethodHead {
		s.close()
		w.WriteHeader(status)
		return
	}
	a := &answer{ResponseWriter: w, r: r, name: d.name, log: d.log}
	a.send(status, s, d.memory)
}

func contentRange(r ranges.Range, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.Off, r.Off+r.N-1, size)
}

// span returns n bytes from offset off. The span owns the content.
func (d *described) span(off, n int64) *span {
	if f, ok := d.sliceable.(oneFile); ok {
		return fileSpan(f.File, off, n)
	}
	return &span{left: n, rest: &parts{from: d.sliceable, list: []part{{off: off, n: n}}}}
}

// several returns several ranges as a multipart message, and sets its type in h.
func (d *described) several(h http.Header, list []ranges.Range) *span {
	p := &parts{from: d.sliceable}
	boundary, between, left := rand.Text(), "--", int64(0)
	for _, r := range list {
		head := fmt.Sprintf("%s%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n", between, boundary, h.Get("Content-Type"), contentRange(r, d.size))
		p.list = append(p.list, part{head, r.Off, r.N})
		left += int64(len(head)) + r.N
		between = "\r\n--"
	}
	end := between + boundary + "--\r\n"
	p.list = append(p.list, part{head: end})
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	return &span{left: left + int64(len(end)), rest: p}
}

// part is a text and then n bytes of content from offset off.
type part struct {
	head   string
	off, n int64
}

// parts are parts of content, one after the other.
type parts struct {
	from sliceable
	list []part // still to be sent
}

// next is for a span; see pieces.
func (p *parts) next(s *span) error {
	s.f = nil
	if len(p.list) == 0 {
		return io.ErrUnexpectedEOF
	}
	cur := &p.list[0]
	if cur.head != "" {
		s.body, cur.head = []byte(cur.head), ""
	} else if cur.n > 0 {
		n, err := p.from.cut(s, cur.off, cur.n)
		if err != nil {
			return err
		}
		cur.off, cur.n = cur.off+n, cur.n-n
	}
	if cur.n == 0 {
		p.list = p.list[1:]
	}
	return nil
}

func (p *parts) close() { p.from.close() }

// oneFile is the content of a file.
type oneFile struct{ *openfile.File }

func (f oneFile) cut(s *span, off, n int64) (int64, error) {
	s.f, s.off, s.here = f.File, off, n
	return n, nil
}

func (f oneFile) close() { f.Release() }
