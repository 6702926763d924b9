package weirtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBoom = errors.New("boom")

func TestSource_ReadingAheadIsBoundedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		source := weirtest.Source[int]{Values: []int{1, 2, 3}, Repeat: true, Batch: 1}
		sink := weirtest.Sink[int]{Step: step}
		ctx, cancel := context.WithCancel(t.Context())
		flow := source.Stream().Async(weir.Items(5)).To(sink.Sink())
		ended := make(chan error, 1)
		go func() { ended <- flow.Run(ctx) }()
		synctest.Wait()
		before := source.Counts()
		if n := sink.Counts(); n.Calls != 1 || n.Values != 0 {
			t.Errorf("the sink was stepped over: %+v", n)
		}
		// One batch is with the sink, the pipe is full, one value waits for room.
		if before.Values < 5 || before.Values > 12 || int64(before.Calls) != before.Values {
			t.Errorf("%+v", before)
		}
		step <- struct{}{}
		synctest.Wait()
		if n := sink.Counts(); n.Calls != 2 || n.Values == 0 || int(n.Values) != len(sink.Values()) {
			t.Errorf("after one step: %+v, %v", n, sink.Values())
		}
		if source.Counts().Values <= before.Values {
			t.Error("room made no difference to the source")
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if source.Counts().Closed != 1 || sink.Counts().Closed != 1 || sink.Counts().Committed != 0 {
			t.Errorf("%+v %+v", source.Counts(), sink.Counts())
		}
	})
}

func TestDelay_TakesTheBubblesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := weirtest.Source[int]{Values: []int{1, 2, 3}, Batch: 1, Delay: time.Minute}
		sink := weirtest.Sink[int]{}
		begin := time.Now()
		if err := source.Stream().To(sink.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 4*time.Minute { // three values and the end
			t.Error("reading took", took)
		}
		slow := weirtest.Sink[int]{Delay: time.Hour}
		begin = time.Now()
		if err := weir.Values(1, 2, 3).To(slow.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != time.Duration(slow.Counts().Calls)*time.Hour {
			t.Errorf("writing took %v for %d calls", took, slow.Counts().Calls)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		begin = time.Now()
		if err := source.Stream().To(sink.Sink()).Run(ctx); !errors.Is(err, errBoom) || time.Since(begin) != time.Second {
			t.Error(err, time.Since(begin))
		}
	})
}

func TestAfter_IsWhereAPartFails(t *testing.T) {
	all := []int{1, 2, 3, 4}
	type ends struct {
		source weirtest.Source[int]
		sink   weirtest.Sink[int]
	}
	for _, c := range []struct {
		name      string
		fail      func(*ends)
		taken     []int
		committed int
		fine      bool
	}{
		{"nothing", func(e *ends) {}, all, 1, true},
		{"open source", func(e *ends) { e.source.OpenErr = errBoom }, nil, 0, false},
		{"open sink", func(e *ends) { e.sink.OpenErr = errBoom }, nil, 0, false},
		{"read", func(e *ends) { e.source.Err = errBoom }, all, 0, false},
		{"write", func(e *ends) { e.sink.Err, e.sink.After = errBoom, 3 }, all[:3], 0, false},
		{"first write", func(e *ends) { e.sink.Err = errBoom }, nil, 0, false},
		{"enough", func(e *ends) { e.sink.Err, e.sink.After = weir.ErrStop, 3 }, all[:3], 1, true},
		{"commit", func(e *ends) { e.sink.CommitErr = errBoom }, all, 1, false},
		{"close source", func(e *ends) { e.source.CloseErr = errBoom }, all, 0, false},
		{"close sink", func(e *ends) { e.sink.CloseErr = errBoom }, all, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e ends
			e.source.Values = all
			c.fail(&e)
			err := e.source.Stream().To(e.sink.Sink()).Run(t.Context())
			if c.fine && err != nil || !c.fine && !errors.Is(err, errBoom) {
				t.Error(err)
			}
			if got := e.sink.Values(); !slices.Equal(got, c.taken) {
				t.Errorf("took %v, want %v", got, c.taken)
			}
			source, sink := e.source.Counts(), e.sink.Counts()
			if sink.Committed != c.committed || source.Opened != source.Closed || sink.Opened != sink.Closed {
				t.Errorf("%+v %+v", source, sink)
			}
		})
	}
}

