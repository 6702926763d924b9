package weir

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-go/weir/internal/clock"
)

// lane is one goroutine of a running flow and the stages that share it: they
// call each other, batch by batch. Its clock says where its time goes.
type lane struct {
	clock.Clock

	spots []*spot // source side first
	main  func() error
	ins   []lanesEnd
	outs  []lanesEnd
	owner *stage // names a lane without stages
	r     *run

	ctx    context.Context
	cancel context.CancelCauseFunc
	open   atomic.Int32 // number of outs that still have a reader
	timed  atomic.Bool  // it waits no longer than a certain time

	// source is the context of the lane's source. It ends with ctx, or on
	// Flow.Stop; then its cause is ErrStop.
	source     context.Context
	stopSource context.CancelCauseFunc

	broken error // the error that stops the lane; only the lane's goroutine uses it
	err    error // the error it ended with; nil at the end of its input or after ErrStop

	// enough ends the stream downstream of the stage that wants no more input,
	// and enoughAt is that stage's place among the spots. The lane calls enough
	// after it has closed everything upstream, so that an error there still
	// reaches the sink.
	enough   func() error
	enoughAt int
	over     chan struct{} // closed when the lane has ended and err is set
}

// spot is a stage's place in a lane. busy is the place of the lane's clock while
// it is in the stage's own code.
type spot struct {
	ln   *lane
	st   *stage
	ctx  *stageContext // the lane's context, as passed to the stage
	busy int32

	emitsLast bool // the stage does nothing between its last emit and its return

	// closer closes everything that the stage has opened. nil: nothing, or closed
	// already.
	closer func(cause error) error
}

// took returns the nanoseconds that the stage has worked so far, up to when
// the clock was last read.
func (s *spot) took() int64 { return s.ln.Spent(s.busy) }

func (s *spot) outside() int32 { return clock.Outside(s.busy) }

// place puts st in front of the stages that the lane has already: flows are
// built from the sink back.
func (l *lane) place(st *stage) *spot {
	s := &spot{ln: l, st: st}
	l.spots = append([]*spot{s}, l.spots...)
	st.spots = append(st.spots, s)
	return s
}

// CountDropped adds n to the values that a stage has left out on purpose, which
// its report calls dropped. ctx is the context that the stage got for its Open,
// Do, Flush or Run, or one derived from it. With any other context CountDropped
// does nothing, so that a stage can be tested without a flow. It can be called
// by several goroutines at the same time.
func CountDropped(ctx context.Context, n int64) {
	if st, ok := ctx.Value(stageKey{}).(*stage); ok {
		st.dropped.Add(n)
	}
}

type stageKey struct{}

// stageContext is the context of a lane, as one of its stages sees it.
type stageContext struct {
	context.Context
	st *stage
}

func (c *stageContext) Value(key any) any {
	if key == (stageKey{}) {
		return c.st
	}
	return c.Context.Value(key)
}

// prepare gets the lane ready for run r, whose context is ctx.
func (l *lane) prepare(ctx context.Context, r *run) {
	l.Reset(len(l.spots))
	l.r = r
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for i, s := range l.spots {
		s.busy = clock.Busy(i)
		s.ctx = &stageContext{l.ctx, s.st}
	}
	l.source, l.stopSource = context.WithCancelCause(l.ctx)
	l.over = make(chan struct{})
	l.open.Store(int32(len(l.outs)))
}

// name lists the lane's stages: "gunzip ▸ upper".
func (l *lane) name() string {
	names := make([]string, len(l.spots))
	for i, s := range l.spots {
		names[i] = s.st.name
	}
	return strings.Join(names, " ▸ ")
}

// at returns the stage in which the lane is now.
func (l *lane) at() *stage {
	place := l.At()
	i := clock.Stage(place)
	switch {
	case i < len(l.spots):
		return l.spots[i].st
	case len(l.spots) > 0 && place == l.Blocked():
		return l.spots[len(l.spots)-1].st
	}
	if len(l.spots) > 0 {
		return l.spots[0].st
	}
	return l.owner
}

// ended returns the reason why the lane must stop, or nil.
func (l *lane) ended() error {
	if l.broken == nil && l.ctx.Err() != nil {
		l.broken = context.Cause(l.ctx)
	}
	return l.broken
}

