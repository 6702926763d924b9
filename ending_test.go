package weir_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// closes counts its closes, and fails them with err if that is set.
type closes struct {
	io.Reader
	io.Writer
	n   atomic.Int32
	err error
}

func (c *closes) Close() error { c.n.Add(1); return c.err }

// closesBadly is a stage whose Close fails.
func closesBadly[T any](err error) weir.Stage[T, T] {
	return weir.Stage[T, T]{Name: "closes badly", Open: func(context.Context) (weir.Transform[T, T], error) {
		return badCloser[T]{err}, nil
	}}
}

type badCloser[T any] struct{ err error }

func (badCloser[T]) Do(_ context.Context, in []T, emit func([]T) error) error { return emit(in) }
func (badCloser[T]) Flush(context.Context, func([]T) error) error             { return nil }
func (b badCloser[T]) Close() error                                           { return b.err }

// holding is a stage that needs memory.
func holding[T any]() weir.Stage[T, T] {
	st := weir.Do("holding", func(_ context.Context, in []T, emit func([]T) error) error { return emit(in) }, nil)
	st.Holds = 1000
	return st
}

// failsAfter begins a stream that fails behind n values.
func failsAfter(n int, err error) weir.Stream[int] {
	return weir.Generate("failing", func(_ context.Context, emit func([]int) error) error {
		if eerr := emit(ints(n)); eerr != nil {
			return eerr
		}
		return err
	})
}

func TestFlow_ClosesWhatItWasGivenHoweverEarlyItFails(t *testing.T) {
	missing := func() weir.Stream[byte] { return weir.File(filepath.Join(t.TempDir(), "missing")) }
	failures := map[string]struct {
		before func(f *weir.Flow) *weir.Flow
		ctx    func() context.Context
		want   error
	}{
		"composition": {before: func(f *weir.Flow) *weir.Flow { f.Limit = weir.Bytes(-1); return f }},
		"empty flow":  {before: func(f *weir.Flow) *weir.Flow { return weir.Join(f, nil) }},
		"budget":      {before: func(f *weir.Flow) *weir.Flow { f.Budget = weir.NewBudget(1); return f }, want: weir.ErrBudget},
		"context done": {ctx: func() context.Context {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errUp)
			return ctx
		}, want: errUp},
		"missing file": {before: func(f *weir.Flow) *weir.Flow {
			return weir.Join(f, missing().To(weir.Discard[byte]()))
		}, want: os.ErrNotExist},
		"missing command": {before: func(f *weir.Flow) *weir.Flow {
			return weir.Join(weir.Values[byte](1).Through(weir.Exec("no such command")).To(weir.Discard[byte]()), f)
		}, want: exec.ErrNotFound},
		"panic of an Open": {before: func(f *weir.Flow) *weir.Flow {
			src := weir.Source[int]{Name: "source", Open: func(context.Context) (weir.Reader[int], error) { panic(errUp) }}
			return weir.Join(f, weir.From(src).To(weir.Discard[int]()))
		}, want: errUp},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			for given, build := range map[string]func() (f *weir.Flow, closed func() (bool, error)){
				"FromReader": func() (*weir.Flow, func() (bool, error)) {
					c := &closes{Reader: bytes.NewReader(make([]byte, 1<<20))}
					return weir.FromReader(c).Through(holding[byte]()).To(weir.Discard[byte]()), func() (bool, error) { return c.n.Load() == 1, nil }
				},
				"FromReader in a later part of Concat": func() (*weir.Flow, func() (bool, error)) {
					c := &closes{Reader: bytes.NewReader(make([]byte, 1<<20))}
					s := weir.Concat(weir.Values[byte](1), weir.FromReader(c))
					return s.Through(holding[byte]()).To(weir.Discard[byte]()), func() (bool, error) { return c.n.Load() == 1, nil }
				},
				"ToWriter": func() (*weir.Flow, func() (bool, error)) {
					c := &closes{Writer: io.Discard}
					return weir.FromReader(bytes.NewReader(make([]byte, 1<<20))).Through(holding[byte]()).To(weir.ToWriter(c)), func() (bool, error) { return c.n.Load() == 1, nil }
				},
				"FromPipe": func() (*weir.Flow, func() (bool, error)) {
					r, w := weir.NewPipe[int](weir.Items(1))
					return weir.FromPipe(r).Through(holding[int]()).To(weir.Discard[int]()), func() (bool, error) {
						return w.Stats().Closed, w.TrySend(1)
					}
				},
				"ToPipe": func() (*weir.Flow, func() (bool, error)) {
					r, w := weir.NewPipe[int](weir.Items(1))
					return weir.FromSlice(ints(9)).Through(holding[int]()).To(weir.ToPipe(w)), func() (bool, error) {
						_, err := r.TryRecv()
						return w.Stats().Closed && err != io.EOF, err
					}
				},
				"Hub": func() (*weir.Flow, func() (bool, error)) {
					hub := &weir.Hub[int]{}
					r, err := hub.Attach(weir.Branch{})
					if err != nil {
						t.Fatal(err)
					}
					return weir.FromSlice(ints(9)).Through(holding[int]()).To(hub.Sink()), func() (bool, error) {
						_, err := r.TryRecv()
						return r.Stats().Closed && err != io.EOF, err
					}
				},
			} {
				f, closed := build()
				if fail.before != nil {
					f = fail.before(f)
				}
				ctx := context.Background()
				if fail.ctx != nil {
					ctx = fail.ctx()
				}
				err := f.Run(ctx)
				if err == nil || fail.want != nil && !errors.Is(err, fail.want) {
					t.Errorf("%s: error %v", given, err)
				}
				ok, cause := closed()
				if !ok {
					t.Errorf("%s: it was not closed once, or as if all were well", given)
				}
				if cause != nil && fail.want != nil && !errors.Is(cause, fail.want) {
					t.Errorf("%s: whoever has the other half got %v", given, cause)
				}
			}
		})
	}
}

