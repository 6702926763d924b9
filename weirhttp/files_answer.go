package weirhttp

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// answer is where http.ServeContent writes, which knows the rules of ranges and
// conditions. What it wants to copy from the file is sent here instead.
type answer struct {
	http.ResponseWriter
	s    *FileServer
	r    *http.Request
	name string
	f    *file

	status int  // 0: none yet
	begun  bool // the status has been handed on
	parked bool // the download goes on without net/http, and has the file
	err    error
}

// WriteHeader keeps the status back until it is known that the answer can be
// sent.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	// ServeContent leaves it out for what is encoded.
	if h := a.Header(); status == http.StatusOK && h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.FormatInt(a.f.size, 10))
	}
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		if a.status != 0 {
			a.ResponseWriter.WriteHeader(a.status)
		}
	}
}

// Write writes the text of an error.
func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(b)
}

// finish ends the answer. One that broke off ends its connection too.
func (a *answer) finish() {
	a.begin()
	if a.err != nil {
		if errors.Is(a.err, ErrTruncated) {
			a.s.log().Warn("answer aborted", "path", a.r.URL.Path, "client", a.r.RemoteAddr, "error", a.err)
		}
		panic(http.ErrAbortHandler)
	}
}

// ReadFrom gets what is to be sent: a part of the file, or several as a
// multipart message.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	size := int64(-1)
	lr, limited := src.(*io.LimitedReader)
	if limited {
		size = lr.N
	}
	var e *extent // of one part
	if limited {
		e, _ = lr.R.(*extent)
	}
	plain := plainConn(a.r)
	under := connOf(a.r)
	guard := under.guard()
	wire := newRolling(a.ResponseWriter, a.r, guard)
	wire.rest() // it is the server that is waited for now
	release, err := guard.reserve(a.r.Context(), costOf(size, plain != nil && e != nil))
	if err != nil {
		wire.arm()
		a.refuse(guard, err)
		return 0, err
	}
	a.begin()
	x := begin(a.r, Download, a.name, size)
	if under != nil {
		x.watchConn(under, a.r)
	}
	switch {
	case e == nil:
		n, err = a.copy(guard, x, src)
		if err == nil && limited && n < size {
			err = io.ErrUnexpectedEOF
		}
	case plain != nil:
		n, err = a.send(plain, &span{f: a.f, off: e.off, left: size, x: x}, release)
	default:
		n, err = a.sendHere(guard, x, e, size)
	}
	if limited {
		lr.N -= n
	}
	if a.parked {
		return n, nil
	}
	release()
	x.end(err)
	a.err = err
	return n, err
}

// refuse answers a download for which there is no memory.
func (a *answer) refuse(g *Guard, err error) {
	a.begun = true
	if a.r.Context().Err() != nil { // it left while it waited
		a.err = err
		return
	}
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		tellRetry(a.Header(), retryAfter(g.Queue))
		a.s.log().Warn("download refused", "path", a.r.URL.Path, "client", a.r.RemoteAddr, "reason", err.Error())
	}
	httpError(a.ResponseWriter, status)
}

// What a download of which more than freeOfCharge is sent takes from a budget.
const (
	freeOfCharge = 64 << 10
	parkedCost   = 8 << 10
	copyCost     = 64 << 10
)

func costOf(size int64, kernel bool) int64 {
	switch {
	case size >= 0 && size <= freeOfCharge:
		return 0
	case kernel:
		return parkedCost
	}
	return copyCost
}

// send sends a part of the file from the kernel's cache. What the client does
// not take at once is parked, if it is much.
func (a *answer) send(c *conn, s *span, release func()) (int64, error) {
	rf, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok {
		x := s.x
		s.x = nil // copy counts
		return a.copy(nil, x, s)
	}
	total := s.left
	s.x.kernel.Store(canPark)
	s.try = canPark && total > parkAbove && a.r.Method == http.MethodGet && a.r.ContentLength == 0
	err := behindHeader(a.ResponseWriter, c, func() error {
		_, err := rf.ReadFrom(s)
		return err
	})
	if err == nil && s.left > parkAbove && s.try && park(a.ResponseWriter, a.r, c, s, release) {
		a.parked = true
		return total, nil
	}
	if s.try = false; err == nil && s.left > 0 {
		_, err = rf.ReadFrom(s)
	}
	return total - s.left, err
}

// behindHeader calls body, which sends the body of an answer over c, such that
// the header leaves with its first bytes.
func behindHeader(w http.ResponseWriter, c *conn, body func() error) error {
	c.holdHeader()
	// Or else net/http reads the beginning of the body by itself, to guess its
	// type.
	err := http.NewResponseController(w).Flush()
	if errors.Is(err, http.ErrNotSupported) { // by a handler in between
		if err = c.letGo(); err == nil {
			return body()
		}
	}
	if err == nil {
		err = body()
	}
	return errors.Join(err, c.letGo())
}

// kernelPiece is how much net/http copies from the file to the socket at once,
// by the kernel. It is bounded so that progress is seen.
const kernelPiece = 8 << 20

// sendHere sends a part of the file through net/http.
func (a *answer) sendHere(g *Guard, x *transfer, e *extent, size int64) (n int64, err error) {
	if _, ok := a.ResponseWriter.(io.ReaderFrom); !ok || !a.f.mine || a.r.TLS != nil || a.r.ProtoMajor != 1 {
		return a.copy(g, x, io.LimitReader(e, size))
	}
	x.kernel.Store(true)
	f := a.f.f
	if _, err := f.Seek(e.off, io.SeekStart); err != nil {
		return 0, err
	}
	for n < size && err == nil {
		var m int64
		m, err = io.CopyN(a.ResponseWriter, f, min(size-n, kernelPiece))
		n += m
		x.add(m)
	}
	if err == io.EOF {
		err = ErrTruncated
	}
	return n, err
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copy sends src through memory. An HTTP/2 client that takes nothing of a
// stream is found by the stream's own deadline, since it may go on with others.
func (a *answer) copy(g *Guard, x *transfer, src io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	w := newRolling(a.ResponseWriter, a.r, g)
	defer w.arm()
	for {
		m, rerr := src.Read(*buf)
		if m > 0 {
			x.meter.enter(phaseClient)
			m, err = w.Write((*buf)[:m])
			x.meter.enter(phaseMoving)
			n += int64(m)
			x.add(int64(m))
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}
