package weir_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/text"
)

// large is the size of the values in these tests: six pages, so that the memory
// a value takes is what it is charged.
const large = 6 << 13

// aLarge returns a large value in newly allocated memory.
func aLarge() string { return string(make([]byte, large)) }

// larges is a stream of large values without end.
func larges() weir.Stream[string] {
	return weir.FromFunc(func(context.Context) (string, error) { return aLarge(), nil })
}

// numbers is a stream of more numbers than anything may read ahead.
func numbers() weir.Stream[int] { return weir.FromSlice(manyZeros) }

var manyZeros = make([]int, 1<<16)

func toLarge(int) (string, error) { return aLarge(), nil }

// manyReader gives as many large values as it is asked for.
type manyReader struct{}

func (manyReader) Read(dst []string) (int, error) {
	for i := range dst {
		dst[i] = aLarge()
	}
	return len(dst), nil
}

// repeater repeats a text without end.
type repeater struct {
	text string
	at   int
}

func (e *repeater) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

func repeated(s string) weir.Stream[byte] { return weir.FromReader(&repeater{text: s}) }

// held ends a stream in a sink that does not move.
func held[T any](s weir.Stream[T]) *weir.Flow {
	return s.To(weir.Each(func(ctx context.Context, _ T) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}))
}

func heldAll[T any](streams []weir.Stream[T]) *weir.Flow {
	flows := make([]*weir.Flow, len(streams))
	for i, s := range streams {
		flows[i] = held(s)
	}
	return weir.Join(flows...)
}