func TestConcat_ClosesThePartsThatItDoesNotReach(t *testing.T) {
	c := &closes{Reader: bytes.NewReader(make([]byte, 100))}
	s := weir.Take(weir.Concat(weir.FromSlice(make([]byte, 100)), weir.FromReader(c)), 10)
	if n, err := weir.Count(t.Context(), s); n != 10 || err != nil || c.n.Load() != 1 {
		t.Errorf("%d values, %v, closed %d times", n, err, c.n.Load())
	}
}

func TestCreate_KeepsTheTargetOfAFlowThatFailsAtTheVeryEnd(t *testing.T) {
	data := func() weir.Stream[byte] { return weir.FromReader(bytes.NewReader(make([]byte, 1<<20))) }
	for name, s := range map[string]func() weir.Stream[byte]{
		"Close of a stage": func() weir.Stream[byte] { return data().Through(closesBadly[byte](errUp)) },
		"Close of a source": func() weir.Stream[byte] {
			return weir.FromReader(&closes{Reader: bytes.NewReader([]byte("x")), err: errUp})
		},
		"Close of a source behind a pipe": func() weir.Stream[byte] {
			return weir.FromReader(&closes{Reader: bytes.NewReader([]byte("x")), err: errUp}).Async(weir.Limit{})
		},
		"Flush of a stage": func() weir.Stream[byte] {
			return data().Through(weir.Do("flush", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) },
				func(context.Context, func([]byte) error) error { return errUp }))
		},
		"Close of a part of Concat": func() weir.Stream[byte] {
			return weir.Concat(weir.FromReader(&closes{Reader: bytes.NewReader([]byte("x")), err: errUp}))
		},
		"Close in front of a Tee": func() weir.Stream[byte] {
			return weir.Tee(data().Through(closesBadly[byte](errUp)), weir.Branch{})[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "target")
			if err := os.WriteFile(path, []byte("before"), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := s().To(weir.Create(path)).Run(t.Context()); !errors.Is(err, errUp) {
				t.Errorf("error %v", err)
			}
			if got, err := os.ReadFile(path); string(got) != "before" || err != nil {
				t.Errorf("the target has %d bytes now, %v", len(got), err)
			}
		})
	}
	t.Run("status of a command", func(t *testing.T) {
		if _, err := exec.LookPath("sh"); err != nil {
			t.Skip(err)
		}
		path := filepath.Join(t.TempDir(), "target")
		err := data().Through(weir.Exec("sh", "-c", "cat; exit 3")).To(weir.Create(path)).Run(t.Context())
		if _, serr := os.Stat(path); err == nil || !errors.Is(serr, os.ErrNotExist) {
			t.Error(err, serr)
		}
	})
	t.Run("another flow of a Join", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "target")
		err := weir.Join(data().To(weir.Create(path)), weir.Values(1).Through(closesBadly[int](errUp)).To(weir.Discard[int]())).Run(t.Context())
		if _, serr := os.Stat(path); !errors.Is(err, errUp) || !errors.Is(serr, os.ErrNotExist) {
			t.Error(err, serr)
		}
	})
}

