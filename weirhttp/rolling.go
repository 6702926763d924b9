package weirhttp

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// rolling writes an answer. Over HTTP/2 it judges the client as the watchdog of a [Guard]
// judges connections, since a connection says nothing about one stream.
type rolling struct {
	w     io.Writer
	ctl   *http.ResponseController
	r     *http.Request
	g     *Guard
	c     *conn         // nil: not under a guard
	stall time.Duration // 0: no deadline
	lag   time.Duration // how far the client is behind the minimum rate
	until time.Time     // the current deadline; zero: none

	// over returns an error once another goroutine has interrupted the answer with a
	// deadline in the past. It can be nil. Whoever sets a deadline asks over afterwards,
	// since it can have overwritten that one.
	over func() error
}

func newRolling(w http.ResponseWriter, r *http.Request, g *Guard) *rolling {
	x := &rolling{w: w, ctl: http.NewResponseController(w), r: r, g: g, c: connOf(r)}
	if r.ProtoMajor == 2 && g != nil {
		x.stall = max(g.stall(), 0)
	}
	return x
}

const (
	rollingPiece = 16 << 10 // bytes written at once

	// rollingLate is how much later than exact a deadline can be. Setting one for each
	// piece would cost as much as the piece.
	rollingLate = 500 * time.Millisecond
)

func (x *rolling) Write(b []byte) (n int, err error) {
	if x.stall == 0 {
		return x.w.Write(b)
	}
	defer x.rest()
	for len(b) > 0 {
		begun := time.Now()
		if err := x.allow(begun); err != nil && !errors.Is(err, http.ErrNotSupported) { // middleware has wrapped w
			return n, err
		}
		if x.over != nil {
			if err := x.over(); err != nil {
				return n, err
			}
		}
		m, err := x.w.Write(b[:min(len(b), streamPiece)])
		n += m
		b = b[m:]
		took := time.Since(begun)
		late := err != nil && took >= x.stall-x.lag
		if x.c == nil || !x.c.paced() { // otherwise the rate limit may be the slow part
			x.lag = behind(x.lag, took, int64(m), x.share())
		}
		if late || err == nil && x.lag >= x.stall {
			x.g.log().Warn("client disconnected", "client", x.r.RemoteAddr, "path", x.r.URL.Path,
				"reason", errSlow.Error(), "stall", x.stall, "min_rate", x.g.minRate())
			err = errSlow
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// allow gives the client the time that it has left, from now on.
func (x *rolling) allow(now time.Time) error {
	least := now.Add(x.stall - x.lag)
	if !x.until.Before(least) && x.until.Sub(least) <= rollingLate {
		return nil
	}
	x.until = least.Add(rollingLate)
	return x.ctl.SetWriteDeadline(x.until)
}

// rest removes the deadline while nothing is written. The deadline of a stream would fire
// even then, and reset the stream.
func (x *rolling) rest() {
	if x.stall != 0 {
		x.until = time.Time{}
		x.ctl.SetWriteDeadline(time.Time{})
	}
}

// arm sets a deadline for writes that do not go through x.
func (x *rolling) arm() {
	if x.stall != 0 {
		x.until = time.Now().Add(x.stall)
		x.ctl.SetWriteDeadline(x.until)
	}
}

// flush sends what was written. The client has as long to take it as for any write.
func (x *rolling) flush() error {
	x.arm()
	defer x.rest()
	if x.over != nil {
		if err := x.over(); err != nil {
			return err
		}
	}
	if err := x.ctl.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil // middleware has wrapped w and does not flush
}

// share returns the minimum rate for this stream.
func (x *rolling) share() int64 {
	if x.c == nil {
		return x.g.minRate()
	}
	return x.c.share()
}
