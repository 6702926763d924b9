package weir_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/text"
)

var (
	errUp   = errors.New("upstream failed")
	errDown = errors.New("downstream failed")
	errFunc = errors.New("the function failed")
)

func ints(n int) []int {
	xs := make([]int, n)
	for i := range xs {
		xs[i] = i
	}
	return xs
}

// each hands the values on in batches of every size from 1 to 5 in turn, to
// show that a result does not depend on them.
func each[T any](xs []T) weir.Stream[T] {
	return weir.Generate("each", func(_ context.Context, emit func([]T) error) error {
		for i, rest := 0, xs; len(rest) > 0; i++ {
			n := min(1+i%5, len(rest))
			if err := emit(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

func TestOperators_ReturnTheirValues(t *testing.T) {
	ten := each(ints(10))
	odd := func(i int) bool { return i%2 == 1 }
	less5 := func(i int) bool { return i < 5 }
	for name, c := range map[string]struct {
		s    weir.Stream[int]
		want []int
	}{
		"take":           {weir.Take(ten, 3), []int{0, 1, 2}},
		"take more":      {weir.Take(ten, 30), ints(10)},
		"take none":      {weir.Take(ten, 0), nil},
		"drop":           {weir.Drop(ten, 7), []int{7, 8, 9}},
		"drop all":       {weir.Drop(ten, 70), nil},
		"take while":     {weir.TakeWhile(ten, less5), []int{0, 1, 2, 3, 4}},
		"drop while":     {weir.DropWhile(ten, less5), []int{5, 6, 7, 8, 9}},
		"filter":         {weir.Filter(ten, odd), []int{1, 3, 5, 7, 9}},
		"scan":           {weir.Scan(ten, 0, func(a, v int) int { return a + v }), []int{0, 1, 3, 6, 10, 15, 21, 28, 36, 45}},
		"dedupe":         {weir.Dedupe(each([]int{1, 1, 2, 2, 2, 1, 3, 3})), []int{1, 2, 1, 3}},
		"dedupe by":      {weir.DedupeBy(each([]int{1, 2, 1, 3, 4, 1, 2}), func(i int) int { return i }, 2), []int{1, 2, 3, 4, 1, 2}},
		"concat":         {weir.Concat(weir.Take(ten, 2), each(ints(0)), weir.Take(each(ints(9)), 3)), []int{0, 1, 0, 1, 2}},
		"concat nothing": {weir.Concat[int](), nil},
		"take of concat": {weir.Take(weir.Concat(each(ints(3)), endless()), 5), []int{0, 1, 2, 0, 0}},
		"flat map": {weir.FlatMap(weir.Take(ten, 4), func(_ context.Context, v int, emit func(...int) error) error {
			for range v {
				if err := emit(v); err != nil {
					return err
				}
			}
			return nil
		}), []int{1, 2, 2, 3, 3, 3}},
		"gate": {pace.Gated(ten, &pace.Gate{}), ints(10)},
	} {
		got, err := weir.Collect(t.Context(), c.s, 100)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func endless() weir.Stream[int] {
	return weir.Generate("endless", func(_ context.Context, emit func([]int) error) error {
		for {
			if err := emit([]int{0}); err != nil {
				return err
			}
		}
	})
}

func TestOperators_RefuseWrongArguments(t *testing.T) {
	s := weir.Values(1)
	for name, err := range map[string]error{
		"take":        weir.Take(s, -1).To(weir.Discard[int]()).Check(),
		"batch":       weir.Batch(s, weir.BatchOptions{}).To(weir.Discard[[]int]()).Check(),
		"dedupe":      weir.DedupeBy(s, func(i int) int { return i }, 0).To(weir.Discard[int]()).Check(),
		"rate":        s.Through(pace.RateLimit[int](0, time.Second)).To(weir.Discard[int]()).Check(),
		"merge bytes": weir.Merge(weir.FromSlice([]byte("a")), weir.FromSlice([]byte("b"))).To(weir.Discard[byte]()).Check(),
		"timeout":     weir.Timeout(s, 0).To(weir.Discard[int]()).Check(),
		"partition":   weir.Partition(s, 0, func(int) int { return 0 })[0].To(weir.Discard[int]()).Check(),
		"exec":        weir.FromSlice([]byte("a")).Through(weir.Exec("")).To(weir.Discard[byte]()).Check(),
	} {
		if err == nil {
			t.Errorf("%s: a wrong argument was accepted", name)
		}
	}
}

func TestTake_DoesNotWaitForOneMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan int)
		go func() { ch <- 1; ch <- 2 }()
		got, err := weir.Collect(t.Context(), weir.Take(weir.FromChan(ch), 2), 9)
		if err != nil || !slices.Equal(got, []int{1, 2}) {
			t.Error(got, err)
		}
	})
}

func TestMergeZipAndPartition_LoseNothing(t *testing.T) {
	ctx := t.Context()
	got, err := weir.Collect(ctx, weir.Merge(each(ints(1000)), each(ints(1000)), each(ints(1000))), 3000)
	slices.Sort(got)
	if err != nil || len(got) != 3000 || got[2999] != 999 || got[1500] != 500 {
		t.Error(len(got), err)
	}
	boom := errors.New("boom")
	bad := weir.Map(each(ints(5)), func(int) (int, error) { return 0, boom })
	if _, err := weir.Collect(ctx, weir.Merge(endless(), bad), 1<<30); !errors.Is(err, boom) {
		t.Error(err)
	}
	pairs, err := weir.Collect(ctx, weir.Zip(each(ints(7)), weir.Concat(weir.Values(9), endless())), 100)
	if err != nil || len(pairs) != 7 || pairs[0] != (weir.Pair[int, int]{0, 9}) || pairs[6] != (weir.Pair[int, int]{6, 0}) {
		t.Error(pairs, err)
	}
	var sums [3]int
	var flows []*weir.Flow
	for i, s := range weir.Partition(each(ints(100)), 3, func(v int) int { return v - 50 }) {
		flows = append(flows, s.To(weir.Each(func(_ context.Context, v int) error {
			sums[i] += v
			return nil
		})))
	}
	if err := weir.Join(flows...).Run(ctx); err != nil || sums[0]+sums[1]+sums[2] != 4950 || sums[0] != 1650 {
		t.Error(sums, err)
	}
}

func TestBatch_ClosesOnCountSizeAndDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lens := func(s weir.Stream[string], c weir.BatchOptions) (lens []int) {
			got, err := weir.Collect(t.Context(), weir.Batch(s, c), 100)
			if err != nil {
				t.Error(err)
			}
			for _, b := range got {
				lens = append(lens, len(b))
			}
			return lens
		}
		words := func() weir.Stream[string] { return each(strings.Fields("a bb ccc dddd eeeee ffffffffff g")) }
		if got := lens(words(), weir.BatchOptions{Items: 3}); !slices.Equal(got, []int{3, 3, 1}) {
			t.Error("count:", got)
		}
		if got := lens(words(), weir.BatchOptions{Bytes: 6}); !slices.Equal(got, []int{3, 1, 1, 1, 1}) {
			t.Error("size:", got)
		}
		slow := weir.FromSeq(func(yield func(string) bool) {
			for i, w := range strings.Fields("a b c d e") {
				if i == 3 {
					time.Sleep(time.Minute)
				}
				if !yield(w) {
					return
				}
			}
		})
		var at []time.Duration
		begin := time.Now()
		err := weir.Batch(slow, weir.BatchOptions{Items: 10, Delay: time.Second}).To(weir.Each(func(_ context.Context, b []string) error {
			at = append(at, time.Since(begin))
			return nil
		})).Run(t.Context())
		if err != nil || !slices.Equal(at, []time.Duration{time.Second, time.Minute}) {
			t.Error("delay:", at, err)
		}
	})
}