func TestMap_InOrderDeliversEverythingBeforeTheFailingValue(t *testing.T) {
	const n, bad = 1000, 500
	fail := func(workers int) weir.Stream[int] {
		return weir.Map(weir.FromSlice(ints(n)), func(i int) (int, error) {
			if i >= bad {
				return 0, fmt.Errorf("%d: %w", i, errFunc)
			}
			return i, nil
		}, weir.Workers(workers))
	}
	check := func(t *testing.T, what string, got []int, err error) {
		t.Helper()
		var ie *weir.ItemError
		if !slices.Equal(got, ints(bad)) || !errors.Is(err, errFunc) || !errors.As(err, &ie) || ie.Index != bad {
			t.Fatalf("%s: %d values, %v", what, len(got), err)
		}
	}
	for _, workers := range []int{1, 2, 8} {
		for range 30 {
			got, err := weir.Collect(t.Context(), fail(workers), n)
			check(t, "Collect", got, err)

			got, err = nil, nil
			for v, e := range fail(workers).All(t.Context()) {
				if e != nil {
					err = e
					break
				}
				got = append(got, v)
			}
			check(t, "All", got, err)

			got = nil
			err = fail(workers).To(weir.Each(func(_ context.Context, i int) error { got = append(got, i); return nil })).Run(t.Context())
			check(t, "Run", got, err)

			got = nil
			ch, end := fail(workers).Chan(t.Context())
			for v := range ch {
				got = append(got, v)
			}
			check(t, "Chan", got, end())
		}
	}
}

