package weirhttp

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/meter"
)

// answer sends the body of an answer to one client.
type answer struct {
	http.ResponseWriter
	r    *http.Request
	name string // of the transfer
	log  *slog.Logger

	parked bool // the download continues without net/http, and owns the span
}

// send answers with a status and the bytes of s, and closes s. cost is the memory that it
// takes from the budget; 0 means the memory of a file. It returns when the last byte has been
// sent, or the download is parked. It panics with http.ErrAbortHandler if the answer
// breaks off, which ends the connection.
func (a *answer) send(status int, s *span, cost int64) {
	plain, under, guard := plainConn(a.r), connOf(a.r), guardOf(a.r)
	wire := newRolling(a.ResponseWriter, a.r, guard)
	wire.rest() // the client waits for the server now
	if cost == 0 {
		cost = costOf(s.left, plain != nil)
	}
	release, err := guard.reserve(a.r.Context(), cost)
	if err != nil {
		s.close()
		wire.arm()
		a.refuse(guard, err)
		return
	}
	a.WriteHeader(status)
	x := begin(a.r, Download, a.name, s.left)
	if under != nil {
		under.carry(x, a.r)
	}
	err = errPanicked // middleware can panic in Write, and a store in Read
	defer func() {
		if a.parked {
			return
		}
		defer x.end(err)
		defer release()
		s.close()
	}()
	if plain != nil {
		err = a.sendPlain(plain, s, x, release)
	} else {
		err = a.sendHere(guard, s, x)
	}
	if a.parked {
		return
	}
	if err != nil {
		if isFileFault(err) {
			a.log.Warn("download aborted", "path", a.r.URL.Path, "client", a.r.RemoteAddr, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// refuse responds 503 when the budget has no memory for the download.
func (a *answer) refuse(g *Guard, err error) {
	if a.r.Context().Err() != nil { // the client left while it waited
		panic(http.ErrAbortHandler)
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

// sendPlain makes the kernel send s. If the client does not receive all of it at once and
// much is left, it parks the download.
func (a *answer) sendPlain(c *conn, s *span, x *transfer, release func()) error {
	rf, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return a.copy(nil, x, s)
	}
	s.x = x
	x.kernel.Store(canPark)
	s.try = canPark && s.left > parkAbove && a.r.Method == http.MethodGet && a.r.ContentLength == 0
	err := sendThrough(a.ResponseWriter, c, func() error {
		_, err := rf.ReadFrom(s)
		return err
	})
	if err == nil && s.left > parkAbove && s.try && park(a.ResponseWriter, a.r, c, s, release) {
		a.parked = true
		return nil
	}
	if s.try = false; err == nil && s.left > 0 {
		_, err = rf.ReadFrom(s)
	}
	return err
}

// kernelPiece is how much net/http makes the kernel copy at once. It is limited so that
// progress is seen.
const kernelPiece = 8 << 20

// sendHere sends s through net/http, which makes the kernel copy from a file that has its
// own offset.
func (a *answer) sendHere(g *Guard, s *span, x *transfer) error {
	if _, ok := a.ResponseWriter.(io.ReaderFrom); !ok || a.r.TLS != nil || a.r.ProtoMajor != 1 {
		return a.copy(g, x, s)
	}
	x.kernel.Store(true)
	s.x = x
	for s.left > 0 {
		if err := s.load(); err != nil {
			return err
		}
		if len(s.body) > 0 || !s.f.Own {
			n := max(int64(len(s.body)), min(s.here, copyCost))
			if _, err := io.CopyN(a.ResponseWriter, struct{ io.Reader }{s}, n); err != nil {
				return err
			}
			continue
		}
		n, err := s.ready(kernelPiece)
		if err != nil {
			return err
		}
		if _, err := s.f.F.Seek(s.off, io.SeekStart); err != nil {
			return err
		}
		m, err := io.CopyN(a.ResponseWriter, s.f.F, n)
		s.advance(m)
		if err == io.EOF {
			err = ErrTruncated
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copy sends s through memory. Over HTTP/2, the deadline of the stream finds a client that
// stalls, since the client can continue with other streams.
func (a *answer) copy(g *Guard, x *transfer, s *span) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	w := newRolling(a.ResponseWriter, a.r, g)
	defer w.arm()
	for s.left > 0 {
		m, err := s.Read(*buf)
		if err != nil {
			return err
		}
		x.meter.Enter(meter.Client)
		m, err = w.Write((*buf)[:m])
		x.meter.Enter(meter.Moving)
		x.add(int64(m))
		if err != nil {
			return err
		}
	}
	return nil
}