// heapNow returns the bytes that are alive after a collection, including pools.
func heapNow() int64 {
	var m runtime.MemStats
	for range 3 { // a pool keeps what it has for one collection more
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// heldFlows are flows of large values, one for each way to hold them.
var heldFlows = []struct {
	name string
	flow func() *weir.Flow
}{
	{"FromFunc", func() *weir.Flow { return held(larges()) }},
	{"From", func() *weir.Flow {
		return held(weir.From(weir.Source[string]{Name: "many", Open: func(context.Context) (weir.Reader[string], error) { return manyReader{}, nil }}))
	}},
	{"From, fused", func() *weir.Flow {
		return held(weir.Map(weir.From(weir.Source[string]{Name: "many", Open: func(context.Context) (weir.Reader[string], error) { return manyReader{}, nil }}),
			func(s string) (string, error) { return s, nil }))
	}},
	{"FromPipe", func() *weir.Flow {
		r, w := weir.NewPipe[string](weir.Items(2))
		return weir.Join(larges().To(weir.ToPipe(w)), held(weir.FromPipe(r)))
	}},
	{"Generate", func() *weir.Flow {
		return held(weir.Generate("many", func(_ context.Context, emit func([]string) error) error {
			for {
				if err := emit([]string{aLarge()}); err != nil {
					return err
				}
			}
		}))
	}},
	{"Retry", func() *weir.Flow {
		return held(weir.Retry(func(context.Context, int64) (weir.Reader[string], error) { return manyReader{}, nil }, weir.RetryOptions{}))
	}},
	{"Map, fused", func() *weir.Flow { return held(weir.Map(numbers(), toLarge)) }},
	{"Map and Filter, fused", func() *weir.Flow {
		return held(weir.Filter(weir.Map(numbers(), toLarge), func(string) bool { return true }))
	}},
	{"Map in its own lane", func() *weir.Flow { return held(weir.Map(numbers(), toLarge).Async(weir.Limit{})) }},
	{"Map with RetryItems", func() *weir.Flow { return held(weir.Map(numbers(), toLarge, weir.RetryItems(2, nil))) }},
	{"Map with 8 workers", func() *weir.Flow { return held(weir.Map(numbers(), toLarge, weir.Workers(8))) }},
	{"Map with 8 workers, unordered", func() *weir.Flow { return held(weir.Map(numbers(), toLarge, weir.Workers(8), weir.Unordered())) }},
	{"Map with 8 workers, of large values", func() *weir.Flow {
		return held(weir.Map(larges(), func(s string) (string, error) { return s + s, nil }, weir.Workers(8)))
	}},
	{"Map with 3 workers and a small limit", func() *weir.Flow {
		f := held(weir.Map(numbers(), toLarge, weir.Workers(3)))
		f.Limit = weir.Bytes(1)
		return f
	}},
	{"Scan", func() *weir.Flow {
		return held(weir.Scan(numbers(), "", func(string, int) string { return aLarge() }))
	}},
	{"Enumerate", func() *weir.Flow { return held(weir.Enumerate(larges())) }},
	{"Dedupe", func() *weir.Flow {
		n := 0
		return held(weir.Dedupe(weir.Map(numbers(), func(int) (string, error) { n++; return fmt.Sprint(n) + aLarge()[16:], nil })))
	}},
	{"FlatMap", func() *weir.Flow {
		return held(weir.FlatMap(numbers(), func(_ context.Context, _ int, emit func(...string) error) error {
			for range 100 {
				if err := emit(aLarge()); err != nil {
					return err
				}
			}
			return nil
		}).Async(weir.Limit{}))
	}},
	{"Tap and Take", func() *weir.Flow { return held(weir.Take(weir.Tap(larges(), func(string) {}), 1<<20)) }},
	{"Timeout", func() *weir.Flow { return held(weir.Timeout(larges(), time.Hour)) }},
	{"Tee", func() *weir.Flow { return heldAll(weir.Tee(larges(), weir.Branch{}, weir.Branch{})) }},
	{"Tee that drops the oldest", func() *weir.Flow {
		return heldAll(weir.Tee(weir.Map(weir.FromSlice(make([]int, 400)), toLarge), weir.Branch{Policy: weir.DropOldest}, weir.Branch{Policy: weir.DropOldest}))
	}},
	{"Partition", func() *weir.Flow {
		n := 0
		return heldAll(weir.Partition(larges(), 3, func(string) int { n++; return n }))
	}},
	{"Zip", func() *weir.Flow { return held(weir.Zip(larges(), weir.Map(numbers(), toLarge))) }},
	{"Merge", func() *weir.Flow { return held(weir.Merge(larges(), weir.Map(numbers(), toLarge), larges())) }},
	{"Concat", func() *weir.Flow { return held(weir.Concat(weir.Map(numbers(), toLarge), larges())) }},
	{"Batch with Bytes", func() *weir.Flow { return held(weir.Batch(larges(), weir.BatchOptions{Bytes: 1 << 20})) }},
	{"Batch with Items", func() *weir.Flow { return held(weir.Batch(larges(), weir.BatchOptions{Items: 10})) }},
	{"Batch with Delay", func() *weir.Flow { return held(weir.Batch(larges(), weir.BatchOptions{Delay: time.Hour})) }},
	{"Batch with Bytes, of small values", func() *weir.Flow {
		return held(weir.Batch(weir.Map(numbers(), func(int) (string, error) { return "", nil }), weir.BatchOptions{Bytes: 1 << 20}))
	}},
	{"Async of no items", func() *weir.Flow { return held(weir.Map(numbers(), toLarge).Async(weir.Items(0))) }},
	{"Async of 3 items", func() *weir.Flow { return held(weir.Map(numbers(), toLarge).Async(weir.Items(3))) }},
	{"Async of 1 byte", func() *weir.Flow { return held(weir.Map(numbers(), toLarge).Async(weir.Bytes(1))) }},
	{"DecodeJSON", func() *weir.Flow {
		return held(record.DecodeJSON[string](repeated(`"`+strings.Repeat("x", large)+"\"\n"), 0))
	}},
	{"DecodeCSV", func() *weir.Flow {
		return held(record.DecodeCSV(repeated(strings.Repeat("x", large-2)+",y\n"), record.CSVOptions{}))
	}},
	{"Lines", func() *weir.Flow { return held(text.Lines(repeated(strings.Repeat("x", large) + "\n"))) }},
	{"Lines, of no bytes", func() *weir.Flow { return held(text.Lines(repeated("\n"))) }},
	{"DecodeFrames", func() *weir.Flow {
		frame := binary.BigEndian.AppendUint32(nil, large)
		return held(record.DecodeFrames(repeated(string(frame)+strings.Repeat("x", large)), record.Frame32, 1<<20))
	}},
	{"EncodeJSON", func() *weir.Flow {
		return record.EncodeJSON(larges()).To(weir.EachBatch(func(ctx context.Context, _ []byte) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}))
	}},
}

func TestCeiling_CoversTheLiveHeapOfAHeldFlow(t *testing.T) {
	for _, c := range heldFlows {
		for _, limited := range []bool{false, true} {
			name := c.name
			if limited {
				name += ", with MaxValue and a budget"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { checkHeld(t, c.flow, limited) })
			})
		}
	}
}

