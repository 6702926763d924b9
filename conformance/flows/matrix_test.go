package flows_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/spool"
	"github.com/weir-go/weir/text"
)

// The matrix: every operator against everything that may happen to it. The
// values are texts that stand for the numbers 0, 1, 2, …

// operator is one row. apply puts the operator behind s; hook is to be called
// with each value by the function that the operator is given, if it takes one.
type operator struct {
	names   string // of the exported functions that it is a row for
	stage   string // what its errors name
	apply   func(s weir.Stream[string], hook func(k int) error) weir.Stream[string]
	want    func(keys []int) []int // nil: the same values
	hooked  bool                   // it has a function
	errs    bool                   // which can return an error
	workers int                    // that call it at the same time, if more than one
	loose   bool                   // the order of the values may change
	lossy   bool                   // it may leave values out
	enough  bool                   // it ends by itself before the 40th value
	real    bool                   // it waits for the system
}

const (
	matrixValues = 2000 // more than come in one batch
	matrixMoment = 20   // the value at which something happens
)

// shelf is a store of at most so many values, for a stage of two ends.
type shelf[T any] struct {
	mu     sync.Mutex
	values []T
	most   int
	ended  bool
}

// shelved is a stage that keeps at most so many values outside of the flow.
func shelved[T any](most int) weir.Stage[T, T] {
	return weir.Duplex("shelf", func(context.Context) (weir.Writer[T], weir.Reader[T], error) {
		s := &shelf[T]{most: most}
		return shelfWriter[T]{s}, shelfReader[T]{s}, nil
	})
}

type shelfWriter[T any] struct{ *shelf[T] }

func (s shelfWriter[T]) Write(values []T) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(values), s.most-len(s.values))
	s.values = append(s.values, values[:n]...)
	if n < len(values) {
		return n, weir.ErrFull
	}
	return n, nil
}

func (s shelfWriter[T]) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}

type shelfReader[T any] struct{ *shelf[T] }

func (s shelfReader[T]) Read(dst []T) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(dst, s.values)
	s.values = s.values[n:]
	switch {
	case n > 0 || len(dst) == 0:
		return n, nil
	case s.ended:
		return 0, io.EOF
	}
	return 0, weir.ErrEmpty
}

// spoolFolder returns the name of a folder that is not there.
func spoolFolder() string { return filepath.Join(os.TempDir(), "weir-spool-"+rand.Text()) }

func digits(k int) string { return strconv.Itoa(k) }

// largeText stands for 7 by a value of 600 KB, and for the others as text does.
func largeText(k int) string {
	if k == 7 {
		return "7:" + strings.Repeat(filler, 2)[:600_000]
	}
	return digits(k)
}

func number(s string) int {
	s, _, _ = strings.Cut(s, ":")
	k, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return k
}

func textsOf(from []int, as func(int) string) []string {
	out := make([]string, len(from))
	for i, k := range from {
		out[i] = as(k)
	}
	return out
}

// mapHook is the function of the maps.
func mapHook(hook func(int) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, hook(number(s)) }
}

// through makes an operator of a stage of bytes that leaves lines as they are.
func through(st func() weir.Stage[byte, byte]) func(weir.Stream[string], func(int) error) weir.Stream[string] {
	return func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return text.Lines(text.Join(s).Through(st()))
	}
}

func first(n int) func([]int) []int {
	return func(keys []int) []int { return keys[:min(n, len(keys))] }
}

