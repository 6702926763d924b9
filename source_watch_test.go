package weir_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-go/weir"
)

// watched is an endless source whose Watch returns an error when the test asks
// for it.
type watched struct {
	broken chan error
	ended  chan struct{} // closed when Watch has returned
}

func (w *watched) Read(p []byte) (int, error) { return len(p), nil }

func (w *watched) Watch(ctx context.Context) error {
	defer close(w.ended)
	select {
	case err := <-w.broken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestWatcher_EndsTheFlowWhileNobodyReads(t *testing.T) {
	broken := errors.New("broken")
	for _, async := range []bool{true, false} {
		w := &watched{make(chan error), make(chan struct{})}
		s := weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) { return w, nil }})
		if async {
			s = s.Async(weir.Bytes(64 << 10))
		}
		err := s.To(weir.EachBatch(func(ctx context.Context, _ []byte) error {
			select { // busy with the first bytes, while the others wait for room
			case w.broken <- broken:
			case <-ctx.Done():
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})).Run(t.Context())
		var se *weir.StageError
		if !errors.Is(err, broken) || !errors.As(err, &se) || se.Stage != "source" {
			t.Errorf("async %v: %v", async, err)
		}
		<-w.ended
	}
}

func TestWatcher_EndsWithTheFlow(t *testing.T) {
	w := &watched{make(chan error), make(chan struct{})}
	enough := errors.New("enough")
	err := weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) { return w, nil }}).
		To(weir.EachBatch(func(context.Context, []byte) error { return enough })).Run(t.Context())
	select {
	case <-w.ended:
	default:
		t.Error("it is still watched")
	}
	if !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

// panicking panics when it is watched.
type panicking struct{ watched }

func (*panicking) Watch(context.Context) error { panic("boom") }

func TestWatcher_PanicIsAnError(t *testing.T) {
	err := weir.From(weir.Source[byte]{Name: "source", Open: func(context.Context) (weir.Reader[byte], error) { return &panicking{}, nil }}).
		To(weir.Discard[byte]()).Run(t.Context())
	var pe *weir.PanicError
	if !errors.As(err, &pe) || pe.Value != "boom" {
		t.Errorf("%v", err)
	}
}
