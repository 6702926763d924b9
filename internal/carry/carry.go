// Package carry lets the file that a flow writes take on the owner, the
// permissions and the modification time of the file that the flow reads. Both
// ends are opened by the flow. The metadata have to be those of the very file
// that was read: under its name there may be another one a moment later.
package carry

import (
	"context"
	"io/fs"
	"sync/atomic"
)

type key struct{}

// note passes a description from the source to the sink.
type note struct{ info atomic.Pointer[fs.FileInfo] }

// Metadata returns a context for the run of a flow in which files that are
// written take on the metadata of the file that is read.
func Metadata(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, new(note))
}

// Opened tells that the file which info describes is being read. It does
// nothing where nobody wants to know.
func Opened(ctx context.Context, info fs.FileInfo) {
	if n, ok := ctx.Value(key{}).(*note); ok {
		n.info.Store(&info)
	}
}

// Wanted returns what finds the description of the file that is read, or nil if
// metadata are not to be carried. The function returns nil before [Opened] was
// called; it may be called by any goroutine.
func Wanted(ctx context.Context) func() fs.FileInfo {
	n, ok := ctx.Value(key{}).(*note)
	if !ok {
		return nil
	}
	return func() fs.FileInfo {
		if p := n.info.Load(); p != nil {
			return *p
		}
		return nil
	}
}