func TestErrStop_JoinedWithAnErrorIsAFailure(t *testing.T) {
	joined := errors.Join(weir.ErrStop, errFunc)
	three := func() weir.Stream[int] { return weir.Values(1, 2, 3) }
	run := func(t *testing.T, k weir.Sink[int]) error { return three().To(k).Run(t.Context()) }
	source := func(read func() (int, error)) weir.Stream[int] {
		return weir.From(weir.Source[int]{Name: "source", Open: func(context.Context) (weir.Reader[int], error) {
			return readFunc[int](func([]int) (int, error) { return read() }), nil
		}})
	}
	count := func(t *testing.T, s weir.Stream[int]) error { _, err := weir.Count(t.Context(), s); return err }
	for name, f := range map[string]func(t *testing.T) error{
		"Each": func(t *testing.T) error { return run(t, weir.Each(func(context.Context, int) error { return joined })) },
		"EachBatch": func(t *testing.T) error {
			return run(t, weir.EachBatch(func(context.Context, []int) error { return joined }))
		},
		"Sink": func(t *testing.T) error {
			return run(t, weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) {
				return writeFunc[int](func([]int) (int, error) { return 0, joined }), nil
			}})
		},
		"Reduce": func(t *testing.T) error {
			_, err := weir.Reduce(t.Context(), three(), 0, func(int, int) (int, error) { return 0, joined })
			return err
		},
		"ToWriter": func(t *testing.T) error {
			w := writeFunc[byte](func([]byte) (int, error) { return 0, joined })
			return weir.Values[byte](1).To(weir.ToWriter(w)).Run(t.Context())
		},
		"From": func(t *testing.T) error { return count(t, source(func() (int, error) { return 0, joined })) },
		"FromFunc": func(t *testing.T) error {
			return count(t, weir.FromFunc(func(context.Context) (int, error) { return 0, joined }))
		},
		"FromSeq2": func(t *testing.T) error {
			return count(t, weir.FromSeq2(func(yield func(int, error) bool) { yield(0, joined) }))
		},
		"Generate": func(t *testing.T) error { return count(t, failsAfter(1, joined)) },
		"Retry": func(t *testing.T) error {
			return count(t, weir.Retry(func(context.Context, int64) (weir.Reader[int], error) { return nil, joined },
				weir.RetryOptions{Attempts: 1}))
		},
		"FromReader": func(t *testing.T) error {
			_, err := weir.Count(t.Context(), weir.FromReader(readFunc[byte](func([]byte) (int, error) { return 0, joined })))
			return err
		},
		"FromPipe": func(t *testing.T) error {
			r, w := weir.NewPipe[int](weir.Limit{})
			w.CloseWithError(joined)
			return count(t, weir.FromPipe(r))
		},
		"Concat": func(t *testing.T) error { return count(t, weir.Concat(three(), failsAfter(1, joined))) },
		"Merge":  func(t *testing.T) error { return count(t, weir.Merge(three(), failsAfter(1, joined))) },
		"Tee":    func(t *testing.T) error { return count(t, weir.Tee(failsAfter(1, joined), weir.Branch{})[0]) },
		"Batch": func(t *testing.T) error {
			_, err := weir.Count(t.Context(), weir.Batch(failsAfter(1, joined), weir.BatchOptions{Items: 9}))
			return err
		},
		"Timeout": func(t *testing.T) error { return count(t, weir.Timeout(failsAfter(1, joined), time.Hour)) },
		"Open of a source": func(t *testing.T) error {
			return count(t, weir.From(weir.Source[int]{Name: "s", Open: func(context.Context) (weir.Reader[int], error) { return nil, joined }}))
		},
		"Flush": func(t *testing.T) error {
			return count(t, three().Through(weir.Do("do", func(_ context.Context, in []int, emit func([]int) error) error { return emit(in) },
				func(context.Context, func([]int) error) error { return joined })))
		},
		"Close of a stage": func(t *testing.T) error { return count(t, three().Through(closesBadly[int](joined))) },
		"Run of a stage": func(t *testing.T) error {
			return count(t, three().Through(weir.Stage[int, int]{Name: "run", Run: func(context.Context, weir.Reader[int], weir.Writer[int]) error { return joined }}))
		},
		"Map that retries": func(t *testing.T) error {
			return count(t, weir.Map(three(), func(int) (int, error) { return 0, joined }, weir.RetryItems(2, func(int) time.Duration { return 0 })))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := f(t); !errors.Is(err, errFunc) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type readFunc[T any] func([]T) (int, error)

func (f readFunc[T]) Read(p []T) (int, error) { return f(p) }

type writeFunc[T any] func([]T) (int, error)

func (f writeFunc[T]) Write(p []T) (int, error) { return f(p) }

func TestFlow_DeliversTheValuesBeforeAnErrorAlways(t *testing.T) {
	for range 50 {
		n := 0
		same := func(i int) (int, error) { return i, nil }
		err := weir.Map(failsAfter(1000, errUp), same).To(weir.Each(func(context.Context, int) error { n++; return nil })).Run(t.Context())
		if n != 1000 || !errors.Is(err, errUp) {
			t.Fatalf("%d values, %v", n, err)
		}
		got, err := weir.Collect(t.Context(), weir.Map(failsAfter(1000, errUp), same), 5000)
		if len(got) != 1000 || !errors.Is(err, errUp) {
			t.Fatalf("Collect: %d values, %v", len(got), err)
		}
	}
}

func TestGunzip_DeliversTheGoodBytesOfATruncatedFile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for range 300_000 {
		z.Write([]byte{"ABCDEFGH"[random.IntN(8)]})
	}
	z.Close()
	cut := packed.Bytes()[:packed.Len()/2]
	zr, err := gzip.NewReader(bytes.NewReader(cut))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := io.ReadAll(zr)
	for range 20 {
		var got bytes.Buffer
		err := weir.FromReader(bytes.NewReader(cut)).Through(compress.Gunzip()).To(weir.ToWriter(&got)).Run(t.Context())
		// The last symbol may need bits that are missing.
		if err == nil || !bytes.HasPrefix(want, got.Bytes()) || got.Len() < len(want)-300 {
			t.Fatalf("%d bytes of %d, %v", got.Len(), len(want), err)
		}
	}
}

