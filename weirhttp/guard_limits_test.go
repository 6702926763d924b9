package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// nowhere is a listener to which nobody comes.
type nowhere struct{ net.Listener }

func (nowhere) Close() error { return nil }

// TestGuard_StalledClientIsDisconnectedWithinASecond has clients that take something just
// before, at and after a look of the watchdog, and nothing after that.
func TestGuard_StalledClientIsDisconnectedWithinASecond(t *testing.T) {
	for _, stall := range []time.Duration{50 * time.Millisecond, time.Second, 10210 * time.Millisecond, 0, time.Hour} {
		for _, rate := range []int64{0, -1} {
			for _, after := range []time.Duration{0, time.Millisecond, 299 * time.Millisecond, 300 * time.Millisecond, 301 * time.Millisecond, 5 * time.Second} {
				t.Run(fmt.Sprint(stall, rate, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						g := &Guard{Stall: stall, MinRate: rate, Log: slog.New(slog.DiscardHandler)}
						cutOff(t, g, after)
					})
				})
			}
		}
	}
}

// cutOff has a client that takes what it is sent for some time, and stalls then.
func cutOff(t *testing.T, g *Guard, after time.Duration) {
	p := newPort(g, new(http.Server), nowhere{})
	ours, theirs := net.Pipe()
	c := p.receive(ours)
	p.work.Go(p.watch)
	ended := make(chan error)
	piece := make([]byte, 1<<10)
	go func() {
		var err error
		for err == nil {
			_, err = c.Write(piece)
		}
		ended <- err
	}()
	got := make([]byte, len(piece))
	for took := time.Duration(0); ; {
		if _, err := io.ReadFull(theirs, got); err != nil {
			t.Errorf("a client that took something was cut off: %v", err)
		}
		if took == after || t.Failed() {
			break
		}
		step := min(g.stall()/4, 100*time.Millisecond, after-took)
		time.Sleep(step)
		took += step
	}
	stalled := time.Now()
	if err := <-ended; !errors.Is(err, weir.ErrStalled) {
		t.Errorf("the write ended with %v", err)
	}
	if took, stall := time.Since(stalled), g.stall(); took < stall || took > stall+time.Second {
		t.Errorf("it was cut off %v after it stalled, the limit is %v", took, stall)
	}
	p.Close()
	p.work.Wait()
}

func TestGuard_DownloadThatWaitsForTheBudgetGetsWhatOthersGiveBack(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			const size = 1 << 20
			b := weir.NewBudget(4 << 20)
			s := guarded(t, &Guard{Budget: b, Queue: time.Minute}, bigAndStream(t, size), k.change...)
			others := b.Total() - 1
			if err := b.Acquire(t.Context(), others); err != nil {
				t.Fatal(err)
			}
			type answer struct {
				resp *http.Response
				size int
				err  error
			}
			answered := make(chan answer, 1)
			go func() {
				resp, err := browser(t).Get(s.url(k.path))
				if err != nil {
					answered <- answer{err: err}
					return
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				answered <- answer{resp, len(text), err}
			}()
			// What is left is enough for one byte, unless somebody waits already.
			now, cancel := context.WithCancel(t.Context())
			cancel()
			eventually(t, func() bool {
				free := b.Acquire(now, 1) == nil
				if free {
					b.Release(1)
				}
				return !free || len(answered) > 0
			}, "the download does not ask for memory")
			if len(answered) > 0 {
				t.Error("it did not wait")
			}
			b.Release(others)
			if a := <-answered; a.err != nil || a.resp.StatusCode != http.StatusOK || a.size != size {
				t.Errorf("%+v", a)
			}
			eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
		})
	}
}

// TestGuard_ConnectionIsNotFasterThanItsRate asserts a least time only: a slow machine
// may take longer.
func TestGuard_ConnectionIsNotFasterThanItsRate(t *testing.T) {
	atOnce(t)
	const rate, size = 1 << 20, 512 << 10
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := guarded(t, &Guard{ConnRate: rate}, bigAndStream(t, size), k.change...)
			begun := time.Now()
			resp, body := s.fetch(t, browser(t), "GET", k.path)
			took := time.Since(begun)
			if resp.StatusCode != http.StatusOK || len(body) != size {
				t.Errorf("%s, %d bytes", resp.Status, len(body))
			}
			at := size - newLimiter(rate).Burst() // the rest may come at once
			if least := time.Duration(at) * time.Second / rate; took < least {
				t.Errorf("%d bytes came in %v, of which %v is the least", size, took, least)
			}
		})
	}
}
