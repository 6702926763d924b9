package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
)

// Bytes makes a stage of a spool in the folder dir, which is made if it is not there.
// Bytes that the stage cannot pass on at once wait in files: the flow before it
// continues until the files hold [Options].Max bytes. The bytes are not in the
// ceiling of the flow; its report lists the spool among the pipes.
//
// One run at a time can use a folder; the error of another one matches
// [durable.ErrInUse]. However the flow ends, the files are removed, and the folder
// too if it was made for them. A killed process leaves them to the next run, which
// removes them. A folder with a durable spool ([Open]), or with other files, is
// refused.
func Bytes(dir string, o Options) weir.Stage[byte, byte] {
	st := weir.Duplex("spool", func(ctx context.Context) (weir.Writer[byte], weir.Reader[byte], error) {
		l, err := open(ctx, dir, o, modeBuffer)
		if err != nil {
			return nil, nil, fmt.Errorf("folder %s: %w", dir, err)
		}
		b := &buffer{l: l}
		b.users.Store(2)
		return &bufferWriter{b: b}, &bufferReader{b, newReader(l, 0)}, nil
	})
	st.Holds = 2 * frameMemory
	if st.Err = o.check(); dir == "" {
		st.Err = errors.New("no folder")
	}
	return st
}

// Items is [Bytes] for values. encode writes them as bytes, and decode reads them
// back, as the functions of package record do:
//
//	spool.Items(dir, spool.Options{}, record.EncodeJSON[Order], func(s weir.Stream[byte]) weir.Stream[Order] {
//		return record.DecodeJSON[Order](s, 0)
//	})
func Items[T any](dir string, o Options, encode func(weir.Stream[T]) weir.Stream[byte], decode func(weir.Stream[byte]) weir.Stream[T]) weir.Stage[T, T] {
	st := weir.Compose("spool", func(s weir.Stream[T]) weir.Stream[T] { return decode(encode(s).Through(Bytes(dir, o))) })
	if encode == nil || decode == nil {
		st.Err = errors.New("nil function")
	}
	return st
}

// buffer is a spool that ends with its flow.
type buffer struct {
	l     *Log
	users atomic.Int32
}

// leave is called by the writer and by the reader when it is closed. The last one
// removes everything.
func (b *buffer) leave() error {
	if b.users.Add(-1) > 0 {
		return nil
	}
	return b.l.Remove()
}

type bufferWriter struct {
	b     *buffer
	waits bool
}

func (w *bufferWriter) Write(p []byte) (int, error) {
	if w.waits {
		w.waits = false
		w.b.l.refuse(false)
	}
	n, err := w.b.l.put(p)
	if err == errFull {
		w.waits = true
		w.b.l.refuse(true)
	}
	return n, err
}

// Level returns how many bytes the files hold, and may hold.
func (w *bufferWriter) Level() (held, limit int64) {
	l := w.b.l
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disk, l.opts.max()
}

// SetWriteDeadline does nothing: Write waits for nothing but the disk.
func (w *bufferWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *bufferWriter) Close() error {
	l := w.b.l
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	return w.b.leave()
}

type bufferReader struct {
	b *buffer
	r *reader
}

func (r *bufferReader) Read(p []byte) (int, error) { return r.r.try(p) }

// SetReadDeadline does nothing: Read waits for nothing but the disk.
func (r *bufferReader) SetReadDeadline(time.Time) error { return nil }

func (r *bufferReader) Close() error {
	r.r.close()
	return r.b.leave()
}

var (
	_ durable.Sink   = (*sink)(nil)
	_ durable.Source = source{}
	_ io.ReadCloser  = (*sourceReader)(nil)
)
