package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/sparse"
)

// slow copies through memory: no faster than the limit, with a digest where the
// file is to be read back.
func (j *job) slow(ctx context.Context, root *os.Root, name string, dst, src *os.File, holes bool) (n int64, err error) {
	var w io.Writer = dst
	end := func() error { return nil }
	if holes {
		s, err := sparse.NewWriter(dst)
		if err != nil {
			return 0, err
		}
		w, end = s, s.End
	}
	b := j.buffers.Get().(*[]byte)
	defer j.buffers.Put(b)
	var digest hash.Hash
	if j.Verify {
		digest = sha256.New()
	}
	for {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		k, rerr := src.Read(*b)
		if k > 0 {
			if err := j.wait(ctx, k); err != nil {
				return n, err
			}
			if digest != nil {
				digest.Write((*b)[:k])
			}
			if _, err := w.Write((*b)[:k]); err != nil {
				return n, err
			}
			n += int64(k)
			j.bytes.Add(int64(k))
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return n, &readError{rerr}
		}
	}
	if err := end(); err != nil || digest == nil {
		return n, err
	}
	return n, readBack(ctx, root, name, dst, digest, *b)
}

// wait waits until the limit lets k bytes pass. Unlike WaitN it does not fail
// before ctx has ended.
func (j *job) wait(ctx context.Context, k int) error {
	if j.limit == nil {
		return nil
	}
	r := j.limit.ReserveN(time.Now(), k)
	timer := time.NewTimer(r.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		return context.Cause(ctx)
	}
}

// readBack compares the file with the digest of the bytes written to it.
func readBack(ctx context.Context, root *os.Root, name string, dst *os.File, digest hash.Hash, buf []byte) error {
	if err := dst.Sync(); err != nil {
		return err
	}
	in, err := root.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	want := digest.Sum(nil)
	digest.Reset()
	for err == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var n int
		n, err = in.Read(buf)
		digest.Write(buf[:n])
	}
	if err != io.EOF {
		return err
	}
	if !bytes.Equal(want, digest.Sum(nil)) {
		return weir.ErrReadBack
	}
	return nil
}