func TestFlow_ErrorOfClosingAfterACancelMatchesTheContext(t *testing.T) {
	for i := range 1500 {
		ctx, cancel := context.WithCancelCause(t.Context())
		src := weir.Source[int]{Name: "source", Open: func(context.Context) (weir.Reader[int], error) {
			return &ceaseless{cancel: func() { cancel(errUp) }, at: i % 40}, nil
		}}
		s := weir.Map(weir.From(src), func(i int) (int, error) { return i, nil })
		if i%3 == 0 {
			s = s.Async(weir.Items(3))
		}
		err := s.To(weir.Discard[int]()).Run(ctx)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, errUp) || !errors.Is(err, errDown) {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// ceaseless is a source whose Close fails, and which cancels its flow.
type ceaseless struct {
	cancel func()
	at, n  int
}

func (e *ceaseless) Read(dst []int) (int, error) {
	if e.n++; e.n == e.at+1 {
		e.cancel()
	}
	return copy(dst, []int{1, 2, 3}), nil
}

func (e *ceaseless) Close() error                    { return errDown }
func (e *ceaseless) SetReadDeadline(time.Time) error { return nil }

func TestFlow_RunsAgainAfterAPanicOfOnStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		f := weir.Values(1).To(weir.Each(func(context.Context, int) error {
			<-release
			return nil
		}))
		f.Grace = time.Second
		f.OnStuck = func([]string) {
			close(release)
			panic(errUp)
		}
		time.AfterFunc(time.Second, cancel)
		err := runAndRecover(ctx, f)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, errUp) {
			t.Errorf("error %v", err)
		}
		f.OnStuck = nil
		if err := f.Run(t.Context()); err != nil {
			t.Errorf("the second run: %v", err)
		}
	})
}

func runAndRecover(ctx context.Context, f *weir.Flow) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Run panics: %v", r)
		}
	}()
	return f.Run(ctx)
}

