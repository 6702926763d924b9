// Package kernelcopy moves bytes from a reader to a writer, through the kernel
// where the two allow it, in pieces small enough to be counted and cancelled.
package kernelcopy

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"
)

// Options for [Copy]. The zero value is a plain copy.
type Options struct {
	// Progress, if set, is called after every piece with the number of bytes moved
	// since the call before, always more than 0, by the goroutine that called
	// Copy. Bytes that the kernel is moving are not counted yet: a piece is at
	// most 16 MiB between files, and 4 MiB or a tenth of a second's worth, at
	// least 4 KiB, where a socket or a pipe takes part.
	Progress func(n int64)

	// ReadFrom says that the destination's ReadFrom method is worth calling,
	// piece by piece, though its type is not known here. A
	// net/http.ResponseWriter is such a destination.
	ReadFrom bool

	// KeepOpen keeps Copy from closing a source or destination that it cannot
	// unblock otherwise.
	KeepOpen bool

	// Stop, when it is closed, makes Copy take no more from the source: a Read
	// that waits is interrupted, as at the end of the context. Copy writes the
	// bytes that it has taken already and returns without an error, as at the
	// end of the source. If the destination's ReadFrom is used, the piece under
	// way is finished first.
	Stop <-chan struct{}

	// Observer, if set, follows how Copy spends its time.
	Observer Observer

	segment int64 // fixed size of a piece, for tests
}

// Wrapper is a writer around an *os.File. Copy writes to the file itself and
// reports through Moved the bytes that reached it; Moved returns the error to
// end with. Of a reader around a file only OSFile is asked.
type Wrapper interface {
	OSFile() *os.File
	Moved(n int64, err error) error
}

type fileSource interface{ OSFile() *os.File }

// Copy copies from src to dst until the end of src, and returns how many bytes
// reached dst. An [*io.LimitedReader] bounds the copy as it does for [io.Copy],
// and has its N decreased. It uses the system call that [Path] names, or else
// one buffer of [Memory] bytes.
//
// When ctx ends, Copy returns [context.Cause] of ctx. It unblocks a blocked
// call through its deadline, which it clears afterwards. If there is no
// deadline, it closes the blocked end, if that has a Close method and is not a
// regular file. After an error, src may have been read further than dst was
// written.
//
// Errors of dst and src are passed on as they are, so that EPIPE, ECONNRESET
// and ENOSPC match. A source that ends early is no error: the count shows it.
func Copy(ctx context.Context, dst io.Writer, src io.Reader, o Options) (int64, error) {
	t := &transfer{ctx: ctx, dst: dst, src: src, Options: o, remain: math.MaxInt64}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if lr, ok := src.(*io.LimitedReader); ok {
		t.src, t.limited, t.remain = lr.R, lr, lr.N
	}
	if w, ok := dst.(Wrapper); ok {
		t.dst, t.wrapper = w.OSFile(), w
	}
	if w, ok := t.src.(fileSource); ok {
		t.src = w.OSFile()
	}
	if t.remain <= 0 {
		return 0, nil
	}
	t.blockingPipe = blocksReading(t.src)
	if t.Observer == nil {
		t.Observer = nobody{}
	}
	t.g = t.watch()
	defer t.g.release()
	err := t.run()
	over := t.g.release()
	switch {
	// A reader that was closed may call that the end of its data.
	case over && (err != nil || t.g.forced.Load()), err == errEnded && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == errEnded:
		err = nil
	}
	return t.total, err
}

// errEnded is why a transfer ends that its context or Stop has ended.
var errEnded = errors.New("the copy was ended")

// transfer is one call of Copy.
type transfer struct {
	Options
	ctx     context.Context
	dst     io.Writer
	src     io.Reader
	wrapper Wrapper           // around dst, or nil
	limited *io.LimitedReader // around src, or nil
	remain  int64
	total   int64
	g       *guard
	samples samples
	took    time.Duration // in observed system calls
	slept   time.Duration // the part of it for which the thread slept

	blockingPipe bool // src is a pipe whose Read cannot be interrupted
}

func (t *transfer) observed() bool { return t.Observer != nobody{} }

// interrupted returns errEnded instead of an error that Stop has caused in the
// source, or in the wait for the destination.
func (t *transfer) interrupted(err error) error {
	if err != nil && t.g.stopping.Load() && (errors.Is(err, os.ErrDeadlineExceeded) || t.g.forced.Load()) {
		return errEnded
	}
	return err
}

func (t *transfer) watch() *guard {
	g := &guard{t: t, fired: make(chan struct{})}
	g.halt = context.AfterFunc(t.ctx, g.unblock)
	if t.Stop != nil {
		g.quit, g.quitted = make(chan struct{}), make(chan struct{})
		go g.awaitStop()
	}
	g.release = sync.OnceValue(g.end)
	return g
}

