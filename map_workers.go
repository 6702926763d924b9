package weir

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pause"
	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// MapOption changes how [Map] and [MapContext] work.
type MapOption func(*mapOptions)

type mapOptions struct {
	workers   int
	window    int
	hasWindow bool
	unordered bool
	attempts  int
	backoff   func(attempt int) time.Duration
	skip      func(*ItemError)
	err       error
}

// spanOf returns how many values may lie between the oldest and the newest in
// progress, if a worker takes n at once: a few for each worker if values take
// long.
func spanOf(c *mapOptions, n int) int64 {
	if c.hasWindow {
		return int64(c.window)
	}
	return int64(min(c.window, c.workers*max(4, 16*n)))
}

// Workers maps n values at a time, in goroutines of the flow. 0 means one for
// each core. A worker costs about a hundred nanoseconds for each batch, not for
// each value, because it takes several values at once if they are cheap.
func Workers(n int) MapOption {
	return func(c *mapOptions) {
		if n < 0 {
			c.err = fmt.Errorf("%d workers; use 1 or more, or 0 for one per core", n)
		}
		if n == 0 {
			n = runtime.GOMAXPROCS(0)
		}
		c.workers = n
	}
}

// Window limits how far workers can run ahead: at most n values are in progress or
// finished but waiting for an earlier one. It limits memory if one slow value holds up
// the others. More than 1,048,576 count as that many. The default is 4 for each worker
// if values take long. If they are cheap it is more, up to 1,024 for each worker and
// 4,096 in all.
func Window(n int) MapOption {
	return func(c *mapOptions) {
		if n < 1 {
			c.err = fmt.Errorf("invalid window %d; use 1 or more", n)
		}
		c.window, c.hasWindow = min(n, widestWindow), true
	}
}

// widestWindow bounds the slots for results, which take memory from the start: 16 MiB
// if a result is a number.
const widestWindow = 1 << 20

// Unordered delivers each result as soon as it is ready, whatever the order of
// the values.
func Unordered() MapOption { return func(c *mapOptions) { c.unordered = true } }

// RetryItems calls the function again for a value that failed, up to attempts
// times in all, after waiting for backoff(1), backoff(2), … A nil backoff
// waits for 100 ms, 200 ms, 400 ms, and so on up to 10 s.
func RetryItems(attempts int, backoff func(attempt int) time.Duration) MapOption {
	return func(c *mapOptions) {
		if attempts < 1 {
			c.err = fmt.Errorf("%d attempts; use 1 or more", attempts)
		}
		if backoff == nil {
			backoff = defaultBackoff
		}
		c.attempts, c.backoff = attempts, backoff
	}
}

func defaultBackoff(attempt int) time.Duration {
	return min(10*time.Second, 100*time.Millisecond<<min(attempt-1, 20))
}

// SkipItems calls handle for each value that failed, and leaves the value out.
// Several goroutines can call handle at the same time. If handle is nil, the values
// are only counted as dropped.
func SkipItems(handle func(*ItemError)) MapOption {
	if handle == nil {
		handle = func(*ItemError) {}
	}
	return func(c *mapOptions) { c.skip = handle }
}

// ItemError is the failure of one value.
type ItemError struct {
	Index    int64 // of the value in its stream, from 0
	Attempts int
	Err      error
}

func (e *ItemError) Error() string {
	if e.Attempts > 1 {
		return fmt.Sprintf("item %d, after %d attempts: %s", e.Index, e.Attempts, trimPrefix(e.Err))
	}
	return fmt.Sprintf("item %d: %s", e.Index, trimPrefix(e.Err))
}

// itemError names the value that failed; a function that has enough has not.
func itemError(index int64, attempts int, err error) error {
	if isStop(err) {
		return err
	}
	return &ItemError{Index: index, Attempts: attempts, Err: err}
}

func (e *ItemError) Unwrap() error { return e.Err }

func mapConfig(opts []MapOption) mapOptions {
	c := mapOptions{workers: 1, attempts: 1}
	for _, o := range opts {
		o(&c)
	}
	if !c.hasWindow {
		c.window = min(4096, 1024*max(1, c.workers))
	}
	if c.unordered && c.hasWindow { // nothing else limits how many values are in progress
		c.workers = min(c.workers, c.window)
	}
	return c
}

// caller calls the function for one value as the options say.
type caller[T, U any] struct {
	mapOptions
	f     func(context.Context, T) (U, error)
	sg    *stage
	sized func(U) int    // the user's size function for results
	size  func(*U) int64 // nil: results are all of one size
	most  int64          // for a result; 0: none
}

