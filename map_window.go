package weir

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pipe"
)

// window puts the results of several workers back in order. Results wait in a
// ring of slots, one for each value that is in work or finished and not yet
// delivered; a worker may not begin a value whose slot is still taken.
type window[U any] struct {
	mu      sync.Mutex
	slots   []result[U]
	head    int64 // the next value to deliver
	workers int   // that have not ended
	err     error // the error of a worker's lane
	failure error // of the value at failed
	failed  int64 // the first value that could not be mapped; -1: none
	room    []*roomWait
	wanted  bool          // the collector waits for the value at head
	wake    chan struct{} // capacity 1
	lanes   []*lane
	at      []int64 // the first value that each worker has in work; -1: none
	hung    atomic.Bool
	name    string
	still   *standstill

	// The charges of the results in slots: each of them, their sum, and its
	// limit, which results at head may exceed; nil and 0 if they are all of one
	// size.
	costs       []int64
	bytes, most int64
}

type result[U any] struct {
	v    U
	done bool
	skip bool
}

// roomWait is a worker that waits.
type roomWait struct {
	from  int64 // until head is this far
	first int64 // and, if bytes is not 0, until head is here
	bytes int64 // or there is room for results of so many
	wake  chan struct{}
}

func buildMapOrdered[T, U any](b *plan, ln *lane, out link[U], s Stream[T], c *caller[T, U]) {
	win := &window[U]{slots: make([]result[U], c.window), workers: c.workers, wake: make(chan struct{}, 1), failed: -1, name: c.sg.name}
	if c.size != nil {
		win.costs, win.most = make([]int64, c.window), defaultBytes
		if b.limit.hasBytes {
			win.most = b.limit.bytes
		}
	}
	ln.ins = append(ln.ins, win)
	ln.owner = c.sg
	ln.main = func() error {
		win.mu.Lock()
		win.still = ln.r.still
		win.mu.Unlock()
		return win.collect(ln, out)
	}
	win.lanes = workerLanes(b, s, c, func(w *lane, sp *spot, in *pipe.Pipe[T]) error {
		me := &roomWait{wake: make(chan struct{}, 1)}
		i := slices.Index(win.lanes, w)
		return work(w, sp, in, c, deliverer[U]{
			deliver: func(first int64, us results[U], more bool) error { return win.put(w, i, me, first, us, more) },
			admit:   func(first int64, n int) error { return win.admit(w, i, me, first, n, spanOf(&c.mapOptions, n)) },
			fail: func(index int64, err error) error {
				win.fail(i, index, stageError(c.sg.name, err))
				return nil
			},
			end: func() error { return nil },
		})
	})
	win.at = make([]int64, len(win.lanes))
	for i := range win.at {
		win.at[i] = -1
	}
	for _, w := range win.lanes {
		w.outs = append(w.outs, win)
	}
	c.sg.holds += int64(c.window)*int64(unsafe.Sizeof(result[U]{})) + min(chunkMost, int64(c.window))*slotSize[U]()
	if c.size != nil {
		// The window, the excess at its head, and the results being passed on.
		c.sg.holds += int64(c.window)*pipe.SumSize + win.most + workerBytes + maxSegment
		c.sg.beyond.values += 2
	}
}

// admit lets worker i begin n values from first on. It waits until they are at
// most span behind the next to deliver. It returns ErrStop if a value before them
// could not be mapped.
func (win *window[U]) admit(w *lane, i int, me *roomWait, first int64, n int, span int64) error {
	last := first + int64(n)
	win.mu.Lock()
	if win.failed >= 0 && win.failed < first {
		win.mu.Unlock()
		return ErrStop
	}
	win.at[i] = first
	if last <= win.head+span {
		win.mu.Unlock()
		return nil
	}
	me.from, me.bytes = last-span, 0
	return win.wait(w, me)
}

// wait waits until there is room for me. mu is held before, and not after.
func (win *window[U]) wait(w *lane, me *roomWait) error {
	back := w.Switch(w.Blocked(), clock.Now())
	defer func() { w.Enter(back) }()
	win.room = append(win.room, me)
	w.r.still.Waits()
	win.mu.Unlock()
	select {
	case <-me.wake:
		return nil
	case <-w.ctx.Done():
	}
	win.mu.Lock()
	if i := slices.Index(win.room, me); i >= 0 {
		win.room = slices.Delete(win.room, i, i+1)
		w.r.still.Woken()
	}
	win.mu.Unlock()
	return context.Cause(w.ctx)
}

// fits reports whether there is room for r, and takes it. mu is held.
func (win *window[U]) fits(r *roomWait) bool {
	if win.head < r.from || r.bytes > 0 && r.first > win.head && win.bytes+r.bytes > win.most {
		return false
	}
	win.bytes += r.bytes
	return true
}

