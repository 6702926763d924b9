package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/meter"
)

// followPoll is how often a file that somebody follows is looked at.
const followPoll = 250 * time.Millisecond

// errStopping is the cause when the server stops before an upload that somebody follows is
// complete.
var errStopping = errors.New("server is stopping")

// errStandstill is the cause when an upload that somebody follows makes no progress.
var errStandstill = errors.New("upload makes no progress")

// follower sends a file to a client while it grows.
type follower struct {
	w    http.ResponseWriter
	r    *http.Request
	view view
	name string
	f    *os.File
	up   *arrival // the upload that writes the file; nil: it is any file
	off  int64    // bytes sent, and those that the client does not want
	seen int64    // bytes that the file had at the last look
	wait time.Duration
	stop <-chan struct{} // closed when the server stops; nil: nobody tells
	wire *rolling
	x    *transfer
}

func queueOf(g *Guard) time.Duration {
	if g == nil {
		return 0
	}
	return g.Queue
}

// followFrom returns the offset that the value of ?follow asks for: from the beginning if
// it is empty, and counted from the end of a file if it is negative.
func followFrom(value string, size int64, up *arrival) (off int64, err error) {
	if value == "" {
		return 0, nil
	}
	off, err = strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("follow must be a number of bytes, not %q", value)
	case off < 0 && up != nil:
		return 0, errors.New("follow must not be negative: the end of an upload is not known")
	case off < 0:
		return max(0, size+off), nil
	case up != nil && up.size >= 0:
		return min(off, up.size), nil
	case up != nil:
		return off, nil
	}
	return min(off, size), nil
}

// run sends bytes as they come. It returns nil if the client has all of an upload, or all
// that a file has when it no longer grows, has been replaced, or the server stops.
func (t *follower) run() error {
	t.wire.rest() // the client waits for the server
	timer := time.NewTimer(followPoll)
	defer timer.Stop()
	var over <-chan struct{}
	if t.up != nil {
		over = t.up.over
	}
	grew := time.Now()
	for {
		ended := isClosed(over) // before send, which then sees all bytes of an upload that has ended
		n, err := t.send(ended)
		if err != nil {
			return err
		}
		switch {
		case n > 0:
			grew = time.Now()
			continue // perhaps there is more by now
		case ended:
			return t.up.err
		case t.up == nil && t.replaced():
			return nil
		case time.Since(grew) >= t.wait && t.up != nil:
			return errStandstill
		case time.Since(grew) >= t.wait:
			return nil
		}
		timer.Reset(min(followPoll, t.wait))
		t.x.caughtUp.Store(true)
		select {
		case <-timer.C:
		case <-over:
		case <-t.r.Context().Done():
			err = context.Cause(t.r.Context())
		case <-t.stop:
			if err = errStopping; t.up == nil {
				_, err = t.send(false)
				return err
			}
		}
		t.x.caughtUp.Store(false)
		if err != nil {
			return err
		}
	}
}

// send sends the bytes of the file that the client does not have yet, and returns their
// number. It holds back the last byte of an upload of known length until that has ended:
// it can still fail, and the client must not take it for complete then.
func (t *follower) send(ended bool) (sent int64, err error) {
	info, err := t.f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() < t.seen {
		return 0, ErrTruncated
	}
	t.seen = info.Size()
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	left := t.seen - t.off // negative for the part of an upload that is still to come
	if t.up != nil && t.up.size >= 0 && !ended {
		left = min(left, t.up.size-1-t.off)
	}
	for left > 0 {
		n, err := t.f.ReadAt((*buf)[:min(left, int64(len(*buf)))], t.off)
		if n == 0 && err == io.EOF {
			err = ErrTruncated
		}
		if n == 0 {
			return sent, err
		}
		was := t.x.meter.Enter(meter.Client)
		n, err = t.wire.Write((*buf)[:n])
		t.x.meter.Enter(was)
		t.off, left, sent = t.off+int64(n), left-int64(n), sent+int64(n)
		t.x.add(int64(n))
		if err != nil {
			return sent, err
		}
	}
	if sent == 0 && t.x.moved.Load() > 0 {
		return 0, nil
	}
	return sent, t.wire.flush()
}

// replaced reports whether the name leads to another file by now, or to none.
func (t *follower) replaced() bool {
	now, err := t.view.stat(t.name)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	have, err := t.f.Stat()
	return err == nil && !os.SameFile(now, have)
}
