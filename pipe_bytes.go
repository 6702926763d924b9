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
	sum, _, err = r.p.writeTo(context.Background(), nil, w, func(int) {})
	return sum, err
}

// writeTo writes what comes to w until the pipe ends. moved is told the count of
// each write. ours says that the error is the pipe's, not that of w.
func (p *pipe[T]) writeTo(ctx context.Context, ln *lane, w io.Writer, moved func(int)) (sum int64, ours bool, err error) {
	for {
		view, err := p.acquire(ctx, ln)
		if err == io.EOF {
			return sum, true, nil
		}
		if err != nil {
			return sum, true, err
		}
		b := any(view).([]byte)
		n, err := w.Write(b)
		switch {
		case n < 0 || n > len(b):
			n, err = 0, errBadWrite
		case n < len(b) && err == nil:
			err = io.ErrShortWrite
		}
		sum += int64(n)
		moved(n)
		p.release(n)
		if err != nil {
			return sum, false, err
		}
	}
}

var errBadWrite = errors.New("its Write returned an impossible count")

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
