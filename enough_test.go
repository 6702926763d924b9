package weir_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func addAtEnd(tail ...int) weir.Stage[int, int] {
	return weir.Do("tail", func(_ context.Context, in []int, emit func([]int) error) error { return emit(in) },
		func(_ context.Context, emit func([]int) error) error { return emit(tail) })
}

func TestFlow_EndsEveryStageThatHasEnoughWhileAnotherEnds(t *testing.T) {
	s := weir.Take(weir.FromSlice(ints(10)), 3)
	s = s.Through(addAtEnd(100, 101))
	s = weir.Take(s, 4)
	s = s.Through(addAtEnd(999))
	got, err := weir.Collect(t.Context(), s, 100)
	if err != nil || !slices.Equal(got, []int{0, 1, 2, 100, 999}) {
		t.Error(got, err)
	}
}

func TestFlow_ReportsAPanicOfAStageThatNobodyReadsAnyMore(t *testing.T) {
	st := weir.Do("boom", func(ctx context.Context, in []int, emit func([]int) error) error {
		if err := emit(in); err != nil {
			return err
		}
		<-ctx.Done()
		panic("boom")
	}, nil)
	s := weir.Take(weir.FromSlice(ints(10)).Through(st).Async(weir.Items(20)), 1)
	got, err := weir.Collect(t.Context(), s, 100)
	var pe *weir.PanicError
	if !errors.As(err, &pe) {
		t.Error(got, err)
	}
}

type funcReader struct {
	read  func() (int, error)
	close func() error
}

func (f *funcReader) Read([]int) (int, error) { return f.read() }
func (f *funcReader) Close() error            { return f.close() }

func srcOf(r weir.Reader[int]) weir.Stream[int] {
	return weir.From(weir.Source[int]{Name: "src", Open: func(context.Context) (weir.Reader[int], error) { return r, nil }})
}

func TestFlow_ReportsAPanicOfACloseThatInterruptsRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ch := make(chan struct{})
	r := &funcReader{func() (int, error) { cancel(); <-ch; return 0, io.EOF }, func() error { close(ch); panic("close") }}
	err := srcOf(r).To(weir.Discard[int]()).Run(ctx)
	var pe *weir.PanicError
	if !errors.As(err, &pe) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStop_WhileASourceOpensIsNoFailure(t *testing.T) {
	var f *weir.Flow
	f = weir.From(weir.Source[int]{Name: "src", Open: func(ctx context.Context) (weir.Reader[int], error) {
		f.Stop()
		<-ctx.Done()
		return nil, ctx.Err()
	}}).To(weir.Discard[int]())
	if err := f.Run(t.Context()); err != nil {
		t.Error(err)
	}
	f = weir.Retry(func(ctx context.Context, off int64) (weir.Reader[int], error) { f.Stop(); return nil, errPart }, weir.RetryOptions{}).To(weir.Discard[int]())
	if err := f.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFlow_IsCutShortIfCancelledBeforeAStageThatHasEnoughEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st := weir.Do("outer", func(_ context.Context, in []int, emit func([]int) error) error {
		err := emit(in)
		if err != nil {
			cancel()
		}
		return err
	}, nil)
	s := weir.Take(weir.FromSlice(ints(10)).Through(st), 3).Through(addAtEnd(999))
	got, err := weir.Collect(ctx, s, 100)
	if err == nil && !slices.Equal(got, []int{0, 1, 2, 999}) {
		t.Error(got, err)
	}
}

func TestTee_BranchThatWillBeDisconnectedIsNoDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bs := weir.Tee(weir.FromSlice(ints(5000)), weir.Branch{Policy: weir.Disconnect, Lag: time.Second, Limit: weir.Items(4)}, weir.Branch{})
		got, err := weir.Collect(t.Context(), weir.Concat(bs[1], bs[0]), 100000)
		if errors.Is(err, weir.ErrDeadlock) || !errors.Is(err, weir.ErrLagging) {
			t.Error(len(got), err)
		}
	})
}

type causeSink struct {
	closed atomic.Int32
	cause  error
}

func (c *causeSink) Write(b []int) (int, error) { return len(b), nil }
func (c *causeSink) Close() error               { c.closed.Add(1); return nil }
func (c *causeSink) CloseWithError(err error) error {
	c.closed.Add(1)
	c.cause = err
	return nil
}

func TestMap_ThatHasEnoughEndsTheSinkAfterTheSource(t *testing.T) {
	for _, opts := range [][]weir.MapOption{{weir.Workers(3), weir.Unordered()}, {weir.Workers(3)}, {weir.Workers(1)}} {
		n := 0
		r := &funcReader{func() (int, error) { n++; return 1, nil }, func() error { return errPart }}
		k := &causeSink{}
		sink := weir.Sink[int]{Name: "k", Open: func(context.Context) (weir.Writer[int], error) { return k, nil }}
		s := weir.MapContext(srcOf(r), func(ctx context.Context, v int) (int, error) { return 0, weir.ErrStop }, opts...)
		err := s.To(sink).Run(t.Context())
		if !errors.Is(err, errPart) || !errors.Is(k.cause, errPart) {
			t.Error(len(opts), err, k.cause)
		}
	}
}

type writeFn func(p []byte) (int, error)

func (f writeFn) Write(p []byte) (int, error) { return f(p) }

func TestOpen_WriteToReturnsTheErrorOfTheFlow(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	r := weir.Open(ctx, weir.FromReader(zerosAs('y')))
	_, err := r.(io.WriterTo).WriteTo(writeFn(func(p []byte) (int, error) {
		cancel(cause)
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Error(err)
	}
	r.Close()
}

func TestStop_TakesTheErrorOfAReaderThatItClosedForTheEnd(t *testing.T) {
	ch := make(chan struct{})
	var f *weir.Flow
	r := &funcReader{func() (int, error) { go f.Stop(); <-ch; return 0, errors.New("reader is shut") }, func() error { close(ch); return nil }}
	f = srcOf(r).To(weir.Discard[int]())
	if err := f.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFlow_ReportsAPanicOfOpenAfterACancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := weir.From(weir.Source[int]{Name: "src", Open: func(ctx context.Context) (weir.Reader[int], error) {
		cancel()
		panic("open")
	}}).To(weir.Discard[int]())
	err := f.Run(ctx)
	var pe *weir.PanicError
	if !errors.As(err, &pe) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStop_ReachesAPartOfConcatThatIsJustBeginning(t *testing.T) {
	for i := range 300 {
		var f *weir.Flow
		ch := make(chan int)
		f = weir.Concat(weir.FromSlice(ints(3)), weir.FromChan(ch)).To(weir.Each(func(_ context.Context, v int) error {
			if v == 2 {
				go func() {
					for range i % 50 * 20 {
					}
					f.Stop()
				}()
			}
			return nil
		}))
		done := make(chan error, 1)
		go func() { done <- f.Run(t.Context()) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(i, err)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("hangs", i)
		}
	}
}