var operators = []operator{
	{names: "Map", stage: "map", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, mapHook(hook))
	}},
	{names: "Map Workers", stage: "map", hooked: true, errs: true, workers: 3, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, mapHook(hook), weir.Workers(3))
	}},
	{names: "Map Workers Window", stage: "map", hooked: true, errs: true, workers: 3, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, mapHook(hook), weir.Workers(3), weir.Window(2))
	}},
	{names: "Map Workers Unordered", stage: "map", hooked: true, errs: true, workers: 3, loose: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, mapHook(hook), weir.Workers(3), weir.Unordered())
	}},
	{names: "Map RetryItems", stage: "map", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, mapHook(hook), weir.RetryItems(2, func(int) time.Duration { return time.Second }))
	}},
	{names: "Map SkipItems", stage: "map", hooked: true, want: func(keys []int) []int {
		return slices.DeleteFunc(slices.Clone(keys), func(k int) bool { return k%2 == 1 })
	}, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Map(s, func(s string) (string, error) {
			hook(number(s))
			if number(s)%2 == 1 {
				return "", errors.New("odd")
			}
			return s, nil
		}, weir.SkipItems(nil))
	}},
	{names: "MapContext", stage: "map", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.MapContext(s, func(_ context.Context, s string) (string, error) { return s, hook(number(s)) })
	}},
	{names: "MapContext Workers", stage: "map", hooked: true, errs: true, workers: 3, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.MapContext(s, func(_ context.Context, s string) (string, error) { return s, hook(number(s)) }, weir.Workers(3))
	}},
	{names: "Filter", stage: "filter", hooked: true, want: func(keys []int) []int {
		return slices.DeleteFunc(slices.Clone(keys), func(k int) bool { return k%3 == 0 })
	}, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Filter(s, func(s string) bool { hook(number(s)); return number(s)%3 != 0 })
	}},
	{names: "FlatMap", stage: "flat map", hooked: true, errs: true, want: func(keys []int) (out []int) {
		for _, k := range keys {
			out = append(out, k, k)
		}
		return out
	}, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.FlatMap(s, func(_ context.Context, s string, emit func(...string) error) error {
			if err := hook(number(s)); err != nil {
				return err
			}
			return emit(s, s)
		})
	}},
	{names: "Scan", stage: "scan", hooked: true, want: func(keys []int) (out []int) {
		sum := 0
		for _, k := range keys {
			sum += k
			out = append(out, sum)
		}
		return out
	}, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Scan(s, "0", func(acc, s string) string { hook(number(s)); return digits(number(acc) + number(s)) })
	}},
	{names: "Enumerate", stage: "enumerate", want: func(keys []int) (out []int) {
		for i, k := range keys {
			out = append(out, i+k)
		}
		return out
	}, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Map(weir.Enumerate(s), func(v weir.Pair[int64, string]) (string, error) { return digits(int(v.First) + number(v.Second)), nil })
	}},
	{names: "Tap", stage: "tap", hooked: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Tap(s, func(s string) { hook(number(s)) })
	}},
	{names: "Tally", stage: "tally", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Tally(s, new(atomic.Int64))
	}},
	{names: "Dedupe", stage: "dedupe", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return weir.Dedupe(s) }},
	{names: "DedupeBy", stage: "dedupe", hooked: true, want: first(100), apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.DedupeBy(s, func(s string) int { hook(number(s)); return number(s) % 100 }, 1000)
	}},
	{names: "Take", stage: "take", enough: true, want: first(30), apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return weir.Take(s, 30) }},
	{names: "Drop", stage: "drop", want: func(keys []int) []int { return keys[min(5, len(keys)):] }, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Drop(s, 5)
	}},
	{names: "TakeWhile", stage: "take while", hooked: true, enough: true, want: first(30), apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.TakeWhile(s, func(s string) bool { hook(number(s)); return number(s) < 30 })
	}},
	{names: "DropWhile", stage: "drop while", hooked: true, want: func(keys []int) []int { return keys[min(25, len(keys)):] }, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.DropWhile(s, func(s string) bool { hook(number(s)); return number(s) < 25 })
	}},
	{names: "Batch", stage: "batch", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.FlatMap(weir.Batch(s, weir.BatchOptions{Items: 7}), func(_ context.Context, b []string, emit func(...string) error) error { return emit(b...) })
	}},
	{names: "Batch Bytes", stage: "batch", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.FlatMap(weir.Batch(s, weir.BatchOptions{Bytes: 50, Delay: time.Minute}), func(_ context.Context, b []string, emit func(...string) error) error {
			return emit(b...)
		})
	}},
	{names: "Tee Merge", stage: "tee", loose: true, want: func(keys []int) []int { return append(slices.Clone(keys), keys...) }, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Merge(weir.Tee(s, weir.Branch{}, weir.Branch{Limit: weir.Items(1)})...)
	}},
	{names: "Tee Zip", stage: "tee", want: func(keys []int) (out []int) {
		for _, k := range keys {
			out = append(out, 2*k)
		}
		return out
	}, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		b := weir.Tee(s, weir.Branch{}, weir.Branch{})
		return weir.Map(weir.Zip(b[0], b[1]), func(p weir.Pair[string, string]) (string, error) {
			return digits(number(p.First) + number(p.Second)), nil
		})
	}},
	{names: "Tee DropNewest", stage: "tee", lossy: true, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Tee(s, weir.Branch{Policy: weir.DropNewest})[0]
	}},
	{names: "Tee DropOldest", stage: "tee", lossy: true, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Tee(s, weir.Branch{Policy: weir.DropOldest})[0]
	}},
	{names: "Tee Disconnect", stage: "tee", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Tee(s, weir.Branch{Policy: weir.Disconnect, Lag: time.Hour})[0]
	}},
	{names: "Partition", stage: "partition", hooked: true, loose: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Merge(weir.Partition(s, 3, func(s string) int { hook(number(s)); return number(s) })...)
	}},
	{names: "Merge", stage: "merge", loose: true, want: func(keys []int) []int { return append(slices.Clone(keys), -5, -6) }, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Merge(s, weir.Values("-5", "-6"))
	}},
	{names: "Zip", stage: "zip", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		nines := weir.FromSlice(slices.Repeat([]string{"9"}, 2*matrixValues))
		return weir.Map(weir.Zip(s, nines), func(p weir.Pair[string, string]) (string, error) { return p.First, nil })
	}},
	{names: "Concat", stage: "concat", want: func(keys []int) []int { return append([]int{-5}, append(slices.Clone(keys), -6)...) }, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return weir.Concat(weir.Values("-5"), s, weir.Values("-6"))
	}},
	{names: "Gated", stage: "gate", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return pace.Gated(s, &pace.Gate{}) }},
	{names: "Throttle", stage: "throttle", lossy: true, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return pace.Throttle(s, time.Second)
	}},
	{names: "RateLimit", stage: "rate", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return s.Through(pace.RateLimit[string](100, time.Second))
	}},
	{names: "Timeout", stage: "timeout", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return weir.Timeout(s, time.Hour) }},
	{names: "Via Do", stage: "do", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Via(s, weir.Do("do", func(_ context.Context, in []string, emit func([]string) error) error {
			for i := range in {
				if err := hook(number(in[i])); err != nil {
					return err
				}
				if err := emit(in[i : i+1]); err != nil {
					return err
				}
			}
			return nil
		}, nil))
	}},
	{names: "Via DoWith", stage: "do with", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		start := func(context.Context) (*int, error) { return new(int), nil }
		return weir.Via(s, weir.DoWith("do with", start, func(_ context.Context, seen *int, in []string, emit func([]string) error) error {
			for i := range in {
				if err := hook(number(in[i])); err != nil {
					return err
				}
				if got := number(in[i]); got < *seen {
					return fmt.Errorf("value %d after %d: the state is that of another run", got, *seen)
				}
				*seen = number(in[i])
				if err := emit(in[i : i+1]); err != nil {
					return err
				}
			}
			return nil
		}, nil))
	}},
	{names: "Via Run", stage: "run", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		return weir.Via(s, weir.Stage[string, string]{Name: "run", Run: func(_ context.Context, in weir.Reader[string], out weir.Writer[string]) error {
			var one [1]string
			for {
				n, err := in.Read(one[:])
				if err != nil {
					return endOfInput(err)
				}
				if n > 0 {
					if err := hook(number(one[0])); err != nil {
						return err
					}
					if _, err := out.Write(one[:]); err != nil {
						return err
					}
				}
			}
		}})
	}},
	{names: "Compose", stage: "map", hooked: true, errs: true, apply: func(s weir.Stream[string], hook func(int) error) weir.Stream[string] {
		st := weir.Compose("composed", func(s weir.Stream[string]) weir.Stream[string] { return weir.Map(s, mapHook(hook)) })
		pass := weir.Do("pass", func(_ context.Context, in []string, emit func([]string) error) error { return emit(in) }, nil)
		return s.Through(weir.Compose("both", func(s weir.Stream[string]) weir.Stream[string] { return s.Through(st, pass) }))
	}},
	{names: "Async", stage: "slice", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return s.Async(weir.Limit{}) }},
	{names: "Sized Named", stage: "slice", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return s.Named("named").Sized(func(s string) int { return len(s) })
	}},
	{names: "Through", stage: "slice", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] { return s.Through() }},
	{names: "JoinLines Lines", stage: "lines", apply: through(func() weir.Stage[byte, byte] {
		return weir.Do("pass", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)
	})},
	{names: "EncodeJSON DecodeJSON", stage: "decode json", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return record.DecodeJSON[string](record.EncodeJSON(s), 0)
	}},
	{names: "EncodeCSV DecodeCSV", stage: "decode csv", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		rows := weir.Map(s, func(s string) ([]string, error) { return []string{s, "x"}, nil })
		return weir.Map(record.DecodeCSV(record.EncodeCSV(rows, record.CSVOptions{}), record.CSVOptions{}), func(r []string) (string, error) { return r[0], nil })
	}},
	{names: "EncodeFrames DecodeFrames", stage: "decode frames", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		b := weir.Map(s, func(s string) ([]byte, error) { return []byte(s), nil })
		return weir.Map(record.DecodeFrames(record.EncodeFrames(b, record.Frame32), record.Frame32, 1<<20), func(b []byte) (string, error) { return string(b), nil })
	}},
	{names: "Hash", stage: "hash", apply: through(func() weir.Stage[byte, byte] { return weir.Hash(sha256.New, func([]byte) {}) })},
	{names: "Upper", stage: "upper", apply: through(text.Upper)},
	{names: "Lower", stage: "lower", apply: through(text.Lower)},
	{names: "ValidText", stage: "valid text", apply: through(text.Valid)},
	{names: "MapText", stage: "text", apply: through(func() weir.Stage[byte, byte] { return text.Map("text", bytes.ToUpper) })},
	{names: "Grep", stage: "grep", apply: through(func() weir.Stage[byte, byte] { return text.Grep(regexp.MustCompile("[0-9]")) })},
	{names: "GrepOut", stage: "grep out", apply: through(func() weir.Stage[byte, byte] { return text.GrepOut(regexp.MustCompile("!")) })},
	{names: "Head", stage: "head", enough: true, want: first(10), apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		short := weir.Map(s, func(s string) (string, error) { return digits(number(s)), nil })
		return text.Lines(text.Join(short).Through(text.Head(20)))
	}},
	{names: "SkipLines", stage: "skip", want: func(keys []int) []int { return keys[min(30, len(keys)):] }, apply: through(func() weir.Stage[byte, byte] { return text.SkipLines(30) })},
	{names: "HeadLines", stage: "head", enough: true, want: first(30), apply: through(func() weir.Stage[byte, byte] { return text.HeadLines(30) })},
	{names: "Exec", stage: "exec cat", real: true, apply: through(func() weir.Stage[byte, byte] { return weir.Exec("cat") })},
	{names: "Command", stage: "exec", real: true, apply: through(func() weir.Stage[byte, byte] {
		return weir.Command(func(context.Context) *exec.Cmd { return exec.Command("cat") })
	})},
	{names: "Duplex", stage: "shelf", apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return s.Through(shelved[string](100))
	}},
	{names: "spool.Bytes", stage: "spool", real: true, apply: through(func() weir.Stage[byte, byte] { return spool.Bytes(spoolFolder(), spool.Options{}) })},
	{names: "spool.Items", stage: "spool", real: true, apply: func(s weir.Stream[string], _ func(int) error) weir.Stream[string] {
		return s.Through(spool.Items(spoolFolder(), spool.Options{}, record.EncodeJSON[string], func(s weir.Stream[byte]) weir.Stream[string] {
			return record.DecodeJSON[string](s, 0)
		}))
	}},
}