func TestSources_ThatAreUsedUpSaySo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("abc"), 0o666); err != nil {
		t.Fatal(err)
	}
	once := func(n int) iter.Seq[byte] {
		return func(yield func(byte) bool) {
			for ; n > 0; n-- {
				if !yield(1) {
					return
				}
			}
		}
	}
	left := 3
	closed := make(chan byte, 3)
	closed <- 1
	close(closed)
	pr, pw := weir.NewPipe[byte](weir.Limit{})
	pw.Write([]byte("abc"))
	pw.Close()
	for name, c := range map[string]struct {
		s     weir.Stream[byte]
		twice bool
	}{
		"FromReader":                {s: weir.FromReader(bytes.NewReader([]byte("abc")))},
		"FromReader that is closed": {s: weir.FromReader(&closes{Reader: bytes.NewReader([]byte("abc"))})},
		"FromPipe":                  {s: weir.FromPipe(pr)},
		"FromChan":                  {s: weir.FromChan(closed)},
		"FromSeq, single use":       {s: weir.FromSeq(once(3))},
		"FromSeq2, single use": {s: weir.FromSeq2(func(yield func(byte, error) bool) {
			for ; left > 0; left-- {
				if !yield(1, nil) {
					return
				}
			}
		})},
		"FromFunc, single use": {s: func() weir.Stream[byte] {
			n := 3
			return weir.FromFunc(func(context.Context) (byte, error) {
				if n--; n < 0 {
					return 0, io.EOF
				}
				return 1, nil
			})
		}()},
		"Concat of a reader":     {s: weir.Concat(weir.Values[byte](1), weir.FromReader(bytes.NewReader([]byte("abc"))))},
		"a reader behind stages": {s: weir.FromReader(bytes.NewReader([]byte("abc"))).Through(passOn()).Async(weir.Limit{})},
		"Tee of a reader":        {s: weir.Tee(weir.FromReader(bytes.NewReader([]byte("abc"))), weir.Branch{})[0]},
		"FromSeq":                {s: weir.FromSeq(slices.Values([]byte("abc"))), twice: true},
		"FromSeq of nothing":     {s: weir.FromSeq(slices.Values([]byte(nil))), twice: true},
		"FromSlice":              {s: weir.FromSlice([]byte("abc")), twice: true},
		"Values":                 {s: weir.Values[byte](1, 2), twice: true},
		"File":                   {s: weir.File(path), twice: true},
		"FileRange":              {s: weir.FileRange(path, 1, 1), twice: true},
		"Generate":               {s: weir.Generate("g", func(_ context.Context, emit func([]byte) error) error { return emit([]byte("abc")) }), twice: true},
		"Retry": {s: weir.Retry(func(_ context.Context, at int64) (weir.Reader[byte], error) {
			return bytes.NewReader([]byte("abc")[at:]), nil
		}, weir.RetryOptions{}), twice: true},
		"From": {s: weir.From(weir.Source[byte]{Name: "s", Open: func(context.Context) (weir.Reader[byte], error) {
			return bytes.NewReader([]byte("abc")), nil
		}}), twice: true},
	} {
		t.Run(name, func(t *testing.T) {
			first, err := weir.Count(t.Context(), c.s)
			if err != nil {
				t.Fatal(err)
			}
			again, err := weir.Count(t.Context(), c.s)
			if c.twice && (err != nil || again != first) {
				t.Errorf("the second run: %d of %d values, %v", again, first, err)
			}
			if !c.twice && !errors.Is(err, weir.ErrUsedUp) {
				t.Errorf("the second run: %d of %d values, %v", again, first, err)
			}
		})
	}
}

func TestFlow_LosesNoError(t *testing.T) {
	other := errors.New("closing failed")
	bad := func(write, close error) weir.Sink[int] {
		return weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) { return badSink{write, close}, nil }}
	}
	for name, c := range map[string]struct {
		f    *weir.Flow
		want []error
	}{
		"Write and Close of one sink":  {weir.Values(1).To(bad(errDown, other)), []error{errDown, other}},
		"Close of two sinks":           {weir.Join(weir.Values(1).To(bad(nil, other)), weir.Values(1).To(bad(nil, errDown))), []error{other, errDown}},
		"a stage and Close of a sink":  {weir.Values(1).Through(closesBadly[int](errUp)).To(bad(nil, other)), []error{errUp, other}},
		"a source and Close of a sink": {failsAfter(1, errUp).To(bad(nil, other)), []error{errUp, other}},
		"two stages":                   {weir.Values(1).Through(closesBadly[int](errUp), closesBadly[int](other)).To(weir.Discard[int]()), []error{errUp, other}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.f.Run(t.Context())
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("%v does not match %v", err, want)
				}
			}
		})
	}
}

