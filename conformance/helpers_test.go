package conformance

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

var errBoom = errors.New("boom")

// noLeaks fails the test if it leaves goroutines or open files behind.
func noLeaks(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	t.Cleanup(func() {
		for begin := time.Now(); time.Since(begin) < 5*time.Second; runtime.Gosched() {
			if runtime.NumGoroutine() <= goroutines && openFiles() <= files {
				return
			}
		}
		t.Errorf("%d goroutines and %d files are left", runtime.NumGoroutine()-goroutines, openFiles()-files)
	})
}

// openFiles counts the open file descriptors, where the system tells.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil || runtime.GOOS == "windows" { // Wine shows the folder of the host system
		return 0
	}
	return len(list)
}

// probe is an endless source of bytes that counts the bytes read.
type probe struct {
	read   atomic.Int64
	closed atomic.Int32
}

func (p *probe) Read(b []byte) (int, error) {
	p.read.Add(int64(len(b)))
	return len(b), nil
}

func (p *probe) Close() error {
	p.closed.Add(1)
	return nil
}

// source makes a source of the reader, which need not be an io.Closer.
func source[T any](r weir.Reader[T]) weir.Stream[T] {
	return weir.From(weir.Source[T]{Name: "source", Open: func(context.Context) (weir.Reader[T], error) { return r, nil }})
}

// counter yields 0, 1, 2, … and counts how many.
func counter(n *atomic.Int64) weir.Stream[int] {
	return weir.FromSeq(func(yield func(int) bool) {
		for i := 0; ; i++ {
			n.Add(1)
			if !yield(i) {
				return
			}
		}
	})
}

// log keeps what happened, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

func (l *log) has(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if line == s {
			n++
		}
	}
	return n
}

// stage notes when it is opened and closed, and what cause it saw.
func stage(l *log, name string, fail error) weir.Stage[int, int] {
	return weir.Stage[int, int]{Name: name, Open: func(ctx context.Context) (weir.Transform[int, int], error) {
		l.add("open " + name)
		return &noting{l: l, name: name, fail: fail, ctx: ctx}, nil
	}}
}

type noting struct {
	l    *log
	name string
	fail error
	ctx  context.Context
}

func (n *noting) Do(_ context.Context, in []int, emit func([]int) error) error {
	if n.fail != nil {
		return n.fail
	}
	return emit(in)
}

func (n *noting) Flush(context.Context, func([]int) error) error { return nil }

func (n *noting) Close() error {
	n.l.add("close " + n.name)
	if cause := context.Cause(n.ctx); cause != nil {
		n.l.add("cause " + n.name + ": " + cause.Error())
	}
	return nil
}

// into collects what arrives.
func into[T any](got *[]T) weir.Sink[T] {
	return weir.Each(func(_ context.Context, v T) error {
		*got = append(*got, v)
		return nil
	})
}

func equal[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func ints(n int) []int {
	xs := make([]int, n)
	for i := range xs {
		xs[i] = i
	}
	return xs
}

var _ io.Closer = (*probe)(nil)