// begins are the sources, which random_test.go, sources_test.go in the root and others try;
// the last ones are exempt for the reason given.
var begins = map[string]string{
	"From": "", "FromSlice": "", "Values": "", "FromSeq": "", "FromSeq2": "", "FromFunc": "", "FromChan": "",
	"FromPipe": "", "FromReader": "", "File": "", "FileRange": "", "Generate": "", "Retry": "",
	"Stdin": "it is the process's own",
}

func (o operator) wants(keys []int) []int {
	if o.want == nil {
		return keys
	}
	return o.want(keys)
}

// matrixRun is a run of an operator between a source and a sink that count.
type matrixRun struct {
	flow     *weir.Flow
	got      []int
	calls    atomic.Int64 // of the hook
	closed   atomic.Int32
	opened   atomic.Int32
	hook     func(k int) error
	sinkHook func(k int) error
}

func (m *matrixRun) call(k int) error {
	m.calls.Add(1)
	if m.hook != nil {
		return m.hook(k)
	}
	return nil
}

// between puts the operator between a source of n values, all in as few batches
// as possible, which then ends with end, and a sink.
func (o operator) between(n int, as func(int) string, end error) *matrixRun {
	m := &matrixRun{}
	vs := textsOf(ints(n), as)
	s := weir.From(weir.Source[string]{Name: "source", Open: func(context.Context) (weir.Reader[string], error) {
		m.opened.Add(1)
		return &matrixReader{m: m, vs: vs, end: end}, nil
	}})
	m.flow = o.apply(s, m.call).To(weir.Each(func(_ context.Context, s string) error {
		k := number(s)
		m.got = append(m.got, k)
		if m.sinkHook != nil {
			return m.sinkHook(k)
		}
		return nil
	}))
	return m
}