// call returns the result, or ok false if the value is left out.
func (c *caller[T, U]) call(ctx context.Context, v T, index int64) (u U, ok bool, err error) {
	for n := 1; ; n++ {
		u, err = c.f(ctx, v)
		if err == nil {
			return u, true, c.check(u)
		}
		if isStop(err) || ctx.Err() != nil {
			return u, false, err
		}
		if n >= c.attempts {
			if c.skip == nil {
				return u, false, itemError(index, n, err)
			}
			c.skip(&ItemError{Index: index, Attempts: n, Err: err})
			c.sg.dropped.Add(1)
			return u, false, nil
		}
		if err := pause.For(ctx, c.backoff(n)); err != nil {
			return u, false, err
		}
	}
}

// check refuses a result that is larger than the flow allows.
func (c *caller[T, U]) check(u U) error {
	if c.most == 0 || c.size == nil {
		return nil
	}
	one := u // moves to the heap, but only here
	return tooLarge(c.size, &one, c.most)
}

// mapWith maps with workers, policies, or functions that wait.
func mapWith[T, U any](s Stream[T], f func(context.Context, T) (U, error), c mapOptions) Stream[U] {
	n := node[U]{name: "map", work: true, err: c.err, roots: rootsOf(s), size: sizedAs[U](s)}
	n.build = func(n *node[U], b *plan, ln *lane, out link[U]) {
		sg := addStage[T, U](b, n.name, report.KindStage, out.to)
		cl := &caller[T, U]{mapOptions: c, f: f, sg: sg, sized: n.size, most: b.maxValue}
		cl.size = makes(b, sg, n.size, max(1, c.workers))
		switch {
		case c.workers <= 1:
			buildMapOne(b, ln, out, s, cl)
		case c.unordered:
			buildMapUnordered(b, ln, out, s, cl)
		default:
			buildMapOrdered(b, ln, out, s, cl)
		}
	}
	return newStream(n)
}

// buildMapOne maps in the lane it finds itself in.
func buildMapOne[T, U any](b *plan, ln *lane, out link[U], s Stream[T], c *caller[T, U]) {
	sp := ln.place(c.sg)
	c.sg.holds = scratchHolds[U]()
	out.size = c.size
	each := &mapEach[T, U]{c: c}
	each.follow(sp)
	var tr Transform[T, U] = each
	s.n.attach(b, ln, pushLink(sp, &tr, out), false)
}

type mapEach[T, U any] struct {
	c     *caller[T, U]
	out   []U
	index int64
	pace  pace
}

func (m *mapEach[T, U]) follow(sp *spot) { m.pace.follow(sp) }

func (m *mapEach[T, U]) Do(ctx context.Context, in []T, emit func([]U) error) error {
	if m.out == nil {
		m.out = make([]U, chunkLen[U]())
	}
	for len(in) > 0 {
		k, since := m.pace.next(min(len(in), len(m.out)))
		out, sum := m.out[:0], int64(0)
		for i, v := range in[:k] {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			u, ok, err := m.c.call(ctx, v, m.index)
			if err != nil {
				return errors.Join(emit(out), err)
			}
			m.index++
			if !ok {
				continue
			}
			out = append(out, u)
			if size := m.c.size; size != nil {
				if sum += size(&out[len(out)-1]); sum >= maxSegment {
					k = i + 1
					break
				}
			}
		}
		err := emit(out)
		clear(out)
		if err != nil {
			return err
		}
		m.pace.took(k, since, len(out) > 0)
		in = in[k:]
	}
	return nil
}

func (m *mapEach[T, U]) Flush(context.Context, func([]U) error) error { return nil }

// chunkMost is the largest number of cheap values that a worker takes at once.
// workerBytes limits the charge of these values, and of their results. The last
// value may exceed it.
const (
	chunkMost   = 256
	workerBytes = 16 << 10
)

// workerLanes builds the lanes that share the input pipe of a parallel stage.
func workerLanes[T, U any](b *plan, s Stream[T], c *caller[T, U], main func(w *lane, sp *spot, p *pipe.Pipe[T]) error) []*lane {
	if !s.n.check(b, c.sg) {
		return nil
	}
	c.sg.workers = c.workers
	lanes := make([]*lane, c.workers)
	for i := range lanes {
		lanes[i] = b.newLane()
		lanes[i].place(c.sg)
	}
	p := s.n.pipe(b, lanes[0], c.sg)
	n := int64(c.workers)
	c.sg.holds += n * chunkMost * (slotSize[T]() + slotSize[U]() + 1)
	if p.Gate().Measures() {
		c.sg.holds += n * workerBytes
		c.sg.beyond = beyond{c.sg.beyond.values + c.workers, b.maxValue}
	}
	if c.size != nil {
		c.sg.holds += n * (workerBytes + chunkMost*pipe.SumSize)
	}
	for i, w := range lanes {
		if i > 0 {
			w.ins = append(w.ins, p.Gate())
		}
		w.main = func() error { return main(w, w.spots[0], p) }
	}
	return lanes
}

