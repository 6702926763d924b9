// Package fifo opens files that may be named pipes without getting stuck.
//
// Opening a named pipe waits, inside open(2), until another process opens its
// other end. No deadline and no close reaches a goroutine that waits there;
// opening the other end ourselves does.
package fifo

import (
	"context"
	"io/fs"
	"os"
)

// Open is [os.OpenFile] that ends when ctx does. For everything but a named
// pipe the two are the same. For a named pipe Open waits for the other end, as
// open(2) does, and returns [context.Cause] of ctx when ctx ends first.
//
// To let go of the pipe Open opens its other end for a moment, so a process
// that came to the pipe at that very instant sees an end of file. Where the
// pipe was removed, or may not be opened both ways, the call returns all the
// same, and the goroutine that it started ends, and closes the file, once the
// pipe opens.
func Open(ctx context.Context, name string, flag int, perm fs.FileMode) (*os.File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !waits(name, flag) {
		return os.OpenFile(name, flag, perm)
	}
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(name, flag, perm)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
	}
	discard := func() {
		if o := <-done; o.f != nil {
			o.f.Close()
		}
	}
	release, err := openBothWays(name)
	if err != nil {
		go discard()
		return nil, context.Cause(ctx)
	}
	// Held until the open returned: it may not have begun yet.
	discard()
	release.Close()
	return nil, context.Cause(ctx)
}
