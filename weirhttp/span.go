package weirhttp

import (
	"errors"
	"io"
	"sync"

	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// ErrTruncated is the error of a download whose file became shorter than the announced
// length.
var ErrTruncated = errors.New("file became shorter while it was sent")

// span is a part of a file on its way to one client, or all of a small file.
type span struct {
	body []byte // the small file; nil: read f
	f    *openfile.File
	off  int64
	left int64
	try  bool // stop instead of waiting for the client
	x    *transfer
}

// Read is for writers that copy a span through memory.
func (s *span) Read(b []byte) (n int, err error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), s.left)]
	if s.body != nil {
		n = copy(b, s.body[s.off:])
	} else {
		n, err = s.f.ReadAt(b, s.off)
	}
	s.advance(int64(n))
	switch {
	case n > 0:
		return n, nil
	case err == io.EOF:
		return 0, ErrTruncated
	}
	return 0, err
}

func (s *span) advance(n int64) {
	s.off += n
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

// extent is a file as http.ServeContent reads it. Its size does not change.
type extent struct {
	f    *openfile.File
	off  int64
	size int64
}

// Seek moves the offset of the extent. The file's own offset stays.
func (e *extent) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		e.off = off
	case io.SeekCurrent:
		e.off += off
	case io.SeekEnd:
		e.off = e.size + off
	}
	return e.off, nil
}

// Read returns ErrTruncated where the file ends before size.
func (e *extent) Read(b []byte) (int, error) {
	if e.off >= e.size {
		return 0, io.EOF
	}
	n, err := e.f.ReadAt(b[:min(int64(len(b)), e.size-e.off)], e.off)
	e.off += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		err = ErrTruncated
	}
	return 0, err
}