type matrixReader struct {
	m   *matrixRun
	vs  []string
	end error
}

func (r *matrixReader) Read(dst []string) (int, error) {
	n := copy(dst, r.vs)
	r.vs = r.vs[n:]
	if n == 0 && len(dst) > 0 {
		if r.end != nil {
			return 0, r.end
		}
		return 0, io.EOF
	}
	return n, nil
}

func (r *matrixReader) Close() error                    { r.m.closed.Add(1); return nil }
func (r *matrixReader) SetReadDeadline(time.Time) error { return nil }
func (m *matrixRun) run(t *testing.T) error             { return m.flow.Run(t.Context()) }

// expect checks what has come against want.
func (o operator) expect(t *testing.T, got, want []int) {
	t.Helper()
	m := model{keys: slices.Clone(want), loose: o.loose, lossy: o.lossy}
	got = slices.Clone(got)
	for _, s := range [][]int{got, m.keys} { // the model knows no negative keys
		for i := range s {
			s[i] += 10
		}
	}
	if err := m.check(got, nil, false); err != nil {
		t.Error(err)
	}
}

// expectBeginning is expect for a flow that ended somewhere on its way.
func (o operator) expectBeginning(t *testing.T, got, all []int) {
	t.Helper()
	m := model{keys: slices.Clone(all), loose: o.loose, lossy: o.lossy, short: true}
	got = slices.Clone(got)
	for _, s := range [][]int{got, m.keys} {
		for i := range s {
			s[i] += 10
		}
	}
	if err := m.check(got, errUp, false); err != nil {
		t.Error(err)
	}
}

