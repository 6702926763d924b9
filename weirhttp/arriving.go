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
	mu     sync.Mutex // guards the fields below
	byPath map[string][]*arrival
	byKey  map[string]*arrival
}

// arrival is an upload in progress.
type arrival struct {
	path string
	key  string                   // of an upload in several requests; "": in one
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
	a.addLocked(n)
	return n
}

func (a *arrivals) addLocked(n *arrival) {
	if a.byPath == nil {
		a.byPath, a.byKey = make(map[string][]*arrival), make(map[string]*arrival)
	}
	a.byPath[n.path] = append(a.byPath[n.path], n)
	if n.key != "" {
		a.byKey[n.key] = n
	}
}

// resume is begin for an upload that can take several requests, unless it is registered
// already. id tells it from the others in its folder.
func (a *arrivals) resume(folder *os.Root, name, id string, size int64, open func() (*os.File, error)) {
	dir := pathOf(folder)
	n := &arrival{path: filepath.Join(dir, name), key: filepath.Join(dir, id), size: size, open: open, from: a, over: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKey[n.key] == nil {
		a.addLocked(n)
	}
}

// finish is end for such an upload, if it is registered.
func (a *arrivals) finish(folder *os.Root, id string, err error) {
	key := filepath.Join(pathOf(folder), id)
	a.mu.Lock()
	u := a.byKey[key]
	a.mu.Unlock()
	if u != nil {
		u.end(err)
	}
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

// drop ends the uploads to a folder that take several requests: this process will not
// hear of them any more.
func (a *arrivals) drop(folder *os.Root) {
	dir := pathOf(folder)
	a.mu.Lock()
	var list []*arrival
	for key, u := range a.byKey {
		if filepath.Dir(key) == dir {
			list = append(list, u)
		}
	}
	a.mu.Unlock()
	for _, u := range list {
		u.end(errUnfinished)
	}
}

// end tells the downloads that follow the upload that its file is complete, or why it
// never will be. Nothing may be written any more. Calls after the first do nothing.
func (u *arrival) end(err error) {
	u.from.mu.Lock()
	defer u.from.mu.Unlock()
	if isClosed(u.over) {
		return
	}
	delete(u.from.byKey, u.key)
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

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
