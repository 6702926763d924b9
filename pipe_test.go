package weir_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestPipe_NeverHoldsMoreThanItsLimit(t *testing.T) {
	limits := map[string]weir.Limit{"3 items": weir.Items(3), "100 bytes": weir.Bytes(100), "both": weir.Bytes(100).And(weir.Items(5))}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := weir.NewPipe[int](limit)
				go func() {
					for i := range 1000 {
						w.Send(t.Context(), i)
					}
					w.Close()
				}()
				synctest.Wait() // the writer is blocked now
				s := w.Stats()
				want := map[string]int64{"3 items": 3, "100 bytes": 12, "both": 5}[name]
				if s.Items != want || s.WaitingSend != 1 {
					t.Errorf("held %d values with %d writers waiting, want %d and 1", s.Items, s.WaitingSend, want)
				}
				n := 0
				for {
					v, err := r.Recv(t.Context())
					if err == io.EOF {
						break
					}
					if v != n {
						t.Fatalf("got %d, want %d", v, n)
					}
					n++
				}
				if n != 1000 || r.Stats().Peak > want*8 {
					t.Errorf("got %d values, peak %d bytes", n, r.Stats().Peak)
				}
			})
		})
	}
}

func TestPipe_ChargesSizedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[string](weir.Bytes(1000))
		sent := 0
		go func() {
			for range 1_000_000 {
				if w.Send(t.Context(), "") != nil {
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent > 1000/16 {
			t.Errorf("%d empty strings fit into 1000 bytes", sent)
		}
		r.Close()
	})
}

func TestPipe_PassesAValueLargerThanItsLimitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[string](weir.Bytes(100))
		big := string(make([]byte, 5000))
		go func() {
			for _, s := range []string{"a", big, "b", big, big, "c"} {
				w.Send(t.Context(), s)
			}
			w.Close()
		}()
		var got []int
		for {
			synctest.Wait()
			if s := r.Stats(); s.Items > 1 && s.Bytes > 100 {
				t.Errorf("holds %d values of %d bytes", s.Items, s.Bytes)
			}
			s, err := r.Recv(t.Context())
			if err != nil {
				break
			}
			got = append(got, len(s))
		}
		if !slices.Equal(got, []int{1, 5000, 1, 5000, 5000, 1}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestRendezvous_PassesAValueOnlyToAWaitingReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(0))
		if err := w.TrySend(1); !errors.Is(err, weir.ErrFull) {
			t.Errorf("TrySend without a reader: %v", err)
		}
		sent := false
		go func() {
			w.Send(t.Context(), 2)
			sent = true
		}()
		synctest.Wait()
		if sent || r.Stats().Items != 0 {
			t.Error("a value passed without a reader")
		}
		if v, err := r.Recv(t.Context()); v != 2 || err != nil {
			t.Error(v, err)
		}
		synctest.Wait()
		if !sent {
			t.Error("the writer still waits")
		}
	})
}

func TestTryWriteAndReady_AreTheTutorialsDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, err := weir.PipeOptions[byte]{Limit: weir.Bytes(10), LowWater: 4}.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.TryWrite(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if err := w.TryWrite([]byte{1}); !errors.Is(err, weir.ErrFull) {
			t.Fatal(err)
		}
		if err := w.TryWrite(make([]byte, 11)); !errors.Is(err, weir.ErrTooLarge) {
			t.Fatal(err)
		}
		drained := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		w.TryWrite([]byte{1})
		ready := w.Ready()
		r.Read(make([]byte, 5))
		if drained(ready) {
			t.Error("ready above the low-water mark")
		}
		r.Read(make([]byte, 1))
		if !drained(ready) {
			t.Error("not ready at the low-water mark")
		}
		if err := w.TryWrite(make([]byte, 6)); err != nil {
			t.Error(err)
		}
	})
}

func TestPipe_ClosesFromEitherSide(t *testing.T) {
	ctx := context.Background()
	cause := errors.New("cause")
	t.Run("the reader gets the rest, then the cause", func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(10))
		w.SendBatch(ctx, []int{1, 2})
		w.CloseWithError(cause)
		w.Close() // too late
		var got [4]int
		n, err := r.Read(got[:])
		if n != 2 || err != nil {
			t.Error(n, err)
		}
		if _, err := r.Recv(ctx); err != cause {
			t.Error(err)
		}
		if err := w.Send(ctx, 3); !errors.Is(err, weir.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("a blocked writer gets the reader's cause at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, w := weir.NewPipe[int](weir.Items(1))
			w.Send(t.Context(), 1)
			var err error
			go func() { err = w.Send(t.Context(), 2) }()
			synctest.Wait()
			r.CloseWithError(cause)
			synctest.Wait()
			if err != cause {
				t.Error(err)
			}
			if r.Stats().Items != 0 {
				t.Error("the pipe still holds something")
			}
		})
	})
	t.Run("the end of a context wakes both sides", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, w := weir.NewPipe[int](weir.Items(1))
			w.Send(t.Context(), 1)
			ctx, cancel := context.WithCancelCause(t.Context())
			var werr, rerr error
			go func() { werr = w.Send(ctx, 2) }()
			r2, _ := weir.NewPipe[int](weir.Items(1))
			go func() { _, rerr = r2.Recv(ctx) }()
			synctest.Wait()
			cancel(cause)
			synctest.Wait()
			if werr != cause || rerr != cause {
				t.Error(werr, rerr)
			}
			if v, err := r.TryRecv(); v != 1 || err != nil {
				t.Error(v, err)
			}
			if _, err := r.TryRecv(); !errors.Is(err, weir.ErrEmpty) {
				t.Error("the value of the cancelled writer arrived", err)
			}
		})
	})
}

