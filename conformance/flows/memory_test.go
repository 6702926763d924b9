package flows_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

const (
	memoryFlows  = 40        // how many flows are held still and weighed
	memoryValues = 1500      // values that a source could yield
	memorySize   = 50_000    // bytes of each
	memorySlack  = 768 << 10 // for goroutines, descriptions and the runtime
)

// TestRandomFlows_HoldNoMoreThanTheirCeiling stops random flows at their sink
// and weighs what they keep alive. With -seed it does so with that flow only.
func TestRandomFlows_HoldNoMoreThanTheirCeiling(t *testing.T) {
	seeds := make([]uint64, memoryFlows)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
		if i%2 == 1 {
			seeds[i] = rand.Uint64() >> 16
		}
	}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		var err error
		var text string
		synctest.Test(t, func(*testing.T) { text, err = weigh(seed) })
		if err != nil {
			t.Errorf("seed %d: %v\n\tgo test ./conformance/flows -run 'TestRandomFlows_Hold' -seed %d\n\t%s", seed, err, seed, text)
		}
	}
}

// weigh runs the flow of a seed, whose sink takes one value and no more.
func weigh(seed uint64) (text string, err error) {
	g := newGen(seed)
	g.profile = profile{"values of 50 KB", func(int) int { return memorySize }, memorySize, 100}
	g.strings, g.slices, g.records = g.profile.stringKind(), g.profile.sliceKind(), g.profile.recordKind()
	g.plain = true
	hold := make(chan struct{})
	if g.chance(0.5) {
		heavy(g, g.strings, hold)
	} else {
		heavy(g, g.records, hold)
	}
	f := g.flow
	if g.chance(0.6) {
		f.Limit = pick(g.rand, weir.Items(0), weir.Items(1), weir.Items(4), weir.Bytes(0), weir.Bytes(1), weir.Bytes(200_000), weir.Limit{})
		g.say("with the limit %v", f.Limit)
	}
	c, err := f.Ceiling()
	if err != nil {
		return g.String(), err
	}
	if len(c.Uncovered) > 0 {
		return g.String(), nil // it says so
	}
	g.ended = make(chan struct{})
	for _, h := range g.helpers {
		go h()
	}
	base := reachable()
	done := make(chan error, 1)
	go func() { done <- f.Run(g.context) }()
	time.Sleep(time.Hour) // until nothing moves any more
	live := reachable() - base
	largest := max(g.most(), f.Report().Largest) // a batch is a value too
	g.cancel(errDone)
	close(g.ended)
	close(hold)
	if err := <-done; err != nil && !errors.Is(err, errDone) {
		return g.String(), err
	}
	g.checkHalves()
	if most := c.Bytes + int64(c.Holders)*largest + memorySlack; live > most {
		return g.String(), fmt.Errorf("%s are alive, the ceiling is %s and %d values of %s", weir.FormatBytes(live), weir.FormatBytes(c.Bytes), c.Holders, weir.FormatBytes(largest))
	}
	return g.String(), nil
}

// heavy makes a flow of values that are made as they are asked for.
func heavy[T any](g *gen, k *kind[T], hold chan struct{}) {
	d := &draft[T]{g: g, k: k}
	d.m.keys = make([]int, memoryValues)
	for i := range d.m.keys {
		d.m.keys[i] = i + 1
	}
	n := 0
	d.next(weir.FromFunc(func(context.Context) (T, error) {
		if n++; n > memoryValues {
			return k.mk(0), io.EOF
		}
		return k.mk(n), nil
	}), "FromFunc(%s)", k.name)
	for range 1 + g.n(4) {
		step(d)
	}
	g.flow = d.s.To(weir.Each(func(ctx context.Context, _ T) error {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return nil
	}))
	g.say("Each, held")
}

// reachable is how many bytes are reachable.
func reachable() int64 {
	runtime.GC()
	runtime.GC() // what pools keep is given up by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
