package tree

import (
	"io/fs"
	"sync"
)

// links are the files of the source that have several names.
type links struct {
	mu sync.Mutex
	m  map[fileID]*link
}

// link is a file with several names, of which the first is copied.
type link struct {
	done chan struct{} // closed when path and err are set
	path string        // below the top
	err  error
}

// claim returns the link of the file that info describes, or nil if the file
// has only one name. The first caller for a file must call placed.
func (l *links) claim(info fs.FileInfo) (ln *link, first bool) {
	id, several := idOf(info)
	if !several {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln, ok := l.m[id]; ok {
		return ln, false
	}
	if l.m == nil {
		l.m = map[fileID]*link{}
	}
	ln = &link{done: make(chan struct{})}
	l.m[id] = ln
	return ln, true
}

func (l *link) placed(path string, err error) {
	l.path, l.err = path, err
	close(l.done)
}
