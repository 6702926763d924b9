package weir_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// spells runs a writer that makes a value every work, and a reader that takes one
// when take says so, for 20 s.
func spells(t *testing.T, work time.Duration, take func(i int)) report.PipeStats {
	t.Helper()
	r, w := weir.NewPipe[int](weir.Items(1))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer w.Close()
		for w.Send(ctx, 1) == nil {
			time.Sleep(work)
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		take(i)
		if _, err := r.Recv(ctx); err == io.EOF {
			break
		}
	}
	r.Close()
	<-ended
	return w.Stats()
}

func share(s report.PipeStats) float64 { return s.Blocked.Seconds() / 20 }

func number(s report.Spells) (n int64) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

func TestPipe_HalfBlockedAllTheTimeAndBlockedHalfOfTheTimeHaveOtherSpells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The reader takes a value every 2 ms, and the writer needs 1 ms for one.
		constant := spells(t, time.Millisecond, func(int) { time.Sleep(2 * time.Millisecond) })
		if p := share(constant); p < 0.45 || p > 0.55 {
			t.Errorf("constant: blocked %.2f of the time", p)
		}
		if n := number(constant.Spells); n < 9_000 || constant.Spells.Counts[3] < n-2 {
			t.Errorf("constant: %d spells, %v", n, constant.Spells.Counts)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// The reader is slow for 2 s and quick for 2 s: the writer is blocked all of
		// the former, in 200 waits, and none of the latter.
		began := time.Now()
		alternating := spells(t, time.Millisecond, func(int) {
			if time.Since(began)/(2*time.Second)%2 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		})
		if p := share(alternating); p < 0.4 || p > 0.55 {
			t.Errorf("alternating: blocked %.2f of the time", p)
		}
		if alternating.BlockedN < 900 {
			t.Errorf("alternating: %d waits", alternating.BlockedN)
		}
		s := alternating.Spells
		if n := number(s); n < 5 || n > 8 || s.Counts[9] != 5 || s.Total < 9*time.Second {
			t.Errorf("alternating: %d spells, %v, %v", n, s.Counts, s.Total)
		}
	})
}

func TestPipe_SpellThatGoesOnIsCountedWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(1))
		done := make(chan error, 1)
		go func() {
			_ = w.Send(t.Context(), 1)
			done <- w.Send(t.Context(), 2)
		}()
		synctest.Wait()
		for range 3 {
			time.Sleep(10 * time.Second)
		}
		if s := w.Stats().Spells; s.Current != 30*time.Second || number(s) != 0 || s.Total != 0 {
			t.Errorf("while it goes on: %+v", s)
		}
		if _, err := r.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := w.Stats().Spells; s.Current != 0 || s.Total != 30*time.Second || s.Counts[11] != 1 {
			t.Errorf("when it is over: %+v", s)
		}
	})
	synctest.Test(t, func(t *testing.T) { // closed during a wait
		r, w := weir.NewPipe[int](weir.Items(1))
		done := make(chan error, 1)
		go func() {
			_ = w.Send(t.Context(), 1)
			done <- w.Send(t.Context(), 2)
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		r.Close()
		<-done
		if s := w.Stats().Spells; s.Current != 0 || s.Total != time.Second || number(s) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// The bounds by which the pipe counts waits are the bounds that package report
// exports.
func TestPipe_SpellsAreCountedByTheBoundsOfTheReport(t *testing.T) {
	for i := range report.SpellBounds {
		synctest.Test(t, func(t *testing.T) {
			r, w := weir.NewPipe[int](weir.Items(1))
			done := make(chan error, 1)
			go func() {
				_ = w.Send(t.Context(), 1)
				done <- w.Send(t.Context(), 2)
			}()
			time.Sleep(report.SpellBound(i))
			r.Close()
			<-done
			if s := w.Stats().Spells; s.Counts[i] != 1 || s.Total != report.SpellBound(i) {
				t.Errorf("a spell of %v is counted in %v, want it in %d", report.SpellBound(i), s.Counts, i)
			}
		})
	}
}