type badSink struct{ write, close error }

func (b badSink) Write(p []int) (int, error) { return len(p), b.write }
func (b badSink) Close() error               { return b.close }

func TestSized_PanicLeavesNoPipeLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := weir.FromSlice(make([]int, 100)).Sized(func(int) int { panic(errFunc) })
		var pe *weir.PanicError
		if err := s.Async(weir.Limit{}).To(weir.Discard[int]()).Run(t.Context()); !errors.As(err, &pe) || !errors.Is(err, errFunc) {
			t.Errorf("error %v", err)
		}
		r, w, err := weir.PipeOptions[int]{Limit: weir.Bytes(1000), Size: func(i int) int {
			if i == 2 {
				panic(errFunc)
			}
			return i
		}}.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, write := range map[string]func() error{
			"Send":      func() error { return w.Send(t.Context(), 2) },
			"SendBatch": func() error { _, err := w.SendBatch(t.Context(), []int{2}); return err },
			"TrySend":   func() error { return w.TrySend(2) },
			"TryWrite":  func() error { return w.TryWrite([]int{2}) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic is gone")
					}
				}()
				write()
			}()
			if err := w.Send(t.Context(), 1); err != nil {
				t.Error(err)
			}
			if v, err := r.Recv(t.Context()); v != 1 || err != nil {
				t.Error(v, err)
			}
		}
	})
}

func TestBudget_IsSharedByFlowsThatHoldMoreThanHalfOfItEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := weir.NewBudget(1 << 20)
		done := make(chan error, 2)
		for range 2 {
			n := 0
			s := weir.FromFunc(func(context.Context) ([]byte, error) {
				if n++; n > 100 {
					return nil, io.EOF
				}
				return make([]byte, 60_000), nil
			})
			holds := weir.Do("holds", func(_ context.Context, in [][]byte, emit func([][]byte) error) error { return emit(in) }, nil)
			holds.Holds = 600 << 10
			f := s.Through(holds).Async(weir.Limit{}).To(weir.Discard[[]byte]())
			f.Budget = budget
			go func() { done <- f.Run(t.Context()) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if budget.Used() != 0 {
			t.Errorf("%d bytes are still taken", budget.Used())
		}
	})
}

func TestStop_EndsEverySourceAndFinishesWhatItHas(t *testing.T) {
	ch := make(chan int)
	r, w := weir.NewPipe[int](weir.Items(4))
	defer w.Close()
	for name, s := range map[string]weir.Stream[int]{
		"FromChan": weir.FromChan(ch),
		"FromPipe": weir.FromPipe(r),
		"FromFunc": weir.FromFunc(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}),
		"Generate": weir.Generate("generate", func(ctx context.Context, emit func([]int) error) error {
			if err := emit([]int{1}); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}),
		"FromSeq": weir.FromSeq(func(yield func(int) bool) {
			for yield(1) {
			}
		}),
		"FromSlice": weir.FromSlice(make([]int, 1<<20)),
		"Merge": weir.Merge(weir.FromSeq(func(yield func(int) bool) {
			for yield(1) {
			}
		}), weir.Values(1)),
		"Concat": weir.Concat(weir.FromSeq(func(yield func(int) bool) {
			for yield(1) {
			}
		}), weir.Values(1)),
	} {
		t.Run(name, func(t *testing.T) {
			var seen, taken atomic.Int64
			f := weir.Tap(s, func(int) { seen.Add(1) }).Async(weir.Items(3)).To(weir.Each(func(context.Context, int) error { taken.Add(1); return nil }))
			done := make(chan error, 1)
			go func() { done <- f.Run(context.Background()) }()
			for f.Report().Stages == nil {
				time.Sleep(time.Microsecond)
			}
			f.Stop()
			if err := <-done; err != nil {
				t.Errorf("error %v", err)
			}
			if seen.Load() != taken.Load() {
				t.Errorf("%d of %d values were delivered", taken.Load(), seen.Load())
			}
		})
	}
}

