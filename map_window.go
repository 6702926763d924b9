package weir

import (
	"context"
	"sync"
	"sync/atomic"
)

// window puts the results of several workers back in order. Results wait in a
// ring of slots, one for each value that is in work or finished and not yet
// delivered; a worker may not begin a value whose slot is still taken.
type window[U any] struct {
	mu      sync.Mutex
	slots   []result[U]
	head    int64 // the next value to deliver
	workers int   // that have not ended
	err     error // of the first worker that failed
	room    []*roomWait
	wanted  bool          // the collector waits for the value at head
	wake    chan struct{} // capacity 1
	lanes   []*lane
	hung    atomic.Bool
}

type result[U any] struct {
	v    U
	done bool
	skip bool
}

type roomWait struct {
	from int64 // waits until head is this far
	wake chan struct{}
}

func buildMapOrdered[T, U any](b *plan, ln *lane, out link[U], s Stream[T], c *caller[T, U]) {
	win := &window[U]{slots: make([]result[U], c.window), workers: c.workers, wake: make(chan struct{}, 1)}
	ln.ins = append(ln.ins, win)
	ln.owner = c.sg
	ln.main = func() error { return win.collect(ln, out) }
	win.lanes = workerLanes(b, s, c, func(w *lane, sp *spot, in *pipe[T]) error {
		me := &roomWait{wake: make(chan struct{}, 1)}
		return work(w, sp, in, c,
			func(first int64, n int, us []U, oks []bool) error { return win.put(first, us, oks) },
			func(last int64, n int) error { return win.admit(w, me, last, c.span(n)) },
			func() error { return nil })
	})
	for _, w := range win.lanes {
		w.outs = append(w.outs, win)
	}
	c.sg.holds = int64(c.window)*(slotSize[U]()+2) +
		int64(c.workers)*chunkMost*(slotSize[T]()+slotSize[U]()) + chunkMost*slotSize[U]()
}

// span is how many values may be between the oldest and the newest that a
// worker takes n of at once: a few for each worker where they take long.
func (c *mapOptions) span(n int) int64 {
	if c.hasWindow {
		return int64(c.window)
	}
	return int64(min(c.window, c.workers*max(4, 16*n)))
}

// admit waits until the values before last are at most span behind the next to
// deliver.
func (win *window[U]) admit(w *lane, me *roomWait, last, span int64) error {
	win.mu.Lock()
	if last <= win.head+span {
		win.mu.Unlock()
		return nil
	}
	back := w.switchAt(w.blocked(), now())
	defer func() { w.enter(back) }()
	me.from = last - span
	win.room = append(win.room, me)
	for me.from > win.head {
		win.mu.Unlock()
		select {
		case <-me.wake:
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
		win.mu.Lock()
	}
	win.mu.Unlock()
	return nil
}

// put stores the results of the values from first on.
func (win *window[U]) put(first int64, us []U, oks []bool) error {
	win.mu.Lock()
	n := int64(len(win.slots))
	for i, u := range us {
		win.slots[(first+int64(i))%n] = result[U]{u, true, !oks[i]}
	}
	win.notify()
	win.mu.Unlock()
	return nil
}

// notify wakes the collector if it has something to do. mu is held.
func (win *window[U]) notify() {
	if win.wanted && (win.slots[win.head%int64(len(win.slots))].done || win.workers == 0 || win.err != nil) {
		win.wanted = false
		win.wake <- struct{}{}
	}
}

// take moves the results that are next, at most len(dst), to dst. more is false
// at the end.
func (win *window[U]) take(ln *lane, dst []U) (n int, more bool, err error) {
	win.mu.Lock()
	defer win.mu.Unlock()
	size := int64(len(win.slots))
	for !win.slots[win.head%size].done {
		if win.err != nil || win.workers == 0 {
			return 0, false, win.err
		}
		win.wanted = true
		win.mu.Unlock()
		select {
		case <-win.wake:
		case <-ln.ctx.Done():
			err = context.Cause(ln.ctx)
		}
		win.mu.Lock()
		if err != nil {
			return 0, false, err
		}
	}
	for i := 0; i < len(dst); i++ {
		s := &win.slots[win.head%size]
		if !s.done {
			break
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
		if r.from <= win.head {
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
		ln.enter(ln.starved())
		n, more, err := win.take(ln, buf)
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

// hangup is called when nobody wants the results any more.
func (win *window[U]) hangup(cause error) {
	if win.hung.CompareAndSwap(false, true) {
		for _, w := range win.lanes {
			w.leave(cause)
		}
	}
}

// finish is called by each worker's lane when it ends.
func (win *window[U]) finish(err error) {
	win.mu.Lock()
	defer win.mu.Unlock()
	if err != nil && win.err == nil {
		win.err = err
	}
	win.workers--
	win.notify()
}
