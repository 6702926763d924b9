package weir

import (
	"context"
	"errors"
	"io"
	"testing"
)

// A reader can see the end of its context although the flow behind it has just ended
// well: its last values came while the reader was about to wait.
func TestOutlet_AContextThatEndsAfterTheFlowIsToldAsTheFlowTellsIt(t *testing.T) {
	cause := errors.New("enough of this")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	o := outlet[int]{ctx: ctx, flow: &Flow{Name: "numbers"}, done: make(chan struct{})}
	close(o.done)
	err := o.end(context.Cause(ctx))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("%v, want an error that matches ctx.Err() and the cause", err)
	}
	if err := o.end(io.EOF); err != nil {
		t.Errorf("%v at the end of the stream", err)
	}
}
