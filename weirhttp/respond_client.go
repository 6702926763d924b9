package weirhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// client is the answer to a request as the end of a flow.
type client struct {
	w     http.ResponseWriter
	r     *http.Request
	p     Response
	guard *Guard
	ctl   *http.ResponseController
	wire  *rolling
	x     *transfer
	ctx   context.Context // of the flow

	// mu guards what follows. It is held while the client is waited for, by
	// the flow or by a flush, so that the two take turns.
	mu     sync.Mutex
	coding string // of the answer; "": none
	enc    encoder
	begun  bool  // the header has been sent
	sent   int64 // bytes of the answer's body
	armed  bool  // a flush is to come
	whole  bool  // the answer is complete
	closed bool
	err    error // of a flush

	timer   *time.Timer
	flushes sync.WaitGroup
}

func newClient(w http.ResponseWriter, r *http.Request, p Response) *client {
	c := &client{w: w, r: r, p: p, ctl: http.NewResponseController(w), guard: connOf(r).guard()}
	c.wire = newRolling(w, r, c.guard)
	c.wire.rest() // the stream may take long to begin
	return c
}

// begin sends the header of an answer that begins with chunk.
func (c *client) begin(chunk []byte) {
	c.begun = true
	h := c.w.Header()
	t := c.p.Type
	if t == "" {
		t = h.Get("Content-Type")
	}
	if t == "" {
		t = http.DetectContentType(chunk)
		if !compressible(t) {
			c.coding = ""
		}
		if !c.p.Plain && c.p.Flush >= 0 {
			h.Add("Vary", "Accept-Encoding")
		}
	}
	h.Set("Content-Type", t)
	if c.coding != "" {
		h.Set("Content-Encoding", c.coding)
		h.Del("Content-Length")
		h.Del("Accept-Ranges")
		if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
			h.Set("Etag", "W/"+tag) // a strong one is of other bytes
		}
	} else if c.p.Size > 0 {
		h.Set("Content-Length", strconv.FormatInt(c.p.Size, 10))
	}
	c.w.WriteHeader(http.StatusOK)
	if c.coding != "" && c.p.Flush >= 0 && c.r.Method != http.MethodHead {
		c.enc = newEncoder(c.coding, toWire{c})
	}
}

// Write sends a chunk, behind the header if it is the first. It waits for the
// client.
func (c *client) Write(chunk []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if !c.begun {
		c.begin(chunk)
	}
	if c.r.Method == http.MethodHead {
		return 0, weir.ErrStop
	}
	var out io.Writer = toWire{c}
	if c.enc != nil {
		out = c.enc
	}
	n, err := out.Write(chunk)
	if err == nil && !c.armed && c.p.Flush >= 0 {
		c.arm()
	}
	return n, err
}

// toWire writes to the client what has been compressed.
type toWire struct{ c *client }

func (t toWire) Write(b []byte) (n int, err error) {
	c := t.c
	if c.p.Size > 0 && c.coding == "" && c.sent+int64(len(b)) > c.p.Size {
		return 0, errLength
	}
	for len(b) > 0 && err == nil {
		var m int
		m, err = c.wire.Write(b[:min(len(b), rollingPiece*4)])
		n += m
		b = b[m:]
		c.sent += int64(m)
		c.x.add(int64(m))
		// The deadline that ends a flow may have been replaced by a rolling one.
		if err == nil && c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
		}
	}
	return n, err
}

// arm lets what was written leave soon, also if nothing follows.
func (c *client) arm() {
	c.armed = true
	c.flushes.Add(1)
	d := orDefault(c.p.Flush, 50*time.Millisecond)
	c.timer = time.AfterFunc(d, func() {
		defer c.flushes.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.armed = false
		if !c.closed && c.err == nil {
			c.err = c.flush()
		}
	})
}

func (c *client) flush() error {
	if c.enc != nil {
		if err := c.enc.Flush(); err != nil {
			return err
		}
	}
	c.wire.arm()
	defer c.wire.rest()
	if err := c.ctl.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil // a handler in between keeps what it likes
}

// Commit ends an answer that is whole.
func (c *client) Commit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if !c.begun {
		c.coding = ""
		c.begin(nil)
	}
	if c.enc != nil {
		if err := c.enc.Close(); err != nil {
			return err
		}
	}
	if c.p.Size > 0 && c.coding == "" && c.sent != c.p.Size && c.r.Method != http.MethodHead {
		return errLength
	}
	c.whole = true
	return nil
}

// Close returns when nothing uses the request any more.
func (c *client) Close() error {
	if c.timer == nil {
		c.release()
		return nil
	}
	if !c.whole { // written by this goroutine, if at all
		c.ctl.SetWriteDeadline(time.Unix(1, 0)) // a flush may wait for the client
	}
	c.release()
	if c.timer.Stop() {
		c.flushes.Done()
	}
	c.flushes.Wait()
	return nil
}

func (c *client) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.enc != nil {
		freeEncoder(c.coding, c.enc)
		c.enc = nil
	}
	if c.whole {
		c.wire.arm()
	}
}

// SetWriteDeadline interrupts a Write.
func (c *client) SetWriteDeadline(t time.Time) error { return c.ctl.SetWriteDeadline(t) }
