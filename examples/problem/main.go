// Problem re-enacts the tutorial's "El problema sin backpressure": a server
// that reads a file as fast as the disk allows while its client takes it
// slowly. Beside it runs the same transfer with a bounded buffer.
//
//	go run ./examples/problem
//
// The tutorial says that a file of 1 GB costs 1 GB of memory for each request.
// Its own program does not get that far: data += chunk makes a string, which
// V8 ends at 512 MiB with an exception, and which corrupts all data that is not
// text. The mistake behind it is real, though, and not tied to a language: here
// it is in Go, made on purpose.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, 32<<20, 64<<20); err != nil {
		fmt.Fprintln(os.Stderr, "problem:", err)
		os.Exit(1)
	}
}

// run sends a file of the given size, in bytes, both ways to a client that
// takes rate bytes a second, and prints how much was held in memory.
func run(ctx context.Context, out io.Writer, size, rate int64) error {
	dir, err := os.MkdirTemp("", "weir-problem-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "huge-file.mp4")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(path, size); err != nil { // zeros; most file systems store none of them
		return err
	}

	fmt.Fprintf(out, "a file of %s, a client that takes %s/s\n", weir.FormatBytes(size), weir.FormatBytes(rate))
	for _, way := range []struct {
		name string
		send func(context.Context, string, io.Writer) (int64, error)
	}{{"unbounded", unbounded}, {"bounded", bounded}} {
		client := &slowClient{rate: rate, heap: heap()}
		held, err := way.send(ctx, path, client)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		fmt.Fprintf(out, "%-10s delivered %s, waiting in memory at most %s, heap grew by %s\n",
			way.name, weir.FormatBytes(client.got), weir.FormatBytes(held), weir.FormatBytes(client.grown))
	}
	return nil
}

// region unbounded

// queue takes everything at once, so it holds everything that its reader has
// not taken yet.
type queue struct {
	mu         sync.Mutex
	chunks     [][]byte
	held, peak int64
}

func (q *queue) push(chunk []byte) { // never waits: this is the mistake
	q.mu.Lock()
	defer q.mu.Unlock()
	q.chunks = append(q.chunks, chunk)
	q.held += int64(len(chunk))
	q.peak = max(q.peak, q.held)
}

// endregion

func (q *queue) pop() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 {
		return nil
	}
	chunk := q.chunks[0]
	q.chunks[0] = nil
	q.chunks = q.chunks[1:]
	q.held -= int64(len(chunk))
	return chunk
}

func (q *queue) most() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.peak
}

// unbounded sends a file through a queue and returns the most bytes that
// waited in it.
func unbounded(ctx context.Context, path string, client io.Writer) (held int64, err error) {
	src, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer src.Close()

	var q queue
	more := make(chan struct{}, 1) // there may be chunks in the queue
	var failed error               // set before more is closed
	go func() {
		defer close(more)
		for ctx.Err() == nil {
			chunk := make([]byte, 64<<10)
			n, err := src.Read(chunk)
			if n > 0 {
				q.push(chunk[:n])
			}
			if err != nil {
				if err != io.EOF {
					failed = err
				}
				return
			}
			select {
			case more <- struct{}{}:
			default:
			}
		}
		failed = context.Cause(ctx)
	}()

	open := true
	for open {
		_, open = <-more
		for chunk := q.pop(); chunk != nil; chunk = q.pop() {
			if ctx.Err() != nil {
				break
			}
			if _, err := client.Write(chunk); err != nil {
				return q.most(), err
			}
		}
	}
	return q.most(), failed
}

// bounded sends a file through a flow and returns the most bytes that waited
// in it.
func bounded(ctx context.Context, path string, client io.Writer) (held int64, err error) {
	// region bounded
	flow := weir.File(path).To(weir.ToWriter(client))
	err = flow.Run(ctx)
	return flow.Report().Peak, err
	// endregion
}

// slowClient takes rate bytes a second. It watches how far the heap grows
// beyond heap.
type slowClient struct {
	rate  int64
	heap  int64
	grown int64
	got   int64
}

func (c *slowClient) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(c.rate))
	if c.got%(1<<20) == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.grown = max(c.grown, int64(m.HeapAlloc)-c.heap)
	}
	c.got += int64(len(p))
	return len(p), nil
}

// heap returns how many bytes of the heap are in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
