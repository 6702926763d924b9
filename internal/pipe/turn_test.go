package pipe

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
)

func TestPipe_ManyWritersAndReadersLoseNothing(t *testing.T) {
	const writers, readers, each = 8, 4, 20_000
	ctx := context.Background()
	p := New(Config[int]{Limit: ofItems(100)})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for n := 0; n < each; {
				k := min(1+rnd.IntN(300), each-n)
				switch rnd.IntN(3) {
				case 0:
					for range k {
						if err := p.Send(ctx, nil, 1); err != nil {
							t.Error(err)
						}
					}
				case 1:
					if _, err := p.Write(ctx, nil, slices.Repeat([]int{1}, k)); err != nil {
						t.Error(err)
					}
				default:
					view, err := p.Reserve(ctx, nil, k)
					if err != nil {
						t.Error(err)
					}
					for i := range view {
						view[i] = 1
					}
					p.g.Commit(len(view))
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
					v, err = p.Recv(ctx)
					got = []int{v}
				case 1:
					var n int
					n, _, err = p.Read(ctx, nil, buf)
					got = buf[:n]
				default:
					var view []int
					if view, err = p.Acquire(ctx, nil); err == nil {
						view = view[:1+rnd.IntN(len(view))]
						for _, v := range view {
							sums[i] += v
						}
						err = p.Release(len(view))
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
	p.g.CloseWrite(nil)
	done.Wait()
	sum := 0
	for _, s := range sums {
		sum += s
	}
	if sum != writers*each {
		t.Errorf("%d values arrived, want %d", sum, writers*each)
	}
	if s := p.g.Stats(); s.In != s.Out || s.In != writers*each || s.Items != 0 {
		t.Errorf("%+v", s)
	}
}

func TestPipe_BatchesOfSeveralWritersAreNotMixed(t *testing.T) {
	p := New(Config[byte]{Limit: ofBytes(7)})
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for range 50 {
				p.Write(t.Context(), nil, bytes.Repeat([]byte{'a' + byte(c)}, 20))
			}
		})
	}
	go func() { wg.Wait(); p.g.CloseWrite(nil) }()
	all, err := io.ReadAll(stream{t.Context(), p})
	if err != nil || len(all) != 4*50*20 {
		t.Fatal(len(all), err)
	}
	for i := 0; i < len(all); i += 20 {
		if !bytes.Equal(all[i:i+20], bytes.Repeat(all[i:i+1], 20)) {
			t.Fatalf("mixed at %d: %q", i, all[i:i+20])
		}
	}
}

func TestPipe_OthersGoAheadOfAWriterThatWaitsOnlySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config[int]{Limit: ofItems(1)})
		p.TryWrite([]int{0})
		done := make(chan error, 1)
		go func() { done <- p.Send(t.Context(), nil, 1) }()
		synctest.Wait()
		ahead := 0
		for range 200 {
			if _, err := tryRecv(p); err != nil {
				t.Fatal(err)
			}
			if p.TryWrite([]int{0}) == nil {
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

func TestPipe_NothingGoesIntoABatchThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config[int]{Limit: ofItems(4)})
		go p.Write(t.Context(), nil, []int{1, 1, 1, 1, 1, 1})
		synctest.Wait()
		go p.Write(t.Context(), nil, []int{2, 2})
		synctest.Wait()
		if v, err := tryRecv(p); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if err := p.TryWrite([]int{3}); !errors.Is(err, ErrFull) {
			t.Errorf("TryWrite = %v", err)
		}
		for _, want := range []int{1, 1, 1, 1, 1, 2, 2} {
			if v, err := p.Recv(t.Context()); v != want || err != nil {
				t.Errorf("%d, %v, want %d", v, err, want)
			}
		}
	})
}

func TestPipe_ReadyFiresWhenATurnIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config[int]{Limit: ofItems(8)})
		if _, err := p.Reserve(t.Context(), nil, 2); err != nil {
			t.Fatal(err)
		}
		if err := p.TryWrite([]int{1}); !errors.Is(err, ErrFull) {
			t.Fatalf("TryWrite = %v while memory is handed out", err)
		}
		ready := p.g.WriteReady()
		p.g.Commit(0)
		<-ready
		if err := p.TryWrite([]int{1}); err != nil {
			t.Errorf("TryWrite = %v", err)
		}

		if _, err := p.Acquire(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tryRecv(p); !errors.Is(err, ErrEmpty) {
			t.Fatalf("TryRecv = %v while a view is handed out", err)
		}
		ready = p.g.ReadReady()
		p.Release(0)
		<-ready
		if v, err := tryRecv(p); v != 1 || err != nil {
			t.Errorf("TryRecv = %d, %v", v, err)
		}
	})
}

// tryRecv takes one value if it is there.
func tryRecv[T any](p *Pipe[T]) (T, error) {
	var one [1]T
	_, err := p.TryRead(one[:], NoMost)
	return one[0], err
}

// stream reads the bytes of a pipe.
type stream struct {
	ctx context.Context
	p   *Pipe[byte]
}

func (s stream) Read(dst []byte) (int, error) {
	n, _, err := s.p.Read(s.ctx, nil, dst)
	return n, err
}

// boaster is a writer that returns an impossible count.
type boaster struct{}

func (boaster) Write(p []byte) (int, error) { return len(p) + 1, nil }

func TestPipe_CopyToEndsAtAWriterWithAnImpossibleCount(t *testing.T) {
	p := New(Config[byte]{Limit: ofBytes(10)})
	p.Write(t.Context(), nil, []byte("abc"))
	p.g.CloseWrite(nil)
	if n, _, err := CopyTo(t.Context(), nil, p, boaster{}, func(int) {}); n != 0 || err == nil {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if rest, err := io.ReadAll(stream{t.Context(), p}); string(rest) != "abc" || err != nil {
		t.Errorf("%q, %v are left", rest, err)
	}
}