func TestSource_BeginsAnewAndASinkForgetsWhenTold(t *testing.T) {
	source := weirtest.Source[int]{Values: []int{1, 2}}
	sink, none := weirtest.Sink[int]{}, weirtest.Sink[int]{Forget: true}
	for range 2 {
		if err := source.Stream().To(sink.Sink()).Run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := source.Stream().To(none.Sink()).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := sink.Values(); !slices.Equal(got, []int{1, 2, 1, 2}) {
		t.Error(got)
	}
	if len(none.Values()) != 0 || none.Counts().Values != 2 || source.Counts().Opened != 3 {
		t.Errorf("%v %+v %+v", none.Values(), none.Counts(), source.Counts())
	}
}

func TestSourceAndSink_RefuseWrongFieldsBeforeTheRun(t *testing.T) {
	bad := weirtest.Source[int]{Repeat: true}
	sink := weirtest.Sink[int]{After: -1}
	good := weirtest.Source[int]{}
	negative := weirtest.Source[int]{Batch: -1}
	for _, flow := range []*weir.Flow{
		bad.Stream().To(weir.Discard[int]()), negative.Stream().To(weir.Discard[int]()), good.Stream().To(sink.Sink()),
	} {
		if flow.Check() == nil {
			t.Error("no error")
		}
	}
}

func TestRechunk_KeepsTheValuesAndMovesTheBorders(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 500)
	borders := func(seed uint64) (sizes []int) {
		var got []byte
		err := weir.FromSlice(data).Through(weirtest.Rechunk[byte](seed)).
			To(weir.EachBatch(func(_ context.Context, batch []byte) error {
				sizes, got = append(sizes, len(batch)), append(got, batch...)
				return nil
			})).Run(t.Context())
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("seed %d: %d bytes, %v", seed, len(got), err)
		}
		return sizes
	}
	first := borders(1)
	if len(first) < 3 || !slices.Equal(first, borders(1)) || slices.Equal(first, borders(2)) {
		t.Errorf("%v for seed 1, %v for seed 2", first, borders(2))
	}
}

func TestRechunk_UncoversWhoKeepsABatch(t *testing.T) {
	var kept [][]byte
	err := weir.Values([]byte("something")...).Through(weirtest.Rechunk[byte](3)).
		To(weir.EachBatch(func(_ context.Context, batch []byte) error {
			kept = append(kept, batch) // against the rule
			return nil
		})).Run(t.Context())
	if got := slices.Concat(kept...); err != nil || !bytes.Equal(got, make([]byte, len("something"))) {
		t.Errorf("%q, %v", got, err)
	}
}

// recorder is a testing.TB that notes failures and runs cleanups when told.
type recorder struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                   {}
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any)         { r.failures = append(r.failures, "error") }
func (r *recorder) Errorf(s string, a ...any) { r.failures = append(r.failures, s) }

func (r *recorder) end() []string {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.failures
}

func TestNoLeaks_SeesGoroutinesAndFiles(t *testing.T) {
	r := &recorder{TB: t}
	weirtest.NoLeaks(r)
	leave, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		<-leave
	}()
	if got := r.end(); len(got) != 1 {
		t.Errorf("with a goroutine: %q", got)
	}
	close(leave)
	<-left

	r = &recorder{TB: t}
	weirtest.NoLeaks(r)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.end(); len(got) != 1 && runtime.GOOS == "linux" {
		t.Errorf("with a file: %q", got)
	}
	f.Close()
}

func TestNoLeaks_IsContentWithAFlow(t *testing.T) {
	r := &recorder{TB: t}
	weirtest.NoLeaks(r)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := weir.File(filepath.Join(dir, "in")).Through(text.Upper()).To(weir.Create(filepath.Join(dir, "out"))).Run(t.Context())
		if err != nil {
			t.Error(err)
		}
	}
	if got := r.end(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
