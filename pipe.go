package weir

import (
	"context"
	"errors"
	"time"

	"github.com/weir-go/weir/report"
)

// PipeConfig describes a pipe. The zero PipeConfig is a pipe of the default
// limit.
type PipeConfig[T any] struct {
	// Limit is how much the pipe may hold. See [Bytes] and [Items].
	Limit Limit

	// LowWater is the fill, in bytes if the limit counts bytes and in items
	// otherwise, at which a pipe that was full has room again: blocked
	// writers go on and Ready fires (the tutorial's 'drain'). Zero means: as
	// soon as anything fits.
	LowWater int64

	// Size returns how many bytes v refers to beyond its own slot. The writer
	// calls it once for each value, before it locks the pipe. If Size panics,
	// so does the write, and the pipe stays usable. If Size
	// is nil, the pipe measures what can be measured; see [Bytes].
	Size func(v T) int
}

// New makes a pipe. The error says which setting is wrong.
func (c PipeConfig[T]) New() (*PipeReader[T], *PipeWriter[T], error) {
	p, err := newPipe(c)
	if err != nil {
		return nil, nil, wrapf("pipe", err)
	}
	return &PipeReader[T]{p}, &PipeWriter[T]{p}, nil
}

// NewPipe makes a pipe: a bounded buffer between goroutines that write and
// goroutines that read. It is the buffered, measured [io.Pipe], for values of
// any type.
//
// A writer that finds it full waits; this is the backpressure. What is written
// is visible to the reader at once. Memory follows the fill: an empty pipe
// holds at most one piece of a quarter of its limit, and values that were read
// are not kept alive.
//
// NewPipe panics if the limit is negative, as make does for a channel; use
// [PipeConfig.New] for limits that come from outside.
func NewPipe[T any](limit Limit) (*PipeReader[T], *PipeWriter[T]) {
	r, w, err := PipeConfig[T]{Limit: limit}.New()
	if err != nil {
		panic(err)
	}
	return r, w
}

// PipeReader is the read half of a pipe. All methods may be called
// concurrently; each value goes to one reader. A PipeReader[byte] is an
// [io.ReadCloser] and an [io.WriterTo].
//
// When the writer has closed and everything is read, reads return [io.EOF] or
// the writer's cause.
type PipeReader[T any] struct{ p *pipe[T] }

// PipeWriter is the write half of a pipe. All methods may be called
// concurrently; batches of several writers are not mixed. A PipeWriter[byte]
// is an [io.WriteCloser] and an [io.ReaderFrom].
//
// After Close, writes return [ErrClosed]. After the reader has closed, they
// return its cause.
type PipeWriter[T any] struct{ p *pipe[T] }

func (r *PipeReader[T]) half() (e edge, writes bool) { return r.p, false }
func (w *PipeWriter[T]) half() (e edge, writes bool) { return w.p, true }

// Recv waits for a value and takes it.
func (r *PipeReader[T]) Recv(ctx context.Context) (T, error) {
	var one [1]T
	p := r.p
	p.mu.Lock()
	if p.viewing || p.items == 0 || p.front != nil {
		_, _, err := p.readLocked(ctx, nil, one[:])
		return one[0], err
	}
	s := p.head
	one[0] = s.buf[s.r]
	p.drop(1)
	p.taken = 1
	p.wakeWriter()
	p.unlock()
	return one[0], nil
}

// RecvBatch waits until there is at least one value, moves up to len(dst) values
// into dst and returns how many. It never waits to fill dst. From a rendezvous
// it takes one value, or, if values are bytes, up to len(dst).
func (r *PipeReader[T]) RecvBatch(ctx context.Context, dst []T) (int, error) {
	n, _, err := r.p.read(ctx, nil, dst)
	return n, err
}

// Read is RecvBatch without a context; a PipeReader[byte] is an [io.Reader].
func (r *PipeReader[T]) Read(dst []T) (int, error) {
	return r.RecvBatch(context.Background(), dst)
}

// TryRecv takes a value if one is there, and returns [ErrEmpty] otherwise.
func (r *PipeReader[T]) TryRecv() (T, error) {
	var one [1]T
	_, err := r.p.tryRead(one[:], noMost)
	return one[0], err
}

// TryRead moves what is there into dst without waiting, and returns
// [ErrEmpty] if nothing is.
func (r *PipeReader[T]) TryRead(dst []T) (int, error) { return r.p.tryRead(dst, noMost) }

// Ready returns a channel that is closed when a value can be taken or the pipe
// has ended. Ask for a new channel before each wait.
func (r *PipeReader[T]) Ready() <-chan struct{} { return r.p.readReady() }

// Peek waits until len(dst) values are there and copies them into dst without
// taking them. It returns fewer with the error that ended the pipe, or with
// [ErrFull] if the pipe cannot hold as many.
func (r *PipeReader[T]) Peek(ctx context.Context, dst []T) (int, error) {
	return r.p.peek(ctx, dst)
}

