package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/report"
)

// The slow parts of the flows whose verdict is known.

// slowSeq begins with n values that take d each.
func slowSeq(n int, d time.Duration) weir.Stream[int] {
	return weir.FromSeq(func(yield func(int) bool) {
		for i := range n {
			time.Sleep(d)
			if !yield(i) {
				return
			}
		}
	})
}

func fastInts(n int) weir.Stream[int] { return weir.FromSlice(ints(n)) }

func slowEach[T any](d time.Duration) weir.Sink[T] {
	return weir.Each(func(context.Context, T) error {
		time.Sleep(d)
		return nil
	})
}

func slowly[T any](d time.Duration) func(T) (T, error) {
	return func(v T) (T, error) {
		time.Sleep(d)
		return v, nil
	}
}

func yes[T any](d time.Duration, answer bool) func(T) bool {
	return func(T) bool {
		time.Sleep(d)
		return answer
	}
}

// pacedReader gives size bytes, each KiB of which takes d, at least one d.
type pacedReader struct {
	size int
	d    time.Duration
}

func (r *pacedReader) Read(p []byte) (int, error) {
	if r.size == 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.size, 16<<10)
	r.size -= n
	time.Sleep(time.Duration((n+1023)/1024) * r.d)
	return n, nil
}

// pacedWriter takes d for each KiB.
type pacedWriter struct{ d time.Duration }

func (w pacedWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Duration((len(p)+1023)/1024) * w.d)
	return len(p), nil
}

// pacedStage takes d for each KiB, and hold at the end.
func pacedStage(name string, d, hold time.Duration) weir.Stage[byte, byte] {
	st := weir.Do(name, func(_ context.Context, in []byte, emit func([]byte) error) error {
		time.Sleep(time.Duration((len(in)+1023)/1024) * d)
		return emit(in)
	}, func(context.Context, func([]byte) error) error {
		time.Sleep(hold)
		return nil
	})
	st.Heavy = true
	return st
}

type slowEnd struct {
	pacedWriter
	open, commit, close time.Duration
}

func (w slowEnd) sink() weir.Sink[byte] {
	return weir.Sink[byte]{Name: "end", Open: func(context.Context) (weir.Writer[byte], error) {
		time.Sleep(w.open)
		return w, nil
	}}
}

func (w slowEnd) Commit() error { time.Sleep(w.commit); return nil }
func (w slowEnd) Close() error  { time.Sleep(w.close); return nil }

// truth is an arrangement whose right answer is known: the name of the stage
// that is the bottleneck, two names with a + between them where two share it,
// or "budget".
type truth struct {
	name string
	want string
	flow func(t *testing.T) *weir.Flow
}

const ms = time.Millisecond

