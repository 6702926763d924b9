package weir

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// Duplex makes a stage of a store, such as a file: one goroutine writes the
// stage's input to w, and another one reads the stage's output from r. So the
// part of the flow before the stage can be ahead of the part behind it by as much
// as the store holds. The flow calls open for each run, with a context that ends
// with the stage.
//
// w and r wait for nothing but the system. If the store is full, Write returns how
// many values it has taken, and [ErrFull]: it is called again with the rest when r
// has been read. If there is nothing to read, Read returns [ErrEmpty]: it is called
// again when something has been written or w has been closed. So the flow knows which side
// waits for the other, for its report and for [ErrDeadlock]. After w has been closed, r
// returns the remaining bytes, and then [io.EOF]. A Read that returns [io.EOF] before, and
// a Write that returns [ErrStop], need no more input.
//
// w and r are closed once each, by the goroutine that uses them, as the writer of a
// [Sink] and the reader of a [Source] are: w at the end of the input, r when nobody
// wants more output or everything has been read. If the input fails, w is closed
// too, and the values that it has taken arrive before the failure.
//
// If w has a method Level() (held, limit int64), the report lists the store among
// the pipes, with its limit and its contents in bytes. These bytes are not part
// of the flow's memory; Holds of the stage says how much w and r hold there.
func Duplex[In, Out any](name string, open func(ctx context.Context) (w Writer[In], r Reader[Out], err error)) Stage[In, Out] {
	st := Stage[In, Out]{Name: name}
	if open == nil {
		st.Err = errNilFunc
	}
	st.node = func(s Stream[In], st Stage[In, Out]) node[Out] {
		err := st.Err
		if err == nil && st.Holds < 0 {
			err = errors.New("negative Holds")
		}
		return node[Out]{
			name: st.Name, err: err, work: true, roots: rootsOf(s), size: sizedAs[Out](s),
			build: func(n *node[Out], b *plan, ln *lane, out link[Out]) { buildDuplex(n, b, ln, out, s, st, open) },
		}
	}
	return st
}

// buildDuplex builds two lanes: one writes to the store, one reads from it.
func buildDuplex[In, Out any](n *node[Out], b *plan, ln *lane, out link[Out], s Stream[In], st Stage[In, Out],
	open func(context.Context) (Writer[In], Reader[Out], error),
) {
	sg := addStage[In, Out](b, n.name, report.KindStage, out.to)
	sg.workers, sg.limits = 2, st.Limits
	reads := ln.place(sg)
	feed := b.newLane()
	writes := feed.place(sg)
	if out.pipe == nil || out.pipe.Gate().Measures() {
		sg.holds = scratchHolds[Out]()
	}
	sg.holds += st.Holds
	out = linkFrom(out, reads, makes(b, sg, n.size, extraValues(st.Holders)))
	declare(b, sg, s, st)
	d := &store{name: sg.name, feed: feed, in: newStoreSide(), out: newStoreSide()}
	ln.ins = append(ln.ins, d)
	feed.outs = append(feed.outs, d)
	b.edges = append(b.edges, edge{d, nil})
	var w Writer[In]
	var r Reader[Out]
	var wrote *ioGuard
	b.open(writes, func() (func(error) error, error) { // after the other one
		wrote = guardIO(writes, w, writeDeadline)
		return wrote.end, nil
	})
	b.open(reads, func() (func(error) error, error) {
		var err error
		if w, r, err = open(reads.ctx); err != nil {
			return nil, err
		}
		if w == nil || r == nil {
			return nil, errors.New("no writer or no reader")
		}
		if l, ok := w.(leveled); ok {
			d.watch(l)
		}
		out := &storeOutput{d, ln, r}
		return guardIO(reads, out, out.deadline).end, nil
	})
	ln.main = func() error {
		err := pump(reads, storeReader[Out]{d, ln, r}, out, reads.outside(), func(int) {})
		if err != io.EOF {
			return reads.fail(err)
		}
		if in := d.inputError(); in != nil && ln.broken == nil && ln.ctx.Err() == nil {
			return in
		}
		return reads.enoughFrom(out.end)
	}
	end := func() error {
		feed.Enter(writes.outside())
		return writes.finish(func() error { return nil })
	}
	s.n.attach(b, feed, link[In]{
		to:    sg,
		fused: true,
		push: func(batch []In) error {
			feed.Enter(writes.outside())
			if err := feed.ended(); err != nil {
				return err
			}
			sg.in.Add(int64(len(batch)))
			err := storeWriter[In]{d, feed, w}.write(batch)
			feed.Enter(writes.busy)
			if isStop(err) && feed.ctx.Err() == nil {
				return writes.enoughFrom(end)
			}
			return writes.fail(err)
		},
		end: end,
	}, true)
}