// finish ends the stream of the stage without an error: it closes everything
// that the stage has opened and then calls end, which ends the stage
// downstream.
func (s *spot) finish(end func() error) error {
	l := s.ln
	if err := l.ended(); err != nil {
		return err
	}
	if err := s.close(nil); err != nil {
		l.broken = err
		return err
	}
	return end()
}

// close calls the stage's closer, unless that has been done. cause is the error
// with which the stage ended, nil if it ended well.
func (s *spot) close(cause error) error {
	c := s.closer
	if c == nil {
		return nil
	}
	s.closer = nil
	return protect(s.st.name, func() error { return c(cause) })
}

// fail records that the stage failed and returns the error to unwind with. An
// error that came back from further down is passed on as it was, whatever the
// stage made of it.
func (s *spot) fail(err error) error {
	l := s.ln
	if l.broken != nil {
		return l.broken
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(l.ctx); cause != nil {
		l.broken = cause
	} else if isStop(err) {
		l.broken = ErrStop
	} else {
		l.broken = stageError(s.st.name, err)
	}
	return l.broken
}

// stopped reports whether err ends the source's stream without a failure: it is
// ErrStop, or only the result of [Flow.Stop].
func (s *spot) stopped(err error) bool {
	l := s.ln
	if err == nil || l.ctx.Err() != nil || l.broken != nil {
		return false
	}
	if isStop(err) {
		return true
	}
	return l.source.Err() != nil &&
		(errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) || isClosed(err))
}

// enoughFrom records that the stage needs no more input, and that end ends
// everything downstream of it. It returns the error that stops the lane.
func (s *spot) enoughFrom(end func() error) error {
	l := s.ln
	if err := l.ended(); err != nil {
		return err
	}
	l.enough, l.enoughAt = end, int(s.busy)/2
	l.broken = ErrStop
	return ErrStop
}

func stageError(name string, err error) error {
	var se *StageError
	if errors.As(err, &se) {
		return err
	}
	return &StageError{Stage: name, Err: err}
}

// run executes the lane in the calling goroutine. However the lane ends, also
// by a panic, run closes its stages and then its pipes. A lane that ends
// because nobody wants more has ended well.
func (l *lane) run() {
	begin := clock.Busy(0)
	if len(l.ins) > 0 {
		begin = l.Starved()
	}
	l.Start(begin)
	var err error
	returned := false
	defer func() {
		if !returned {
			err = stageError(l.at().name, abnormal(recover()))
			l.enough = nil
		}
		err = l.wrapUp(err)
		l.Stop()
		l.err = err
		if err != nil {
			l.r.failing(l, err) // before a neighbour learns of it and fails too
		}
		l.close(err)
		close(l.over)
		l.r.done(l)
	}()
	err = l.main()
	returned = true
}

// wrapUp ends the lane's stages, from the source on, and returns the error of
// the lane. If a stage needs no more input, the stages after it end last, and
// only if everything upstream could be closed.
func (l *lane) wrapUp(err error) error {
	err = l.unlessEnough(err)
	// A stage that ends downstream may itself need no more input.
	for l.enough != nil && err == nil {
		if l.ctx.Err() != nil {
			// The values that the stages downstream still hold are lost.
			err = l.unlessEnough(context.Cause(l.ctx))
			break
		}
		for _, in := range l.ins {
			in.CloseRead(ErrStop)
		}
		l.Enter(l.Starved())
		err = l.awaitUpstream()
		for _, s := range l.spots[:l.enoughAt] {
			err = also(err, s.close(err))
		}
		if err == nil {
			end := l.enough
			l.enough, l.broken = nil, nil
			err = l.unlessEnough(protectLane(l, end))
		}
	}
	if err != nil {
		l.cancel(err) // stages may look for the cause when they are closed
	}
	for _, s := range l.spots {
		cerr := s.close(err)
		if err == nil {
			err = cerr
		} else if cerr != nil {
			l.r.note(cerr)
		}
	}
	return err
}

// unlessEnough returns err, or nil if err only means that downstream needs no
// more. A panic never means that.
func (l *lane) unlessEnough(err error) error {
	var pe *PanicError
	if isStop(err) || err != nil && context.Cause(l.ctx) == ErrStop && !errors.As(err, &pe) {
		return nil
	}
	return err
}

// protectLane calls f and turns a panic in it into the error of the stage that
// runs then.
func protectLane(l *lane, f func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = stageError(l.at().name, abnormal(recover()))
		}
	}()
	err = f()
	returned = true
	return err
}

