package weirhttp

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// rolling writes an answer. Over HTTP/2 it judges the client as the watchdog of a
// [Guard] does connections, since a connection tells nothing about one stream.
type rolling struct {
	w     io.Writer
	ctl   *http.ResponseController
	r     *http.Request
	g     *Guard
	c     *conn         // nil: it has no guard
	stall time.Duration // 0: no deadline
	lag   time.Duration // how far the client is behind the least rate
	until time.Time     // the deadline that is set; zero: none
}

func newRolling(w http.ResponseWriter, r *http.Request, g *Guard) *rolling {
	x := &rolling{w: w, ctl: http.NewResponseController(w), r: r, g: g, c: connOf(r)}
	if r.ProtoMajor == 2 && g != nil {
		x.stall = max(g.stall(), 0)
	}
	return x
}

const (
	rollingPiece = 16 << 10 // is written at once

	// streamPiece is what a client of HTTP/2 must take within Stall. It is
	// how much of an answer net/http gathers before it sends a frame.
	streamPiece = 4 << 10

	// rollingLate is how much later than it should a deadline may be, since
	// setting one for each piece costs as much as the piece.
	rollingLate = 500 * time.Millisecond
)

func (x *rolling) Write(b []byte) (n int, err error) {
	if x.stall == 0 {
		return x.w.Write(b)
	}
	defer x.rest()
	for len(b) > 0 {
		begun := time.Now()
		if err := x.allow(begun); err != nil && !errors.Is(err, http.ErrNotSupported) { // by a handler in between
			return n, err
		}
		m, err := x.w.Write(b[:min(len(b), streamPiece)])
		n += m
		b = b[m:]
		took := time.Since(begun)
		late := err != nil && took >= x.stall-x.lag
		if x.c == nil || !x.c.paced() { // or else it may be us who are slow
			x.lag = behind(x.lag, took, int64(m), x.g.share(x.c))
		}
		if late || err == nil && x.lag >= x.stall {
			x.g.log().Warn("client cut off", "client", x.r.RemoteAddr, "path", x.r.URL.Path,
				"reason", errSlow.Error(), "stall", x.stall, "min_rate", x.g.minRate())
			err = errSlow
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// allow gives the client the time it has left, from now on.
func (x *rolling) allow(now time.Time) error {
	least := now.Add(x.stall - x.lag)
	if !x.until.Before(least) && x.until.Sub(least) <= rollingLate {
		return nil
	}
	x.until = least.Add(rollingLate)
	return x.ctl.SetWriteDeadline(x.until)
}

// rest takes the deadline away while nothing is written: that of a stream fires
// all the same, and resets it.
func (x *rolling) rest() {
	if x.stall != 0 {
		x.until = time.Time{}
		x.ctl.SetWriteDeadline(time.Time{})
	}
}

// arm gives what is written next by somebody else its time.
func (x *rolling) arm() {
	if x.stall != 0 {
		x.until = time.Now().Add(x.stall)
		x.ctl.SetWriteDeadline(x.until)
	}
}
