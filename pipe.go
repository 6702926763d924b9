package weir

import (
	"context"
	"errors"
	"io"

	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// PipeOptions describes a pipe. The zero PipeOptions is a pipe of the default
// limit.
type PipeOptions[T any] struct {
	// Limit is how much the pipe may hold. See [Bytes] and [Items].
	Limit Limit

	// LowWater is the fill to which a full pipe must empty before blocked writers
	// continue and Ready fires (Node's 'drain' event). It is in bytes if the limit
	// counts bytes, and in items otherwise. Zero means that writers continue as
	// soon as anything fits.
	LowWater int64

	// Size returns how many bytes v refers to beyond its own slot. The writer
	// calls it once for each value, before it locks the pipe. If Size panics,
	// so does the write, and the pipe stays usable. If Size is nil, the pipe
	// measures the value as far as it can; see [Bytes].
	Size func(v T) int
}

// New makes a pipe. The error says which setting is wrong.
func (c PipeOptions[T]) New() (*PipeReader[T], *PipeWriter[T], error) {
	err := c.Limit.check()
	if err == nil && c.LowWater < 0 {
		err = errors.New("negative low-water mark")
	}
	if err != nil {
		return nil, nil, wrapf("pipe", err)
	}
	p := pipe.New(pipe.Config[T]{Limit: c.Limit.numbers(), LowWater: c.LowWater, Size: c.Size})
	return &PipeReader[T]{p}, &PipeWriter[T]{p}, nil
}

// NewPipe makes a pipe: a bounded buffer between goroutines that write and
// goroutines that read. It is the buffered, measured [io.Pipe], for values of
// any type.
//
// A writer waits while the pipe is full; this is the backpressure. Readers see
// each write at once. The pipe takes memory as it fills: an empty pipe holds at
// most one segment of a quarter of its limit. It does not keep values alive that
// were read.
//
// NewPipe panics if the limit is negative, as make does for a channel; use
// [PipeOptions.New] for limits from user input.
func NewPipe[T any](limit Limit) (*PipeReader[T], *PipeWriter[T]) {
	r, w, err := PipeOptions[T]{Limit: limit}.New()
	if err != nil {
		panic(err)
	}
	return r, w
}

// anyPipe is a [pipe.Gate], or a [store].
type anyPipe interface {
	Name() string
	CloseRead(cause error)
	CloseWrite(cause error)
	Stats() pipe.Stats
	Ceiling() int64
	Holders() (values int, most int64)
	Join(b *pipe.Budget) (reserve int64)
	Credit() (extra int64, waits bool)
	WatchedBy(w pipe.Watcher)
	Resting() (read, write int)
	Stirring() bool
	Passing() bool
}

// inStore reports whether the pipe's contents are not in memory, but in the store
// of a [Duplex].
func inStore(p anyPipe) bool {
	s, ok := p.(interface{ inStore() bool })
	return ok && s.inStore()
}

// PipeReader is the read half of a pipe. All methods can be called
// concurrently; each value goes to one reader. A PipeReader[byte] is an
// [io.ReadCloser] and an [io.WriterTo].
//
// When the writer has closed the pipe and all values are read, reads return
// [io.EOF] or the error given to the writer's CloseWithError.
type PipeReader[T any] struct{ p *pipe.Pipe[T] }

// PipeWriter is the write half of a pipe. All methods can be called
// concurrently; batches of several writers are not mixed. A PipeWriter[byte]
// is an [io.WriteCloser] and an [io.ReaderFrom].
//
// After Close, writes return [ErrClosed]. After the reader has closed the pipe,
// they return the error given to its CloseWithError.
type PipeWriter[T any] struct{ p *pipe.Pipe[T] }

func (r *PipeReader[T]) half() (p anyPipe, writes bool) { return r.p.Gate(), false }
func (w *PipeWriter[T]) half() (p anyPipe, writes bool) { return w.p.Gate(), true }

// Recv waits for a value and takes it.
func (r *PipeReader[T]) Recv(ctx context.Context) (T, error) { return r.p.Recv(ctx) }

// RecvBatch waits until there is at least one value, moves up to len(dst) values
// into dst and returns how many. It never waits to fill dst. From a rendezvous
// it takes one value, or, if values are bytes, up to len(dst).
func (r *PipeReader[T]) RecvBatch(ctx context.Context, dst []T) (int, error) {
	n, _, err := r.p.Read(ctx, nil, dst)
	return n, err
}

// Read is RecvBatch without a context; a PipeReader[byte] is an [io.Reader].
func (r *PipeReader[T]) Read(dst []T) (int, error) {
	return r.RecvBatch(context.Background(), dst)
}

// TryRecv takes a value if there is one, and returns [ErrEmpty] otherwise.
func (r *PipeReader[T]) TryRecv() (T, error) {
	var one [1]T
	_, err := r.p.TryRead(one[:], pipe.NoMost)
	return one[0], err
}

// TryRead moves the available values into dst without waiting, and returns
// [ErrEmpty] if there are none.
func (r *PipeReader[T]) TryRead(dst []T) (int, error) { return r.p.TryRead(dst, pipe.NoMost) }

// Ready returns a channel that is closed when a value can be taken or the pipe
// has ended. Ask for a new channel before each wait.
func (r *PipeReader[T]) Ready() <-chan struct{} { return r.p.Gate().ReadReady() }

// Peek waits for len(dst) values and copies them into dst without taking them.
// It returns fewer values with the error that ended the pipe, or with [ErrFull]
// if the pipe cannot hold that many. Other reads wait until Peek has returned.
func (r *PipeReader[T]) Peek(ctx context.Context, dst []T) (int, error) {
	return r.p.Peek(ctx, dst)
}

// Unread puts values back at the front of the pipe, even if the writer has
// already closed it. The caller can put back at most as many values as the last
// read took. They do not count against the limit. Unread copies vs.
func (r *PipeReader[T]) Unread(vs ...T) error { return r.p.Unread(vs) }

// Acquire waits for values and returns a view of the first ones in the pipe's own
// memory, without copying. The view is read-only and valid until Release, which
// the caller must call; other readers wait until then.
func (r *PipeReader[T]) Acquire(ctx context.Context) ([]T, error) { return r.p.Acquire(ctx, nil) }

// Release takes the first n values of the view out of the pipe.
func (r *PipeReader[T]) Release(n int) error { return r.p.Release(n) }

// WriteTo makes a PipeReader[byte] an [io.WriterTo]: it writes all data to w,
// directly from the pipe's memory, until the pipe ends. For other types it
// returns [errors.ErrUnsupported].
func (r *PipeReader[T]) WriteTo(w io.Writer) (sum int64, err error) {
	p, ok := any(r.p).(*pipe.Pipe[byte])
	if !ok {
		return 0, errors.ErrUnsupported
	}
	sum, _, err = pipe.CopyTo(context.Background(), nil, p, w, func(int) {})
	return sum, err
}

// Close closes the read half. The pipe drops the values that it holds, and
// writes return [ErrClosed] from now on. Close always returns nil.
func (r *PipeReader[T]) Close() error { return r.CloseWithError(nil) }

// CloseWithError is like Close, but writes return cause. Only the first close
// has an effect. CloseWithError always returns nil.
func (r *PipeReader[T]) CloseWithError(cause error) error {
	r.p.Gate().CloseRead(cause)
	return nil
}

// Stats returns the pipe's counts at this moment.
func (r *PipeReader[T]) Stats() report.PipeStats { return pipeStats(r.p.Gate()) }

// Send waits for room and adds v.
func (w *PipeWriter[T]) Send(ctx context.Context, v T) error { return w.p.Send(ctx, nil, v) }

// SendBatch adds all of vs in order, without values of other writers among them,
// and waits for room as often as necessary. It returns how many values it added;
// the error is not nil if that is fewer than len(vs). SendBatch copies vs.
func (w *PipeWriter[T]) SendBatch(ctx context.Context, vs []T) (int, error) {
	return w.p.Write(ctx, nil, vs)
}

// Write is SendBatch without a context; a PipeWriter[byte] is an [io.Writer].
func (w *PipeWriter[T]) Write(vs []T) (int, error) {
	return w.p.Write(context.Background(), nil, vs)
}

// TrySend adds v if there is room, and returns [ErrFull] otherwise.
func (w *PipeWriter[T]) TrySend(v T) error { return w.p.TryWrite([]T{v}) }

// TryWrite adds all of vs, or nothing: it returns [ErrFull] if they do not fit
// now and [ErrTooLarge] if they never will. It does not wait. TryWrite copies vs.
func (w *PipeWriter[T]) TryWrite(vs []T) error { return w.p.TryWrite(vs) }

// Ready returns a channel that is closed when the values that TryWrite or
// TrySend last refused would fit (Node's 'drain' event), or when the pipe is
// closed. Ask for a new channel before each wait.
func (w *PipeWriter[T]) Ready() <-chan struct{} { return w.p.Gate().WriteReady() }

// Reserve waits for room and returns up to n free slots of the pipe's memory
// for the caller to fill. The caller must then call Commit; other writers wait
// until then. If the pipe has a limit in bytes and its values refer to other
// memory, Reserve returns [errors.ErrUnsupported], because the pipe charges slots
// before they are filled.
func (w *PipeWriter[T]) Reserve(ctx context.Context, n int) ([]T, error) {
	return w.p.Reserve(ctx, nil, n)
}

// Commit adds the first n reserved slots to the pipe; 0 gives them back.
func (w *PipeWriter[T]) Commit(n int) error { return w.p.Gate().Commit(n) }

// ReadFrom makes a PipeWriter[byte] an [io.ReaderFrom]: it reads from r directly
// into the pipe's memory, until r ends. It does not close the pipe. For other
// types it returns [errors.ErrUnsupported].
func (w *PipeWriter[T]) ReadFrom(r io.Reader) (int64, error) {
	p, ok := any(w.p).(*pipe.Pipe[byte])
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return pipe.FillFrom(context.Background(), p, r)
}

// Close ends the pipe: readers get the remaining values and then [io.EOF]. Close
// always returns nil.
func (w *PipeWriter[T]) Close() error { return w.CloseWithError(nil) }

// CloseWithError ends the pipe: readers get the remaining values and then cause.
// Only the first close has an effect. CloseWithError always returns nil.
func (w *PipeWriter[T]) CloseWithError(cause error) error {
	w.p.Gate().CloseWrite(cause)
	return nil
}

// Stats returns the pipe's counts at this moment.
func (w *PipeWriter[T]) Stats() report.PipeStats { return pipeStats(w.p.Gate()) }

func pipeStats(p anyPipe) report.PipeStats {
	s := p.Stats()
	return report.PipeStats{
		Name: p.Name(), Limit: limitOf(s.Limit).String(), Items: s.Items, Bytes: s.Bytes, Peak: s.Peak, Largest: s.Largest,
		In: s.In, Out: s.Out, Blocked: s.Blocked, BlockedN: s.BlockedN, Starved: s.Starved, Dropped: s.Dropped,
		Spells: report.Spells(s.Spells), MostMemory: p.Ceiling(), LimitBytes: s.LimitBytes, LimitItems: s.LimitItems, WaitingSend: s.WaitingSend, Closed: s.Closed,
		Stored: inStore(p),
	}
}
