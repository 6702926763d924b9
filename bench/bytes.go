package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/djherbis/buffer"
	"github.com/djherbis/nio/v3"
	"github.com/smallnest/ringbuffer"
	"github.com/weir-go/weir"
)

// smallRow measures small writes, each of which the reader can see at once.
func smallRow(e *env) row {
	const size = 64
	n := e.size(8_000_000, 1_000_000)
	slow := e.size(2_000_000, 300_000)
	return row{
		name: "bytes-64", title: "byte pipe, writes of 64 B, each visible at once, 64 KiB of buffer, for each write",
		unit: nanoseconds, bytes: size, base: "weir Pipe[byte]",
		contenders: []contender{
			{name: "weir Pipe[byte]", n: n, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w := weir.NewPipe[byte](weir.Bytes(64 << 10))
				return r, w, nil
			})},
			{name: "io.Pipe", n: slow, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w := io.Pipe()
				return r, w, nil
			})},
			{name: "djherbis/nio", n: slow, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w := nio.Pipe(buffer.New(64 << 10))
				return r, w, nil
			})},
			{name: "smallnest/ringbuffer", n: slow, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w := ringbuffer.New(64 << 10).SetBlocking(true).Pipe()
				return r, w, nil
			})},
			{name: "os.Pipe", n: slow, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w, err := os.Pipe()
				return r, w, err
			})},
		},
		targets: []target{
			faster("weir Pipe[byte]", 15, "io.Pipe"),
			faster("weir Pipe[byte]", 1.5, "djherbis/nio"),
			faster("weir Pipe[byte]", 1.5, "smallnest/ringbuffer"),
		},
		notes: []string{"All readers read into a slice of 64 KiB."},
	}
}

// blocksRow measures blocks that are made in the buffer's own memory.
func blocksRow(e *env) row {
	const size = 4 << 10
	n := e.size(2_000_000, 300_000)
	return row{
		name: "bytes-4K", title: "byte pipe, blocks of 4 KiB made in place, 256 KiB of buffer, for each block",
		unit: nanoseconds, bytes: size, base: "weir Pipe[byte], in place",
		contenders: []contender{
			{name: "weir Pipe[byte], in place", n: n, loop: inPlace(size, 256<<10)},
			{name: "channel of recycled blocks", n: n, loop: blocks(size, 64)},
		},
		targets: []target{faster("weir Pipe[byte], in place", 1.5, "channel of recycled blocks")},
		notes:   []string{"Both writers make a block by copying 4 KiB into it; both readers get it where it lies."},
	}
}

// largeRow is blocksRow with blocks of 64 KiB, beside io.Pipe.
func largeRow(e *env) row {
	const size = 64 << 10
	n := e.size(200_000, 40_000)
	return row{
		name: "bytes-64K", title: "byte pipe, blocks of 64 KiB, for each block",
		unit: nanoseconds, bytes: size, base: "weir Pipe[byte], in place",
		contenders: []contender{
			{name: "weir Pipe[byte], in place", n: n, loop: inPlace(size, 256<<10)},
			{name: "io.Pipe", n: n, loop: writes(size, func() (io.ReadCloser, io.WriteCloser, error) {
				r, w := io.Pipe()
				return r, w, nil
			})},
			{name: "channel of recycled blocks", n: n, loop: blocks(size, 4)},
		},
		targets: []target{faster("weir Pipe[byte], in place", 1.1, "io.Pipe")},
		notes:   []string{"Each block is copied once: into the pipe's memory where it is made in place, from the writer's slice to the reader's by io.Pipe."},
	}
}

// writes measures n writes of size bytes to the writer that open returns.
func writes(size int, open func() (io.ReadCloser, io.WriteCloser, error)) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		r, w, err := open()
		if err != nil {
			return 0, err
		}
		defer r.Close()
		failed := make(chan error, 1)
		go func() {
			defer w.Close()
			p := make([]byte, size)
			for range n {
				if _, err := w.Write(p); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
		sum := 0
		p := make([]byte, 64<<10)
		for {
			k, err := r.Read(p)
			sum += k
			if err != nil {
				return uint64(sum), errors.Join(ignoreEOF(err), <-failed)
			}
		}
	}
}

// inPlace measures n blocks that are made in a pipe's memory and read there.
func inPlace(size int, limit int64) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		ctx := context.Background()
		r, w := weir.NewPipe[byte](weir.Bytes(limit))
		go func() {
			block := make([]byte, size)
			var err error
			for i := 0; i < n && err == nil; i++ {
				for rest := block; len(rest) > 0 && err == nil; {
					var free []byte
					if free, err = w.Reserve(ctx, len(rest)); err == nil {
						k := copy(free, rest)
						rest = rest[k:]
						err = w.Commit(k)
					}
				}
			}
			w.CloseWithError(err)
		}()
		sum := 0
		for {
			view, err := r.Acquire(ctx)
			if err != nil {
				return uint64(sum), ignoreEOF(err)
			}
			sum += len(view)
			if err := r.Release(len(view)); err != nil {
				return 0, err
			}
		}
	}
}

// blocks measures n blocks that go round in two channels.
func blocks(size, count int) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		full, empty := make(chan []byte, count), make(chan []byte, count)
		for range count {
			empty <- make([]byte, size)
		}
		go func() {
			defer close(full)
			block := make([]byte, size)
			for range n {
				b := <-empty
				copy(b, block)
				full <- b
			}
		}()
		sum := 0
		for b := range full {
			sum += len(b)
			empty <- b
		}
		return uint64(sum), nil
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
