package weir_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
)

func TestManyWritersAndReadersLoseNothing(t *testing.T) {
	const writers, readers, each = 8, 4, 20_000
	ctx := context.Background()
	r, w := weir.NewPipe[int](weir.Items(100))
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for n := 0; n < each; {
				k := min(1+rnd.IntN(300), each-n)
				switch rnd.IntN(3) {
				case 0:
					for range k {
						if err := w.Send(ctx, 1); err != nil {
							t.Error(err)
						}
					}
				case 1:
					if _, err := w.SendBatch(ctx, slices.Repeat([]int{1}, k)); err != nil {
						t.Error(err)
					}
				default:
					view, err := w.Reserve(ctx, k)
					if err != nil {
						t.Error(err)
					}
					for i := range view {
						view[i] = 1
					}
					w.Commit(len(view))
					k = len(view)
				}
				n += k
			}
		})
	}
	sums := make([]int, readers)
	var done sync.WaitGroup
	for i := range readers {
		done.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 2))
			buf := make([]int, 64)
			for {
				var got []int
				var err error
				switch rnd.IntN(3) {
				case 0:
					var v int
					v, err = r.Recv(ctx)
					got = []int{v}
				case 1:
					var n int
					n, err = r.RecvBatch(ctx, buf)
					got = buf[:n]
				default:
					var view []int
					if view, err = r.Acquire(ctx); err == nil {
						view = view[:1+rnd.IntN(len(view))]
						for _, v := range view {
							sums[i] += v
						}
						err = r.Release(len(view))
					}
				}
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
				for _, v := range got {
					sums[i] += v
				}
			}
		})
	}
	wg.Wait()
	w.Close()
	done.Wait()
	sum := 0
	for _, s := range sums {
		sum += s
	}
	if sum != writers*each {
		t.Errorf("%d values arrived, want %d", sum, writers*each)
	}
	if s := r.Stats(); s.In != s.Out || s.In != writers*each || s.Items != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBatchesOfSeveralWritersAreNotMixed(t *testing.T) {
	ctx := context.Background()
	r, w := weir.NewPipe[byte](weir.Bytes(7))
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for range 50 {
				w.Write(bytes.Repeat([]byte{'a' + byte(c)}, 20))
			}
		})
	}
	go func() { wg.Wait(); w.Close() }()
	all, err := io.ReadAll(r)
	if err != nil || len(all) != 4*50*20 {
		t.Fatal(len(all), err)
	}
	for i := 0; i < len(all); i += 20 {
		if !bytes.Equal(all[i:i+20], bytes.Repeat(all[i:i+1], 20)) {
			t.Fatalf("mixed at %d: %q", i, all[i:i+20])
		}
	}
	_ = ctx
}

func TestOthersGoAheadOfAWriterThatWaitsOnlySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(1))
		w.TrySend(0)
		done := make(chan error, 1)
		go func() { done <- w.Send(t.Context(), 1) }()
		synctest.Wait()
		ahead := 0
		for range 200 {
			if _, err := r.TryRecv(); err != nil {
				t.Fatal(err)
			}
			if w.TrySend(0) == nil {
				ahead++ // before the writer has woken up
			}
			synctest.Wait()
			if len(done) > 0 {
				break
			}
		}
		if err := <-done; err != nil || ahead > 64 {
			t.Errorf("Send = %v; %d went ahead", err, ahead)
		}
	})
}

func TestNothingGoesIntoABatchThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(4))
		go w.SendBatch(t.Context(), []int{1, 1, 1, 1, 1, 1})
		synctest.Wait()
		go w.SendBatch(t.Context(), []int{2, 2})
		synctest.Wait()
		if v, err := r.TryRecv(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if err := w.TrySend(3); !errors.Is(err, weir.ErrFull) {
			t.Errorf("TrySend = %v", err)
		}
		for _, want := range []int{1, 1, 1, 1, 1, 2, 2} {
			if v, err := r.Recv(t.Context()); v != want || err != nil {
				t.Errorf("%d, %v, want %d", v, err, want)
			}
		}
	})
}

func TestReadyFiresWhenATurnIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(8))
		if _, err := w.Reserve(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if err := w.TrySend(1); !errors.Is(err, weir.ErrFull) {
			t.Fatalf("TrySend = %v while memory is handed out", err)
		}
		ready := w.Ready()
		w.Commit(0)
		<-ready
		if err := w.TrySend(1); err != nil {
			t.Errorf("TrySend = %v", err)
		}

		if _, err := r.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.TryRecv(); !errors.Is(err, weir.ErrEmpty) {
			t.Fatalf("TryRecv = %v while a view is handed out", err)
		}
		ready = r.Ready()
		r.Release(0)
		<-ready
		if v, err := r.TryRecv(); v != 1 || err != nil {
			t.Errorf("TryRecv = %d, %v", v, err)
		}
	})
}

// boaster is a writer that returns an impossible count.
type boaster struct{}

func (boaster) Write(p []byte) (int, error) { return len(p) + 1, nil }

func TestAWriterWithAnImpossibleCountEndsWriteTo(t *testing.T) {
	r, w := weir.NewPipe[byte](weir.Bytes(10))
	w.Write([]byte("abc"))
	w.Close()
	if n, err := r.WriteTo(boaster{}); n != 0 || err == nil {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if rest, err := io.ReadAll(r); string(rest) != "abc" || err != nil {
		t.Errorf("%q, %v are left", rest, err)
	}
}