func checkHeld(t *testing.T, flow func() *weir.Flow, limited bool) {
	const own = 128 << 10 // what the flow itself is made of, and the test
	const most = 4 << 20
	before := heapNow()
	f := flow()
	if limited {
		f.MaxValue, f.Budget = most, weir.NewBudget(1<<40)
	}
	c, err := f.Ceiling()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	synctest.Wait()
	now := heapNow() - before
	largest := max(large+32, f.Report().Largest)
	ceiling := c.Bytes + int64(c.Holders)*largest
	t.Logf("holds %s of %v; the largest value is %s", weir.FormatBytes(now), c, weir.FormatBytes(largest))
	if now > ceiling+own {
		t.Errorf("holds %s, more than its ceiling of %s: %v", weir.FormatBytes(now), weir.FormatBytes(ceiling), c)
	}
	if limited {
		if c.Holders != 0 {
			t.Errorf("the ceiling with MaxValue is %v", c)
		}
		f.MaxValue = 0
		if c, err = f.Ceiling(); err != nil {
			t.Fatal(err)
		}
		if used := f.Budget.Peak() + int64(c.Holders)*largest; now > used+own {
			t.Errorf("holds %s; its budget says %s and %d values", weir.FormatBytes(now), weir.FormatBytes(f.Budget.Peak()), c.Holders)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if limited && f.Budget.Used() != 0 {
		t.Errorf("%d bytes of the budget are still taken", f.Budget.Used())
	}
}

// What exists before anybody can measure it is not read ahead.
func TestAsync_OfNoItemsLetsNoStageWorkManyValuesAhead(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit weir.Limit
		most  int // values that are made when the sink has taken one
		flow  func(count func()) weir.Stream[string]
	}{
		{"FromFunc", weir.Items(0), 2, func(count func()) weir.Stream[string] {
			return weir.FromFunc(func(context.Context) (string, error) { count(); return "x", nil })
		}},
		{"From", weir.Items(0), 2, func(count func()) weir.Stream[string] {
			return weir.From(weir.Source[string]{Name: "many", Open: func(context.Context) (weir.Reader[string], error) {
				return readerFunc[string](func(dst []string) (int, error) {
					for i := range dst {
						count()
						dst[i] = "x"
					}
					return len(dst), nil
				}), nil
			}})
		}},
		{"Map", weir.Items(0), 2, func(count func()) weir.Stream[string] {
			return weir.Map(numbers(), func(int) (string, error) { count(); return "x", nil })
		}},
		{"Tap behind Map", weir.Items(0), 2, func(count func()) weir.Stream[string] {
			return weir.Tap(weir.Map(numbers(), func(int) (string, error) { return "x", nil }), func(string) { count() })
		}},
		{"Scan", weir.Items(0), 2, func(count func()) weir.Stream[string] {
			return weir.Scan(numbers(), "", func(string, int) string { count(); return "x" })
		}},
		{"Map, three items", weir.Items(3), 3 + 1 + 3, func(count func()) weir.Stream[string] {
			return weir.Map(numbers(), func(int) (string, error) { count(); return "x", nil })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				made := 0
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- held(c.flow(func() { made++ }).Async(c.limit)).Run(ctx) }()
				synctest.Wait()
				if made == 0 || made > c.most {
					t.Errorf("%d values were made, want at most %d", made, c.most)
				}
				cancel()
				<-done
			})
		})
	}
}

type readerFunc[T any] func(dst []T) (int, error)

func (f readerFunc[T]) Read(dst []T) (int, error) { return f(dst) }

