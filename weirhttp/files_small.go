package weirhttp

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	smallest  = 16 << 10 // a file up to this size is kept in memory, in bytes
	smallRoom = 4 << 20  // for all of them
)

// smallFiles keeps the contents of small files. An entry is used only while the
// file is, by its identity, what it was when it was read.
type smallFiles struct {
	mu    sync.RWMutex // guards what follows
	files map[string]*smallFile
	held  int64
}

// smallFile does not change. Its header values are shared by all answers.
type smallFile struct {
	id                          identity
	body                        []byte
	kind, length, tag, modified []string
}

var bytesAccepted = []string{"bytes"}

// plainRequest reports whether r asks for all of a file, as it is.
func plainRequest(r *http.Request) bool {
	if r.Method != http.MethodGet || r.URL.RawQuery != "" {
		return false
	}
	for _, h := range [...]string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if _, ok := r.Header[h]; ok {
			return false
		}
	}
	return true
}

// serveSmall answers with a small file from memory, and reports whether it did.
func (s *FileServer) serveSmall(w http.ResponseWriter, r *http.Request, name string) bool {
	if !plainRequest(r) {
		return false
	}
	h := w.Header()
	if s.Precompressed {
		if _, ok := r.Header["Accept-Encoding"]; ok {
			return false // a sibling may be what the client likes better
		}
	}
	if _, ok := h["Content-Type"]; ok {
		return false
	}
	if _, ok := h["Content-Encoding"]; ok {
		return false
	}
	reg := registryOf(r.Context())
	var start time.Time
	if reg.Done != nil || doneOf(r.Context()) != nil {
		start = time.Now()
	}
	info, err := s.Root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > smallest || info.Size() == 0 {
		return false
	}
	id := identify(info)
	if id == (identity{}) {
		return false
	}
	f := s.small.get(name, id)
	if f == nil {
		if f = s.readSmall(name, id); f == nil {
			return false
		}
	}
	h["Content-Type"], h["Content-Length"], h["Etag"] = f.kind, f.length, f.tag
	h["Last-Modified"], h["Accept-Ranges"] = f.modified, bytesAccepted
	if s.Precompressed {
		h.Add("Vary", "Accept-Encoding")
	}
	n, err := f.send(w, r)
	if err != nil || n < len(f.body) {
		x := begin(r, Download, name, int64(len(f.body)))
		x.add(int64(n))
		if err == nil {
			err = io.ErrShortWrite
		}
		x.end(err)
		panic(http.ErrAbortHandler)
	}
	reg.note(r, name, int64(n), start)
	return true
}

// send sends the file, in one write with its header where that is possible.
func (f *smallFile) send(w http.ResponseWriter, r *http.Request) (n int, err error) {
	rf, ok := w.(io.ReaderFrom)
	c := plainConn(r)
	if !ok || c == nil {
		return w.Write(f.body)
	}
	w.WriteHeader(http.StatusOK)
	s := span{body: f.body, left: int64(len(f.body))}
	err = behindHeader(w, c, func() error {
		_, err := rf.ReadFrom(&s)
		return err
	})
	return len(f.body) - int(s.left), err
}

func (c *smallFiles) get(name string, id identity) *smallFile {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if f := c.files[name]; f != nil && f.id == id {
		return f
	}
	return nil
}

// readSmall reads a small file and keeps it, or returns nil.
func (s *FileServer) readSmall(name string, id identity) *smallFile {
	f, err := s.openFile(name, false)
	if err != nil {
		return nil
	}
	defer f.release()
	if f.id != id || !id.settled(time.Now()) {
		return nil
	}
	body := make([]byte, f.size)
	if n, err := f.ReadAt(body, 0); err != nil && err != io.EOF || n < len(body) {
		return nil
	}
	n := &smallFile{
		id: id, body: body,
		kind: []string{contentType(name, f)}, length: []string{strconv.Itoa(len(body))},
		tag: []string{f.tag()}, modified: []string{httpTime(f.modified)},
	}
	s.small.put(strings.Clone(name), n)
	return n
}

// settled reports whether a file has its times for so long that it cannot change
// and keep them: some file systems count in steps of 2 s.
func (id identity) settled(now time.Time) bool {
	return now.Sub(time.Unix(0, max(id.modified, id.change))) >= 3*time.Second
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
	for old, g := range c.files { // in no order, which is as good as any here
		if c.held <= smallRoom && len(c.files) <= smallRoom/256 {
			return
		}
		if g != f {
			c.held -= int64(len(g.body))
			delete(c.files, old)
		}
	}
}
