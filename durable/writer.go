package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// How often a flow saves a checkpoint.
const (
	saveBytes = 8 << 20
	saveAge   = 250 * time.Millisecond
)

// writer is the sink of a run. It saves checkpoints, also while nothing is
// written.
type writer struct {
	*run
	untie     func() bool // the context of the run from the context of the sink's lane
	bytes     int64
	age, idle time.Duration

	turn    chan struct{} // full while one goroutine uses the sink and the fields below
	unsaved time.Time     // since when there is something that was not saved; zero: all was
	latest  time.Time     // when something was written
	timer   *time.Timer   // runs tick; nil: it does not
	ticks   sync.WaitGroup
	over    bool
	broken  error // of a Write, or of a checkpoint: nothing is saved after it
}

func (w *writer) lock(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *writer) unlock() { <-w.turn }

// SetWriteDeadline keeps the flow from closing w while Write waits. Write returns
// when the context ends.
func (w *writer) SetWriteDeadline(time.Time) error { return nil }

// Edge describes the sink, if it is an edge that can tell.
func (w *writer) Edge() report.Edge { return edgeOf(w.sink) }

// Peer names what Write waits for, if the sink does.
func (w *writer) Peer() string { return peerOf(w.sink) }

func (w *writer) Write(p []byte) (int, error) {
	if w.whole {
		return len(p), nil // the output of the stage for no input
	}
	if err := w.lock(w.ctx); err != nil {
		return 0, err
	}
	defer w.unlock()
	if w.broken != nil {
		return 0, w.broken
	}
	if err := w.write(p); err != nil {
		if errors.Is(err, weir.ErrStop) { // a sink cannot have enough
			err = fmt.Errorf("the sink stopped: %v", err)
		}
		w.broken = err
		return 0, err
	}
	w.arm()
	return len(p), nil
}

func (w *writer) write(p []byte) error {
	for rest := p; len(rest) > 0; {
		at := w.track.written()
		part := rest[:min(int64(len(rest)), w.bytes-at%w.bytes)]
		rest = rest[len(part):]
		fresh, err := w.track.pass(part)
		if err != nil {
			return err
		}
		if len(fresh) == 0 {
			continue
		}
		if _, err := w.sink.Write(w.ctx, fresh); err != nil {
			return err
		}
		w.latest = time.Now()
		if w.unsaved.IsZero() {
			w.unsaved = w.latest
		}
		if (at+int64(len(part)))%w.bytes == 0 {
			if err := w.save(w.ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// save saves a checkpoint. It is this goroutine's turn.
func (w *writer) save(ctx context.Context) error {
	c := w.checkpoint()
	if err := w.sink.Save(ctx, c); err != nil {
		return err
	}
	w.unsaved = time.Time{}
	return w.src.Done(ctx, c.Source.Offset)
}

// arm starts the timer, if something was not saved. It is this goroutine's turn.
func (w *writer) arm() {
	if w.timer != nil || w.unsaved.IsZero() || w.over {
		return
	}
	w.ticks.Add(1)
	w.timer = time.AfterFunc(min(w.age, w.idle), w.tick)
}

// tick saves, if it is time.
func (w *writer) tick() {
	defer w.ticks.Done()
	if w.lock(w.ctx) != nil {
		return
	}
	defer w.unlock()
	w.timer = nil
	if w.unsaved.IsZero() || w.over || w.broken != nil {
		return
	}
	now := time.Now()
	if wait := min(w.unsaved.Add(w.age).Sub(now), w.latest.Add(w.idle).Sub(now)); wait > 0 {
		w.ticks.Add(1)
		w.timer = time.AfterFunc(wait, w.tick)
		return
	}
	guarded(func() error { return w.save(w.ctx) }, func(err error) {
		if err != nil {
			w.failed <- &weir.StageError{Stage: w.sink.Name(), Err: err}
			w.over, w.broken = true, err
		}
	})
}

// Close ends the flow regularly.
func (w *writer) Close() error {
	err := w.stop()
	if err == nil && !w.whole {
		err = w.end()
	}
	return w.close(err)
}

// CloseWithError ends the flow with an error: everything saved stays.
func (w *writer) CloseWithError(error) error {
	return w.close(w.stop())
}

func (w *writer) close(err error) error {
	err = errors.Join(err, w.sink.Close())
	w.untie()
	w.cancel(nil)
	return err
}

// stop ends the timer. From then on only this goroutine uses the sink.
func (w *writer) stop() error {
	w.turn <- struct{}{}
	w.over = true
	if w.timer != nil && w.timer.Stop() {
		w.ticks.Done()
	}
	w.unlock()
	w.ticks.Wait()
	select {
	case err := <-w.failed: // nobody has seen it
		return err
	default:
		return nil
	}
}

// end saves the written bytes, and commits if the source has ended.
func (w *writer) end() error {
	if w.broken != nil {
		return w.broken
	}
	if w.ended.Load() && w.track.written() < w.begin.Offset {
		return errDiffers // it is shorter
	}
	if !w.ended.Load() && w.Stage != nil {
		return ErrStopped // the stage took the stop for the end, and its output after that does not count
	}
	if !w.unsaved.IsZero() || w.ended.Load() {
		if err := w.save(w.ctx); err != nil {
			return err
		}
	}
	if !w.ended.Load() {
		return ErrStopped
	}
	c := w.checkpoint()
	c.Source.Offset, c.End = w.read.Load(), true
	if err := w.sink.Commit(w.ctx, c); err != nil {
		return err
	}
	return w.src.Done(w.ctx, c.Source.Offset)
}