func TestMaxValue_EndsTheFlowBehindTheValuesBefore(t *testing.T) {
	const limit = 4 << 10
	pick := func(n int) (string, error) {
		if n == 3 {
			return strings.Repeat("x", limit), nil // and its slot
		}
		return fmt.Sprint(n), nil
	}
	ints := func() weir.Stream[int] { return weir.Values(0, 1, 2, 3, 4, 5) }
	strs := func() weir.Stream[string] {
		return weir.FromFunc(func() func(context.Context) (string, error) {
			n := -1
			return func(context.Context) (string, error) { n++; return pick(n) }
		}())
	}
	for _, c := range []struct {
		name string
		s    weir.Stream[string]
	}{
		{"map", weir.Map(ints(), pick)},
		{"map", weir.Map(ints(), pick, weir.RetryItems(3, nil))},
		{"map", weir.Map(ints(), pick, weir.Workers(3))},
		{"func", strs()},
		{"slice", weir.FromSlice([]string{"0", "1", "2", strings.Repeat("x", limit), "4"})},
		{"slice", weir.Concat(weir.FromSlice([]string{"0", "1", "2", strings.Repeat("x", limit), "4"}))},
		{"many", weir.From(weir.Source[string]{Name: "many", Open: func(context.Context) (weir.Reader[string], error) {
			n := -1
			return readerFunc[string](func(dst []string) (int, error) {
				for i := range dst {
					n++
					dst[i], _ = pick(n)
				}
				return len(dst), nil
			}), nil
		}})},
		{"gen", weir.Generate("gen", func(_ context.Context, emit func([]string) error) error {
			for n := range 6 {
				v, _ := pick(n)
				if err := emit([]string{v}); err != nil {
					return err
				}
			}
			return nil
		})},
		{"flat map", weir.FlatMap(ints(), func(_ context.Context, n int, emit func(...string) error) error {
			v, _ := pick(n)
			return emit(v)
		})},
		{"lines", text.Lines(weir.FromReader(strings.NewReader("0\n1\n2\n" + strings.Repeat("x", limit) + "\n4\n")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			f := weir.Join(c.s.To(weir.Each(func(_ context.Context, v string) error { got = append(got, v); return nil })))
			f.MaxValue = limit
			err := f.Run(t.Context())
			var se *weir.StageError
			if !errors.Is(err, weir.ErrLimit) || !errors.As(err, &se) || se.Stage != c.name {
				t.Fatalf("got error %v", err)
			}
			if !strings.Contains(err.Error(), "a value of 4112 B; the flow's MaxValue is 4 KiB") {
				t.Errorf("the error says %q", err)
			}
			if fmt.Sprint(got) != "[0 1 2]" {
				t.Errorf("the sink got %v", got)
			}
		})
	}
	// Values of the limit itself pass, and bytes are never too large.
	f := weir.FromSlice([]string{strings.Repeat("x", limit-16)}).To(weir.Discard[string]())
	f.MaxValue = limit
	if err := f.Run(t.Context()); err != nil {
		t.Error(err)
	}
	f = weir.FromReader(strings.NewReader("any")).To(weir.Discard[byte]())
	f.MaxValue = 1
	if err := f.Run(t.Context()); err != nil {
		t.Error(err)
	}
	f.MaxValue = -1
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), "-1") {
		t.Errorf("a negative MaxValue: %v", err)
	}
}

func TestMaxValue_OfAJoinedFlowIsItsOwn(t *testing.T) {
	strict := weir.Values("too large").To(weir.Discard[string]())
	strict.MaxValue = 20
	free := weir.Values("this may have any size").To(weir.Discard[string]())
	j := weir.Join(free, strict)
	if err := j.Run(t.Context()); !errors.Is(err, weir.ErrLimit) || !strings.Contains(err.Error(), "values#2") && !strings.Contains(err.Error(), "values:") {
		t.Error(err)
	}
	strict.MaxValue = 25
	if err := j.Run(t.Context()); err != nil {
		t.Error(err)
	}
	j.MaxValue = 25
	if err := j.Run(t.Context()); !errors.Is(err, weir.ErrLimit) {
		t.Error(err)
	}
}

func TestCeiling_NamesWhatIsNotCovered(t *testing.T) {
	counts := func(int) (map[string]int, error) { return nil, nil }
	same := func(m map[string]int) (map[string]int, error) { return m, nil }
	sized := func() weir.Stream[map[string]int] {
		return weir.Map(numbers(), counts).Sized(func(m map[string]int) int { return 100 * len(m) })
	}
	for _, c := range []struct {
		flow *weir.Flow
		want string
	}{
		{weir.Map(numbers(), counts).To(weir.Discard[map[string]int]()), "[map (map[string]int)]"},
		{weir.Map(numbers(), counts, weir.Workers(2)).To(weir.Discard[map[string]int]()), "[map (map[string]int)]"},
		{weir.Map(numbers(), counts).Async(weir.Limit{}).To(weir.Discard[map[string]int]()), "[map (map[string]int)]"},
		{weir.FromFunc(func(context.Context) (map[string]int, error) { return nil, nil }).To(weir.Discard[map[string]int]()), "[func (map[string]int)]"},
		{record.DecodeJSON[map[string]int](repeated("{}"), 0).To(weir.Discard[map[string]int]()), "[decode json (map[string]int)]"},
		{weir.Concat(weir.Map(numbers(), counts)).To(weir.Discard[map[string]int]()), "[map (map[string]int)]"},
		{weir.DedupeBy(numbers(), func(int) string { return "" }, 10).To(weir.Discard[int]()), "[dedupe (what its keys refer to)]"},
		{weir.DedupeBy(numbers(), func(n int) int { return n }, 10).To(weir.Discard[int]()), "[]"},
		{larges().To(weir.Discard[string]()), "[]"},
		// Where the user says how large a value is, it is covered, also behind
		// stages that pass it on.
		{weir.Take(sized(), 10).To(weir.Discard[map[string]int]()), "[]"},
		{weir.Merge(sized(), sized()).Async(weir.Limit{}).To(weir.Discard[map[string]int]()), "[]"},
		{weir.Concat(sized(), sized()).Async(weir.Limit{}).To(weir.Discard[map[string]int]()), "[]"},
		{weir.Map(sized(), same, weir.Workers(2)).Async(weir.Limit{}).To(weir.Discard[map[string]int]()), "[]"},
		{weir.Map(sized(), same, weir.Workers(2), weir.Unordered()).To(weir.Discard[map[string]int]()), "[]"},
	} {
		got, err := c.flow.Ceiling()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Uncovered) != c.want {
			t.Errorf("not covered: %v, want %s", got.Uncovered, c.want)
		}
		plan, err := c.flow.Explain()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range got.Uncovered {
			if !strings.Contains(plan, "not covered: values of "+u) {
				t.Errorf("Explain does not name %s:\n%s", u, plan)
			}
		}
		if !strings.HasSuffix(plan, "ceiling    "+got.String()+"\n") {
			t.Errorf("Explain does not end in the ceiling %v:\n%s", got, plan)
		}
	}
}