func (m *matrixRun) expectClosed(t *testing.T) {
	t.Helper()
	if m.closed.Load() != m.opened.Load() {
		t.Errorf("the source was opened %d times and closed %d times", m.opened.Load(), m.closed.Load())
	}
}

var (
	errUp   = errors.New("upstream failed")
	errDown = errors.New("downstream failed")
	errFunc = errors.New("the function failed")
)

// ints are the keys of a stream of n values.
func ints(n int) []int {
	keys := make([]int, n)
	for i := range keys {
		keys[i] = i
	}
	return keys
}

// matrixCases are the columns.
var matrixCases = []struct {
	name string
	only func(o operator) bool // nil: for all
	run  func(t *testing.T, o operator)
}{
	{"some values", nil, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		if err := m.run(t); err != nil {
			t.Error(err)
		}
		o.expect(t, m.got, o.wants(ints(matrixValues)))
		m.expectClosed(t)
	}},
	{"no values", nil, func(t *testing.T, o operator) {
		m := o.between(0, digits, nil)
		if err := m.run(t); err != nil {
			t.Error(err)
		}
		o.expect(t, m.got, o.wants(nil))
	}},
	{"limits of 0 and 1", nil, func(t *testing.T, o operator) {
		for _, limit := range []weir.Limit{weir.Items(0), weir.Items(1), weir.Bytes(0), weir.Bytes(1)} {
			m := o.between(300, digits, nil)
			m.flow.Limit = limit
			if err := m.run(t); err != nil {
				t.Errorf("%v: %v", limit, err)
			}
			o.expect(t, m.got, o.wants(ints(300)))
		}
	}},
	{"a value larger than the limit", nil, func(t *testing.T, o operator) {
		for _, limit := range []weir.Limit{weir.Bytes(0), weir.Bytes(1000), {}} {
			m := o.between(60, largeText, nil)
			m.flow.Limit = limit
			if err := m.run(t); err != nil {
				t.Errorf("%v: %v", limit, err)
			}
			o.expect(t, m.got, o.wants(ints(60)))
		}
	}},
	{"run twice", nil, func(t *testing.T, o operator) {
		m := o.between(100, digits, nil)
		for i := range 2 {
			m.got = nil
			if err := m.run(t); err != nil {
				t.Errorf("run %d: %v", i, err)
			}
			o.expect(t, m.got, o.wants(ints(100)))
		}
		m.expectClosed(t)
	}},
	{"run again after a failure", nil, func(t *testing.T, o operator) {
		m := o.between(100, digits, nil)
		m.sinkHook = func(int) error { return errDown }
		if err := m.run(t); !errors.Is(err, errDown) {
			t.Error(err)
		}
		m.got, m.sinkHook = nil, nil
		if err := m.run(t); err != nil {
			t.Error(err)
		}
		o.expect(t, m.got, o.wants(ints(100)))
		m.expectClosed(t)
	}},
	{"failure upstream", nil, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, errUp)
		err := m.run(t)
		if !errors.Is(err, errUp) && !(o.enough && err == nil) {
			t.Errorf("error %v", err)
		}
		want := o.wants(ints(matrixValues))
		switch {
		case o.names == "Concat":
			want = want[:len(want)-1]
		case o.names == "Merge": // the other stream is cut off somewhere
			o.expectBeginning(t, m.got, want)
			want = ints(matrixValues)
			m.got = slices.DeleteFunc(m.got, func(k int) bool { return k < 0 })
		case o.names == "Zip": // the last pairs lack a value of the other stream
			o.expectBeginning(t, m.got, want)
			want = m.got
		}
		o.expect(t, m.got, want)
		m.expectClosed(t)
	}},
	{"failure downstream", nil, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		m.sinkHook = func(int) error { return errDown }
		if err := m.run(t); !errors.Is(err, errDown) {
			t.Errorf("error %v", err)
		}
		if len(m.got) != 1 {
			t.Errorf("the sink was called %d times", len(m.got))
		}
		m.expectClosed(t)
	}},
	{"enough downstream", nil, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		m.sinkHook = func(int) error { return weir.ErrStop }
		if err := m.run(t); err != nil {
			t.Errorf("error %v", err)
		}
		if len(m.got) != 1 {
			t.Errorf("the sink was called %d times", len(m.got))
		}
		m.expectClosed(t)
	}},
	{"cancel downstream", nil, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		m.sinkHook = func(int) error { cancel(errDown); return nil }
		err := m.flow.Run(ctx)
		if !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if len(m.got) > 2 {
			t.Errorf("the sink was called %d times", len(m.got))
		}
		m.expectClosed(t)
	}},
	{"cancel while it works", hooked, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		var after atomic.Int64
		var over atomic.Bool
		m.hook = func(k int) error {
			if over.Load() {
				after.Add(1)
			}
			if k == matrixMoment {
				cancel(errFunc)
				over.Store(true)
			}
			return nil
		}
		err := m.flow.Run(ctx)
		if !errors.Is(err, errFunc) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if n := after.Load(); n > int64(max(1, o.workers)) {
			t.Errorf("its function was called %d times more", n)
		}
		o.expectBeginning(t, m.got, o.wants(ints(matrixValues)))
		m.expectClosed(t)
	}},
	{"failure elsewhere while it works", hooked, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		failing := make(chan struct{})
		var after atomic.Int64
		var over atomic.Bool
		other := weir.FromFunc(func(ctx context.Context) (string, error) {
			<-failing
			return "", errUp
		}).To(weir.Discard[string]())
		m.hook = func(k int) error {
			if over.Load() {
				after.Add(1)
			}
			if k == matrixMoment {
				close(failing)
				if !o.real {
					time.Sleep(time.Second) // in which the failure has its effect
				}
				over.Store(true)
			}
			return nil
		}
		if o.workers > 1 {
			m.hook = func(k int) error {
				if over.Load() {
					after.Add(1)
				}
				switch {
				case k == matrixMoment:
					close(failing)
					time.Sleep(time.Second)
					over.Store(true)
				case k > matrixMoment:
					time.Sleep(2 * time.Second)
				}
				return nil
			}
		}
		if err := weir.Join(m.flow, other).Run(t.Context()); !errors.Is(err, errUp) {
			t.Errorf("error %v", err)
		}
		if n := after.Load(); n > int64(max(1, o.workers)) {
			t.Errorf("its function was called %d times more", n)
		}
		m.expectClosed(t)
	}},
	{"panic in its function", hooked, func(t *testing.T, o operator) {
		m := o.between(matrixValues, digits, nil)
		m.hook = func(k int) error {
			if k == matrixMoment {
				panic(errFunc)
			}
			return nil
		}
		var pe *weir.PanicError
		var se *weir.StageError
		if err := m.run(t); !errors.As(err, &pe) || !errors.Is(err, errFunc) || !errors.As(err, &se) || se.Stage != o.stage {
			t.Errorf("error %v", err)
		}
		o.expectBeginning(t, m.got, o.wants(ints(matrixValues)))
		m.expectClosed(t)
	}},
	{"error of its function", errs, func(t *testing.T, o operator) {
		o.endsWith(t, errFunc, errFunc)
	}},
	{"ErrStop of its function", errs, func(t *testing.T, o operator) {
		o.endsWith(t, weir.ErrStop, nil)
	}},
	{"wrapped ErrStop of its function", errs, func(t *testing.T, o operator) {
		o.endsWith(t, errors.Join(fmt.Errorf("enough: %w", weir.ErrStop), weir.ErrStop), nil)
	}},
	{"ErrStop joined with an error", errs, func(t *testing.T, o operator) {
		o.endsWith(t, errors.Join(weir.ErrStop, errFunc), errFunc)
	}},
	{"error wrapped with ErrStop", errs, func(t *testing.T, o operator) {
		o.endsWith(t, fmt.Errorf("%w after %w", errFunc, weir.ErrStop), errFunc)
	}},
}