func truths() (list []truth) {
	add := func(name, want string, flow func(t *testing.T) *weir.Flow) {
		list = append(list, truth{name, want, flow})
	}
	// Every size, from one value to more than all pipes hold.
	for _, n := range []int{1, 2, 30, 3000, 20_000} {
		add(fmt.Sprintf("%d values, slow source", n), "seq", func(*testing.T) *weir.Flow {
			return weir.Map(slowSeq(n, ms), slowly[int](0)).To(slowEach[int](0))
		})
		add(fmt.Sprintf("%d values, slow stage", n), "map", func(*testing.T) *weir.Flow {
			return weir.Map(slowSeq(n, ms/100), slowly[int](ms)).To(slowEach[int](ms / 100))
		})
		add(fmt.Sprintf("%d values, slow sink", n), "each", func(*testing.T) *weir.Flow {
			return weir.Map(slowSeq(n, ms/100), slowly[int](ms/100)).Async(weir.Items(50)).To(slowEach[int](ms))
		})
	}
	for _, n := range []int{1, 1000, 64 << 10, 150 << 10, 4 << 20} {
		src := func(d time.Duration) weir.Stream[byte] { return weir.FromReader(&pacedReader{n, d}) }
		add(fmt.Sprintf("%d bytes, slow reader", n), "read", func(*testing.T) *weir.Flow {
			return src(ms).Through(pacedStage("pass", ms/50, 0)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
		add(fmt.Sprintf("%d bytes, slow stage", n), "pass", func(*testing.T) *weir.Flow {
			return src(ms / 50).Through(pacedStage("pass", ms, 0)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
		add(fmt.Sprintf("%d bytes, slow writer", n), "write", func(*testing.T) *weir.Flow {
			return src(ms / 50).Through(pacedStage("pass", ms/50, 0)).To(weir.ToWriter(pacedWriter{ms}))
		})
		add(fmt.Sprintf("%d bytes, slow end of a stage", n), "sort", func(*testing.T) *weir.Flow {
			return src(ms / 50).Through(pacedStage("sort", ms/50, time.Minute)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
	}
	for _, n := range []int{10 << 10, 150 << 10, 4 << 20} {
		add(fmt.Sprintf("%d bytes at a rate", n), "rate", func(*testing.T) *weir.Flow {
			return weir.FromReader(&pacedReader{n, ms / 50}).Through(pace.RateLimit[byte](50<<10, time.Second)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
		add(fmt.Sprintf("%d bytes in a large pipe before a rate", n), "rate", func(*testing.T) *weir.Flow {
			return weir.FromReader(&pacedReader{n, ms / 50}).Async(weir.Bytes(64 << 20)).Through(pace.RateLimit[byte](50<<10, time.Second)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
		add(fmt.Sprintf("%d bytes in a large pipe before a slow writer", n), "write", func(*testing.T) *weir.Flow {
			return weir.FromReader(&pacedReader{n, ms / 4}).Async(weir.Bytes(64 << 20)).To(weir.ToWriter(pacedWriter{ms}))
		})
		add(fmt.Sprintf("%d bytes from a source that is slower than a rate", n), "read", func(*testing.T) *weir.Flow {
			return weir.FromReader(&pacedReader{n, 100 * ms}).Through(pace.RateLimit[byte](50<<10, time.Second)).To(weir.ToWriter(pacedWriter{ms / 50}))
		})
	}
	// Opening and closing.
	for _, c := range []struct {
		name string
		end  slowEnd
	}{
		{"slow to open", slowEnd{open: time.Second}},
		{"slow to commit", slowEnd{commit: time.Second}},
		{"slow to close", slowEnd{close: time.Second}},
	} {
		add("a sink that is "+c.name, "end", func(*testing.T) *weir.Flow {
			return weir.FromReader(&pacedReader{1000, ms}).To(c.end.sink())
		})
	}
	add("a source that is slow to open", "source", func(*testing.T) *weir.Flow {
		return weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) {
			time.Sleep(time.Second)
			return &pacedReader{1000, ms}, nil
		}}).To(weir.ToWriter(pacedWriter{ms}))
	})

	// Every operator, slow itself.
	const n, d, quick = 300, ms, ms / 100
	ops := map[string]func(weir.Stream[int]) weir.Stream[int]{
		"map": func(s weir.Stream[int]) weir.Stream[int] { return weir.Map(s, slowly[int](d)) },
		"filter": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Filter(s, yes[int](d, true))
		},
		"tap": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Tap(s, func(int) { time.Sleep(d) })
		},
		"scan": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Scan(s, 0, func(a, v int) int { time.Sleep(d); return a + v })
		},
		"flatmap": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.FlatMap(s, func(_ context.Context, v int, emit func(...int) error) error {
				time.Sleep(d)
				return emit(v, v)
			}).Named("flatmap")
		},
		"takewhile": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.TakeWhile(s, yes[int](d, true)).Named("takewhile")
		},
		"dropwhile": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.DropWhile(s, yes[int](d, true)).Named("dropwhile")
		},
		"dedupe": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.DedupeBy(s, func(v int) int { time.Sleep(d); return v }, 8).Named("dedupe")
		},
		"context": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.MapContext(s, func(_ context.Context, v int) (int, error) { time.Sleep(d); return v, nil }).Named("context")
		},
		"workers": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(s, slowly[int](10*d), weir.Workers(4)).Named("workers")
		},
		"unordered": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(s, slowly[int](10*d), weir.Workers(4), weir.Unordered()).Named("unordered")
		},
		"retry": func(s weir.Stream[int]) weir.Stream[int] {
			tries := 0
			return weir.Map(s, func(v int) (int, error) {
				if tries++; tries%2 == 1 {
					return 0, errors.New("once more")
				}
				return v, nil
			}, weir.RetryItems(2, func(int) time.Duration { return d })).Named("retry")
		},
		"straggler": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(s, func(v int) (int, error) {
				if v == 20 {
					time.Sleep(time.Minute)
				}
				return v, nil
			}, weir.Workers(4), weir.Window(8)).Named("straggler")
		},
		"last": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(s, func(v int) (int, error) {
				if v == n-1 {
					time.Sleep(time.Minute)
				}
				return v, nil
			}, weir.Workers(4), weir.Unordered()).Named("last")
		},
		"gate": func(s weir.Stream[int]) weir.Stream[int] {
			var g pace.Gate
			g.Pause()
			time.AfterFunc(time.Minute, g.Resume)
			return pace.Gated(s, &g).Named("gate")
		},
		"run": func(s weir.Stream[int]) weir.Stream[int] {
			return s.Through(weir.Stage[int, int]{Name: "run", Run: func(_ context.Context, in weir.Reader[int], out weir.Writer[int]) error {
				for buf := make([]int, 1); ; {
					if _, err := in.Read(buf); err != nil {
						return nil
					}
					time.Sleep(d)
					if _, err := out.Write(buf); err != nil {
						return err
					}
				}
			}})
		},
		"chain": func(s weir.Stream[int]) weir.Stream[int] {
			st := weir.Do("chain", func(_ context.Context, in []int, emit func([]int) error) error {
				time.Sleep(time.Duration(len(in)) * d)
				return emit(in)
			}, nil)
			return s.Through(st)
		},
	}
	for name, op := range ops {
		add(name+", in one lane", name, func(*testing.T) *weir.Flow {
			return op(slowSeq(n, quick)).To(slowEach[int](quick))
		})
		add(name+", between pipes", name, func(*testing.T) *weir.Flow {
			return op(slowSeq(n, quick).Async(weir.Items(4))).Async(weir.Items(4)).To(slowEach[int](quick))
		})
		switch name {
		case "gate", "straggler", "last": // their one wait does not depend on the others
			continue
		case "dropwhile": // it drops all
			continue
		}
		add(name+", quicker than its source", "seq", func(*testing.T) *weir.Flow {
			return op(slowSeq(n, 20*d)).To(slowEach[int](quick))
		})
		add(name+", quicker than its sink", "each", func(*testing.T) *weir.Flow {
			return op(slowSeq(n, quick)).Async(weir.Items(4)).To(slowEach[int](20 * d))
		})
	}
	// Operators that only pass on.
	passing := map[string]func(weir.Stream[int]) weir.Stream[int]{
		"take": func(s weir.Stream[int]) weir.Stream[int] { return weir.Take(s, n-10) },
		"drop": func(s weir.Stream[int]) weir.Stream[int] { return weir.Drop(s, 2) },
		"enumerate": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(weir.Enumerate(s), func(v weir.Pair[int64, int]) (int, error) { return v.Second, nil })
		},
		"timeout": func(s weir.Stream[int]) weir.Stream[int] { return weir.Timeout(s, time.Hour) },
		"batch": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.FlatMap(weir.Batch(s, weir.BatchOptions{Items: 10, Delay: time.Second}),
				func(_ context.Context, b []int, emit func(...int) error) error { return emit(b...) })
		},
		"concat": func(s weir.Stream[int]) weir.Stream[int] { return weir.Concat(s) },
		"zip": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Map(weir.Zip(s, fastInts(n)), func(p weir.Pair[int, int]) (int, error) { return p.First, nil })
		},
		"merge": func(s weir.Stream[int]) weir.Stream[int] { return weir.Merge(s, fastInts(n/2)) },
		"partition": func(s weir.Stream[int]) weir.Stream[int] {
			parts := weir.Partition(s, 3, func(v int) int { return v % 3 })
			return weir.Merge(parts...)
		},
		"tee": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Merge(weir.Tee(s, weir.Branch{}, weir.Branch{})...)
		},
		"rendezvous": func(s weir.Stream[int]) weir.Stream[int] { return s.Async(weir.Items(0)) },
	}
	for name, op := range passing {
		source := "seq"
		if name == "concat" {
			source = "concat" // its inner flows are one source
		}
		add(name+" behind a slow source", source, func(*testing.T) *weir.Flow {
			return op(slowSeq(n, d)).To(slowEach[int](quick))
		})
		add(name+" before a slow sink", "each", func(*testing.T) *weir.Flow {
			return op(slowSeq(n, quick)).Async(weir.Items(4)).To(slowEach[int](d))
		})
	}
	add("throttle waits for nobody", "seq", func(*testing.T) *weir.Flow {
		return pace.Throttle(slowSeq(n, d), 10*d).To(slowEach[int](quick))
	})
	add("merge of a slow and a quick source", "slow", func(*testing.T) *weir.Flow {
		return weir.Merge(slowSeq(n, quick).Named("quick"), slowSeq(n, d).Named("slow")).To(slowEach[int](quick))
	})
	add("zip with a slow second", "slow", func(*testing.T) *weir.Flow {
		return weir.Zip(slowSeq(n, quick), slowSeq(n, d).Named("slow")).To(slowEach[weir.Pair[int, int]](quick))
	})
	add("tee with a slow branch", "slow", func(*testing.T) *weir.Flow {
		b := weir.Tee(slowSeq(n, quick), weir.Branch{Limit: weir.Items(4)}, weir.Branch{})
		slow := slowEach[int](d)
		slow.Name = "slow"
		return weir.Join(b[0].To(slow), b[1].To(slowEach[int](quick)))
	})
	add("tee with a branch that outlasts the other", "slow", func(*testing.T) *weir.Flow {
		b := weir.Tee(slowSeq(n, quick), weir.Branch{}, weir.Branch{})
		slow := slowEach[int](d)
		slow.Name = "slow"
		return weir.Join(b[0].To(slow), b[1].To(slowEach[int](quick)))
	})
	add("generate", "gen", func(*testing.T) *weir.Flow {
		return weir.Generate("gen", func(_ context.Context, emit func([]int) error) error {
			for range n {
				time.Sleep(d)
				if err := emit([]int{1}); err != nil {
					return err
				}
			}
			return nil
		}).To(slowEach[int](quick))
	})
	add("a slow producer of a channel", "channel", func(*testing.T) *weir.Flow {
		ch := make(chan int)
		go func() {
			defer close(ch)
			for i := range n {
				time.Sleep(d)
				ch <- i
			}
		}()
		return weir.FromChan(ch).To(slowEach[int](quick))
	})
	add("a slow consumer of a channel", "channel", func(*testing.T) *weir.Flow {
		ch := make(chan int)
		go func() {
			for range n {
				time.Sleep(d)
				<-ch
			}
		}()
		return slowSeq(n, quick).To(weir.ToChan(ch))
	})
	add("retries of a source that breaks", "retry", func(*testing.T) *weir.Flow {
		return weir.Retry(func(_ context.Context, at int64) (weir.Reader[byte], error) {
			if at < 5 {
				return io.MultiReader(strings.NewReader("x"), &failing{}), nil
			}
			return strings.NewReader("the end"), nil
		}, weir.RetryOptions{Backoff: func(int) time.Duration { return time.Second }}).To(weir.ToWriter(pacedWriter{ms}))
	})

	// Two that share it.
	add("two stages of one lane", "map+each", func(*testing.T) *weir.Flow {
		return weir.Map(fastInts(n), slowly[int](d)).To(slowEach[int](d))
	})
	add("a source and a sink without room between them", "map+each", func(*testing.T) *weir.Flow {
		return weir.Map(slowSeq(n, quick), slowly[int](d)).To(slowEach[int](d))
	})
	add("a sink that is slow after a source that was", "seq+each", func(*testing.T) *weir.Flow {
		i := 0
		return slowSeq(n, d).To(weir.Each(func(context.Context, int) error {
			if i++; i == n {
				time.Sleep(n * d)
			}
			return nil
		}))
	})
	add("a source that stops half way and a sink that is slow before", "seq+each", func(*testing.T) *weir.Flow {
		s := weir.FromSeq(func(yield func(int) bool) {
			for i := range 100 {
				if i == 50 {
					time.Sleep(25 * time.Second)
				}
				if !yield(i) {
					return
				}
			}
		})
		i := 0
		return s.Async(weir.Items(4)).To(weir.Each(func(context.Context, int) error {
			if i++; i <= 50 {
				time.Sleep(500 * ms)
			}
			return nil
		}))
	})
	add("two that are equally slow", "seq+each", func(*testing.T) *weir.Flow {
		return slowSeq(n, d).To(slowEach[int](d))
	})

	// The budget.
	add("a budget that others hold at the beginning", "budget", func(t *testing.T) *weir.Flow {
		b := weir.NewBudget(1 << 20)
		if err := b.Acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { b.Release(1 << 20) })
		f := slowSeq(n, d).To(slowEach[int](quick))
		f.Budget = b
		return f
	})
	add("a budget that is large enough", "each", func(*testing.T) *weir.Flow {
		f := slowSeq(n, quick).Async(weir.Items(4)).To(slowEach[int](d))
		f.Budget = weir.NewBudget(1 << 20)
		return f
	})
	return list
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// answer is a verdict in the words of the truth table.
func answer(v report.Verdict) string {
	switch {
	case v.Measuring:
		return "measuring"
	case v.Budget:
		return "budget"
	case v.Copy:
		return "copy"
	case v.Why == report.Unknown:
		return "unknown"
	case v.Stage == "" && v.Between[0].Name != "":
		return v.Between[0].Name + "+" + v.Between[1].Name
	case v.Stage == "":
		return "none"
	}
	return v.Stage
}

