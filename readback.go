package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// ErrReadBack is the error of a file that [ReadBack] found to hold something
// else than what was written to it.
var ErrReadBack = errors.New("what was read back is not what was written")

// ReadBack reads the file back when everything has been written, before it
// takes its name, and compares its digest with that of the bytes that were
// written: [ErrReadBack] if they differ. Before that the file is brought to
// stable storage and, where the system can be asked to, its pages leave the
// cache, so that they are read from the storage itself. The kernel does not
// copy such a file on its own, since the bytes must pass through the digest.
func ReadBack(newHash func() hash.Hash) FileOption {
	return func(o *fileOptions) { o.readBack = newHash }
}

// readBack is a fileWriter that checks what it has written.
type readBack struct {
	*fileWriter
	ctx  context.Context
	hash hash.Hash
	from int64 // where in the file the first byte was written
	n    int64
}

func newReadBack(ctx context.Context, w *fileWriter, appends bool, h hash.Hash) *readBack {
	r := &readBack{fileWriter: w, ctx: ctx, hash: h}
	whence := io.SeekCurrent
	if appends {
		whence = io.SeekEnd
	}
	if at, err := w.OSFile().Seek(0, whence); err == nil {
		r.from = at
	}
	return r
}

func (r *readBack) Write(p []byte) (int, error) {
	n, err := r.fileWriter.Write(p)
	r.hash.Write(p[:n])
	r.n += int64(n)
	return n, err
}

func (r *readBack) Prepare() error {
	if err := r.check(); err != nil {
		return err
	}
	return r.fileWriter.Prepare()
}

func (r *readBack) check() error {
	f := r.OSFile()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	if err := errors.Join(r.Extend(), f.Sync()); err != nil {
		return err
	}
	in, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	defer in.Close()
	dropCache(in)
	want := r.hash.Sum(nil)
	r.hash.Reset()
	buf, free := scratch[byte]()
	defer free()
	for at, end := r.from, r.from+r.n; at < end; {
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		n, err := in.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		r.hash.Write(buf[:n])
		at += int64(n)
		if err == io.EOF && at < end {
			return fmt.Errorf("%w: it ends at byte %d", ErrReadBack, at)
		}
		if err != nil && at < end {
			return fmt.Errorf("%w (at byte %d)", err, at)
		}
	}
	if !bytes.Equal(want, r.hash.Sum(nil)) {
		return ErrReadBack
	}
	return nil
}