func hooked(o operator) bool { return o.hooked }
func errs(o operator) bool   { return o.errs }

// endsWith lets the operator's function return err, which the flow is to end
// with, or well if want is nil, behind the values before.
func (o operator) endsWith(t *testing.T, err, want error) {
	t.Helper()
	m := o.between(matrixValues, digits, nil)
	m.hook = func(k int) error {
		if k == matrixMoment {
			return err
		}
		return nil
	}
	var se *weir.StageError
	if got := m.run(t); !errors.Is(got, want) || want != nil && (!errors.As(got, &se) || se.Stage != o.stage) {
		t.Errorf("error %v", got)
	}
	if o.loose {
		o.expectBeginning(t, m.got, o.wants(ints(matrixValues)))
	} else {
		o.expect(t, m.got, o.wants(ints(matrixMoment)))
	}
	m.expectClosed(t)
}

func TestMatrix_EveryOperatorKeepsItsPromises(t *testing.T) {
	for _, o := range operators {
		t.Run(o.names, func(t *testing.T) {
			for _, c := range matrixCases {
				if c.only != nil && !c.only(o) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					if o.real {
						if _, err := exec.LookPath("cat"); err != nil {
							t.Skip(err)
						}
						c.run(t, o)
						return
					}
					synctest.Test(t, func(t *testing.T) { c.run(t, o) })
				})
			}
		})
	}
}

