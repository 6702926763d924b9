package weirhttp

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// smallRoom is how much memory the small files of a FileServer can take, in bytes. A file
// is small up to smallest.
const smallRoom = 4 << 20

// smallFiles keeps the contents of small files. An entry is used only while the identity
// of the file is the one it was read with.
type smallFiles struct {
	mu    sync.RWMutex // guards the fields below
	files map[string]*smallFile
	held  int64
}

// smallFile is a small file in memory. It does not change, and all answers share its
// header values.
type smallFile struct {
	id                          openfile.Identity
	body                        []byte
	kind, length, tag, modified []string
}

var bytesAccepted = []string{"bytes"}

// send sends the file, in one write with its header if possible.
func (f *smallFile) send(w http.ResponseWriter, r *http.Request) (n int, err error) {
	rf, ok := w.(io.ReaderFrom)
	c := plainConn(r)
	if !ok || c == nil {
		return w.Write(f.body)
	}
	w.WriteHeader(http.StatusOK)
	s := span{body: f.body, left: int64(len(f.body))}
	err = sendThrough(w, c, func() error {
		_, err := rf.ReadFrom(&s)
		return err
	})
	return len(f.body) - int(s.left), err
}

// get returns the file called name if it still has this identity.
func (c *smallFiles) get(name string, id openfile.Identity) *smallFile {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if f := c.files[name]; f != nil && f.id == id {
		return f
	}
	return nil
}

// read reads a small file and keeps it. It returns nil if it cannot.
func (c *smallFiles) read(v view, name string, id openfile.Identity) *smallFile {
	f, err := v.openFile(name, false)
	if err != nil {
		return nil
	}
	defer f.Release()
	if f.ID != id || !id.Settled(time.Now()) {
		return nil
	}
	body := make([]byte, f.Size)
	if n, err := f.ReadAt(body, 0); err != nil && err != io.EOF || n < len(body) {
		return nil
	}
	if info, err := f.F.Stat(); err != nil || openfile.Identify(info) != id {
		return nil // it was written while it was read
	}
	n := &smallFile{
		id: id, body: body,
		kind: []string{f.ContentType(name)}, length: []string{strconv.Itoa(len(body))},
		tag: []string{f.Tag()}, modified: []string{httpTime(f.Modified)},
	}
	c.put(strings.Clone(name), n)
	return n
}

func (c *smallFiles) put(name string, f *smallFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = make(map[string]*smallFile)
	}
	if old := c.files[name]; old != nil {
		c.held -= int64(len(old.body))
	}
	c.files[name] = f
	c.held += int64(len(f.body))
	for old, g := range c.files { // in random order, which is as good as any
		if c.held <= smallRoom && len(c.files) <= smallRoom/256 {
			return
		}
		if g != f {
			c.held -= int64(len(g.body))
			delete(c.files, old)
		}
	}
}
