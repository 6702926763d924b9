package weirhttp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// ErrChanged is the error of a download whose file changed while it was sent. A file that
// only grew has not changed: the announced length of it is sent.
var ErrChanged = errors.New("file changed while it was sent")

// ErrTruncated is the error of a download whose file became shorter than the announced
// length. It matches ErrChanged.
var ErrTruncated error = truncatedError{}

type truncatedError struct{}

func (truncatedError) Error() string { return "file became shorter while it was sent" }
func (truncatedError) Unwrap() error { return ErrChanged }

// heldBack is how many bytes at the end of each piece of a file are sent only after the
// file has been looked at again. A client that gets all of an answer has it from one
// version of the file.
const heldBack = 64 << 10

// span is the unsent rest of the body of an answer to one client: first bytes from
// memory, then a piece of a file, and then the pieces of rest.
type span struct {
	body []byte         // from memory
	f    *openfile.File // the file; nil: none. It belongs to rest if that is not nil.
	off  int64          // where its piece begins
	here int64          // bytes left of its piece
	left int64          // bytes left in all
	rest pieces         // the later pieces; nil: none
	try  bool           // stop instead of waiting for the client
	x    *transfer      // nil: somebody else counts the bytes
}

// pieces are the later pieces of a span.
type pieces interface {
	// next puts the next piece into s, which is used up.
	next(s *span) error
	// close releases the resources of the pieces, including the file in s.
	close()
}

// fileSpan returns n bytes of f, from offset off. The span owns f.
func fileSpan(f *openfile.File, off, n int64) *span { return &span{f: f, off: off, here: n, left: n} }

// close releases the resources of s.
func (s *span) close() {
	if s.rest != nil {
		s.rest.close()
	} else {
		s.f.Release()
	}
	s.f, s.rest, s.body = nil, nil, nil
}

// load gets the next piece if s needs one. s must have bytes left.
func (s *span) load() error {
	for len(s.body) == 0 && s.here == 0 {
		if s.rest == nil {
			return fmt.Errorf("%d bytes are missing: %w", s.left, io.ErrUnexpectedEOF)
		}
		if err := s.rest.next(s); err != nil {
			return err
		}
	}
	return nil
}

// ready returns how many of n bytes of the file can be sent now. It looks at the file
// before the last ones.
func (s *span) ready(n int64) (int64, error) {
	n = min(n, s.here)
	if s.here > heldBack {
		return min(n, s.here-heldBack), nil
	}
	return n, unchanged(s.f)
}

// unchanged returns an error unless f is the version that was opened, or has grown.
func unchanged(f *openfile.File) error {
	info, err := f.F.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < f.Size:
		return ErrTruncated
	case info.Size() == f.Size && !info.ModTime().Equal(f.Modified):
		return ErrChanged
	}
	return nil
}

// isFileFault reports whether a download failed with err because of its file. The
// operator wants to know, while a client that leaves is nothing special.
func isFileFault(err error) bool {
	var path *fs.PathError
	return errors.Is(err, ErrChanged) || errors.As(err, &path)
}

// Read is for writers that copy a span through memory.
func (s *span) Read(b []byte) (n int, err error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if err := s.load(); err != nil {
		return 0, err
	}
	if len(s.body) > 0 {
		n = copy(b, s.body)
		s.advance(int64(n))
		return n, nil
	}
	n, err = s.f.ReadAt(b[:min(int64(len(b)), s.here)], s.off)
	if n > 0 {
		err = nil
		if s.here-int64(n) < heldBack {
			err = unchanged(s.f) // after the bytes were read
		}
	}
	switch {
	case err == io.EOF:
		return 0, ErrTruncated
	case err != nil:
		return 0, err
	}
	s.advance(int64(n))
	return n, nil
}

// advance counts n bytes as sent. They are all from memory or all from the file.
func (s *span) advance(n int64) {
	if len(s.body) > 0 {
		s.body = s.body[n:]
	} else {
		s.off += n
		s.here -= n
	}
	s.left -= n
	if s.x != nil {
		s.x.add(n)
	}
}

// meter returns the meter of the transfer, nil if s belongs to none.
func (s *span) meter() *meter.Meter {
	if s.x == nil {
		return nil
	}
	return &s.x.meter
}

// copyBuffers are for copying a file through memory.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
