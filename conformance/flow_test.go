package conformance

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// Given a source and a sink that are well, then all arrives in order and the
// sink is finished before Run returns.
func TestS34_AllArrivesAndTheSinkIsFinished(t *testing.T) {
	noLeaks(t)
	l := &log{}
	var got []int
	err := weir.FromSlice(ints(10_000)).Async(weir.Items(3)).To(weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) {
		return &keeping{batchSink{l: l}, &got}, nil
	}}).Run(t.Context())
	if err != nil || l.has("finished") != 1 || l.has("closed") != 1 {
		t.Error(err, l.lines)
	}
	equal(t, "values", got, ints(10_000)...)
}

// keeping is a batchSink that keeps what it gets.
type keeping struct {
	batchSink
	got *[]int
}

func (k *keeping) Write(batch []int) (int, error) {
	*k.got = append(*k.got, batch...)
	return len(batch), nil
}

// Given a stage in the middle that fails, then every stage is closed once, all
// see the same cause, and Run returns it.
func TestS35_AFailureClosesAllOnceWithOneCause(t *testing.T) {
	noLeaks(t)
	l := &log{}
	var made atomic.Int64
	s := counter(&made).Through(stage(l, "a", nil)).Async(weir.Limit{}).Through(stage(l, "b", errBoom)).Async(weir.Limit{}).Through(stage(l, "c", nil))
	err := s.To(weir.Discard[int]()).Run(t.Context())
	var se *weir.StageError
	if !errors.Is(err, errBoom) || !errors.As(err, &se) || se.Stage != "b" {
		t.Error(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if l.has("close "+name) != 1 {
			t.Errorf("%s was closed %d times", name, l.has("close "+name))
		}
	}
	for _, name := range []string{"a", "c"} {
		if l.has("cause "+name+": weir: stage b: boom") != 1 {
			t.Error(name, "saw", l.lines)
		}
	}
}

// Given a source that is closed before its end, then the error says so, and it
// is never nil.
func TestS37_APrematureCloseIsAnError(t *testing.T) {
	noLeaks(t)
	for _, cause := range []error{os.ErrClosed, io.ErrClosedPipe} {
		r := io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(cause))
		_, err := weir.Count(t.Context(), weir.FromReader(r))
		if !errors.Is(err, weir.ErrPrematureClose) || !errors.Is(err, cause) {
			t.Error(err)
		}
	}
}

// Given that the source is closed right after its end was seen, then all is
// well.
func TestS38_CloseAfterTheEndIsFine(t *testing.T) {
	noLeaks(t)
	r, w := weir.NewPipe[int](weir.Items(9))
	w.SendBatch(t.Context(), []int{1, 2})
	w.Close()
	got, err := weir.Collect(t.Context(), weir.FromPipe(r), 9)
	w.CloseWithError(errBoom)
	r.Close()
	if err != nil {
		t.Error(err)
	}
	equal(t, "values", got, 1, 2)
}

// Given a sink that is closed already, then there is an error at once; nothing
// is read of the source, and it is closed.
func TestS40_AClosedSinkIsAnError(t *testing.T) {
	noLeaks(t)
	var p probe
	closed := weir.Sink[byte]{Name: "closed", Open: func(context.Context) (weir.Writer[byte], error) { return nil, os.ErrClosed }}
	err := source(&p).To(closed).Run(t.Context())
	if !errors.Is(err, os.ErrClosed) || p.read.Load() != 0 || p.closed.Load() != 1 {
		t.Error(err, p.read.Load(), p.closed.Load())
	}
}

// Given a source that is at its end, then the flow completes with nothing.
func TestS41_AnEmptySourceCompletes(t *testing.T) {
	noLeaks(t)
	r, w := weir.NewPipe[int](weir.Items(1))
	w.Close()
	for _, s := range []weir.Stream[int]{weir.FromPipe(r), weir.Values[int](), weir.Map(weir.Values[int](), func(i int) (int, error) { return i, nil }, weir.Workers(3))} {
		if n, err := weir.Count(t.Context(), s); n != 0 || err != nil {
			t.Error(n, err)
		}
	}
}

// Given a consumer that has enough after 2 of 3 values, then that is a success,
// and the source is ended.
func TestS42_AConsumerMayStopEarly(t *testing.T) {
	noLeaks(t)
	var made atomic.Int64
	seen := 0
	var upstream error
	s := weir.Generate("source", func(ctx context.Context, emit func([]int) error) error {
		for i := range 3 {
			made.Add(1)
			if err := emit([]int{i}); err != nil {
				upstream = err
				return err
			}
		}
		return nil
	})
	err := s.To(weir.Each(func(context.Context, int) error {
		if seen++; seen == 2 {
			return weir.ErrStop
		}
		return nil
	})).Run(t.Context())
	if err != nil || seen != 2 || made.Load() != 2 || !errors.Is(upstream, weir.ErrStop) {
		t.Error(err, seen, made.Load(), upstream)
	}
}