// Unread puts values back in front of everything else, also when the pipe has
// already been closed by its writer. At most as many as the last read took can
// be put back. They do not count against the limit. vs is copied.
func (r *PipeReader[T]) Unread(vs ...T) error { return r.p.unread(vs) }

// Acquire waits for data and returns a view of the first values as they lie in
// the pipe's memory, without copying. The view is read-only and valid until
// Release, which must follow; other readers wait until then.
func (r *PipeReader[T]) Acquire(ctx context.Context) ([]T, error) { return r.p.acquire(ctx, nil) }

// Release takes the first n values of the view out of the pipe.
func (r *PipeReader[T]) Release(n int) error { return r.p.release(n) }

// Close tells writers that nobody will read any more: they get [ErrClosed].
// What the pipe holds is dropped. It always returns nil.
func (r *PipeReader[T]) Close() error { return r.CloseWithError(nil) }

// CloseWithError is Close with the error that writers get. Only the first
// close counts. It always returns nil.
func (r *PipeReader[T]) CloseWithError(cause error) error {
	r.p.closeRead(cause)
	return nil
}

// Stats returns the pipe's counts at this moment.
func (r *PipeReader[T]) Stats() report.PipeStats { return r.p.stats() }

// Send waits for room and adds v.
func (w *PipeWriter[T]) Send(ctx context.Context, v T) error { return w.p.send(ctx, nil, v) }

// SendBatch adds all of vs, in order and not mixed with other writers' values,
// waiting for room as often as it takes. It returns how many were added; the
// error is not nil if that is fewer than len(vs). vs is copied.
func (w *PipeWriter[T]) SendBatch(ctx context.Context, vs []T) (int, error) {
	return w.p.write(ctx, nil, vs)
}

// Write is SendBatch without a context; a PipeWriter[byte] is an [io.Writer].
func (w *PipeWriter[T]) Write(vs []T) (int, error) {
	return w.p.write(context.Background(), nil, vs)
}

// TrySend adds v if there is room, and returns [ErrFull] otherwise.
func (w *PipeWriter[T]) TrySend(v T) error { return w.p.tryWrite([]T{v}) }

// TryWrite adds all of vs, or nothing: it returns [ErrFull] if they do not fit
// now and [ErrTooLarge] if they never will. It does not wait. vs is copied.
func (w *PipeWriter[T]) TryWrite(vs []T) error { return w.p.tryWrite(vs) }

// Ready returns a channel that is closed when what TryWrite or TrySend last
// refused would fit (the tutorial's 'drain'), or the pipe was closed. Ask for
// a new channel before each wait.
func (w *PipeWriter[T]) Ready() <-chan struct{} { return w.p.writeReady() }

// Reserve waits for room and returns up to n free slots of the pipe's memory
// to be filled directly. Commit must follow; other writers wait until then. A
// pipe with a limit in bytes whose values refer to other memory returns
// [errors.ErrUnsupported], since slots are charged before they are filled.
func (w *PipeWriter[T]) Reserve(ctx context.Context, n int) ([]T, error) {
	return w.p.reserve(ctx, nil, n)
}

// Commit adds the first n reserved slots to the pipe; 0 gives them back.
func (w *PipeWriter[T]) Commit(n int) error { return w.p.commit(n) }

// Close ends the pipe: readers get [io.EOF] after what it holds. It always
// returns nil.
func (w *PipeWriter[T]) Close() error { return w.CloseWithError(nil) }

// CloseWithError ends the pipe with an error that readers get after what it
// holds. Only the first close counts. It always returns nil.
func (w *PipeWriter[T]) CloseWithError(cause error) error {
	w.p.closeWrite(cause)
	return nil
}

// Stats returns the pipe's counts at this moment.
func (w *PipeWriter[T]) Stats() report.PipeStats { return w.p.stats() }

func (p *pipe[T]) stats() report.PipeStats {
	t := now()
	p.mu.Lock()
	defer p.unlock()
	s := report.PipeStats{
		Name:  p.name,
		Limit: p.limit.String(), Items: int64(p.buffered()), Bytes: p.used(), Peak: max(p.peak, p.fill()),
		In: p.totalOut + int64(p.items) + p.lost, Out: p.totalOut, Dropped: p.dropped,
		Blocked: time.Duration(p.w.time.at(t)), BlockedN: p.w.time.events,
		Starved: time.Duration(p.r.time.at(t)), WaitingSend: int(p.w.time.n),
		MostMemory: p.ceiling(), Closed: p.werr != nil || p.rerr != nil,
	}
	if p.limit.hasBytes {
		s.LimitBytes = p.capBytes
	}
	s.Largest = p.largest
	if p.size == nil {
		if s.In > 0 {
			s.Largest = p.slot
		}
		s.Peak *= p.slot
		s.LimitBytes = int64(p.capItems) * p.slot
	}
	return s
}

var (
	errNegativeLowWater = errors.New("the low-water mark is negative")
	errCommit           = errors.New("weir: commit of more than was reserved")
	errRelease          = errors.New("weir: release of more than was acquired")
)
