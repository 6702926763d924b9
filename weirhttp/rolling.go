package weirhttp

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// rolling writes an answer. Over HTTP/2 each piece has a deadline, since the
// connection tells nothing about one stream.
type rolling struct {
	w     io.Writer
	ctl   *http.ResponseController
	r     *http.Request
	g     *Guard
	stall time.Duration // 0: no deadline
}

func newRolling(w http.ResponseWriter, r *http.Request, g *Guard) rolling {
	x := rolling{w: w, ctl: http.NewResponseController(w), r: r, g: g}
	if r.ProtoMajor == 2 && g != nil {
		x.stall = max(g.stall(), 0)
	}
	return x
}

// rollingPiece is small, as the least rate of a stream is one piece in Stall.
const rollingPiece = 16 << 10

func (x rolling) Write(b []byte) (n int, err error) {
	if x.stall == 0 {
		return x.w.Write(b)
	}
	defer x.rest()
	for len(b) > 0 && err == nil {
		begun := time.Now()
		err = x.ctl.SetWriteDeadline(begun.Add(x.stall))
		if err != nil && !errors.Is(err, http.ErrNotSupported) { // by a handler in between
			return n, err
		}
		var m int
		m, err = x.w.Write(b[:min(len(b), rollingPiece)])
		n += m
		b = b[m:]
		if err != nil && time.Since(begun) >= x.stall {
			x.g.log().Warn("client cut off", "client", x.r.RemoteAddr, "path", x.r.URL.Path,
				"reason", ErrStalled.Error(), "stall", x.stall)
			err = ErrStalled
		}
	}
	return n, err
}

// rest takes the deadline away while nothing is written: that of a stream fires
// all the same, and resets it.
func (x rolling) rest() {
	if x.stall != 0 {
		x.ctl.SetWriteDeadline(time.Time{})
	}
}

// arm gives what is written next by somebody else its time.
func (x rolling) arm() {
	if x.stall != 0 {
		x.ctl.SetWriteDeadline(time.Now().Add(x.stall))
	}
}