// Given compositions that cannot work, then there is an error before anything
// opens.
func TestS44_BadCompositionsOpenNothing(t *testing.T) {
	l := &log{}
	s := weir.Values(1).Through(stage(l, "a", nil))
	for name, f := range map[string]*weir.Flow{
		"an empty stage": s.Through(weir.Stage[int, int]{}).To(weir.Discard[int]()),
		"no source":      weir.Stream[int]{}.Through(stage(l, "b", nil)).To(weir.Discard[int]()),
		"an empty sink":  s.To(weir.Sink[int]{}),
		"no sink":        {},
		"a nil function": weir.Filter(s, nil).To(weir.Discard[int]()),
		"used twice":     weir.Join(s.To(weir.Discard[int]()), s.To(weir.Discard[int]())),
	} {
		if err := f.Run(t.Context()); err == nil {
			t.Errorf("%s was run", name)
		}
	}
	if len(l.lines) > 0 {
		t.Error(l.lines)
	}
}

// Given a last stage that does its work in Flush, then Run waits for it.
func TestS45_FlushIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flushed := false
		st := weir.Do("flush", func(context.Context, []int, func([]int) error) error { return nil },
			func(_ context.Context, emit func([]int) error) error {
				time.Sleep(time.Second)
				flushed = true
				return emit([]int{7})
			})
		got, err := weir.Collect(t.Context(), weir.Values(1, 2).Through(st), 9)
		if err != nil || !flushed {
			t.Error(err)
		}
		equal(t, "values", got, 7)
	})
}

// Given a context that has ended, then nothing opens and the error is its own.
func TestS47_NothingOpensAfterTheEnd(t *testing.T) {
	l := &log{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := weir.Values(1).Through(stage(l, "a", nil)).To(weir.Discard[int]()).Run(ctx)
	if !errors.Is(err, context.Canceled) || len(l.lines) > 0 {
		t.Error(err, l.lines)
	}
}

// Given a cancel with a cause after 6 values, then the sink has what was
// delivered and nothing else, the cause can be found, and all is closed.
func TestS48_CancelWithACause(t *testing.T) {
	noLeaks(t)
	l := &log{}
	ctx, cancel := context.WithCancelCause(t.Context())
	var made atomic.Int64
	var got []int
	err := counter(&made).Through(stage(l, "a", nil)).Async(weir.Items(1)).To(weir.EachBatch(func(ctx context.Context, batch []int) error {
		for _, v := range batch {
			if got = append(got, v); len(got) == 6 {
				cancel(errBoom)
			}
		}
		return nil
	})).Run(ctx)
	if !errors.Is(err, errBoom) || !errors.Is(err, context.Canceled) || l.has("close a") != 1 {
		t.Error(err, l.lines)
	}
	equal(t, "values", got, ints(6)...)
}

// Given a cancel after the end, then the result stays.
func TestS50_CancelAfterTheEndChangesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := weir.Values(1).To(weir.Discard[int]())
	err := f.Run(ctx)
	cancel()
	if err != nil || f.Report().Err != nil || f.Report().Stages[0].Out != 1 {
		t.Error(err, f.Report())
	}
}

// Given that stage 3 does not open, then stages 1 and 2 are closed, stage 4 is
// never opened, and nothing was moved.
func TestS51_AFailureToOpen(t *testing.T) {
	noLeaks(t)
	l := &log{}
	bad := weir.Stage[int, int]{Name: "3", Open: func(context.Context) (weir.Transform[int, int], error) { return nil, errBoom }}
	var made atomic.Int64
	err := counter(&made).Through(stage(l, "1", nil), stage(l, "2", nil), bad, stage(l, "4", nil)).To(weir.Discard[int]()).Run(t.Context())
	if !errors.Is(err, errBoom) || made.Load() != 0 {
		t.Error(err, made.Load())
	}
	var got []string
	for _, line := range l.lines {
		if !strings.HasPrefix(line, "cause") {
			got = append(got, line)
		}
	}
	if want := []string{"open 1", "open 2", "close 1", "close 2"}; !slices.Equal(got, want) {
		t.Error(got)
	}
}

// Given two errors, then the first stays first and the second is found too; Close
// happens once; its error counts if there was none before.
func TestS53_TheFirstErrorIsKept(t *testing.T) {
	noLeaks(t)
	second := errors.New("second")
	for _, first := range []error{errBoom, nil} {
		n := 0
		k := weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) {
			return closeFails{first, second, &n}, nil
		}}
		err := weir.Values(1).To(k).Run(t.Context())
		if first != nil && !errors.Is(err, first) || !errors.Is(err, second) || n != 1 {
			t.Error(err, n)
		}
		var se *weir.StageError
		if !errors.As(err, &se) || first != nil && se.Err != first {
			t.Error("not the first error:", se)
		}
	}
}

type closeFails struct {
	write, close error
	n            *int
}

func (c closeFails) Write(b []int) (int, error) { return len(b), c.write }
func (c closeFails) Close() error {
	*c.n++
	return c.close
}