// fickle is a source that fails, and whose Watch panics when the flow has
// ended.
type fickle struct{}

func (f fickle) Read([]int) (int, error)         { return 0, errUp }
func (f fickle) Watch(ctx context.Context) error { <-ctx.Done(); panic("watch") }

func TestFlow_FailureAfterAFailureIsNoCancel(t *testing.T) {
	s := weir.From(weir.Source[int]{Name: "fickle", Open: func(context.Context) (weir.Reader[int], error) { return fickle{}, nil }})
	err := s.Async(weir.Limit{}).To(weir.Discard[int]()).Run(t.Context())
	var pe *weir.PanicError
	if !errors.Is(err, errUp) || !errors.As(err, &pe) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// hesitant is a sink that cannot prepare, or commit, once its context has ended.
type hesitant struct {
	cancel func()
	when   string
}

func (h hesitant) Write(b []int) (int, error) { return len(b), nil }
func (h hesitant) Prepare() error             { return h.at("prepare") }
func (h hesitant) Commit() error              { return h.at("commit") }

func (h hesitant) at(when string) error {
	if when != h.when {
		return nil
	}
	h.cancel()
	return errDown
}

func TestFlow_CommitThatFailsAfterACancelMatchesTheContext(t *testing.T) {
	for _, when := range []string{"prepare", "commit"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		k := weir.Sink[int]{Name: "hesitant", Open: func(context.Context) (weir.Writer[int], error) {
			return hesitant{func() { cancel(errUp) }, when}, nil
		}}
		err := weir.Values(1, 2).To(k).Run(ctx)
		if !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) || !errors.Is(err, errUp) {
			t.Errorf("%s: %v", when, err)
		}
	}
}

func TestStop_LetsAFlowThatWaitsForItsBudgetEndOnceItHasIt(t *testing.T) {
	for name, s := range map[string]weir.Stream[int]{
		"slice":    weir.FromSlice(ints(10)),
		"seq":      weir.FromSeq(slices.Values(ints(10))),
		"func":     weir.FromFunc(func(context.Context) (int, error) { return 1, nil }),
		"generate": weir.Generate("generate", func(_ context.Context, emit func([]int) error) error { return emit(ints(10)) }),
		"concat":   weir.Concat(weir.FromSlice(ints(10)), weir.FromSlice(ints(10))),
		"read":     srcOf(&funcReader{func() (int, error) { return 1, nil }, func() error { return nil }}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := weir.NewBudget(1 << 20)
				if err := budget.Acquire(t.Context(), 1<<20); err != nil {
					t.Fatal(err)
				}
				n := 0
				f := s.Async(weir.Limit{}).To(weir.Each(func(context.Context, int) error { n++; return nil }))
				f.Budget = budget
				done := make(chan error)
				go func() { done <- f.Run(t.Context()) }()
				synctest.Wait()
				f.Stop()
				budget.Release(1 << 20)
				if err := <-done; err != nil || n != 0 || budget.Used() != 0 {
					t.Error(err, n, budget.Used())
				}
			})
		})
	}
}

// manyErrors is an error that cannot be compared.
type manyErrors []error

func (m manyErrors) Error() string { return "many" }

func TestFlow_EndsWithACauseThatCannotBeCompared(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	err := weir.Map(weir.FromSlice(ints(100)), func(i int) (int, error) {
		cancel(manyErrors{errUp})
		return i, nil
	}).Async(weir.Items(1)).To(weir.Discard[int]()).Run(ctx)
	var many manyErrors
	if !errors.As(err, &many) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
