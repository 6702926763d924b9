package conformance

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
)

// Given a reader that looks at a header and puts 5 bytes back, then the next
// reader sees them first, also when the end had been queued already.
func TestS16_WhatIsPutBackComesFirst(t *testing.T) {
	r, w := weir.NewPipe[byte](weir.Bytes(100))
	w.Write([]byte("magicrest"))
	w.Close()
	head := make([]byte, 5)
	if _, err := r.Peek(t.Context(), head); err != nil || string(head) != "magic" {
		t.Fatal(err, string(head))
	}
	if n, err := io.ReadFull(r, head); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.Unread(head...); err != nil {
		t.Fatal(err)
	}
	got, err := weir.Collect(t.Context(), weir.FromPipe(r), 100)
	if err != nil || string(got) != "magicrest" {
		t.Errorf("%q, %v", got, err)
	}
}

// Given 3 bytes before the end and a wish for 10, then there are 3 and the end;
// while the stream is open, the reader waits.
func TestS17_TheRestComesWithTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[byte](weir.Bytes(100))
		w.Write([]byte("abc"))
		var n int
		var err error
		returned := false
		go func() {
			n, err = io.ReadFull(r, make([]byte, 10))
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Error("did not wait")
		}
		w.Close()
		synctest.Wait()
		if n != 3 || err != io.ErrUnexpectedEOF {
			t.Error(n, err)
		}
	})
}

// Given a gate that is closed after each of 19 values and opened later, then no
// value is seen while it is closed, and all arrive.
func TestS19_NothingPassesAClosedGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g pace.Gate
		var got []int
		err := pace.Gated(weir.FromSlice(ints(19)), &g).To(weir.Each(func(_ context.Context, v int) error {
			if g.Paused() {
				t.Error(v, "passed")
			}
			got = append(got, v)
			g.Pause()
			time.AfterFunc(time.Millisecond, g.Resume)
			return nil
		})).Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		equal(t, "values", got, ints(19)...)
	})
}

// Given a loop that is left, then the source's deferred calls have run and no
// goroutine is left.
func TestS20_ABreakClosesTheSource(t *testing.T) {
	noLeaks(t)
	deferred := false
	s := weir.FromSeq(func(yield func(int) bool) {
		defer func() { deferred = true }()
		for i := 0; yield(i); i++ {
		}
	})
	for v, err := range s.All(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		if v == 5 {
			break
		}
	}
	if !deferred {
		t.Error("the source goes on")
	}
}

// Given a source that fails after one value, then the loop sees the value, then
// the error, then stops.
func TestS22_ALoopSeesTheValueAndThenTheError(t *testing.T) {
	noLeaks(t)
	s := weir.FromSeq2(func(yield func(int, error) bool) {
		if yield(1, nil) {
			yield(0, errBoom)
		}
	})
	var got []int
	var errs []error
	for v, err := range s.All(t.Context()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got = append(got, v)
	}
	if len(errs) != 1 || !errors.Is(errs[0], errBoom) || len(got) != 1 {
		t.Error(got, errs)
	}
}

// Given a stream that has failed or has ended, then a loop over it ends at once.
func TestS23_LoopsOverWhatIsOver(t *testing.T) {
	noLeaks(t)
	r, w := weir.NewPipe[int](weir.Items(1))
	w.CloseWithError(errBoom)
	n := 0
	for _, err := range weir.FromPipe(r).All(t.Context()) {
		n++
		if !errors.Is(err, errBoom) {
			t.Error(err)
		}
	}
	for range weir.Values[int]().All(t.Context()) {
		t.Error("an empty stream has a value")
	}
	if n != 1 {
		t.Errorf("%d rounds", n)
	}
}
