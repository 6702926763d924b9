package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

func ExampleTap() {
	loud := weir.Tap(weir.Values("a", "b"), func(s string) { fmt.Println("passing", s) })
	n, err := weir.Count(context.Background(), loud)
	fmt.Println(n, err)
	// Output:
	// passing a
	// passing b
	// 2 <nil>
}

// A stage of one's own may use everything that streams have.
func ExampleCompose() {
	topErrors := weir.Compose("top errors", func(s weir.Stream[byte]) weir.Stream[string] {
		return weir.Take(weir.Dedupe(text.Lines(s)), 2)
	})
	log := weir.FromReader(strings.NewReader("disk full\ndisk full\nno route\nbye\n"))
	got, err := weir.Collect(context.Background(), weir.Via(log, topErrors), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: ["disk full" "no route"] <nil>
}

func ExampleStream_Chan() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // for a loop that ends early
	values, wait := weir.Values(1, 2, 3).Chan(ctx)
	for v := range values {
		fmt.Println(v)
	}
	fmt.Println(wait())
	// Output:
	// 1
	// 2
	// 3
	// <nil>
}

func ExampleStream_Named() {
	parse := weir.Map(weir.Values("7", "x"), func(s string) (int, error) {
		if s != "7" {
			return 0, errors.New("no seven")
		}
		return 7, nil
	}).Named("parse orders")
	fmt.Println(parse.To(weir.Discard[int]()).Run(context.Background()))
	// Output: weir: stage parse orders: item 1: no seven
}

func ExampleFromFunc() {
	n := 0
	countdown := weir.FromFunc(func(context.Context) (int, error) {
		if n++; n > 3 {
			return 0, io.EOF
		}
		return 4 - n, nil
	})
	fmt.Println(weir.Collect(context.Background(), countdown, 10))
	// Output: [3 2 1] <nil>
}

func ExampleToChan() {
	ch := make(chan int, 3)
	err := weir.Values(1, 2, 3).To(weir.ToChan(ch)).Run(context.Background())
	close(ch) // the flow leaves it open, for other flows that send
	for v := range ch {
		fmt.Println(v)
	}
	fmt.Println(err)
	// Output:
	// 1
	// 2
	// 3
	// <nil>
}

func TestTap_SeesEachValueOnceAndChangesNothing(t *testing.T) {
	var seen []int
	in := make([]int, 10_000)
	for i := range in {
		in[i] = i
	}
	got, err := collect(weir.Tap(each(in), func(v int) { seen = append(seen, v) }))
	if err != nil || !slices.Equal(got, in) || !slices.Equal(seen, in) {
		t.Errorf("%d values passed, %d were seen, %v", len(got), len(seen), err)
	}
}

func TestNamed_RenamesInReportsAndLeavesTheOldStreamAlone(t *testing.T) {
	old := weir.Values(1)
	flow := old.Named("orders").To(weir.Discard[int]())
	if err := flow.Run(t.Context()); err != nil || flow.Report().Stages[0].Name != "orders" {
		t.Errorf("%v, %+v", err, flow.Report().Stages)
	}
	flow = old.To(weir.Discard[int]())
	if err := flow.Run(t.Context()); err != nil || flow.Report().Stages[0].Name != "values" {
		t.Errorf("%v, %+v", err, flow.Report().Stages)
	}
}

// Pipes cannot know what a value of this kind refers to.
type blob map[string]int