// leveled is the writer of a store that knows how full the store is.
type leveled interface{ Level() (held, limit int64) }

// store lets the two lanes of a [Duplex] wait for each other. To the run it is like
// a pipe, which holds nothing in memory.
type store struct {
	name    string
	feed    *lane
	leaving sync.Once

	mu      sync.Mutex
	still   pipe.Watcher
	in, out *storeSide
	level   leveled // nil: unknown
	peak    int64
	ended   bool  // nothing more will be written
	failed  error // why the input ended; nil at its regular end
}

// storeSide is the account of one of the two lanes. The mutex of the store guards
// it.
type storeSide struct {
	values  int64 // written or read
	moves   int64 // how often something was, and the end
	waiting bool
	wake    chan struct{} // capacity 1
	since   int64         // when the running wait began
	waited  time.Duration
	waits   int64
}

func newStoreSide() *storeSide { return &storeSide{wake: make(chan struct{}, 1)} }

func (s *storeSide) total(now int64) time.Duration {
	if s.waiting {
		return s.waited + time.Duration(now-s.since)
	}
	return s.waited
}

func (d *store) watch(l leveled) {
	d.mu.Lock()
	d.level = l
	d.mu.Unlock()
}

// moved records that n values went through side s, and wakes the other one.
func (d *store) moved(s, other *storeSide, n int) {
	var held int64
	if s == d.in {
		held, _ = d.levels()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.values += int64(n)
	s.moves++
	d.peak = max(d.peak, held)
	d.rouse(other)
}

// levels returns how much the store holds and may hold, if it tells.
func (d *store) levels() (held, limit int64) {
	d.mu.Lock()
	l := d.level
	d.mu.Unlock()
	if l == nil {
		return 0, 0
	}
	return l.Level() // it is the user's code
}

// rouse wakes the side, if it waits. mu is held.
func (d *store) rouse(s *storeSide) {
	if s.waiting {
		d.rest(s)
		s.wake <- struct{}{}
	}
}

// rest ends the wait of a side. mu is held.
func (d *store) rest(s *storeSide) {
	s.waiting = false
	s.waited += time.Duration(clock.Now() - s.since)
	d.still.Woken()
}

// before returns how often side s has moved, and whether the input has ended.
func (d *store) before(s *storeSide) (moves int64, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.moves, d.ended
}

// wait waits in lane l, which has side s, until the other side has moved more often
// than seen.
func (d *store) wait(l *lane, s, other *storeSide, place int32, seen int64) error {
	back := l.Switch(place, clock.Now())
	defer func() { l.Enter(back) }()
	d.mu.Lock()
	if other.moves != seen {
		d.mu.Unlock()
		return nil
	}
	s.waiting, s.since = true, clock.Now()
	s.waits++
	d.still.Waits()
	d.mu.Unlock()
	select {
	case <-s.wake:
		return nil
	case <-l.ctx.Done():
	}
	d.mu.Lock()
	if s.waiting {
		d.rest(s)
	}
	d.mu.Unlock()
	return context.Cause(l.ctx)
}

// storeOutput ends the reader of a store. The lane that writes learns first that its
// output is not wanted, or else a Write that fails because of it would be a failure.
type storeOutput struct {
	d  *store
	ln *lane
	r  any
}

func (o *storeOutput) deadline(any) func(time.Time) error {
	set := readDeadline(o.r)
	if set == nil {
		return nil
	}
	return func(t time.Time) error {
		o.d.CloseRead(context.Cause(o.ln.ctx))
		return set(t)
	}
}

func (o *storeOutput) CloseWithError(cause error) error {
	if cause == nil {
		o.d.CloseRead(ErrStop)
	} else {
		o.d.CloseRead(cause)
	}
	return closeWith(o.r, cause)
}

func (o *storeOutput) Close() error { return o.CloseWithError(nil) }

// storeReader reads from a store, and waits while it is empty.
type storeReader[T any] struct {
	d  *store
	ln *lane
	r  Reader[T]
}

func (s storeReader[T]) Read(dst []T) (int, error) {
	for {
		moves, ended := s.d.before(s.d.in)
		n, err := read(s.r, dst)
		if n > 0 || err == nil {
			s.d.moved(s.d.out, s.d.in, n)
		}
		if n > 0 && err == ErrEmpty {
			return n, nil
		}
		if err != ErrEmpty {
			return n, err
		}
		if ended {
			return 0, errEmptyAtEnd
		}
		if err := s.d.wait(s.ln, s.d.out, s.d.in, s.ln.Starved(), moves); err != nil {
			return 0, err
		}
	}
}

var (
	errEmptyAtEnd = errors.New("Read returned ErrEmpty after the writer had been closed")
	errBadWrite   = errors.New("Write returned an impossible count")
)

// storeWriter writes to a store, and waits while it is full.
type storeWriter[T any] struct {
	d  *store
	ln *lane
	w  Writer[T]
}

func (s storeWriter[T]) write(batch []T) error {
	for {
		moves, _ := s.d.before(s.d.out)
		n, err := s.w.Write(batch)
		if n < 0 || n > len(batch) {
			return errBadWrite
		}
		if n > 0 {
			s.d.moved(s.d.in, s.d.out, n)
		}
		batch = batch[n:]
		switch {
		case err != nil && err != ErrFull:
			return err
		case len(batch) == 0:
			return nil
		case err == nil:
			return io.ErrShortWrite
		}
		if err := s.d.wait(s.ln, s.d.in, s.d.out, s.ln.Blocked(), moves); err != nil {
			return err
		}
	}
}

// CloseRead is called when nobody reads the store any more.
func (d *store) CloseRead(cause error) { d.leaving.Do(func() { d.feed.leave(cause) }) }

// CloseWrite is called when the input has ended. After an error, the contents of the
// store still arrive. Then the flow fails.
func (d *store) CloseWrite(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	if d.ended = true; cause != ErrStop {
		d.failed = cause
	}
	d.in.moves++
	d.rouse(d.out)
}

// inputError returns the error that ended the input, or nil.
func (d *store) inputError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// Name implements anyPipe, as the methods below do.
func (d *store) Name() string { return d.name }

// Stats returns the counts of the store, with the bytes that it holds itself.
func (d *store) Stats() pipe.Stats {
	held, limit := d.levels()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := clock.Now()
	s := pipe.Stats{
		In: d.in.values, Out: d.out.values, Peak: d.peak,
		Blocked: d.in.total(now), BlockedN: d.in.waits, Starved: d.out.total(now), Closed: d.ended,
	}
	if d.in.waiting {
		s.WaitingSend = 1
	}
	if limit > 0 {
		s.Bytes, s.LimitBytes, s.Limit = held, limit, pipe.Limit{Bytes: limit, HasBytes: true}
	}
	return s
}

// Resting returns whether each of the two lanes waits for the other.
func (d *store) Resting() (read, write int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out.waiting {
		read = 1
	}
	if d.in.waiting {
		write = 1
	}
	return read, write
}

// WatchedBy sets the watcher that is informed of waits.
func (d *store) WatchedBy(w pipe.Watcher) {
	d.mu.Lock()
	d.still = w
	d.mu.Unlock()
}

// Ceiling and the next five methods return zero values: the store takes nothing of
// the flow's memory or budget, and only its two lanes use it.
func (*store) Ceiling() int64          { return 0 }
func (*store) Holders() (int, int64)   { return 0, 0 }
func (*store) Join(*pipe.Budget) int64 { return 0 }
func (*store) Credit() (int64, bool)   { return 0, false }
func (*store) Stirring() bool          { return false }
func (*store) Passing() bool           { return false }
func (*store) inStore() bool           { return true }