// put stores the results of worker i, from value first on. If the window has no
// room for their bytes, it waits for the results before them to be delivered.
// The result at head always finds room, so delivery never stops. more says that
// the worker continues with the values after them. put returns ErrStop if an
// earlier value could not be mapped.
func (win *window[U]) put(w *lane, i int, me *roomWait, first int64, us results[U], more bool) error {
	win.mu.Lock()
	if us.costs != nil {
		if win.failed >= 0 && win.failed < first {
			win.mu.Unlock()
			return ErrStop
		}
		if me.from, me.first, me.bytes = 0, first, us.sum; !win.fits(me) {
			if err := win.wait(w, me); err != nil {
				return err
			}
			win.mu.Lock()
		}
	}
	if win.at[i] = -1; more {
		win.at[i] = first + int64(len(us.vs))
	}
	n := int64(len(win.slots))
	for i, u := range us.vs {
		at := (first + int64(i)) % n
		win.slots[at] = result[U]{u, true, !us.oks[i]}
		if us.costs != nil {
			win.costs[at] = us.costs[i]
		}
	}
	win.notify()
	win.mu.Unlock()
	return nil
}

// fail records that worker i could not map the value at index. The values before
// it are still mapped and delivered. Workers that are at later ones are stopped.
func (win *window[U]) fail(i int, index int64, err error) {
	win.mu.Lock()
	defer win.mu.Unlock()
	win.at[i] = -1
	if win.failed < 0 || index < win.failed {
		win.failed, win.failure = index, err
	}
	for j, at := range win.at {
		if at > win.failed {
			win.lanes[j].cancel(ErrStop)
		}
	}
	win.notify()
}

// notify wakes the collector if it has something to do. mu is held.
func (win *window[U]) notify() {
	if win.wanted && (win.slots[win.head%int64(len(win.slots))].done || win.workers == 0 || win.failed == win.head) {
		win.wanted = false
		win.still.Woken()
		win.wake <- struct{}{}
	}
}

// take moves the next results, at most len(dst), to dst. more is false at the
// end. If a value could not be mapped, or a worker failed, take returns that
// error after all results before it.
func (win *window[U]) take(ln *lane, dst []U) (n int, more bool, err error) {
	win.mu.Lock()
	defer win.mu.Unlock()
	size := int64(len(win.slots))
	for !win.slots[win.head%size].done {
		if win.failed == win.head {
			return 0, false, win.failure
		}
		if win.workers == 0 {
			return 0, false, win.err
		}
		win.wanted = true
		win.still.Waits()
		win.mu.Unlock()
		select {
		case <-win.wake:
		case <-ln.ctx.Done():
			err = context.Cause(ln.ctx)
		}
		win.mu.Lock()
		if err != nil {
			if win.wanted {
				win.wanted = false
				win.still.Woken()
			}
			return 0, false, err
		}
	}
	var sum int64
	for i := 0; i < len(dst); i++ {
		s := &win.slots[win.head%size]
		if !s.done {
			break
		}
		if win.costs != nil {
			c := win.costs[win.head%size]
			if sum += c; i > 0 && sum > maxSegment {
				break
			}
			win.bytes -= c
		}
		if !s.skip {
			dst[n] = s.v
			n++
		}
		*s = result[U]{}
		win.head++
	}
	kept := win.room[:0]
	for _, r := range win.room {
		if win.fits(r) {
			win.still.Woken()
			r.wake <- struct{}{} // capacity 1; removed, so sent once
		} else {
			kept = append(kept, r)
		}
	}
	clear(win.room[len(kept):])
	win.room = kept
	return n, true, nil
}

// collect is the main of the lane behind the workers.
func (win *window[U]) collect(ln *lane, out link[U]) error {
	buf := make([]U, min(chunkMost, len(win.slots)))
	for {
		ln.Enter(ln.Starved())
		n, more, err := win.take(ln, buf)
		if isStop(err) && ln.ctx.Err() == nil {
			ln.enough, ln.enoughAt, ln.broken = out.end, 0, ErrStop
			return ErrStop
		}
		if err != nil {
			return err
		}
		if n > 0 {
			if err := out.push(buf[:n]); err != nil {
				return err
			}
			clear(buf[:n])
		}
		if !more {
			if ln.broken != nil {
				return ln.broken
			}
			return out.end()
		}
	}
}

// Name implements conduitState, as Resting and Stirring do.
func (win *window[U]) Name() string { return win.name }

// Resting returns whether the collector waits, and how many workers wait for it.
func (win *window[U]) Resting() (read, write int) {
	win.mu.Lock()
	defer win.mu.Unlock()
	if win.wanted {
		read = 1
	}
	return read, len(win.room)
}

// Stirring is false: workers are woken by lanes only.
func (win *window[U]) Stirring() bool { return false }

// CloseRead is called when nobody wants the results any more.
func (win *window[U]) CloseRead(cause error) {
	if win.hung.CompareAndSwap(false, true) {
		for _, w := range win.lanes {
			w.leave(cause)
		}
	}
}

// CloseWrite is called by each worker's lane when it ends.
func (win *window[U]) CloseWrite(cause error) {
	win.mu.Lock()
	defer win.mu.Unlock()
	if cause != ErrStop && win.err == nil {
		win.err = cause
	}
	win.workers--
	win.notify()
}