func TestVerdict_IsTrueInEveryArrangement(t *testing.T) {
	list := truths()
	if len(list) < 60 {
		t.Errorf("only %d arrangements", len(list))
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := c.flow(t)
				if err := f.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				r := f.Report()
				if got := answer(r.Verdict); got != c.want {
					t.Errorf("%s, want %s: %v\n%v", got, c.want, r.Verdict, r)
				}
				for _, s := range r.Stages {
					if sum := s.Busy + s.Blocked + s.Starved + s.Outside + s.Unknown; sum != s.Wall {
						t.Errorf("%s: the states add up to %v of %v", s.Name, sum, s.Wall)
					}
				}
			})
		})
	}
}

// The verdict distinguishes a wait for memory from a wait for the next stage,
// even if it does not govern the flow.
func TestVerdict_DoesNotCallAStageSlowForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weir.NewBudget(1 << 20)
		held := make(chan struct{})
		s := weir.FromSeq(func(yield func(string) bool) {
			for i := range 50 {
				if i == 1 {
					<-held // by the others
				}
				if !yield(strings.Repeat("x", 8<<10)) {
					return
				}
			}
		})
		begun := make(chan struct{})
		first := true
		f := s.Async(weir.Bytes(1 << 20)).To(weir.Each(func(context.Context, string) error {
			if first {
				first = false
				close(begun)
			}
			time.Sleep(time.Second)
			return nil
		}))
		f.Budget = b
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		<-begun
		rest := b.Total() - b.Used()
		if b.Acquire(t.Context(), rest) != nil {
			t.Fatal("the rest of the budget is not there")
		}
		close(held)
		time.Sleep(20*time.Second + 500*ms)
		synctest.Wait()
		seq := f.Report().Stages[0]
		if v := f.Report().Verdict; v.Stage != "each" {
			t.Error(v)
		}
		if seq.Budget < 10*time.Second || seq.Budget > seq.Blocked {
			t.Errorf("%v of %v for the budget", seq.Budget, seq.Blocked)
		}
		b.Release(rest)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestVerdict_IsMeasuringUntilSomethingIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowSeq(100, 700*ms).To(slowEach[int](500 * ms))
		if v := f.Report().Verdict; !v.Measuring || v.String() != "measuring" {
			t.Error("before the run:", v)
		}
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		synctest.Wait()
		if v := f.Report().Verdict; !v.Measuring {
			t.Error("at the beginning:", v)
		}
		w := report.Watch(f.Report)
		for range 7 {
			time.Sleep(250 * ms)
			if now, _ := w.Look(); !now.Verdict.Measuring {
				t.Error("before it has held:", now.Verdict)
			}
		}
		var at time.Time
		var now report.Report
		for range 20 {
			time.Sleep(250 * ms)
			now, at = w.Look()
		}
		if now.Verdict.Stage != "seq" || time.Since(at) < 2*time.Second {
			t.Error(now.Verdict, time.Since(at))
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if v := f.Report().Verdict; v.Measuring {
			t.Error("after the run:", v)
		}
	})
}

