package lab

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync"
)

// This file makes the tutorial's mistakes on purpose. Do not copy from it.

// A queue takes every chunk at once. It plays the buffer of a Node stream whose
// caller ignores that write returns false.
type queue struct {
	mu     sync.Mutex
	chunks [][]byte
	ended  bool
	some   chan struct{} // has a value when there may be something to take
}

func newQueue() *queue { return &queue{some: make(chan struct{}, 1)} }

// push adds a chunk and never waits. That is the mistake.
func (q *queue) push(chunk []byte) {
	q.mu.Lock()
	q.chunks = append(q.chunks, chunk)
	q.mu.Unlock()
	q.wake()
}

// end tells pop that no more chunks come.
func (q *queue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// pop waits for the next chunk. It returns nil at the end, and when ctx ends.
func (q *queue) pop(ctx context.Context) []byte {
	for {
		q.mu.Lock()
		if len(q.chunks) > 0 {
			chunk := q.chunks[0]
			q.chunks[0] = nil
			q.chunks = q.chunks[1:]
			q.mu.Unlock()
			return chunk
		}
		ended := q.ended
		q.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-q.some:
		case <-ctx.Done():
			return nil
		}
	}
}

// fill pushes everything that r has, in chunks of their own.
func (q *queue) fill(r io.Reader) {
	defer q.end()
	for {
		chunk := make([]byte, chunkSize)
		n, err := r.Read(chunk)
		if n > 0 {
			q.push(chunk[:n])
		}
		if err != nil {
			return
		}
	}
}

// naiveBufferAll is the tutorial's first server: data += chunk, and all of it sent
// at the end. In Go people write io.ReadAll.
func naiveBufferAll(ctx context.Context, h *Host) error {
	return h.serve(ctx, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(h.file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.announce(w)
		_, _ = w.Write(data)
	})
}

// naiveIgnoreWriteResult is the tutorial's interview question: res.write(chunk) for
// each chunk of the file, whatever it returns.
func naiveIgnoreWriteResult(ctx context.Context, h *Host) error {
	return h.serve(ctx, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(h.file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.announce(w)
		q := newQueue()
		var reading sync.WaitGroup
		defer reading.Wait()
		reading.Go(func() { // reads on when the client has left, as the tutorial says
			defer f.Close()
			q.fill(f)
		})
		for chunk := q.pop(r.Context()); chunk != nil; chunk = q.pop(r.Context()) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
}

// naiveUpload reads what clients send as fast as it comes and queues it for a disk
// that is slower.
func naiveUpload(ctx context.Context, h *Host) error {
	d := h.newDisk()
	return h.serve(ctx, func(w http.ResponseWriter, r *http.Request) {
		q := newQueue()
		var reading sync.WaitGroup
		defer reading.Wait()
		reading.Go(func() { q.fill(r.Body) })
		for chunk := q.pop(ctx); chunk != nil; chunk = q.pop(ctx) {
			if d.take(ctx, len(chunk)) != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "Upload complete")
	})
}

// naiveAbort does what pipe(res) does when the client leaves: the reader of the
// file waits forever to pass on its next chunk, and the file stays open.
func naiveAbort(ctx context.Context, h *Host) error {
	return h.serve(ctx, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(h.file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.announce(w)
		chunks := make(chan []byte, 1)
		go func() { // nobody waits for it, and nobody stops it: the leak
			defer f.Close()
			defer close(chunks)
			for {
				chunk := make([]byte, chunkSize)
				n, err := f.Read(chunk)
				if err != nil {
					return
				}
				chunks <- chunk[:n]
			}
		}()
		for chunk := range chunks {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
}

// naiveTransform pushes a thousand records for each item, whether or not anybody
// takes them.
func naiveTransform(ctx context.Context, h *Host) error {
	q := newQueue()
	var making sync.WaitGroup
	defer making.Wait()
	h.Ready(nil, 0, nil)
	making.Go(func() {
		defer q.end()
		for i := range h.items() {
			for range perItem {
				if ctx.Err() != nil {
					return
				}
				q.push(h.record(i))
			}
		}
	})
	d := h.newDisk()
	for record := q.pop(ctx); record != nil; record = q.pop(ctx) {
		if d.take(ctx, len(record)) != nil {
			break
		}
	}
	return ctx.Err()
}

// naiveFanOut gives each of three readers a queue. The queue of the slow reader
// grows.
func naiveFanOut(ctx context.Context, h *Host) error {
	queues := make([]*queue, fanOut)
	for i := range queues {
		queues[i] = newQueue()
	}
	h.Ready(nil, 0, nil)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		src := h.source()
		for {
			chunk := make([]byte, chunkSize)
			n, err := src.Read(chunk)
			for _, q := range queues {
				if n > 0 {
					q.push(chunk[:n])
				}
			}
			if err != nil || ctx.Err() != nil {
				break
			}
		}
		for _, q := range queues {
			q.end()
		}
	})
	for _, q := range queues[1:] {
		running.Go(func() {
			for chunk := q.pop(ctx); chunk != nil; chunk = q.pop(ctx) {
			}
		})
	}
	d := h.newDisk()
	for chunk := queues[0].pop(ctx); chunk != nil; chunk = queues[0].pop(ctx) {
		if d.take(ctx, len(chunk)) != nil {
			break
		}
	}
	return ctx.Err()
}
