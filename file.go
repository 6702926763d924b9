package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/fifo"
	"github.com/weir-go/weir/internal/stdio"
)

// File begins a stream at the file called path. A named pipe works too: opening
// it waits for its writer, or for the end of the flow. Errors name the path and
// the offset. A regular file that becomes shorter while it is read fails the
// flow, with an error that matches [io.ErrUnexpectedEOF].
func File(path string) Stream[byte] { return FileRange(path, 0, -1) }

// FileRange begins a stream at the bytes from offset on, at most length of
// them, or all if length is negative. An offset beyond the end yields an empty
// stream.
func FileRange(path string, offset, length int64) Stream[byte] {
	src := Source[byte]{Name: "read", Like: (*os.File)(nil)}
	switch {
	case path == "":
		src.Err = errors.New("empty path")
	case offset < 0:
		src.Err = fmt.Errorf("negative offset %d of %s", offset, path)
	}
	src.Open = func(ctx context.Context) (Reader[byte], error) {
		f, err := fifo.Open(ctx, path, os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		r := &fileReader{ctx: ctx, f: f, path: path, at: offset, left: length}
		if err := r.seek(ctx); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return r, nil
	}
	return From(src)
}

// fileReader reads a part of a file and says where it stopped.
type fileReader struct {
	ctx  context.Context
	f    *os.File
	info fs.FileInfo // as it was opened
	path string
	at   int64
	left int64 // negative: to the end
}

func (r *fileReader) seek(ctx context.Context) error {
	st, err := r.f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return &fs.PathError{Op: "read", Path: r.path, Err: syscall.EISDIR}
	}
	r.info = st
	carry.Opened(ctx, r.f, st)
	if r.at == 0 {
		return nil
	}
	_, err = r.f.Seek(r.at, io.SeekStart)
	return err
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.left >= 0 && int64(len(p)) > r.left {
		if p = p[:r.left]; len(p) == 0 {
			return 0, io.EOF
		}
	}
	n, err := r.f.Read(p)
	if err == io.EOF {
		if cerr := r.ended(); cerr != nil {
			err = cerr
		}
	}
	return n, r.Moved(int64(n), err)
}

// remaining returns how many bytes are left of the range; negative: up to the end.
func (r *fileReader) remaining() int64 { return r.left }

// ended is called at the end of the file. It returns an error if the file was
// longer when it was opened.
func (r *fileReader) ended() error {
	if r.left >= 0 || r.info == nil {
		return nil
	}
	return carry.Ended(r.ctx, r.f, r.info)
}

// Moved counts n bytes that were read and puts the offset into err.
func (r *fileReader) Moved(n int64, err error) error {
	r.at += n
	if r.left >= 0 {
		r.left -= n
	}
	if err != nil && err != io.EOF && r.at > 0 {
		err = fmt.Errorf("%w (at byte %d)", err, r.at)
	}
	return err
}

// OSFile returns the file for the kernel to read from.
func (r *fileReader) OSFile() *os.File { return r.f }

func (r *fileReader) Close() error                      { return r.f.Close() }
func (r *fileReader) SetReadDeadline(t time.Time) error { return r.f.SetReadDeadline(t) }

// FileOption changes how a file is written.
type FileOption func(*fileOptions)

type fileOptions struct {
	atomicfile.Options
	keeps    bool
	readBack func() hash.Hash
	err      error
}

// Durable makes the flow return only when the contents, and the name of a new
// or replaced file, are on stable storage (fsync of the file and of its
// directory).
func Durable() FileOption { return func(o *fileOptions) { o.Sync = true } }

// Perm sets the permission bits, before umask, of a file that does not exist
// yet. The default is 0666. Other bits, set-user-ID among them, are ignored.
func Perm(mode fs.FileMode) FileOption { return func(o *fileOptions) { o.Perm = mode } }

// KeepPartial makes [Create] and [CreateNew] write directly to the target, so that
// the data written so far remains after a failure, as it does with [Append] and
// [WriteAt] anyway.
func KeepPartial() FileOption { return func(o *fileOptions) { o.keeps = true } }

// Create ends a stream in the file called path, which is whole or absent. It
// writes to a temporary file in the same folder, and renames that to path when the
// whole flow has succeeded. After a failure the target is unchanged and no temporary
// file is left. A file that replaces another keeps the permissions of the old one,
// except for set-user-ID and set-group-ID. Create follows a symbolic link, unless
// its target does not exist. It writes directly to a device or named pipe.
func Create(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{}, opts)
}

