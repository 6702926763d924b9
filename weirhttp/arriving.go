package weirhttp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// arriving are the uploads of this process whose files are still being written, so that
// clients can follow them.
var arriving arrivals

// arrivals are uploads in progress, by the path that the client asked for.
type arrivals struct {
	mu     sync.Mutex // guards byPath
	byPath map[string][]*arrival
}

// arrival is an upload in progress.
type arrival struct {
	path string
	size int64                    // announced; -1: unknown
	open func() (*os.File, error) // opens the file as it is now
	from *arrivals
	over chan struct{} // closed at the end
	err  error         // why the upload failed; set before over is closed
}

// errUnfinished is the cause when an upload that somebody follows does not become a file.
var errUnfinished = errors.New("upload was not completed")

// begin registers an upload to a folder. open opens the file that is being written. The
// caller must call end.
func (a *arrivals) begin(folder *os.Root, name string, size int64, open func() (*os.File, error)) *arrival {
	n := &arrival{path: filepath.Join(pathOf(folder), name), size: size, open: open, from: a, over: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byPath == nil {
		a.byPath = make(map[string][]*arrival)
	}
	a.byPath[n.path] = append(a.byPath[n.path], n)
	return n
}

// find returns the newest upload to a path, nil if there is none.
func (a *arrivals) find(path string) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.byPath[path]
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// end tells those who follow the upload that its file is complete, or why it never will
// be. Nothing may be written any more.
func (u *arrival) end(err error) {
	u.from.mu.Lock()
	defer u.from.mu.Unlock()
	list := u.from.byPath[u.path]
	if list = slices.DeleteFunc(list, func(other *arrival) bool { return other == u }); len(list) == 0 {
		delete(u.from.byPath, u.path)
	} else {
		u.from.byPath[u.path] = list
	}
	if err != nil {
		u.err = errors.Join(errUnfinished, err)
	}
	close(u.over)
}

// pathOf returns the path of a folder without links, if it can be found out.
func pathOf(root *os.Root) string {
	path, err := filepath.Abs(root.Name())
	if err != nil {
		return root.Name()
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
