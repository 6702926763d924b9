package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// shelf is a store of at most so many numbers. Only one lane is in it at a time.
type shelf struct {
	turn            chan struct{}
	numbers         []int
	most            int
	ended           bool
	wclosed, closed int
	write           func(n []int) (int, error) // instead of the shelf's own
	read            func(n []int) (int, error)
	cause           error // that the writer was closed with
}

func newShelf(most int) *shelf { return &shelf{turn: make(chan struct{}, 1), most: most} }

func (s *shelf) stage() weir.Stage[int, int] {
	return weir.Duplex("shelf", func(context.Context) (weir.Writer[int], weir.Reader[int], error) {
		s.numbers, s.ended = nil, false
		return shelfWriter{s}, shelfReader{s}, nil
	})
}

type shelfWriter struct{ *shelf }

func (s shelfWriter) Write(n []int) (int, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.shelf.write != nil {
		return s.shelf.write(n)
	}
	m := min(len(n), s.most-len(s.numbers))
	s.numbers = append(s.numbers, n[:m]...)
	if m < len(n) {
		return m, weir.ErrFull
	}
	return m, nil
}

func (s shelfWriter) Level() (held, limit int64) { return 8, 80 }

func (s shelfWriter) CloseWithError(err error) error {
	s.cause = err
	return s.Close()
}

func (s shelfWriter) Close() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.ended = true
	s.wclosed++
	return nil
}

type shelfReader struct{ *shelf }

func (s shelfReader) Read(dst []int) (int, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.shelf.read != nil {
		return s.shelf.read(dst)
	}
	n := copy(dst, s.numbers)
	s.numbers = s.numbers[n:]
	if n == 0 && s.ended {
		return 0, io.EOF
	}
	if n == 0 {
		return 0, weir.ErrEmpty
	}
	return n, nil
}

func (s shelfReader) Close() error { s.closed++; return nil }

var errAny = errors.New("any error")

func numbersUpTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// A store lets what is before it run ahead of what is behind it.
func ExampleDuplex() {
	store := weir.Duplex("shelf", func(context.Context) (weir.Writer[int], weir.Reader[int], error) {
		s := newShelf(100)
		return shelfWriter{s}, shelfReader{s}, nil
	})
	n, err := weir.Count(context.Background(), weir.FromSlice(numbersUpTo(1000)).Through(store))
	fmt.Println(n, err)
	// Output: 1000 <nil>
}

func TestDuplex_PassesOnAllValuesAndReportsTheStore(t *testing.T) {
	s := newShelf(10)
	f := weir.FromSlice(numbersUpTo(1000)).Through(s.stage())
	for range 2 { // a description can run again
		got, err := weir.Collect(t.Context(), f, 1000)
		if err != nil || !slices.Equal(got, numbersUpTo(1000)) {
			t.Errorf("%d values, %v", len(got), err)
		}
	}
	if s.wclosed != 2 || s.closed != 2 || s.cause != nil {
		t.Errorf("closed %d and %d times in two runs, with %v", s.wclosed, s.closed, s.cause)
	}
	flow := f.To(weir.Discard[int]())
	if err := flow.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := flow.Report()
	i := slices.IndexFunc(r.Pipes, func(p report.PipeStats) bool { return p.Stored })
	if i < 0 {
		t.Fatalf("no store among %+v", r.Pipes)
	}
	p := r.Pipes[i]
	if p.Name != "shelf" || p.In != 1000 || p.Out != 1000 || p.Bytes != 8 || p.LimitBytes != 80 || p.Limit != "80 B" || p.BlockedN == 0 || !p.Closed || p.MostMemory != 0 {
		t.Errorf("%+v", p)
	}
	if st := r.Stages[1]; st.Name != "shelf" || st.In != 1000 || st.Out != 1000 || st.Workers != 2 {
		t.Errorf("%+v", st)
	}
	if r.Held != 0 {
		t.Errorf("%d bytes are held in memory", r.Held)
	}
	if plan, err := flow.Explain(); err != nil || strings.Contains(plan, "pipe       shelf") {
		t.Errorf("%s, %v", plan, err)
	}
}

// The verdict names the stage that the store waits for.
func TestDuplex_WaitsOfTheStoreAreThoseOfItsNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := weir.Each(func(context.Context, int) error { time.Sleep(time.Second); return nil })
		f := weir.FromSlice(numbersUpTo(100)).Through(newShelf(2).stage()).To(slow)
		f.Limit = weir.Items(1)
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := f.Report()
		if r.Verdict.Stage != "each" {
			t.Errorf("the verdict is %v", r.Verdict)
		}
		if st := r.Stages[1]; st.Blocked < 90*time.Second || st.Outside > time.Second {
			t.Errorf("%+v", st)
		}
	})
}