// CreateNew is like [Create], for a file that must not exist. If it exists,
// CreateNew leaves it unchanged, and the error matches [fs.ErrExist].
func CreateNew(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{Mode: atomicfile.Exclusive}, opts)
}

// Append ends a stream at the end of a file, which it creates if necessary. The
// data written so far remains after a failure.
func Append(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{Mode: atomicfile.Append}, opts)
}

// WriteAt ends a stream in an existing file, from offset on. Data after the last
// byte written stays as it is. The data written so far remains after a failure.
func WriteAt(path string, offset int64, opts ...FileOption) Sink[byte] {
	k := fileSink(path, atomicfile.Options{Mode: atomicfile.InPlace, Offset: offset}, opts)
	if offset < 0 && k.Err == nil {
		k.Err = fmt.Errorf("negative offset %d of %s", offset, path)
	}
	return k
}

func fileSink(path string, base atomicfile.Options, opts []FileOption) Sink[byte] {
	o := fileOptions{Options: base}
	for _, f := range opts {
		f(&o)
	}
	if o.keeps {
		switch o.Mode {
		case atomicfile.Replace:
			o.Mode = atomicfile.Truncate
		case atomicfile.Exclusive:
			o.Mode = atomicfile.Fresh
		}
	}
	k := Sink[byte]{Name: "write", Err: o.err}
	if path == "" {
		k.Err = errors.New("empty path")
	}
	if o.Mode != atomicfile.Append && o.readBack == nil {
		k.Like = (*os.File)(nil)
	}
	k.Open = func(ctx context.Context) (Writer[byte], error) {
		opts := o.Options
		opts.Like, opts.Sparse = carry.Wanted(ctx), carry.Sparse(ctx)
		f, err := atomicfile.Open(ctx, path, opts)
		if err != nil {
			return nil, err
		}
		if o.readBack != nil {
			return newReadBack(ctx, &fileWriter{f}, o.Mode == atomicfile.Append, o.readBack()), nil
		}
		return &fileWriter{f}, nil
	}
	return k
}

// fileWriter makes a sink of an atomicfile.File: Close without Commit discards
// the file.
type fileWriter struct{ *atomicfile.File }

func (w *fileWriter) Close() error { return w.Abort() }

// Stdin begins a stream at standard input, which stays open. The end of the flow
// interrupts a Read that waits only for pipes and terminals on Linux.
func Stdin() Stream[byte] {
	return From(Source[byte]{
		Name: "stdin",
		Open: openStdin,
		Like: os.Stdin,
	})
}

// openStdin opens standard input. A file has a length, which its end is compared
// with.
func openStdin(ctx context.Context) (Reader[byte], error) {
	f, err := stdio.Stdin()
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		return &fileReader{ctx: ctx, f: f, path: "standard input", left: -1, info: st}, nil
	}
	return f, nil
}

// Stdout ends a stream at standard output, which stays open. If its reader closes
// it early, as head(1) does, the flow ends without an error.
func Stdout() Sink[byte] {
	return Sink[byte]{
		Name: "stdout",
		Open: func(context.Context) (Writer[byte], error) {
			f, err := stdio.Stdout()
			if err != nil {
				return nil, err
			}
			return &stdout{f}, nil
		},
		Like: os.Stdout,
	}
}

// stdout returns ErrStop, not an error, when its reader has closed it.
type stdout struct{ *os.File }

func (w *stdout) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	return n, w.Moved(int64(n), err)
}

// OSFile returns the file for the kernel to write to.
func (w *stdout) OSFile() *os.File { return w.File }

// Moved handles the result of a write by the kernel.
func (w *stdout) Moved(_ int64, err error) error {
	if errno.Is(err, syscall.EPIPE) {
		return ErrStop
	}
	return err
}

// ErrReadBack is returned if [ReadBack] finds that the content of a file differs
// from the written bytes.
var ErrReadBack = errors.New("file content differs from what was written")

// ReadBack reads the file back when all of it has been written, before it gets
// its name, and compares its digest with the digest of the bytes that were
// written. If they differ, the flow fails with [ErrReadBack]. Before that,
// ReadBack writes the file to stable storage and asks the system to drop it
// from the cache, if the system supports that, so that the bytes come from the
// storage itself. The kernel's copy path is not used for such a file, because
// the bytes must pass through the digest.
func ReadBack(newHash func() hash.Hash) FileOption {
	return func(o *fileOptions) {
		if o.readBack = newHash; newHash == nil {
			o.err = errNilFunc
		}
	}
}

// readBack is a fileWriter that reads its file back and compares the digests.
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
			return fmt.Errorf("%w: file ends at byte %d", ErrReadBack, at)
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