// charged returns how many bytes a pipe behind s is charged for its first value.
func charged[T any](t *testing.T, s weir.Stream[T]) (bytes int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := s.Async(weir.Items(1).And(weir.Bytes(1 << 20))).To(weir.Each(func(ctx context.Context, _ T) error {
			<-ctx.Done()
			return nil
		}))
		ended := make(chan struct{})
		go func() {
			f.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		pipes := f.Report().Pipes
		p := pipes[len(pipes)-1]
		if p.Items != 1 {
			t.Errorf("%d values are in the pipe, want 1", p.Items)
		}
		bytes = p.Bytes
		cancel()
		<-ended
	})
	return bytes
}

func TestSized_CountsInsidePairsAndBatches(t *testing.T) {
	sized := func() weir.Stream[int] { return numbers().Sized(func(int) int { return 1000 }) }
	for name, c := range map[string]struct{ got, want int64 }{
		"Sized":     {charged(t, sized()), 8 + 1000},
		"Enumerate": {charged(t, weir.Enumerate(sized())), 16 + 1000},
		"Zip":       {charged(t, weir.Zip(sized(), sized())), 16 + 2000},
		"Batch":     {charged(t, weir.Batch(sized(), weir.BatchOptions{Items: 3})), 24 + 3*(8+1000)},
	} {
		if c.got != c.want {
			t.Errorf("%s: a value is charged %d bytes, want %d", name, c.got, c.want)
		}
	}
}

func TestCeiling_ReadsLikeASentence(t *testing.T) {
	for _, c := range []struct {
		ceiling report.Ceiling
		want    string
	}{
		{report.Ceiling{Bytes: 64 << 10}, "64 KiB"},
		{report.Ceiling{Bytes: 64 << 10, Holders: 1}, "64 KiB plus one value"},
		{report.Ceiling{Bytes: 404 << 10, Holders: 12, Uncovered: []string{"map (map[string]int)"}}, "404 KiB plus one value for each of 12 holders; not covered: map (map[string]int)"},
		{report.Ceiling{Uncovered: []string{"a (any)", "b (any)"}}, "0 B; not covered: a (any), b (any)"},
	} {
		if got := c.ceiling.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Of a flow of values that are all of one size, the ceiling has no holders: a
// value is never larger than its slot.
func TestCeiling_OfValuesOfOneSizeHasNoHolders(t *testing.T) {
	for _, f := range []*weir.Flow{
		held(weir.Map(numbers(), func(n int) (int, error) { return n, nil }, weir.Workers(4))),
		held(weir.Enumerate(weir.Scan(numbers(), 0, func(a, b int) int { return a + b }).Async(weir.Items(100)))),
		held(weir.Zip(numbers(), numbers())),
		record.EncodeJSON(numbers()).To(weir.Discard[byte]()),
		weir.FromReader(strings.NewReader("")).Through(text.Upper()).To(weir.Discard[byte]()),
	} {
		if c, err := f.Ceiling(); err != nil || c.Holders != 0 || c.Uncovered != nil || c.Bytes == 0 {
			t.Errorf("the ceiling is %v, %v", c, err)
		}
	}
}