func TestDuplex_EndsWithItsFlow(t *testing.T) {
	boom := errors.New("boom")
	fails := weir.FromFunc(func() func(context.Context) (int, error) {
		n := 0
		return func(context.Context) (int, error) {
			if n++; n > 500 {
				return 0, boom
			}
			return n, nil
		}
	}())
	cancelled, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		ctx   context.Context
		in    weir.Stream[int]
		shelf *shelf
		sink  func(n int) error
		want  error
		count int // of values that arrive
	}{
		"failure upstream":     {in: fails, want: boom, count: 500},
		"failure downstream":   {sink: func(int) error { return boom }, want: boom, count: 1},
		"enough downstream":    {sink: func(int) error { return weir.ErrStop }, count: 1},
		"end of the context":   {ctx: cancelled, sink: func(int) error { cancel(); return nil }, want: context.Canceled, count: -1},
		"failure of Write":     {shelf: &shelf{write: func([]int) (int, error) { return 0, boom }}, want: boom},
		"failure of Read":      {shelf: &shelf{read: func([]int) (int, error) { return 0, boom }}, want: boom},
		"enough for Write":     {shelf: &shelf{write: func([]int) (int, error) { return 0, weir.ErrStop }}},
		"early end":            {shelf: &shelf{read: func([]int) (int, error) { return 0, io.EOF }}},
		"panic of Write":       {shelf: &shelf{write: func([]int) (int, error) { panic(boom) }}, want: boom},
		"panic of Read":        {shelf: &shelf{read: func([]int) (int, error) { panic(boom) }}, want: boom},
		"impossible count":     {shelf: &shelf{write: func(n []int) (int, error) { return len(n) + 1, nil }}, want: errAny},
		"short Write":          {shelf: &shelf{write: func([]int) (int, error) { return 0, nil }}, want: io.ErrShortWrite},
		"full for good":        {shelf: &shelf{write: func([]int) (int, error) { return 0, weir.ErrFull }}, want: weir.ErrDeadlock},
		"empty after the end":  {shelf: &shelf{read: func([]int) (int, error) { return 0, weir.ErrEmpty }, most: 2000}, want: errAny},
		"reading without data": {shelf: &shelf{read: func([]int) (int, error) { return 0, nil }}, want: io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.shelf
			if s == nil {
				s = newShelf(10)
			}
			s.turn = make(chan struct{}, 1)
			in, ctx := weir.FromSlice(numbersUpTo(1000)), t.Context()
			if name == "failure upstream" {
				in = c.in
			}
			if c.ctx != nil {
				ctx = c.ctx
			}
			count := 0
			err := in.Through(s.stage()).To(weir.Each(func(_ context.Context, n int) error {
				count++
				if c.sink != nil {
					return c.sink(n)
				}
				return nil
			})).Run(ctx)
			var pe *weir.PanicError
			switch {
			case c.want == errAny && err != nil:
			case errors.As(err, &pe) && pe.Value == c.want:
			case !errors.Is(err, c.want):
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.count >= 0 && count != c.count {
				t.Errorf("%d values arrived, want %d", count, c.count)
			}
			if s.wclosed != 1 || s.closed != 1 {
				t.Errorf("the ends were closed %d and %d times", s.wclosed, s.closed)
			}
		})
	}
	cancel()
}

// What a store waits for is found even if the flow waits for itself across it.
func TestDuplex_ADeadlockAcrossAStoreIsFound(t *testing.T) {
	b := weir.Tee(weir.FromSlice(numbersUpTo(1000)), weir.Branch{Limit: weir.Items(1)}, weir.Branch{Limit: weir.Items(1)})
	s := newShelf(10)
	err := weir.Concat(b[0].Through(s.stage()), b[1]).To(weir.Discard[int]()).Run(t.Context())
	if !errors.Is(err, weir.ErrDeadlock) {
		t.Errorf("%v", err)
	}
}

func TestDuplex_RefusesWhatCannotWork(t *testing.T) {
	bad := newShelf(1).stage()
	bad.Holds = -1
	for _, st := range []weir.Stage[int, int]{weir.Duplex[int, int]("none", nil), bad} {
		if err := weir.Values(1).Through(st).To(weir.Discard[int]()).Check(); err == nil {
			t.Error("no error")
		}
	}
	boom := errors.New("boom")
	for _, open := range []func(context.Context) (weir.Writer[int], weir.Reader[int], error){
		func(context.Context) (weir.Writer[int], weir.Reader[int], error) { return nil, nil, boom },
		func(context.Context) (weir.Writer[int], weir.Reader[int], error) { return nil, nil, nil },
	} {
		if err := weir.Values(1).Through(weir.Duplex("bad", open)).To(weir.Discard[int]()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "bad") {
			t.Errorf("%v", err)
		}
	}
}

// line is a connection whose writer fails when either end is closed.
type line struct {
	closed chan struct{}
	once   *sync.Once
}

func (l line) Write([]int) (int, error) {
	<-l.closed
	return 0, io.ErrClosedPipe
}

func (l line) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

type lineReader struct{ line }

func (l lineReader) Read(dst []int) (int, error) { return copy(dst, []int{1}), nil }

func TestDuplex_AWriterThatFailsBecauseNobodyReadsIsNoFailure(t *testing.T) {
	st := weir.Duplex("line", func(context.Context) (weir.Writer[int], weir.Reader[int], error) {
		l := line{make(chan struct{}), new(sync.Once)}
		return l, lineReader{l}, nil
	})
	for _, async := range []bool{false, true} {
		s := weir.FromSlice(numbersUpTo(1000)).Through(st)
		if async {
			s = s.Async(weir.Items(1))
		}
		if got, err := weir.Collect(t.Context(), weir.Take(s, 3), 10); err != nil || len(got) != 3 {
			t.Errorf("%v, %v", got, err)
		}
	}
}