// awaitUpstream waits for the upstream lanes that have no reader any more, and
// returns the first error that one of them ended with.
func (l *lane) awaitUpstream() (first error) {
	for _, u := range l.upstream() {
		if u.open.Load() > 0 {
			continue // a Tee with other branches
		}
		<-u.over
		err := u.err
		if err == nil {
			err = u.awaitUpstream()
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// upstream returns the lanes that write to the inputs of l.
func (l *lane) upstream() (ups []*lane) {
	for _, u := range l.r.plan.lanes {
		for _, out := range u.outs {
			if slices.Contains(l.ins, conduit(out)) {
				ups = append(ups, u)
				break
			}
		}
	}
	return ups
}

// abnormal describes how a stage left without returning.
func abnormal(recovered any) error {
	if recovered == nil {
		return errGoexit
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

var errGoexit = errors.New("called runtime.Goexit")

// close informs both neighbours that the lane has ended.
func (l *lane) close(err error) {
	cause := err
	if cause == nil {
		cause = ErrStop
	}
	for _, e := range l.ins {
		e.CloseRead(cause)
	}
	for _, e := range l.outs {
		e.CloseWrite(cause)
	}
}

// downstream finds the lanes that read, directly or not, the output of l.
func (l *lane) downstream(all []*lane) map[*lane]bool {
	found := map[*lane]bool{}
	for todo := []*lane{l}; len(todo) > 0; todo = todo[1:] {
		for _, out := range todo[0].outs {
			for _, next := range all {
				for _, in := range next.ins {
					if in == conduit(out) && !found[next] {
						found[next] = true
						todo = append(todo, next)
					}
				}
			}
		}
	}
	return found
}

// conduit returns the value by which the reading lane knows out.
func conduit(out lanesEnd) lanesEnd {
	if g, ok := out.(interface{ shared() lanesEnd }); ok {
		return g.shared()
	}
	return out
}

// leave is called when one of the lane's output pipes has lost its reader: with
// ErrStop if downstream needs no more, and otherwise with the error.
func (l *lane) leave(cause error) {
	if l.open.Add(-1) == 0 {
		l.cancel(cause)
	}
}

// interruptOn calls f when ctx ends. stop prevents the call, or waits for f if
// it is running.
func interruptOn(ctx context.Context, f func()) (stop func()) {
	done := make(chan struct{})
	halt := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return sync.OnceFunc(func() {
		if !halt() {
			<-done
		}
	})
}

// watch lets x watch itself, if it can, until end is called. end returns the
// error that x found.
func (l *lane) watch(sp *spot, x any) (end func() error) {
	w, ok := x.(interface{ Watch(context.Context) error })
	if !ok {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(l.ctx)
	var found error
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		var err error
		defer func() {
			if !returned {
				err = abnormal(recover())
			}
			if err != nil && (!returned || ctx.Err() == nil) {
				found = stageError(sp.st.name, err)
				l.r.abort(found)
			}
		}()
		err = w.Watch(ctx)
		returned = true
	}()
	return sync.OnceValue(func() error {
		cancel()
		<-done
		return found
	})
}

// waits reports whether the lane waits for another one: at its own pipes, or
// inside the Read or Write of a pipe whose two halves belong to the run.
func (l *lane) waits(owned []*ownedPipe) bool {
	at := l.At()
	if at == l.Starved() {
		return true
	}
	for _, p := range owned {
		if p.reader == l && at == l.spots[0].outside() {
			return true
		}
	}
	return l.waitsForRoom(owned)
}

// waitsForRoom reports whether the lane waits for another one to read.
func (l *lane) waitsForRoom(owned []*ownedPipe) bool {
	at := l.At()
	if at == l.Blocked() {
		return true
	}
	for _, p := range owned {
		if p.writer == l && at == l.spots[len(l.spots)-1].outside() {
			return true
		}
	}
	// The last lane of a part executes the stages behind it on its host's clock.
	h := l.r.host
	return h != nil && len(l.outs) == 0 && h.waitsForRoom(h.r.owned)
}

// hosts records that the lane waits for part, until done is called.
func (l *lane) hosts(part *run) (done func()) {
	set := func(part *run) {
		l.r.mu.Lock()
		defer l.r.mu.Unlock()
		if l.r.parts == nil {
			l.r.parts = map[*lane]*run{}
		}
		l.r.parts[l] = part
	}
	set(part)
	l.r.still.Waits()
	return func() {
		set(nil)
		l.r.still.Woken()
	}
}
