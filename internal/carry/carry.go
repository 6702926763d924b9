// Package carry passes the metadata of the file that a flow reads to the file
// that the flow writes: owner, permissions, times, extended attributes, and
// whether it has holes. It also reports to the command whether the source
// changed while it was read. The flow opens both ends. The metadata must come
// from the open file, because a moment later another file can have its name.
package carry

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/weir-go/weir/internal/sparse"
	"github.com/weir-go/weir/internal/xattr"
)

// Note passes metadata of the source of a run. It is for one run. Set its
// fields before [Into].
type Note struct {
	// Metadata makes files that are written take on owner, permissions, times
	// and extended attributes of the file that is read.
	Metadata bool

	// Plain leaves out of Metadata set-user-ID, set-group-ID, the sticky bit
	// and extended attributes, for files that hold something else than the
	// source.
	Plain bool

	opened, ended atomic.Pointer[fs.FileInfo]
	change        atomic.Pointer[string]
}

type key struct{}

// Into returns a context for a run that n is about.
func Into(ctx context.Context, n *Note) context.Context {
	return context.WithValue(ctx, key{}, n)
}

func of(ctx context.Context) *Note {
	n, _ := ctx.Value(key{}).(*Note)
	return n
}

// Source returns the file that was read as it was when reading began, or nil.
func (n *Note) Source() fs.FileInfo { return load(&n.opened) }

// End returns the file that was read as it was when reading ended, or nil if
// that was not at its end.
func (n *Note) End() fs.FileInfo { return load(&n.ended) }

// Changed says how the file changed while it was read, as in "grew from 10 to 20
// bytes", and is empty if it did not.
func (n *Note) Changed() string {
	if p := n.change.Load(); p != nil {
		return *p
	}
	return ""
}

func load(p *atomic.Pointer[fs.FileInfo]) fs.FileInfo {
	if i := p.Load(); i != nil {
		return *i
	}
	return nil
}

// Described is a [fs.FileInfo] with extended attributes.
type Described interface {
	fs.FileInfo
	Attributes() []xattr.Attr
}

type described struct {
	fs.FileInfo
	attrs []xattr.Attr
}

func (d described) Attributes() []xattr.Attr { return d.attrs }

// plain is a file without the metadata that other contents may not get.
type plain struct{ fs.FileInfo }

func (p plain) Mode() fs.FileMode { return p.FileInfo.Mode().Perm() }

// Opened records that the flow reads f, which info describes.
func Opened(ctx context.Context, f *os.File, info fs.FileInfo) {
	n := of(ctx)
	if n == nil {
		return
	}
	if n.Metadata && !n.Plain {
		if attrs, err := xattr.Read(f); err == nil && len(attrs) > 0 {
			info = described{info, attrs}
		}
	}
	n.opened.Store(&info)
}

// Wanted returns a function for the description of the file that is read, or
// nil if metadata are not to be carried. The function returns nil before
// [Opened] was called; it can be called by any goroutine.
func Wanted(ctx context.Context) func() fs.FileInfo {
	n := of(ctx)
	if n == nil || !n.Metadata {
		return nil
	}
	return func() fs.FileInfo {
		if info := n.Source(); info != nil && n.Plain {
			return plain{info}
		} else if info != nil {
			return info
		}
		return nil
	}
}

// Sparse returns a function that reports whether the file that is read has
// holes, or nil if nobody can know.
func Sparse(ctx context.Context) func() bool {
	n := of(ctx)
	if n == nil {
		return nil
	}
	return func() bool {
		info := n.Source()
		return info != nil && sparse.Is(info)
	}
}

// ShrankError is the error of a file that became shorter while it was read, so
// that the bytes that were read are not its complete contents at any time. It
// matches [io.ErrUnexpectedEOF].
type ShrankError struct{ From, To int64 }

func (e *ShrankError) Error() string {
	return fmt.Sprintf("file shrank from %d to %d bytes while it was read", e.From, e.To)
}

func (e *ShrankError) Unwrap() error { return io.ErrUnexpectedEOF }

// Ended records that f was read to its end, and compares it with its state when
// it was opened. The error is a [*ShrankError]. Growth is no error: the
// original contents have been read. Ended is for regular files only, because
// other files have no fixed length.
func Ended(ctx context.Context, f *os.File, opened fs.FileInfo) error {
	if !opened.Mode().IsRegular() {
		return nil
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	change, err := Compare(opened, now, at)
	if err != nil {
		return err
	}
	if n := of(ctx); n != nil {
		n.ended.Store(&now)
		if change != "" {
			n.change.Store(&change)
		}
	}
	return nil
}

// Compare says how a file changed that was opened as before, is like now, and
// was read up to the offset at: with a [*ShrankError], or in words.
func Compare(before, now fs.FileInfo, at int64) (change string, err error) {
	was, is := before.Size(), now.Size()
	same := before.ModTime().Equal(now.ModTime())
	switch {
	case is < was:
		return "", &ShrankError{was, is}
	case at < was && !same: // it was cut off, and has grown again since
		return "", &ShrankError{was, at}
	case is > was:
		return fmt.Sprintf("grew from %d to %d bytes", was, is), nil
	case !same:
		return "was written to", nil
	}
	return "", nil
}
