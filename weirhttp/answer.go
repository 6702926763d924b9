package weirhttp

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// answer is the writer that http.ServeContent gets. ServeContent knows the rules of ranges
// and conditions; answer sends the parts of the file that ServeContent wants to copy.
type answer struct {
	http.ResponseWriter
	r    *http.Request
	name string
	f    *openfile.File
	log  *slog.Logger

	status int  // 0: none yet
	begun  bool // the status has been passed on
	parked bool // the download continues without net/http, and owns the file
	err    error
}

// WriteHeader holds the status back until it is certain that the answer can be sent.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	// ServeContent leaves it out for an encoded file.
	if h := a.Header(); status == http.StatusOK && h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.FormatInt(a.f.Size, 10))
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

// finish ends the answer. If the answer broke off, it ends the connection too.
func (a *answer) finish() {
	a.begin()
	if a.err != nil {
		if errors.Is(a.err, ErrTruncated) {
			a.log.Warn("download aborted", "path", a.r.URL.Path, "client", a.r.RemoteAddr, "error", a.err)
		}
		panic(http.ErrAbortHandler)
	}
}

// ReadFrom sends what ServeContent wants to send: a part of the file, or several parts as
// a multipart message.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	content, lr, size := contentOf(src)
	e, _ := content.(*extent) // nil: several parts
	plain := plainConn(a.r)
	under := connOf(a.r)
	guard := guardOf(a.r)
	wire := newRolling(a.ResponseWriter, a.r, guard)
	wire.rest() // the client waits for the server now
	release, err := guard.reserve(a.r.Context(), costOf(size, plain != nil && e != nil))
	if err != nil {
		wire.arm()
		a.refuse(guard, err)
		return 0, err
	}
	a.begin()
	x := begin(a.r, Download, a.name, size)
	if under != nil {
		under.carry(x, a.r)
	}
	switch {
	case e == nil:
		n, err = a.copy(guard, x, src)
		if err == nil && lr != nil && n < size {
			err = io.ErrUnexpectedEOF
		}
	case plain != nil:
		n, err = a.send(plain, &span{f: a.f, off: e.off, left: size, x: x}, release)
	default:
		n, err = a.sendHere(guard, x, e, size)
	}
	if lr != nil {
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

// refuse responds 503 when the budget has no memory for the download.
func (a *answer) refuse(g *Guard, err error) {
	a.begun = true
	if a.r.Context().Err() != nil { // the client left while it waited
		a.err = err
		return
	}
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		tellRetry(a.Header(), budget.RetryAfter(g.Queue))
		a.log.Warn("download refused", "path", a.r.URL.Path, "client", a.r.RemoteAddr, "reason", err.Error())
	}
	httpError(a.ResponseWriter, status)
}

// The memory that a download takes from a budget. One of up to freeOfCharge bytes takes
// none.
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

// send makes the kernel send a part of the file. If the client does not receive all of it
// at once and much is left, it parks the download.
func (a *answer) send(c *conn, s *span, release func()) (int64, error) {
	rf, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok {
		x := s.x
		s.x = nil // copy counts the bytes
		return a.copy(nil, x, s)
	}
	total := s.left
	s.x.kernel.Store(canPark)
	s.try = canPark && total > parkAbove && a.r.Method == http.MethodGet && a.r.ContentLength == 0
	err := sendThrough(a.ResponseWriter, c, func() error {
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

// kernelPiece is how much net/http makes the kernel copy at once. It is limited so that
// progress is seen.
const kernelPiece = 8 << 20

// sendHere sends a part of the file through net/http.
func (a *answer) sendHere(g *Guard, x *transfer, e *extent, size int64) (n int64, err error) {
	if _, ok := a.ResponseWriter.(io.ReaderFrom); !ok || !a.f.Own || a.r.TLS != nil || a.r.ProtoMajor != 1 {
		return a.copy(g, x, io.LimitReader(e, size))
	}
	x.kernel.Store(true)
	f := a.f.F
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

// copy sends src through memory. Over HTTP/2, the deadline of the stream finds a client
// that stalls, since the client can go on with other streams.
func (a *answer) copy(g *Guard, x *transfer, src io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	w := newRolling(a.ResponseWriter, a.r, g)
	defer w.arm()
	for {
		m, rerr := src.Read(*buf)
		if m > 0 {
			x.meter.Enter(meter.Client)
			m, err = w.Write((*buf)[:m])
			x.meter.Enter(meter.Moving)
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
