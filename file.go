package weir

import (
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
	"github.com/weir-go/weir/internal/fifo"
)

// File begins a stream at the file called path. A named pipe works too: opening
// it waits for its writer, or for the end of the flow. Errors name the path and
// the offset. A regular file that becomes shorter while it is read fails the
// flow, with an error that matches [io.ErrUnexpectedEOF].
func File(path string) Stream[byte] { return FileRange(path, 0, -1) }

// FileRange begins a stream at the bytes from offset on, at most length of
// them, or all if length is negative. An offset behind the end yields nothing.
func FileRange(path string, offset, length int64) Stream[byte] {
	src := Source[byte]{Name: "read", Like: (*os.File)(nil)}
	switch {
	case path == "":
		src.Err = errors.New("its path is empty")
	case offset < 0:
		src.Err = fmt.Errorf("offset %d of %s is negative", offset, path)
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

// ended is called at the end of the file, and says whether that was the end of
// what was opened.
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

// OSFile is the file underneath, for the kernel to read from.
func (r *fileReader) OSFile() *os.File { return r.f }

func (r *fileReader) Close() error                      { return r.f.Close() }
func (r *fileReader) SetReadDeadline(t time.Time) error { return r.f.SetReadDeadline(t) }

// FileOption changes how a file is written.
type FileOption func(*fileOptions)

type fileOptions struct {
	atomicfile.Options
	readBack func() hash.Hash
}

// Durable makes the flow return only when the contents, and the name of a new
// or replaced file, are on stable storage (fsync of the file and of its
// directory).
func Durable() FileOption { return func(o *fileOptions) { o.Sync = true } }

// Perm sets the permission bits, before umask, of a file that does not exist
// yet. The default is 0666. Other bits, set-user-ID among them, are ignored.
func Perm(mode fs.FileMode) FileOption { return func(o *fileOptions) { o.Perm = mode } }

// KeepPartial writes straight to the target, so that what was written is still
// there after a failure.
func KeepPartial() FileOption { return func(o *fileOptions) { o.Mode = atomicfile.Truncate } }

// Create ends a stream in the file called path, which is whole or absent: it is
// written under a temporary name beside its target and takes the target's place
// when the whole flow has succeeded. After a failure the target is as it was
// and no temporary file is left. A file that is replaced keeps its permissions,
// but for set-user-ID and set-group-ID; a symbolic link is followed, unless it
// leads nowhere; a device or named pipe is written to straight.
func Create(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{}, opts)
}

// CreateNew is [Create] for a file that must not exist: an existing one is not
// touched, and the error matches [fs.ErrExist].
func CreateNew(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{Mode: atomicfile.Exclusive}, opts)
}

// Append ends a stream at the end of a file, which is created if absent. What
// was written stays after a failure.
func Append(path string, opts ...FileOption) Sink[byte] {
	return fileSink(path, atomicfile.Options{Mode: atomicfile.Append}, opts)
}

// WriteAt ends a stream in an existing file, from offset on. What follows the
// last byte written stays as it is; what was written stays after a failure.
func WriteAt(path string, offset int64, opts ...FileOption) Sink[byte] {
	k := fileSink(path, atomicfile.Options{Mode: atomicfile.InPlace, Offset: offset}, opts)
	if offset < 0 && k.Err == nil {
		k.Err = fmt.Errorf("offset %d of %s is negative", offset, path)
	}
	return k
}

func fileSink(path string, base atomicfile.Options, opts []FileOption) Sink[byte] {
	o := fileOptions{Options: base}
	for _, f := range opts {
		f(&o)
	}
	k := Sink[byte]{Name: "write"}
	if path == "" {
		k.Err = errors.New("its path is empty")
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

// fileWriter is an atomicfile.File as a sink: what is closed without Commit is
// given up.
type fileWriter struct{ *atomicfile.File }

func (w *fileWriter) Close() error { return w.Abort() }
