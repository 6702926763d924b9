// Manual re-enacts the tutorial's "Backpressure manual (sin pipe)": a copy that
// asks before each chunk whether there is room, pauses when there is none, and
// resumes when the buffer has drained.
//
//	go run ./examples/manual source.mp4 destination.mp4
//
// What the tutorial got wrong: it prints "Copy complete" when everything was
// read, not when it was written; its errors destroy the other side and are then
// lost, so that no caller learns of them; a failed copy leaves half a file. And
// write() === false does not refuse the chunk, it has taken it already: a
// program that forgets to pause queues without limit. TryWrite refuses.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/weir-go/weir"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: manual SOURCE DESTINATION")
		os.Exit(2)
	}
	pauses, err := copyFile(ctx, os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
	fmt.Printf("copy complete, paused %d times\n", pauses)
}

// region copyFile

// copyFile copies source to destination and returns how often it had to pause.
func copyFile(ctx context.Context, source, destination string) (pauses int, err error) {
	src, err := os.Open(source)
	if err != nil {
		return 0, err
	}
	defer src.Close()

	r, w := weir.NewPipe[byte](weir.Bytes(256 << 10))
	written := make(chan error, 1)
	go func() {
		err := weir.FromPipe(r).To(weir.Create(destination)).Run(ctx)
		r.CloseWithError(err) // ends feed, even if the flow failed before it read anything
		written <- err
	}()

	pauses, err = feed(ctx, w, src)
	w.CloseWithError(err) // after an error the destination stays as it was
	if werr := <-written; werr != nil {
		err = werr
	}
	return pauses, err
}

// endregion

// feed reads src into the pipe.
func feed(ctx context.Context, w *weir.PipeWriter[byte], src io.Reader) (pauses int, err error) {
	chunk := make([]byte, 64<<10)
	for {
		n, rerr := src.Read(chunk)
		if n > 0 {
			p, err := put(ctx, w, chunk[:n])
			pauses += p
			if err != nil {
				return pauses, err
			}
		}
		if rerr == io.EOF {
			return pauses, nil
		}
		if rerr != nil {
			return pauses, rerr
		}
	}
}

// region put

// put adds chunk to the pipe as soon as there is room for all of it.
func put(ctx context.Context, w *weir.PipeWriter[byte], chunk []byte) (pauses int, err error) {
	for {
		err := w.TryWrite(chunk)
		if !errors.Is(err, weir.ErrFull) {
			return pauses, err
		}
		pauses++ // nothing was taken; do something else, or wait:
		select {
		case <-w.Ready(): // the tutorial's 'drain'
		case <-ctx.Done():
			return pauses, context.Cause(ctx)
		}
	}
}

// endregion
