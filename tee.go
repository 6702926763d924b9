package weir

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// Policy is the behaviour of a branch that is full.
type Policy int

const (
	// Block waits: the slowest branch governs, and no value is lost.
	Block Policy = iota
	// DropOldest makes room by dropping the values that have waited longest.
	DropOldest
	// DropNewest drops new values that do not fit.
	DropNewest
	// Disconnect waits, but no longer than the branch's Lag. Then the branch ends
	// with [ErrLagging], after the values that it holds.
	Disconnect
)

func (p Policy) String() string {
	names := [...]string{"block", "drop oldest", "drop newest", "disconnect"}
	if p < 0 || int(p) >= len(names) {
		return fmt.Sprintf("Policy(%d)", int(p))
	}
	return names[p]
}

// Branch describes one output of a [Tee] or a [Hub]. The zero Branch blocks
// and has the default limit. The [report.PipeStats] of its pipe count the values
// that a branch drops.
type Branch struct {
	Policy Policy
	Limit  Limit
	Lag    time.Duration // for Disconnect: how long the others may have to wait at a time
}

// checkBranch returns the error in the fields of br.
func checkBranch(br Branch) error {
	if br.Policy < Block || br.Policy > Disconnect {
		return fmt.Errorf("invalid policy %d; use Block, DropOldest, DropNewest or Disconnect", int(br.Policy))
	}
	if br.Policy == Disconnect && br.Lag <= 0 {
		return errors.New("the policy Disconnect needs a Lag; set how long the other branches may have to wait")
	}
	return br.Limit.check()
}

// Tee copies a stream to several branches, which run concurrently, each behind
// its own pipe. All branches must be used, in one flow or in flows that run
// together with [Join]. A branch that ends early, for instance with [Take], is
// detached, and the others continue. The source ends with the last branch. An
// error in a branch is an error of the flow.
//
//	hashed := weir.Tee(weir.File("in"), weir.Branch{}, weir.Branch{})
//	err := weir.Join(hashed[0].To(…), hashed[1].To(…)).Run(ctx)
func Tee[T any](s Stream[T], branches ...Branch) []Stream[T] {
	return newTee(&tee[T]{name: "tee", in: s, branches: branches})
}

// newTee returns the branches of t as streams.
func newTee[T any](t *tee[T]) []Stream[T] {
	s, branches := t.in, t.branches
	for i, br := range branches {
		if err := checkBranch(br); err != nil && t.err == nil {
			t.err = fmt.Errorf("branch %d: %w", i, err)
		}
	}
	if len(branches) == 0 {
		t.err = errors.New("no branches")
	}
	streams := make([]Stream[T], len(branches))
	for i := range branches {
		n := node[T]{name: fmt.Sprintf("%s[%d]", t.name, i), err: t.err, size: sizedAs[T](s)}
		n.roots = rootsOf(s).and(roots{tees: []any{t}})
		n.ready = func(n *node[T], b *plan, ln *lane, to *stage) *pipe.Pipe[T] { return t.attach(n, b, ln, to, i) }
		n.build = func(n *node[T], b *plan, ln *lane, out link[T]) {
			p := t.attach(n, b, ln, out.to, i)
			ln.main = func() error { return drain(ln, p, out) }
		}
		streams[i] = newStream(n)
	}
	return streams
}

type tee[T any] struct {
	name     string
	in       Stream[T]
	branches []Branch
	key      func(T) int // nil: every branch gets every value
	err      error
}

// teeState is a tee in a plan.
type teeState[T any] struct {
	pipes []*pipe.Pipe[T]
	to    []*stage
}

// attach builds branch i and, after the last branch, the steps before the Tee.
func (t *tee[T]) attach(n *node[T], b *plan, ln *lane, to *stage, i int) *pipe.Pipe[T] {
	st, _ := b.state[t].(*teeState[T])
	if st == nil {
		st = &teeState[T]{pipes: make([]*pipe.Pipe[T], len(t.branches)), to: make([]*stage, len(t.branches))}
		b.state[t] = st
		b.later(func() { t.build(b, st) })
	}
	limit := n.limit
	if limit.isZero() {
		limit = t.branches[i].Limit
	}
	p := newEdge(b, limit, n.size, n.name, to.name)
	if t.branches[i].Policy == DropOldest {
		p.Gate().DropsOldest()
	}
	ln.ins = append(ln.ins, p.Gate())
	ln.owner = to
	st.pipes[i], st.to[i] = p, to
	return p
}