func TestThrottleTimeoutAndGate_KeepTime(t *testing.T) {
	ticks := func() weir.Stream[int] {
		return weir.FromSeq(func(yield func(int) bool) {
			for i := range 10 {
				if !yield(i) {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := pace.Throttle(ticks(), 300*time.Millisecond)
		got, err := weir.Collect(t.Context(), f, 10)
		if err != nil || !slices.Equal(got, []int{0, 3, 6, 9}) {
			t.Error(got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		if _, err := weir.Collect(t.Context(), weir.Timeout(ticks(), 150*time.Millisecond), 10); err != nil {
			t.Error(err)
		}
		_, err := weir.Collect(t.Context(), weir.Timeout(ticks(), 50*time.Millisecond), 10)
		if !errors.Is(err, weir.ErrStalled) {
			t.Error(err)
		}
		// Time in which nobody takes the values does not count.
		err = weir.Timeout(each(ints(10)), 50*time.Millisecond).To(weir.Each(func(context.Context, int) error {
			time.Sleep(time.Second)
			return nil
		})).Run(t.Context())
		if err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var g pace.Gate
		var seen []int
		err := pace.Gated(weir.FromSlice(ints(19)), &g).To(weir.Each(func(_ context.Context, v int) error {
			if g.Paused() {
				t.Error("a value passed a closed gate")
			}
			seen = append(seen, v)
			g.Pause()
			time.AfterFunc(time.Second, g.Resume)
			return nil
		})).Run(t.Context())
		if err != nil || !slices.Equal(seen, ints(19)) {
			t.Error(seen, err)
		}
		g.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := pace.Gated(weir.Values(1), &g).To(weir.Discard[int]()).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

type brokenReader struct {
	io.Reader
	closed *int
}

func (b brokenReader) Close() error { *b.closed++; return nil }

func TestRetry_GoesOnWhereItBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("0123456789"), 100)
		opened, closed := 0, 0
		open := func(_ context.Context, at int64) (weir.Reader[byte], error) {
			opened++
			if opened%3 == 0 {
				return nil, errPart
			}
			part := data[at:min(len(data), int(at)+170)]
			r := io.MultiReader(bytes.NewReader(part), errReader{})
			if int(at)+170 >= len(data) {
				r = bytes.NewReader(part)
			}
			return brokenReader{r, &closed}, nil
		}
		got, err := weir.Collect(t.Context(), weir.Retry(open, weir.RetryOptions{}), 1<<20)
		if err != nil || !bytes.Equal(got, data) || opened-opened/3 != closed {
			t.Errorf("%d bytes, %v, opened %d, closed %d", len(got), err, opened, closed)
		}
		never := func(context.Context, int64) (weir.Reader[byte], error) { return nil, errPart }
		begin := time.Now()
		_, err = weir.Collect(t.Context(), weir.Retry(never, weir.RetryOptions{Attempts: 3}), 1)
		if !errors.Is(err, errPart) || !strings.Contains(err.Error(), "byte 0, after 3 attempts") || time.Since(begin) != 300*time.Millisecond {
			t.Error(err, time.Since(begin))
		}
		absent := func(context.Context, int64) (weir.Reader[byte], error) { return nil, fs.ErrNotExist }
		if _, err := weir.Collect(t.Context(), weir.Retry(absent, weir.RetryOptions{}), 1); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestTerminals_ReturnTheirValues(t *testing.T) {
	ctx := t.Context()
	if _, err := weir.Collect(ctx, endless(), 1000); !errors.Is(err, weir.ErrLimit) {
		t.Error("collect:", err)
	}
	if n, err := weir.Count(ctx, each(ints(1234))); n != 1234 || err != nil {
		t.Error("count:", n, err)
	}
	if sum, err := weir.Reduce(ctx, each(ints(5)), 0, func(a, v int) (int, error) { return a + v, nil }); sum != 10 || err != nil {
		t.Error("reduce:", sum, err)
	}
	if v, ok, err := weir.Find(ctx, weir.Concat(each(ints(5)), endless()), func(v int) bool { return v == 3 }); v != 3 || !ok || err != nil {
		t.Error("find:", v, ok, err)
	}
	if ok, err := weir.Any(ctx, endless(), func(v int) bool { return v == 0 }); !ok || err != nil {
		t.Error("any:", ok, err)
	}
	if ok, err := weir.Every(ctx, weir.Concat(each(ints(5)), endless()), func(v int) bool { return v < 3 }); ok || err != nil {
		t.Error("every:", ok, err)
	}
	var n []weir.Pair[int64, string]
	n, err := weir.Collect(ctx, weir.Enumerate(weir.Values("a", "b")), 2)
	if err != nil || !slices.Equal(n, []weir.Pair[int64, string]{{0, "a"}, {1, "b"}}) {
		t.Error("enumerate:", n, err)
	}
}

func TestCommand_StreamsAndReportsFailures(t *testing.T) {
	for _, tool := range []string{"cat", "sh", "head", "sleep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool, "is not installed")
		}
	}
	data := bytes.Repeat([]byte("some line of text\n"), 100_000)
	if got, err := collect(weir.FromSlice(data).Through(weir.Exec("cat"), weir.Exec("cat"))); err != nil || !bytes.Equal(got, data) {
		t.Error(len(got), err)
	}
	if got, err := collect(weir.FromReader(zerosAs('\n')).Through(weir.Exec("head", "-n", "3"))); err != nil || string(got) != "\n\n\n" {
		t.Error("a command that has enough:", len(got), err)
	}
	_, err := collect(weir.FromSlice(data).Through(weir.Exec("sh", "-c", "echo it went wrong >&2; exit 7")))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || string(exit.Stderr) != "it went wrong\n" || !strings.Contains(err.Error(), "it went wrong") {
		t.Error(err)
	}
	if _, err := collect(weir.FromSlice(data).Through(weir.Exec(filepath.Join(t.TempDir(), "none")))); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	got, err := collect(weir.FromReader(zerosAs('y')).Through(weir.Exec("cat"), text.Head(100_000)))
	if err != nil || len(got) != 100_000 {
		t.Error("downstream has enough:", len(got), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- weir.FromSlice(data).Through(weir.Exec("sh", "-c", "sleep 100 & sleep 100")).To(weir.Discard[byte]()).Run(ctx)
	}()
	time.AfterFunc(50*time.Millisecond, cancel)
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a cancelled command still runs")
	}
}
