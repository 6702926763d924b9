package conformance

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// Given a writer that waits, when the pipe is failed, then the writer gets that
// error at once and its value is not delivered.
func TestS09_ABlockedWriterGetsTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(1))
		w.Send(t.Context(), 1)
		var err error
		go func() { err = w.Send(t.Context(), 2) }()
		synctest.Wait()
		r.CloseWithError(errBoom)
		synctest.Wait()
		if err != errBoom {
			t.Error(err)
		}
		if v, err := r.TryRecv(); err == nil {
			t.Errorf("%d was delivered", v)
		}
	})
}

// Given a closed write side, then Send is an error and not a panic, a second
// Close does nothing, and readers get the remaining values.
func TestS10_WriteAfterCloseIsAnError(t *testing.T) {
	r, w := weir.NewPipe[int](weir.Items(5))
	w.SendBatch(t.Context(), []int{1, 2})
	w.Close()
	w.Close()
	for _, err := range []error{w.Send(t.Context(), 3), w.TrySend(3), w.TryWrite([]int{3})} {
		if !errors.Is(err, weir.ErrClosed) {
			t.Error(err)
		}
	}
	var got []int
	for {
		v, err := r.Recv(t.Context())
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		got = append(got, v)
	}
	equal(t, "rest", got, 1, 2)
}

type batchSink struct {
	l    *log
	fail bool
}

func (s *batchSink) Write(batch []int) (int, error) {
	if s.fail {
		return 0, errBoom
	}
	return len(batch), nil
}
func (s *batchSink) Commit() error { s.l.add("finished"); return nil }
func (s *batchSink) Close() error  { s.l.add("closed"); return nil }

// Given a sink whose batch write fails, then none of the batch counts as
// written, the sink is closed, and it is not told that all went well.
func TestS12_AFailedBatchIsNotFinished(t *testing.T) {
	noLeaks(t)
	l := &log{}
	k := weir.Sink[int]{Name: "sink", Open: func(context.Context) (weir.Writer[int], error) { return &batchSink{l, true}, nil }}
	err := weir.Values(1, 2, 3).To(k).Run(t.Context())
	if !errors.Is(err, errBoom) || l.has("finished") != 0 || l.has("closed") != 1 {
		t.Error(err, l.lines)
	}
}

// Node's cork and uncork gather writes. Here a batch is what the user asks for:
// nothing is handed on before it is complete, and the end completes it.
func TestS13_ABatchIsHandedOnWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(chan int)
		var got [][]int
		done := make(chan error)
		go func() {
			done <- weir.Batch(weir.FromChan(ch), weir.BatchOptions{Items: 3}).To(into(&got)).Run(t.Context())
		}()
		ch <- 1
		ch <- 2
		synctest.Wait()
		if len(got) != 0 {
			t.Error("a batch came early")
		}
		ch <- 3
		ch <- 4
		synctest.Wait()
		if len(got) != 1 {
			t.Error("the batch did not come")
		}
		close(ch)
		if err := <-done; err != nil || len(got) != 2 || len(got[1]) != 1 {
			t.Error(got, err)
		}
	})
}

type slowClose struct {
	err  error
	done *atomic.Bool
}

func (s slowClose) Write(batch []int) (int, error) { return len(batch), nil }
func (s slowClose) Close() error {
	time.Sleep(50 * time.Millisecond)
	s.done.Store(true)
	return s.err
}

// Given a sink whose Close takes 50 ms, then Run returns only after it, with its
// error.
func TestS14_RunWaitsForClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{nil, errBoom} {
			var closed atomic.Bool
			k := weir.Sink[int]{Name: "slow", Open: func(context.Context) (weir.Writer[int], error) { return slowClose{want, &closed}, nil }}
			begin := time.Now()
			err := weir.Values(1).To(k).Run(t.Context())
			if !errors.Is(err, want) || !closed.Load() || time.Since(begin) != 50*time.Millisecond {
				t.Error(err, closed.Load(), time.Since(begin))
			}
		}
	})
}
