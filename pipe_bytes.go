package weir

import (
	"context"
	"errors"
	"io"
)

// WriteTo makes a PipeReader[byte] an [io.WriterTo]: it writes what comes to w,
// straight from the pipe's memory, until the pipe ends. For other types it
// returns [errors.ErrUnsupported].
func (r *PipeReader[T]) WriteTo(w io.Writer) (sum int64, err error) {
	if !isByte[T]() {
		return 0, errors.ErrUnsupported
	}
	for {
		view, err := r.Acquire(context.Background())
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		b := any(view).([]byte)
		n, err := w.Write(b)
		sum += int64(n)
		r.Release(n)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return sum, err
		}
	}
}

// ReadFrom makes a PipeWriter[byte] an [io.ReaderFrom]: r fills the pipe's
// memory directly, until it ends. It does not close the pipe. For other types
// it returns [errors.ErrUnsupported].
func (w *PipeWriter[T]) ReadFrom(r io.Reader) (sum int64, err error) {
	br, ok := any(bytesReader{r}).(Reader[T])
	if !ok {
		return 0, errors.ErrUnsupported
	}
	for empty := 0; empty < 100; empty++ {
		view, err := w.Reserve(context.Background(), chunkLen[T]())
		if err != nil {
			return sum, err
		}
		n, err := read(br, view)
		if cerr := w.Commit(n); cerr != nil {
			return sum, cerr
		}
		sum += int64(n)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		if n > 0 {
			empty = 0
		}
	}
	return sum, io.ErrNoProgress
}
