package weirhttp

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// taker is an HTTP/2 client that takes what it is written at a rate, in bytes a
// second; 0: nothing.
type taker struct {
	http.ResponseWriter
	rate     float64
	deadline time.Time
	set      int // deadlines
}

func (c *taker) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	c.set++
	return nil
}

func (c *taker) Write(b []byte) (int, error) {
	d := 1000 * time.Hour
	if c.rate > 0 {
		d = time.Duration(float64(len(b)) / c.rate * float64(time.Second))
	}
	if left := time.Until(c.deadline); !c.deadline.IsZero() && d > left {
		time.Sleep(left)
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(d)
	return len(b), nil
}

func TestRolling_StreamIsJudgedByTheMinimumRate(t *testing.T) {
	for _, tt := range []struct {
		name       string
		stall      time.Duration
		rate       float64
		from, till time.Duration // when it is cut; 0: never
	}{
		{name: "quick", stall: time.Second, rate: 1e9},
		{name: "slow, and above the least rate", stall: 2 * time.Second, rate: 4 << 10},
		{name: "just above the least rate", stall: time.Minute, rate: 520},
		{name: "below the least rate", stall: time.Minute, rate: 256, from: 90 * time.Second, till: 140 * time.Second},
		{name: "takes nothing", stall: 2 * time.Second, from: 2 * time.Second, till: 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := httptest.NewRequest("GET", "/", nil)
				r.ProtoMajor = 2
				c := &taker{rate: tt.rate}
				x := newRolling(c, r, &Guard{Stall: tt.stall, Log: slog.New(slog.DiscardHandler)})
				begun := time.Now()
				var err error
				for range 8 { // 256 KiB
					if _, err = x.Write(make([]byte, 32<<10)); err != nil {
						break
					}
				}
				after := time.Since(begun)
				switch {
				case tt.from == 0:
					if err != nil {
						t.Errorf("it was cut after %v: %v", after, err)
					}
				case !errors.Is(err, weir.ErrStalled) || after < tt.from || after > tt.till:
					t.Errorf("after %v: %v, want it to be cut in %v to %v", after, err, tt.from, tt.till)
				}
				if !c.deadline.IsZero() {
					t.Error("a deadline is left, while nothing is written")
				}
				if tt.rate == 1e9 && c.set > 16 {
					t.Errorf("%d deadlines were set for 64 pieces", c.set)
				}
			})
		})
	}
}

func TestRolling_SlowStreamIsNotDisconnected(t *testing.T) {
	const stall = time.Second
	s := guarded(t, &Guard{Stall: stall}, bigAndStream(t, 4<<20), withTLS)
	for _, path := range []string{"/big", "/stream"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := browser(t)
			c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
			resp, err := c.Get(s.url(path))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Fatal(resp.Proto)
			}
			// A pause is much less than the stall, and in all it is slower than
			// 16 KiB for each.
			for end := time.Now().Add(4 * stall); time.Now().Before(end); time.Sleep(stall / 8) {
				if _, err := io.CopyN(io.Discard, resp.Body, 1<<10); err != nil {
					t.Fatalf("a slow client got %v", err)
				}
			}
		})
	}
}