// exportedReturning lists the exported functions, and methods of Stream, of the
// package that return a Stream or a Stage.
func exportedReturning(t *testing.T) (names []string) {
	files, err := filepath.Glob("../../*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || fn.Type.Results == nil || fn.Recv != nil && baseName(fn.Recv.List[0].Type) != "Stream" {
				continue
			}
			for _, r := range fn.Type.Results.List {
				if b := baseName(r.Type); b == "Stream" || b == "Stage" {
					names = append(names, fn.Name.Name)
					break
				}
			}
		}
	}
	return names
}

// baseName is the name of a type without its parameters, or of the elements of
// a slice.
func baseName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.IndexExpr:
		return baseName(x.X)
	case *ast.IndexListExpr:
		return baseName(x.X)
	case *ast.ArrayType:
		return baseName(x.Elt)
	case *ast.StarExpr:
		return baseName(x.X)
	}
	return ""
}

func TestMatrix_HasEveryOperator(t *testing.T) {
	rows := map[string]bool{}
	for _, o := range operators {
		for _, name := range strings.Fields(o.names) {
			rows[name] = true
		}
	}
	names := exportedReturning(t)
	if len(names) < 40 {
		t.Fatalf("found %d functions only", len(names))
	}
	for _, name := range names {
		if _, ok := begins[name]; !ok && !rows[name] {
			t.Errorf("%s is not in the matrix: add a row, or a reason why it has none", name)
		}
	}
	for name := range begins {
		if !slices.Contains(names, name) {
			t.Errorf("%s returns no Stream, or is gone", name)
		}
	}
}