func TestPeekAndUnread_KeepTheOrder(t *testing.T) {
	ctx := context.Background()
	r, w := weir.NewPipe[byte](weir.Bytes(8))
	w.Write([]byte("GET /x"))
	w.Close()
	head := make([]byte, 4)
	if n, err := r.Peek(ctx, head); n != 4 || err != nil || string(head) != "GET " {
		t.Fatal(n, err, string(head))
	}
	if n, err := r.Peek(ctx, make([]byte, 9)); n != 6 || err != io.EOF {
		t.Fatal(n, err)
	}
	r.Read(head)
	if err := r.Unread(head...); err != nil {
		t.Fatal(err)
	}
	if err := r.Unread('x'); !errors.Is(err, weir.ErrUnread) {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if string(all) != "GET /x" || err != nil {
		t.Fatal(string(all), err)
	}
}

func TestPipe_OfBytesIsAReaderAndAWriter(t *testing.T) {
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(rand.Int())
	}
	r, w := weir.NewPipe[byte](weir.Bytes(1000))
	go func() {
		n, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(data)))
		if n != int64(len(data)) || err != nil {
			t.Error(n, err)
		}
		w.Close()
	}()
	var got bytes.Buffer
	if n, err := r.WriteTo(&got); n != int64(len(data)) || err != nil {
		t.Error(n, err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Error("the bytes differ")
	}
	r, w = weir.NewPipe[byte](weir.Bytes(700))
	go func() {
		w.Write(data)
		w.Close()
	}()
	if err := iotest.TestReader(r, data); err != nil {
		t.Error(err)
	}
}

func TestPipe_KeepsNoConsumedValueAlive(t *testing.T) {
	ctx := context.Background()
	r, w := weir.NewPipe[*[1 << 16]byte](weir.Items(8))
	collected := make(chan struct{})
	func() {
		v := new([1 << 16]byte)
		runtime.AddCleanup(v, func(struct{}) { close(collected) }, struct{}{})
		w.Send(ctx, v)
		r.Recv(ctx)
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-collected:
			runtime.KeepAlive(w)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("a value that was read is still reachable")
}

func TestPipe_HoldsLittleWhenIdle(t *testing.T) {
	const n = 200
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var pipes []*weir.PipeWriter[byte]
	var readers []*weir.PipeReader[byte]
	for range n {
		r, w := weir.NewPipe[byte](weir.Bytes(1 << 20))
		pipes, readers = append(pipes, w), append(readers, r)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; per > 4096 {
		t.Errorf("an idle pipe of 1 MiB holds %d bytes", per)
	}
	runtime.KeepAlive(pipes)
	runtime.KeepAlive(readers)
}

func TestLimit_IsChecked(t *testing.T) {
	if _, _, err := (weir.PipeOptions[int]{Limit: weir.Items(-1)}).New(); err == nil {
		t.Error("a negative limit was accepted")
	}
	if _, _, err := (weir.PipeOptions[int]{Limit: weir.Bytes(1 << 40)}).New(); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("NewPipe accepted a negative limit")
		}
	}()
	weir.NewPipe[int](weir.Bytes(-5))
}

// A Commit without a reservation changes nothing, and least of all the turn of another
// writer.
func TestCommit_NeedsAReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(2))
		for range 2 {
			go func() { _, _ = w.SendBatch(t.Context(), []int{1, 1, 1, 1, 1, 1}) }()
			synctest.Wait()
			for _, n := range []int{0, 1, -1} {
				if err := w.Commit(n); err == nil {
					t.Errorf("Commit(%d) in the turn of another writer: no error", n)
				}
			}
		}
		for range 12 {
			if v, err := r.Recv(t.Context()); v != 1 || err != nil {
				t.Fatal(v, err)
			}
			synctest.Wait()
		}
		slots, err := w.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		slots[0] = 2
		if err := w.Commit(3); err == nil {
			t.Error("more than was reserved: no error")
		}
		if err := w.Commit(1); err != nil {
			t.Error(err)
		}
		if err := w.Commit(0); err == nil {
			t.Error("a second Commit: no error")
		}
		w.Close()
		if v, err := r.Recv(t.Context()); v != 2 || err != nil {
			t.Error(v, err)
		}
	})
}
