//go:build !race

package weir

// With the race detector, a sync.Pool forgets some of what it is given.

import (
	"context"
	"runtime"
	"slices"
	"testing"
)

func TestPipe_SizedValuesAllocateNothing(t *testing.T) {
	type record struct{ a, b string }
	r, w, err := PipeOptions[record]{Limit: Bytes(100_000), Size: func(v record) int { return len(v.a) + len(v.b) }}.New()
	if err != nil {
		t.Fatal(err)
	}
	batch := slices.Repeat([]record{{"some", "text"}}, 300)
	dst := make([]record, len(batch))
	one := func() {
		w.SendBatch(context.Background(), batch)
		w.Send(context.Background(), batch[0])
		w.TryWrite(batch)
		for n := 0; n < 2*len(batch)+1; {
			k, _ := r.Read(dst)
			n += k
		}
	}
	one()
	if n := testing.AllocsPerRun(100, one); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A batch that is larger than the pipe makes the writer wait again and again.
func TestPipe_WritersThatWaitAllocateNothing(t *testing.T) {
	r, w := NewPipe[string](Bytes(100))
	go func() {
		var dst [2]string
		for {
			if _, err := r.Read(dst[:]); err != nil {
				return
			}
		}
	}()
	batch := slices.Repeat([]string{"text"}, 100)
	one := func() { w.SendBatch(context.Background(), batch) }
	one()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		one()
	}
	runtime.ReadMemStats(&after)
	w.Close()
	if n := after.Mallocs - before.Mallocs; n > 50 {
		t.Errorf("%d allocations for 100 batches", n)
	}
}