func (t *tee[T]) build(b *plan, st *teeState[T]) {
	for i, p := range st.pipes {
		if p == nil {
			b.fail(t.name, fmt.Errorf("branch %d of %d is not used; connect it to a sink and run the flows together with Join", i, len(st.pipes)))
			return
		}
	}
	up := b.newLane()
	sg := addStage[T, T](b, t.name, report.KindStage, nil)
	sp := up.place(sg)
	outs := make([]*branch[T], len(st.pipes))
	for i, p := range st.pipes {
		st.to[i].ups = append(st.to[i].ups, sg)
		up.outs = append(up.outs, p.Gate())
		p.Gate().OnHangup(up.leave)
		outs[i] = &branch[T]{Branch: t.branches[i], p: p}
	}
	var routes *router[T]
	most := 0
	if t.key != nil {
		routes, most = newRouter(len(outs), t.key), chunkLen[T]()
		sg.holds = routes.holds(len(outs))
	}
	makes(b, sg, sizedAs[T](t.in), 0)
	deliver := func(batch []T) error {
		up.Enter(sp.busy)
		sg.in.Add(int64(len(batch)))
		sg.out.Add(int64(len(batch)))
		left := 0
		if routes != nil {
			if err := routes.route(up.ctx, batch); err != nil {
				return sp.fail(err)
			}
			defer routes.clear(len(batch))
		}
		part := func(i int) []T {
			if routes != nil {
				return routes.parts[i]
			}
			return batch
		}
		for i, br := range outs {
			if br.gone {
				left++
				if t.key != nil {
					sg.dropped.Add(int64(len(part(i))))
				}
			}
		}
		dropped, err := deliverAll(up.ctx, up, outs, part)
		sg.dropped.Add(int64(dropped))
		if err != nil {
			return sp.fail(err)
		}
		if left == len(outs) {
			return sp.fail(ErrStop)
		}
		return nil
	}
	t.in.n.attach(b, up, link[T]{
		to:    sg,
		fused: true,
		most:  fewest(st.pipes),
		push: func(batch []T) error {
			for ; most > 0 && len(batch) > most; batch = batch[most:] {
				if err := deliver(batch[:most]); err != nil {
					return err
				}
			}
			return deliver(batch)
		},
		end: func() error {
			return sp.finish(func() error {
				for _, p := range st.pipes {
					p.Gate().CloseWrite(nil)
				}
				return nil
			})
		},
	}, false)
}

// fewest is few for several pipes.
func fewest[T any](pipes []*pipe.Pipe[T]) (n int) {
	for _, p := range pipes {
		if k := few(p); k > 0 && (n == 0 || k < n) {
			n = k
		}
	}
	return n
}

// branch is the running form of a Branch.
type branch[T any] struct {
	Branch
	p    *pipe.Pipe[T]
	gone bool  // its reader has left, or was disconnected
	rest []T   // the rest of the batch in delivery, which did not fit at once
	out  int64 // how many values its reader had taken when rest did not fit
}

// deliverAll hands part(i) to branch i as its policy says, and returns how many
// values were dropped. It delivers the values that fit to all branches before
// it waits for any of them. The Lags of several branches run at the same time. An
// error is only ever the end of ctx: a branch whose reader has left is gone.
func deliverAll[T any](ctx context.Context, ln *lane, all []*branch[T], part func(i int) []T) (dropped int, err error) {
	for i, br := range all {
		if br.gone {
			continue
		}
		n, err := br.offer(part(i))
		dropped += n
		br.gone = err != nil
	}
	var began time.Time // the first wait
	for _, br := range all {
		if br.gone || len(br.rest) == 0 {
			continue
		}
		var waited time.Duration
		if began.IsZero() {
			began = time.Now()
		} else {
			waited = time.Since(began)
		}
		if err := br.await(ctx, ln, waited); err != nil {
			if ctx.Err() != nil {
				return dropped, context.Cause(ctx)
			}
			br.gone = true
		}
		br.rest = nil
	}
	return dropped, nil
}

