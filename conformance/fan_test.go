package conformance

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
)

// stuck is a sink that takes one value and then waits for the end.
func stuck(first *atomic.Int64) weir.Sink[int] {
	return weir.EachBatch(func(ctx context.Context, batch []int) error {
		first.Add(1)
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

func count(n *atomic.Int64) weir.Sink[int] {
	return weir.Each(func(context.Context, int) error {
		n.Add(1)
		return nil
	})
}

// Given one source and three sinks, one of which never completes, then the
// first value reaches all, and the fast ones get no more than the slow branch's
// limit lets through.
func TestS25_TheSlowestBranchGoverns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 8
		var made, a, b, c atomic.Int64
		one := weir.Branch{Limit: weir.Items(limit)}
		branches := weir.Tee(counter(&made), one, one, one)
		f := weir.Join(branches[0].To(count(&a)), branches[1].To(stuck(&b)), branches[2].To(count(&c)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		if a.Load() == 0 || b.Load() != 1 || c.Load() == 0 {
			t.Error("the first value did not reach all:", a.Load(), b.Load(), c.Load())
		}
		// What the slow branch holds, and the batch that the tee offers it.
		if most := int64(limit + 4096); a.Load() > most || c.Load() > most {
			t.Error("the fast branches ran ahead:", a.Load(), c.Load())
		}
		before := a.Load()
		synctest.Wait()
		if a.Load() != before {
			t.Error("the fast branch goes on")
		}
		cancel()
		<-done
	})
}

// Given that the slow branch leaves, then the others go on at once.
func TestS26_WithoutTheSlowBranchTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 20_000
		var hub weir.Hub[int]
		slow, _ := hub.Attach(weir.Branch{Limit: weir.Items(1)})
		fast, _ := hub.Attach(weir.Branch{Limit: weir.Items(4)})
		done := make(chan error)
		go func() { done <- weir.FromSlice(ints(all)).To(hub.Sink()).Run(t.Context()) }()
		var got atomic.Int64
		go weir.FromPipe(fast).To(count(&got)).Run(t.Context())
		synctest.Wait()
		if held := got.Load(); held > 4096 {
			t.Errorf("%d values while the slow branch was there", held)
		}
		slow.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got.Load() != all {
			t.Errorf("%d values in all", got.Load())
		}
	})
}

// Given five branches, then all get the same; when all have left, values go
// nowhere and the source can end.
func TestS27_AllBranchesGetTheSame(t *testing.T) {
	noLeaks(t)
	var hub weir.Hub[int]
	var readers []*weir.PipeReader[int]
	for range 5 {
		r, err := hub.Attach(weir.Branch{Limit: weir.Items(100)})
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	if err := weir.FromSlice(ints(50)).To(hub.Sink()).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		got, err := weir.Collect(t.Context(), weir.FromPipe(r), 100)
		if err != nil {
			t.Error(err)
		}
		equal(t, "branch", got, ints(50)...)
	}
	for range 2 {
		r, _ := hub.Attach(weir.Branch{})
		r.Close()
	}
	if err := weir.FromSlice(ints(50)).To(hub.Sink()).Run(t.Context()); err != nil {
		t.Error("without a branch:", err)
	}
}

// Given a branch that drops the oldest, then it gets the newest and the count is
// exact, and a branch that blocks loses nothing.
func TestS29_DropsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub weir.Hub[int]
		oldest, _ := hub.Attach(weir.Branch{Policy: weir.DropOldest, Limit: weir.Items(10)})
		newest, _ := hub.Attach(weir.Branch{Policy: weir.DropNewest, Limit: weir.Items(10)})
		block, _ := hub.Attach(weir.Branch{Limit: weir.Items(10)})
		var got []int
		go func() { got, _ = weir.Collect(t.Context(), weir.FromPipe(block), 1000) }()
		if err := weir.FromSlice(ints(100)).To(hub.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		old, _ := weir.Collect(t.Context(), weir.FromPipe(oldest), 100)
		young, _ := weir.Collect(t.Context(), weir.FromPipe(newest), 100)
		equal(t, "oldest dropped", old, ints(100)[90:]...)
		equal(t, "newest dropped", young, ints(10)...)
		equal(t, "blocking", got, ints(100)...)
		if o, n := oldest.Stats().Dropped, newest.Stats().Dropped; o != 90 || n != 90 {
			t.Error("dropped", o, n)
		}
	})
}

// Given branches that leave one after the other, then the source is ended when
// the last has left and not before; a failure of the source reaches all.
func TestS30_TheLastBranchEndsTheSource(t *testing.T) {
	noLeaks(t)
	var p probe
	b := weir.Tee(source(&p), weir.Branch{}, weir.Branch{})
	var n [2]int
	var flows []*weir.Flow
	for i, s := range []weir.Stream[byte]{weir.Take(b[0], 10), weir.Take(b[1], 1_000_000)} {
		flows = append(flows, s.To(weir.EachBatch(func(_ context.Context, batch []byte) error {
			n[i] += len(batch)
			return nil
		})))
	}
	if err := weir.Join(flows...).Run(t.Context()); err != nil || n != [2]int{10, 1_000_000} || p.closed.Load() != 1 {
		t.Error(err, n, p.closed.Load())
	}

	var hub weir.Hub[int]
	r1, _ := hub.Attach(weir.Branch{})
	r2, _ := hub.Attach(weir.Branch{})
	bad := weir.Map(weir.Values(1), func(int) (int, error) { return 0, errBoom })
	if err := bad.To(hub.Sink()).Run(t.Context()); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	for _, r := range []*weir.PipeReader[int]{r1, r2} {
		if _, err := r.Recv(t.Context()); err == nil {
			t.Error("a branch did not see the failure")
		}
	}
}

// Given two sources into one stuck sink, then neither reads more than its limits
// let it; when the flow ends, both are ended.
func TestS32_MergedSourcesDoNotReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b, first atomic.Int64
		s := weir.Merge(counter(&a).Async(weir.Items(5)), counter(&b).Async(weir.Items(5))).Async(weir.Items(7))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.To(stuck(&first)).Run(ctx) }()
		synctest.Wait()
		// Its own pipe, the shared pipes, and the batches in progress.
		if x, y := a.Load(), b.Load(); x > 40 || y > 40 || x == 0 || y == 0 {
			t.Error("read", x, y)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	got, err := weir.Collect(t.Context(), weir.Merge(weir.FromSlice(ints(10)), weir.FromSlice(ints(10))), 20)
	slices.Sort(got)
	if err != nil || len(got) != 20 || got[19] != 9 {
		t.Error(got, err)
	}
}