func buildMapUnordered[T, U any](b *plan, ln *lane, out link[U], s Stream[T], c *caller[T, U]) {
	p := newEdge(b, Limit{}, c.sized, c.sg.name, out.to.name)
	g := newGather(p.Gate(), ln)
	ln.owner = c.sg
	ln.main = func() error { return drain(ln, p, out) }
	outs := map[*lane]link[U]{}
	lanes := workerLanes(b, s, c, func(w *lane, sp *spot, in *pipe.Pipe[T]) error {
		var done []U
		return work(w, sp, in, c, deliverer[U]{
			deliver: func(_ int64, us results[U], _ bool) error {
				done = done[:0]
				for i, u := range us.vs {
					if us.oks[i] {
						done = append(done, u)
					}
				}
				if len(done) == 0 {
					return nil
				}
				err := outs[w].push(done)
				clear(done)
				return err
			},
			fail: func(_ int64, err error) error {
				if isStop(err) && w.ended() == nil {
					// The other workers finish their current values.
					in.Gate().CloseRead(ErrStop)
					return sp.enoughFrom(outs[w].end)
				}
				return sp.fail(err)
			},
			end: outs[w].end,
		})
	})
	for _, w := range lanes {
		outs[w] = gatherLink(g, p, w, out.to)
	}
	c.sg.holds += int64(c.workers) * chunkMost * slotSize[U]()
}

// deliverer is where a worker's results go.
type deliverer[U any] struct {
	// deliver takes the results of the values from first on. more says that the
	// worker has begun others behind them.
	deliver func(first int64, us results[U], more bool) error

	// admit, if not nil, waits until n values from first on may be worked on.
	// ErrStop says that they are not wanted.
	admit func(first int64, n int) error

	// fail is called for the value at index, which could not be mapped, after
	// the results of those before it were delivered.
	fail func(index int64, err error) error

	end func() error
}

// results are the results of a worker for several values.
type results[U any] struct {
	vs    []U
	oks   []bool  // which are not left out
	costs []int64 // the charge of each; nil if all have the same size
	sum   int64   // of costs
}

func newResults[U any](n int, sized bool) results[U] {
	r := results[U]{vs: make([]U, n), oks: make([]bool, n)}
	if sized {
		r.costs = make([]int64, n)
	}
	return r
}

// first returns the first n results.
func (r results[U]) first(n int) results[U] {
	r.vs, r.oks = r.vs[:n], r.oks[:n]
	if r.costs != nil {
		r.costs = r.costs[:n]
	}
	return r
}

// work is the main of a worker: it takes values, with their place in the
// stream, and hands the results to d.
func work[T, U any](w *lane, sp *spot, in *pipe.Pipe[T], c *caller[T, U], d deliverer[U]) error {
	most := chunkMost
	if c.hasWindow {
		most = max(1, min(most, c.window/(2*c.workers)))
	} else {
		most = min(most, max(1, c.window/4))
	}
	vs := make([]T, most)
	us := newResults[U](most, c.size != nil)
	bytes := int64(pipe.NoMost)
	if in.Gate().Measures() {
		bytes = workerBytes
	}
	p := pace{n: 1}
	w.Enter(sp.busy)
	for {
		n, first, _, err := in.ReadUpTo(w.ctx, &w.Clock, vs[:p.most(most)], bytes)
		if err != nil {
			return ending(w, err, d.end)
		}
		c.sg.in.Add(int64(n))
		if d.admit != nil {
			if err := d.admit(first, n); isStop(err) {
				return d.end()
			} else if err != nil {
				return err
			}
		}
		var took int64
		for at := 0; at < n; {
			t := clock.Now()
			done, cerr := c.callAll(w.ctx, vs[at:n], &us, first+int64(at))
			took += clock.Now() - t
			c.sg.out.Add(int64(done))
			next := at + done
			if done > 0 {
				err := d.deliver(first+int64(at), us.first(done), next < n && cerr == nil)
				clear(us.vs[:done])
				if err != nil {
					return err
				}
			}
			if cerr != nil {
				if err := w.ended(); err != nil {
					return err
				}
				return d.fail(first+int64(next), cerr)
			}
			at = next
		}
		clear(vs[:n])
		p.adjust(n, took)
	}
}

// callAll calls the function for each value of vs, until the results are charged
// workerBytes, and returns how many there are before the first error. A panic is
// an error of its value.
func (c *caller[T, U]) callAll(ctx context.Context, vs []T, us *results[U], first int64) (done int, err error) {
	returned := false
	defer func() {
		if !returned {
			err = abnormal(recover())
		}
	}()
	us.sum = 0
	for i, v := range vs {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		us.vs[i], us.oks[i], err = c.call(ctx, v, first+int64(i))
		if err != nil {
			clear(us.vs[i : i+1])
			break
		}
		done++
		if c.size != nil {
			us.costs[i] = c.size(&us.vs[i])
			if us.sum += us.costs[i]; us.sum >= workerBytes {
				break
			}
		}
	}
	returned = true
	return done, err
}