// offer delivers the values that fit without waiting, and leaves the rest in
// br.rest.
func (br *branch[T]) offer(batch []T) (dropped int, err error) {
	switch br.Policy {
	case DropOldest:
		return pipe.WriteOver(br.p, batch)
	case DropNewest:
		return pipe.WriteSome(br.p, batch)
	}
	rest, err := pipe.WriteFit(br.p, batch)
	br.rest = batch[len(batch)-rest:]
	if rest > 0 && br.Policy == Disconnect {
		br.out = br.p.Gate().Stats().Out
	}
	return 0, err
}

// await waits until the branch has taken br.rest, or too long. The others have waited
// for the duration waited already, in which its reader could take values. ln is the
// lane that waits; nil: none.
func (br *branch[T]) await(ctx context.Context, ln *lane, waited time.Duration) error {
	var clk *clock.Clock
	if ln != nil {
		clk = &ln.Clock
	}
	if br.Policy != Disconnect {
		_, err := br.p.Write(ctx, clk, br.rest)
		return err
	}
	if waited > 0 {
		if br.p.Gate().Stats().Out > br.out {
			waited = 0 // its reader is slow, but there
		}
		rest, err := pipe.WriteFit(br.p, br.rest)
		if br.rest = br.rest[len(br.rest)-rest:]; err != nil || rest == 0 {
			return err
		}
	}
	if waited >= br.Lag {
		br.p.Gate().CloseWrite(ErrLagging)
		return ErrLagging
	}
	late, cancel := context.WithTimeoutCause(ctx, br.Lag-waited, ErrLagging)
	defer cancel()
	if ln != nil {
		ln.timed.Store(true)
		defer ln.timed.Store(false)
	}
	_, err := br.p.Write(late, clk, br.rest)
	if err == ErrLagging {
		br.p.Gate().CloseWrite(ErrLagging)
	}
	return err
}

// Partition splits a stream into n: a value goes to stream key(v) modulo n, and
// values with the same key stay in order. All streams must be used, as with
// [Tee], and the slowest holds all others back. Values for a stream that ended
// early are counted as dropped.
func Partition[T any](s Stream[T], n int, key func(T) int) []Stream[T] {
	t := &tee[T]{name: "partition", in: s, branches: make([]Branch, max(n, 1)), key: key}
	if n < 1 {
		t.err = fmt.Errorf("%d streams; use 1 or more", n)
	}
	if key == nil {
		t.err = errors.New("nil key function")
	}
	return newTee(t)
}

// router sorts the values of a batch by the part that they go to.
type router[T any] struct {
	key   func(T) int
	to    []int // the part of each value
	buf   []T   // the values, part by part
	parts [][]T // in buf
}

func newRouter[T any](n int, key func(T) int) *router[T] {
	return &router[T]{key: key, parts: make([][]T, n)}
}

// holds returns the memory of a router for n parts.
func (*router[T]) holds(n int) int64 {
	return int64(chunkLen[T]())*(slotSize[T]()+8) + int64(n)*24
}

// route sorts a batch of at most chunkLen values, until ctx ends.
func (r *router[T]) route(ctx context.Context, batch []T) error {
	if r.buf == nil {
		r.to, r.buf = make([]int, chunkLen[T]()), make([]T, chunkLen[T]())
	}
	n := len(r.parts)
	clear(r.parts)
	counts := r.parts // the length of each part, so far with room for nothing
	for i, v := range batch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k := r.key(v) % n
		if k < 0 {
			k += n
		}
		r.to[i] = k
		counts[k] = r.buf[:len(counts[k])+1]
	}
	at := 0
	for k, part := range counts {
		r.parts[k] = r.buf[at : at : at+len(part)]
		at += len(part)
	}
	for i, v := range batch {
		k := r.to[i]
		r.parts[k] = append(r.parts[k], v)
	}
	return nil
}

// clear lets go of a batch of n values.
func (r *router[T]) clear(n int) { clear(r.buf[:n]) }
