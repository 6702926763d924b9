package weir_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestFlow_SourcesThatCanBeUsedOnceAreUsedUpAfterwards(t *testing.T) {
	ch := make(chan int, 1)
	ch <- 1
	close(ch)
	r, w := weir.NewPipe[int](weir.Items(1))
	w.TrySend(1)
	w.Close()
	left := []int{1}
	pop := func() (int, bool) {
		if len(left) == 0 {
			return 0, false
		}
		v := left[0]
		left = left[1:]
		return v, true
	}
	once := func(yield func(int) bool) {
		for v, ok := pop(); ok; v, ok = pop() {
			if !yield(v) {
				return
			}
		}
	}
	count := func(context.Context) (int, error) {
		if v, ok := pop(); ok {
			return v, nil
		}
		return 0, io.EOF
	}
	type runs func() (int64, error)
	of := func(s weir.Stream[int]) runs {
		return func() (int64, error) { return weir.Count(t.Context(), s) }
	}
	text := weir.FromReader(strings.NewReader("x"))
	for name, run := range map[string]runs{
		"reader":           func() (int64, error) { return weir.Count(t.Context(), text) },
		"channel":          of(weir.FromChan(ch)),
		"pipe":             of(weir.FromPipe(r)),
		"single-use seq":   of(weir.FromSeq(once)),
		"single-use func":  of(weir.FromFunc(count)),
		"reader in concat": of(weir.Concat(weir.Map(weir.FromReader(strings.NewReader("x")), func(b byte) (int, error) { return int(b), nil }))),
	} {
		left = []int{1}
		if n, err := run(); n != 1 || err != nil {
			t.Errorf("%s: first run: %d, %v", name, n, err)
		}
		if n, err := run(); n != 0 || !errors.Is(err, weir.ErrUsedUp) {
			t.Errorf("%s: second run: %d, %v", name, n, err)
		}
	}
	for name, s := range map[string]weir.Stream[int]{
		"slice":    weir.Values(1, 2),
		"seq":      weir.FromSeq(func(yield func(int) bool) { _ = yield(1) && yield(2) }),
		"generate": weir.Generate("two", func(_ context.Context, emit func([]int) error) error { return emit([]int{1, 2}) }),
	} {
		for range 2 {
			if n, err := weir.Count(t.Context(), s); n != 2 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
	}
}

func TestFlow_StopFinishesWhatIsInTheFlow(t *testing.T) {
	endless := map[string]func() weir.Stream[int]{
		"generate": func() weir.Stream[int] {
			return weir.Generate("endless", func(ctx context.Context, emit func([]int) error) error {
				for i := 0; ; i++ {
					if err := emit([]int{i}); err != nil {
						return err
					}
				}
			})
		},
		"func": func() weir.Stream[int] {
			n := 0
			return weir.FromFunc(func(context.Context) (int, error) { n++; return n, nil })
		},
		"func that waits": func() weir.Stream[int] {
			n := 0
			return weir.FromFunc(func(ctx context.Context) (int, error) {
				if n++; n > 50 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return n, nil
			})
		},
		"seq": func() weir.Stream[int] {
			return weir.FromSeq(func(yield func(int) bool) {
				for yield(1) {
				}
			})
		},
		"channel": func() weir.Stream[int] {
			ch := make(chan int, 20)
			for range 20 {
				ch <- 1
			}
			return weir.FromChan(ch) // never closed
		},
		"pipe": func() weir.Stream[int] {
			r, w := weir.NewPipe[int](weir.Items(20))
			for w.TrySend(1) == nil {
			}
			return weir.FromPipe(r) // never closed
		},
		"reader": func() weir.Stream[int] {
			r, w := io.Pipe()
			go func() {
				for {
					if _, err := w.Write([]byte("some text")); err != nil {
						return
					}
				}
			}()
			return weir.Map(weir.FromReader(r), func(b byte) (int, error) { return int(b), nil })
		},
		"slice":  func() weir.Stream[int] { return weir.FromSlice(make([]int, 1<<20)) },
		"concat": func() weir.Stream[int] { return weir.Concat(weir.FromSlice(make([]int, 1<<20)), endless()) },
		"merge":  func() weir.Stream[int] { return weir.Merge(endless(), endless()) },
	}
	for name, source := range endless {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var in, out int
				s := weir.Tap(source(), func(int) { in++ })
				s = weir.Map(s, func(i int) (int, error) { return i, nil }, weir.Workers(3))
				f := s.To(weir.Each(func(context.Context, int) error {
					out++
					time.Sleep(time.Millisecond)
					return nil
				}))
				f.Limit = weir.Items(10)
				time.AfterFunc(50*time.Millisecond, f.Stop)
				if err := f.Run(t.Context()); err != nil {
					t.Error(err)
				}
				if in != out || out < 20 {
					t.Errorf("%d values went in and %d came out", in, out)
				}
			})
		})
	}
}

func TestFlow_ErrorsThatFollowTheFirstAreFoundToo(t *testing.T) {
	one, two, three := errors.New("one"), errors.New("two"), errors.New("three")
	k := func(write, close error) weir.Sink[int] {
		n := 0
		return weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) {
			return failingSink{write, close, &n}, nil
		}}
	}
	err := weir.Values(1).To(k(one, two)).Run(t.Context())
	var se *weir.StageError
	if !errors.As(err, &se) || se.Err != one || !errors.Is(err, two) {
		t.Errorf("of a Write and of a Close: %v", err)
	}
	b := weir.Tee(weir.Values(1), weir.Branch{}, weir.Branch{})
	err = weir.Join(b[0].To(k(nil, two)), b[1].To(k(nil, three))).Run(t.Context())
	if !errors.Is(err, two) || !errors.Is(err, three) {
		t.Errorf("of two sinks: %v", err)
	}

	if err := errors.Join(weir.ErrStop, one); weir.Values(1).To(k(err, nil)).Run(t.Context()) == nil {
		t.Error("an error joined with ErrStop was taken for success")
	}
}

type failingSink struct {
	write, close error
	n            *int
}

func (s failingSink) Write(b []int) (int, error) { return len(b), s.write }
func (s failingSink) Close() error               { *s.n++; return s.close }

// tally is the state of a stage that adds up.
type tally struct {
	sum    int
	closed *int
}

func (t *tally) Close() error { *t.closed++; return nil }

func TestDoWith_BeginsEachRunWithAStateOfItsOwn(t *testing.T) {
	started, closed := 0, 0
	sum := weir.DoWith("sum",
		func(context.Context) (*tally, error) { started++; return &tally{closed: &closed}, nil },
		func(_ context.Context, t *tally, in []int, _ func([]int) error) error {
			for _, v := range in {
				t.sum += v
			}
			return nil
		},
		func(_ context.Context, t *tally, emit func([]int) error) error { return emit([]int{t.sum}) },
	)
	s := weir.Values(1, 2, 3).Through(sum)
	for run := 1; run <= 2; run++ {
		got, err := weir.Collect(t.Context(), s, 9)
		if err != nil || len(got) != 1 || got[0] != 6 || started != run || closed != run {
			t.Errorf("run %d: %v, %v, started %d, closed %d", run, got, err, started, closed)
		}
	}
	bad := weir.DoWith("bad", func(context.Context) (*tally, error) { return nil, errPart },
		func(context.Context, *tally, []int, func([]int) error) error { return nil }, nil)
	if _, err := weir.Collect(t.Context(), weir.Values(1).Through(bad), 9); !errors.Is(err, errPart) {
		t.Error(err)
	}
}
