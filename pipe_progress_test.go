package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// finishes runs a flow many times. The deadline is far longer than any run
// takes; it only turns a hang into a failure that shows where each goroutine
// waits.
func finishes(t *testing.T, runs int, flow func() *weir.Flow) {
	t.Helper()
	for i := range runs {
		ctx, cancel := context.WithCancel(t.Context())
		hung := make(chan []byte, 1)
		deadline := time.AfterFunc(30*time.Second, func() {
			dump := make([]byte, 1<<20)
			hung <- dump[:runtime.Stack(dump, true)]
			cancel()
		})
		err := flow().Run(ctx)
		deadline.Stop()
		cancel()
		select {
		case dump := <-hung:
			t.Fatalf("run %d hangs:\n%s", i, dump)
		default:
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two writers of one pipe take turns while a budget grants them less than the
// room that the pipe has.
func TestPipe_WritersThatShareABudgetedPipeDoNotLoseTheirWakeUp(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 10
	}
	budget := weir.NewBudget(64 << 20)
	id := func(v int) (int, error) { return v, nil }

	t.Run("tee, map, merge", func(t *testing.T) {
		values := make([]int, 3000)
		finishes(t, runs, func() *weir.Flow {
			n := 0
			b := weir.Tee(weir.FromSlice(values), weir.Branch{Limit: weir.Items(16)}, weir.Branch{Limit: weir.Items(17)})
			f := weir.Merge(weir.Map(b[0], id), weir.Map(b[1], id)).To(weir.EachBatch(func(_ context.Context, vs []int) error {
				n += len(vs)
				return nil
			}))
			f.Limit, f.Budget = weir.Items(8), budget
			return f
		})
	})
	t.Run("unordered workers", func(t *testing.T) {
		values := make([]int, 300)
		finishes(t, 4*runs, func() *weir.Flow {
			f := weir.Map(weir.FromSlice(values), id, weir.Workers(3), weir.Unordered()).To(weir.Each(func(context.Context, int) error { return nil }))
			f.Limit, f.Budget = weir.Items(3), budget
			return f
		})
	})
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}

// A rendezvous reads nothing ahead: one value passes for each read.
func TestPipe_ARendezvousLetsOneValuePassForEachRead(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, r *weir.PipeReader[string]) (int, error){
		"Recv": func(ctx context.Context, r *weir.PipeReader[string]) (int, error) {
			_, err := r.Recv(ctx)
			return 1, err
		},
		"RecvBatch": func(ctx context.Context, r *weir.PipeReader[string]) (int, error) {
			return r.RecvBatch(ctx, make([]string, 100))
		},
		"Acquire": func(ctx context.Context, r *weir.PipeReader[string]) (int, error) {
			view, err := r.Acquire(ctx)
			r.Release(len(view))
			return len(view), err
		},
		"Peek": func(ctx context.Context, r *weir.PipeReader[string]) (int, error) {
			n, err := r.Peek(ctx, make([]string, 5))
			if !errors.Is(err, weir.ErrFull) {
				return n, fmt.Errorf("Peek of 5 values = %d, %v", n, err)
			}
			_, err = r.TryRecv()
			return n, err
		},
	} {
		for _, limit := range []weir.Limit{weir.Items(0), weir.Bytes(0)} {
			t.Run(fmt.Sprint(name, ", ", limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, w := weir.NewPipe[string](limit)
					sent := 0
					go func() {
						for w.Send(t.Context(), "v") == nil {
							sent++
						}
					}()
					go w.SendBatch(t.Context(), make([]string, 50))
					for range 30 {
						synctest.Wait()
						before := w.Stats().In
						if before != r.Stats().Out {
							t.Fatalf("%d values wait in a rendezvous", before-r.Stats().Out)
						}
						if n, err := read(t.Context(), r); n != 1 || err != nil {
							t.Fatal(n, err)
						}
						if in := w.Stats().In; in != before+1 {
							t.Fatalf("%d values passed for one read", in-before)
						}
					}
					r.Close()
				})
			})
		}
	}
}

func TestPipe_ARendezvousOfBytesFillsTheBufferOfTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[byte](weir.Bytes(0))
		go w.Write([]byte("GET / HTTP/1.1"))
		buf := make([]byte, 4)
		if n, err := r.Peek(t.Context(), buf[:3]); n != 3 || err != nil || string(buf[:3]) != "GET" {
			t.Errorf("Peek = %d, %v: %q", n, err, buf)
		}
		if n, err := r.Read(buf); n != 3 || err != nil {
			t.Errorf("Read = %d, %v of what was let in for Peek", n, err)
		}
		if n, err := r.Read(buf); n != 4 || err != nil || string(buf) != " / H" {
			t.Errorf("Read = %d, %v: %q", n, err, buf)
		}
		r.Close()
	})
}

func TestAsync_ARendezvousReadsNothingAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made, taken atomic.Int64
		s := weir.FromFunc(func(context.Context) (int64, error) {
			if made.Load() == 200 {
				return 0, io.EOF
			}
			return made.Add(1), nil
		}).Async(weir.Items(0))
		most := int64(0)
		err := s.To(weir.Each(func(context.Context, int64) error {
			synctest.Wait()
			most = max(most, made.Load()-taken.Add(1))
			return nil
		})).Run(t.Context())
		if err != nil || taken.Load() != 200 {
			t.Fatal(taken.Load(), err)
		}
		if most > 1 { // the source waits with one in its hands
			t.Errorf("%d values were made ahead of the one that is in work", most)
		}
	})
}