// A mover has the kernel move at most max bytes. It returns errUnsupported if
// the kernel does not do that for these two; the bytes that it has moved until
// then still count. Fewer bytes than max without an error are the end of the
// source.
//
// Before a call that may block it enters the guard, and it returns errEnded when
// that says so.
type mover func(t *transfer, max int64) (int64, error)

var errUnsupported = errors.New("the kernel does not copy between these")

func (t *transfer) run() error {
	r := choose(t.dst, t.src)
	if rf, ok := t.dst.(io.ReaderFrom); ok && r.move == nil && t.ReadFrom {
		r.move, r.opaque, r.pace = readFrom(rf, t.src), true, streamPace
	}
	if r.move != nil {
		err := t.segments(r)
		if r.close != nil {
			r.close()
		}
		if err != errUnsupported {
			return err
		}
	}
	t.Observer.Path("")
	return t.loop()
}

// moved accounts for n bytes that reached dst, and for the error after them.
func (t *transfer) moved(n int64, err error) error {
	t.total += n
	t.remain -= n
	if t.limited != nil {
		t.limited.N -= n
	}
	if t.wrapper != nil {
		err = t.wrapper.Moved(n, err)
	}
	if n > 0 && t.Progress != nil {
		t.Progress(n)
	}
	return err
}

// The buffers of a copy through memory. A pipe holds 64 KiB, and sockets take
// no more at once; between files a longer call saves a third of the time.
const (
	smallBuffer = 64 << 10
	largeBuffer = 256 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new(make([]byte, smallBuffer)) }}
	largeBuffers = sync.Pool{New: func() any { return new(make([]byte, largeBuffer)) }}
)

var errBadWrite = errors.New("writer returned an impossible count")

// loop copies through memory.
func (t *transfer) loop() error {
	g := t.g
	pool := &smallBuffers
	if betweenFiles(t.dst, t.src) {
		pool = &largeBuffers
	}
	b := pool.Get().(*[]byte)
	defer pool.Put(b)
	buf := *b
	for empty := 0; t.remain > 0; {
		if g.enter(reading) {
			return errEnded
		}
		t.Observer.Enter(Reading)
		if t.awaitInput() {
			return errEnded
		}
		n, rerr := t.src.Read(buf[:min(int64(len(buf)), t.remain)])
		g.leave()
		if n > 0 {
			empty = 0
			if g.enter(writing) {
				return errEnded
			}
			t.Observer.Enter(Writing)
			m, err := t.dst.Write(buf[:n])
			g.leave()
			if m < 0 || m > n {
				m, err = 0, errBadWrite
			} else if m < n && err == nil {
				err = io.ErrShortWrite
			}
			if err := t.moved(int64(m), err); err != nil {
				return err
			}
		} else if empty++; empty == 100 && rerr == nil {
			return io.ErrNoProgress
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return t.interrupted(rerr)
		}
	}
	return nil
}

// segments lets the kernel move one piece after the other.
func (t *transfer) segments(r route) error {
	p := r.pace
	if t.segment > 0 {
		p = pace{t.segment, t.segment, t.segment}
	}
	for t.remain > 0 {
		if t.g.over() {
			return errEnded
		}
		size := min(p.size, t.remain)
		start := time.Now()
		n, err := r.move(t, size)
		if r.opaque && n > 0 && r.name != "" {
			t.Observer.Path(r.name)
		}
		unsupported := err == errUnsupported
		if unsupported {
			err = nil
		}
		if err := t.moved(n, err); err != nil {
			return err
		}
		if unsupported {
			return errUnsupported
		}
		if n < size {
			return nil
		}
		p.adapt(time.Since(start))
	}
	return nil
}

// readFrom is the mover of types whose ReadFrom knows the kernel's ways.
func readFrom(dst io.ReaderFrom, src io.Reader) mover {
	lr := &io.LimitedReader{R: src}
	return func(t *transfer, max int64) (int64, error) {
		if t.g.enter(reading | writing) {
			return 0, errEnded
		}
		defer t.g.leave()
		t.Observer.Enter(Moving)
		lr.N = max
		n, err := dst.ReadFrom(lr)
		return n, t.interrupted(err)
	}
}

// pace is the size of the next piece and its bounds. A small piece is counted
// soon, a large one costs less, so it follows the speed of the transfer.
type pace struct{ size, least, most int64 }

var (
	// Between files on one disk, 8 and 16 MiB were the fastest by a little;
	// 1 MiB was some 5% slower.
	filePace   = pace{1 << 20, 64 << 10, 16 << 20}
	streamPace = pace{4 << 10, 4 << 10, 4 << 20}
)

func (p *pace) adapt(took time.Duration) {
	switch {
	case took < 20*time.Millisecond:
		p.size = min(2*p.size, p.most)
	case took > 100*time.Millisecond:
		p.size = max(p.size/2, p.least)
	}
}