// A look that comes seldom covers enough time to be believed at once.
func TestWatcher_BelievesALongSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowSeq(100, 100*ms).To(slowEach[int](ms))
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		w := report.Watch(f.Report)
		begin := time.Now()
		time.Sleep(5 * time.Second)
		now, since := w.Look()
		if now.Verdict.Stage != "seq" || !since.Equal(begin) {
			t.Error(now.Verdict, since.Sub(begin))
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A flow that waits for its budget says so while it does.
func TestWatcher_NamesTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weir.NewBudget(1 << 20)
		if err := b.Acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		f := slowSeq(10, ms).To(slowEach[int](ms))
		f.Budget = b
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		synctest.Wait()
		w := report.Watch(f.Report)
		time.Sleep(3 * time.Second)
		now, _ := w.Look()
		if got := now.Verdict.String(); got != "the shared memory budget is the bottleneck: the flow waited for memory 100% of the time" {
			t.Error(got)
		}
		b.Release(1 << 20)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// Commands and system calls take real time, so only the name is looked at.
func TestVerdict_IsTrueOfCommands(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	bytes := func(d time.Duration) weir.Stream[byte] {
		return weir.FromReader(&pacedReader{64 << 10, d})
	}
	for _, c := range []struct {
		name, want string
		flow       *weir.Flow
	}{
		{"a command that works when it has read all", "exec sh", bytes(0).Through(weir.Exec("sh", "-c", "cat >/dev/null; sleep 0.5; echo done")).To(weir.Discard[byte]())},
		{"a command that is slow to read", "exec sh", bytes(0).Through(weir.Exec("sh", "-c", "sleep 0.5; cat")).To(weir.Discard[byte]())},
		{"a slow source before a command", "read", bytes(10 * ms).Through(weir.Exec("cat")).To(weir.Discard[byte]())},
		{"a slow sink behind a command", "write", bytes(0).Through(weir.Exec("cat")).To(weir.ToWriter(pacedWriter{10 * ms}))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.flow.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r := c.flow.Report(); answer(r.Verdict) != c.want {
				t.Errorf("want %s: %v\n%v", c.want, r.Verdict, r)
			}
		})
	}
}
