package weir

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/weir-go/weir/internal/pipe"
)

// Hub sends a stream to readers that come and go while it runs. The zero Hub
// is ready to use. Each reader gets the values that arrive after it attached.
// Without readers, the hub drops the values and the flow continues.
//
//	var hub weir.Hub[Event]
//	go events.To(hub.Sink()).Run(ctx)
//	r, err := hub.Attach(weir.Branch{Policy: weir.DropOldest})
//
// A Hub can be used concurrently, and must not be copied.
type Hub[T any] struct {
	// Size returns how many bytes v refers to beyond its own slot, as in
	// [PipeOptions]. The hub does not know the function that was given to
	// [Stream.Sized]. Size must be set before the first reader attaches. If it is
	// nil, the pipes of the readers measure values as far as they can; see [Bytes].
	Size func(v T) int

	mu       sync.Mutex
	branches []*branch[T]
	ended    error // the error the flow ended with; nil while it runs
}

// Attach adds a reader. Closing the reader detaches it. When the flow ends, readers
// get the values that they still hold, and then [io.EOF] or the flow's error. A
// reader that attaches later gets the same end.
func (h *Hub[T]) Attach(br Branch) (*PipeReader[T], error) {
	if err := checkBranch(br); err != nil {
		return nil, wrapf("attach", err)
	}
	p := pipe.New(pipe.Config[T]{Limit: br.Limit.numbers(), Size: h.Size})
	if br.Policy == DropOldest {
		p.Gate().DropsOldest()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended != nil {
		p.Gate().CloseWrite(h.ended)
	} else {
		h.branches = append(h.branches, &branch[T]{Branch: br, p: p})
	}
	return &PipeReader[T]{p}, nil
}

// Readers returns how many readers are attached.
func (h *Hub[T]) Readers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	return len(h.branches)
}

// sweep forgets the readers that have left or were disconnected. mu is held.
func (h *Hub[T]) sweep() {
	h.branches = slices.DeleteFunc(h.branches, func(b *branch[T]) bool {
		return b.p.Gate().Closed()
	})
}

// Sink returns the sink that feeds the hub. One flow at a time can use it. The end
// of that flow is also the end for its readers.
func (h *Hub[T]) Sink() Sink[T] {
	end := &given{x: &hubWriter[T]{h: h}, again: true}
	return Sink[T]{Name: "hub", inside: true, given: end, Open: func(ctx context.Context) (Writer[T], error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = nil
		return &hubWriter[T]{h: h, ctx: ctx}, nil
	}}
}

type hubWriter[T any] struct {
	h   *Hub[T]
	ctx context.Context
	all []*branch[T]
}

func (w *hubWriter[T]) Write(batch []T) (int, error) {
	h := w.h
	h.mu.Lock()
	h.sweep()
	w.all = append(w.all[:0], h.branches...)
	h.mu.Unlock()
	if _, err := deliverAll(w.ctx, nil, w.all, func(int) []T { return batch }); err != nil {
		return 0, err
	}
	return len(batch), nil
}

// Close ends the readers well.
func (w *hubWriter[T]) Close() error { return w.CloseWithError(nil) }

// CloseWithError ends the readers with the error of the flow.
func (w *hubWriter[T]) CloseWithError(cause error) error {
	h := w.h
	h.mu.Lock()
	all := h.branches
	h.branches = nil
	if h.ended = cause; cause == nil {
		h.ended = io.EOF
	}
	h.mu.Unlock()
	for _, br := range all {
		br.p.Gate().CloseWrite(cause)
	}
	return nil
}
