package weirhttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// frozen is an HTTP/2 client that takes the first bytes and then nothing until its deadline.
// While the second deadline in the future is being set, an interrupt comes in between.
type frozen struct {
	*httptest.ResponseRecorder
	arming func() // called then; it must lead to an interrupt
	cut    chan struct{}
	taken  bool

	mu       sync.Mutex // guards the fields below
	future   int
	deadline time.Time
	changed  chan struct{}
}

func (c *frozen) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	if t.After(time.Now()) {
		if c.future++; c.future == 2 {
			c.mu.Unlock()
			c.arming()
			<-c.cut
			c.mu.Lock()
		}
	} else if !t.IsZero() && c.future == 2 {
		select {
		case <-c.cut:
		default:
			close(c.cut)
		}
	}
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// wait waits for the deadline.
func (c *frozen) wait() error {
	for {
		c.mu.Lock()
		at, changed := c.deadline, c.changed
		c.mu.Unlock()
		left := time.Until(at)
		if at.IsZero() {
			left = never
		}
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-changed:
		case <-time.After(left):
		}
	}
}

func (c *frozen) Write(b []byte) (int, error) {
	if !c.taken {
		c.taken = true
		return len(b), nil
	}
	return 0, c.wait()
}

// FlushError is for http.ResponseController.
func (c *frozen) FlushError() error { return c.wait() }

func TestRespond_InterruptIsNotLostBehindANewDeadline(t *testing.T) {
	const stall = time.Hour
	for name, c := range map[string]struct {
		flush  time.Duration
		more   []string // chunks behind the first one
		cancel bool     // the request ends; otherwise the stream fails
	}{
		"Close during a flush":          {time.Millisecond, nil, false},
		"end of the flow in a flush":    {time.Millisecond, nil, true},
		"end of the flow while writing": {-1, []string{"b"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			broken := make(chan struct{})
			w := &frozen{ResponseRecorder: httptest.NewRecorder(), cut: make(chan struct{}), changed: make(chan struct{})}
			w.arming = func() { close(broken) }
			if c.cancel {
				w.arming = cancel
			}
			r := httptest.NewRequestWithContext(withTransfers(ctx, new(Transfers)), "GET", "/", nil)
			r.ProtoMajor = 2
			answer := newClient(w, r, Response{Type: "text/plain", Plain: true, Flush: c.flush})
			// Without a connection under a guard nothing else has deadlines.
			answer.wire.g = &Guard{Stall: stall, Log: slog.New(slog.DiscardHandler)}
			answer.wire.stall = stall
			s := weir.Concat(script{chunks: []string{"a"}, err: io.EOF}.stream(),
				script{chunks: c.more, err: errors.New("boom"), wait: broken}.stream())
			ended := make(chan error, 1)
			go func() { ended <- answer.run(s.To(weir.Sink[byte]{Name: "client", Open: answer.open})) }()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the answer is complete")
				}
			case <-time.After(20 * time.Second):
				t.Error("the interrupt was lost; the answer ends with the deadline of its client")
				w.SetWriteDeadline(time.Unix(1, 0))
				<-ended
			}
		})
	}
}
