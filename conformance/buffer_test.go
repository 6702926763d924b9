package conformance

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// Given an endless source and a sink that never completes, when it runs, then
// it reads no more than the limits of the pipes and the batches in progress.
func TestS01_AStalledSinkBoundsWhatIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p probe
		pass := weir.Do("pass", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)
		f := source(&p).Through(pass, pass, pass).Async(weir.Limit{}).Through(pass).To(weir.EachBatch(func(ctx context.Context, _ []byte) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}))
		ceiling, err := f.Ceiling()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		f.Run(ctx)
		if n := p.read.Load(); n > ceiling.Bytes || n == 0 {
			t.Errorf("read %d bytes, the ceiling is %v", n, ceiling)
		}
		if p.closed.Load() != 1 {
			t.Errorf("closed %d times", p.closed.Load())
		}
	})
}

// Given a producer that emits 65,500 bytes and then pieces of 1 KiB, and a
// consumer that takes one piece at a time, then the pipe never holds more than
// its limit.
func TestS02_TheLimitHoldsAtEveryMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16 << 10
		r, w := weir.NewPipe[byte](weir.Bytes(limit))
		go func() {
			w.Write(make([]byte, 65_500))
			for range 40 {
				w.Write(make([]byte, 1<<10))
			}
			w.Close()
		}()
		buf := make([]byte, 1<<10)
		sum := 0
		for {
			synctest.Wait()
			if s := r.Stats(); s.Bytes > limit {
				t.Fatalf("holds %d of %d bytes", s.Bytes, limit)
			}
			n, err := r.Read(buf)
			if err != nil {
				break
			}
			sum += n
		}
		if sum != 65_500+40<<10 || r.Stats().Peak > limit {
			t.Errorf("%d bytes arrived, peak %d", sum, r.Stats().Peak)
		}
	})
}

// Given limits that make no sense, then there is an error and nothing starts;
// a very large limit is fine and takes no memory.
func TestS04_LimitsAreChecked(t *testing.T) {
	for _, l := range []weir.Limit{weir.Bytes(-1), weir.Items(-5), weir.Bytes(10).And(weir.Items(-1))} {
		if _, _, err := (weir.PipeOptions[int]{Limit: l}).New(); err == nil {
			t.Errorf("%v was accepted", l)
		}
		var n atomic.Int64
		if err := counter(&n).Async(l).To(weir.Discard[int]()).Run(t.Context()); err == nil || n.Load() > 0 {
			t.Errorf("%v: %v, and the source ran %d times", l, err, n.Load())
		}
	}
	if _, _, err := (weir.PipeOptions[byte]{Limit: weir.Bytes(1 << 40)}).New(); err != nil {
		t.Error(err)
	}
}

// Given a value that is larger than the limit, and small ones behind it, then
// all pass in order.
func TestS05_AnOversizeValuePassesAlone(t *testing.T) {
	noLeaks(t)
	big := string(make([]byte, 100_000))
	var got []int
	err := weir.Values(big, "a", "b", big, "c").Async(weir.Bytes(100)).To(weir.Each(func(_ context.Context, s string) error {
		got = append(got, len(s))
		return nil
	})).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "lengths", got, 100_000, 1, 1, 100_000, 1)
}

// Given 100,000 empty values and no consumer, then memory stays bounded.
func TestS06_EmptyValuesAreCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[[]byte](weir.Bytes(16 << 10))
		var sent atomic.Int64
		go func() {
			for range 100_000 {
				if w.Send(t.Context(), nil) != nil {
					return
				}
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n > 1000 {
			t.Errorf("%d empty values fit into 16 KiB", n)
		}
		r.Close()
	})
}

// Given one stage with a pipe of 777 values in front and one of 666 behind,
// then both limits hold by themselves.
func TestS07_EachPipeHasItsOwnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := counter(&n).Async(weir.Items(777))
		s = weir.Map(s, func(i int) (int, error) { return i, nil }).Async(weir.Items(666))
		f := s.To(weir.Each(func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		pipes := f.Report().Pipes
		if len(pipes) != 2 || pipes[0].Items != 777 || pipes[1].Items != 666 {
			t.Errorf("pipes hold %+v", pipes)
		}
		cancel()
		<-done
	})
}