func TestSized_MakesALimitInBytesHoldForAnyType(t *testing.T) {
	readAhead := func(t *testing.T, sized func(weir.Stream[blob]) weir.Stream[blob]) (n int64) {
		synctest.Test(t, func(t *testing.T) {
			source := weirtest.Source[blob]{Values: []blob{{}}, Repeat: true, Batch: 1}
			sink := weirtest.Sink[blob]{Step: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			flow := sized(source.Stream()).Async(weir.Bytes(64 << 10)).To(sink.Sink())
			ended := make(chan error, 1)
			go func() { ended <- flow.Run(ctx) }()
			synctest.Wait()
			n = source.Counts().Values
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		return n
	}
	plain := readAhead(t, func(s weir.Stream[blob]) weir.Stream[blob] { return s })
	sized := readAhead(t, func(s weir.Stream[blob]) weir.Stream[blob] { return s.Sized(func(blob) int { return 8 << 10 }) })
	// Eight fit into the pipe; one batch is with the sink and a value or two on
	// their way.
	if sized < 7 || sized > 20 {
		t.Errorf("with a size of 8 KiB each, %d values were read ahead into 64 KiB", sized)
	}
	if plain < 1000 {
		t.Errorf("without a size, %d values were read ahead into 64 KiB", plain)
	}
}

func TestChan_GivesTheErrorBehindTheValues(t *testing.T) {
	source := weirtest.Source[int]{Values: []int{1, 2, 3}, Err: errPart}
	values, wait := source.Stream().Chan(t.Context())
	for range values {
	}
	if err := wait(); !errors.Is(err, errPart) || wait() != err {
		t.Error(err)
	}
}

func TestChan_EndsWithItsContextWhenNobodyReceives(t *testing.T) {
	weirtest.NoLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	source := weirtest.Source[int]{Values: []int{1}, Repeat: true}
	values, wait := source.Stream().Chan(ctx)
	<-values
	cancel()
	if err := wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, ok := <-values; ok {
		t.Error("the channel is open after the end")
	}
	if n := source.Counts(); n.Opened != 1 || n.Closed != 1 {
		t.Errorf("%+v", n)
	}
}

func TestToChan_WaitsForReceiversAndEndsWithTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ch := make(chan int)
		ended := make(chan error, 1)
		go func() { ended <- weir.Values(1, 2).To(weir.ToChan(ch)).Run(ctx) }()
		if v := <-ch; v != 1 {
			t.Error(v)
		}
		synctest.Wait()
		select {
		case err := <-ended:
			t.Error("ended before the second value was received:", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if weir.Values(1).To(weir.ToChan[int](nil)).Check() == nil {
		t.Error("a nil channel is accepted")
	}
}

func TestTryRead_TakesWhatIsThereAndNeverWaits(t *testing.T) {
	r, w := weir.NewPipe[int](weir.Items(10))
	buf := make([]int, 10)
	if n, err := r.TryRead(buf); n != 0 || err != weir.ErrEmpty {
		t.Errorf("of an empty pipe: %d, %v", n, err)
	}
	if _, err := w.SendBatch(t.Context(), []int{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if n, err := r.TryRead(buf[:2]); n != 2 || err != nil || buf[0] != 1 || buf[1] != 2 {
		t.Errorf("%v, %v", buf[:n], err)
	}
	w.Close()
	if n, err := r.TryRead(buf); n != 1 || buf[0] != 3 || err != nil && err != io.EOF {
		t.Errorf("%v, %v", buf[:n], err)
	}
	if n, err := r.TryRead(buf); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
}

func TestVia_ReportsAStageThatIsWrongBeforeAnythingOpens(t *testing.T) {
	source := weirtest.Source[int]{Values: []int{1}}
	for name, st := range map[string]weir.Stage[int, string]{
		"neither": {Name: "neither"},
		"err":     {Name: "err", Err: errPart},
		"do":      weir.Do[int, string]("do", nil, nil),
		"compose": weir.Compose[int, string]("compose", nil),
		"holds":   {Name: "holds", Holds: -1, Run: func(context.Context, weir.Reader[int], weir.Writer[string]) error { return nil }},
	} {
		err := weir.Via(source.Stream(), st).To(weir.Discard[string]()).Run(t.Context())
		var se *weir.StageError
		if !errors.As(err, &se) || se.Stage != name || source.Counts().Opened != 0 {
			t.Errorf("%s: %v, opened %d times", name, err, source.Counts().Opened)
		}
	}
}
