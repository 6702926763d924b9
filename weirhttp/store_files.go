package weirhttp

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"time"
)

// storedPiece is how much of a stored file is in memory at a time, for each download.
const storedPiece = 64 << 10

// storedCost is the memory that a download from a store takes from a budget: its piece, and
// the buffers of the connection to the store.
const storedCost = storedPiece + 32<<10

// storedContent is the content of a file in a store. It reads the file with one request, as
// far as that is asked for in order, and keeps one piece of it in memory.
type storedContent struct {
	store FileStore
	ctx   context.Context // ends with close
	end   func()
	file  StoredFile
	body  io.ReadCloser // nil: nothing is open
	at    int64         // offset of the next byte of body
	until int64         // where body ends
	buf   []byte
}

// newStoredContent returns the content of f. ctx can end before the content is read: a
// download that leaves net/http outlives its request.
func newStoredContent(ctx context.Context, store FileStore, f StoredFile) *storedContent {
	c := &storedContent{store: store, file: f}
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

// cut implements sliceable.
func (c *storedContent) cut(s *span, off, n int64) (int64, error) {
	if c.buf == nil {
		c.buf = make([]byte, min(n, storedPiece))
	} else if int64(len(c.buf)) < min(n, storedPiece) { // a short range came first
		c.buf = make([]byte, min(n, storedPiece))
	}
	if c.body == nil || c.at != off || c.until < off+n {
		c.hangUp()
		body, err := c.store.Open(c.ctx, c.file, off, n)
		if err != nil {
			return 0, c.failed("open", err)
		}
		c.body, c.at, c.until = body, off, off+n
	}
	m, err := io.ReadFull(c.body, c.buf[:min(n, int64(len(c.buf)))])
	if m == 0 {
		if err == io.EOF {
			err = ErrTruncated
		}
		return 0, c.failed("read", err)
	}
	c.at += int64(m)
	s.body = c.buf[:m]
	return int64(m), nil
}

// failed makes an error that isFileFault knows.
func (c *storedContent) failed(op string, err error) error {
	return &fs.PathError{Op: op, Path: c.file.Name, Err: err}
}

func (c *storedContent) hangUp() {
	if c.body != nil {
		c.body.Close()
		c.body = nil
	}
}

// close implements sliceable.
func (c *storedContent) close() {
	c.hangUp()
	c.end()
	c.buf = nil
}

// kind returns the media type of the file by its extension, or else by its first bytes.
func (c *storedContent) kind() (string, error) {
	if t := mime.TypeByExtension(path.Ext(c.file.Name)); t != "" {
		return t, nil
	}
	n := min(c.file.Size, 512)
	if n == 0 {
		return http.DetectContentType(nil), nil
	}
	body, err := c.store.Open(c.ctx, c.file, 0, n)
	if err != nil {
		return "", err
	}
	defer body.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(body, b); err != nil {
		return "", err
	}
	return http.DetectContentType(b), nil
}

// storedReader reads the entries of a folder in a store.
type storedReader struct {
	next func() (StoredFile, error, bool)
	stop func()
}

func readStored(ctx context.Context, store FileStore, name string) *storedReader {
	next, stop := iter.Pull2(store.List(ctx, name))
	return &storedReader{next, stop}
}

// Read returns the next entries, at most n, and io.EOF when there are none left.
func (r *storedReader) Read(n int) (list []fs.DirEntry, err error) {
	for len(list) < n {
		f, err, ok := r.next()
		switch {
		case err != nil:
			return nil, err
		case !ok && len(list) == 0:
			return nil, io.EOF
		case !ok:
			return list, nil
		}
		list = append(list, storedEntry{f})
	}
	return list, nil
}

// Close ends the reading.
func (r *storedReader) Close() error {
	r.stop()
	return nil
}

// storedReadme returns the beginning of a file, at most n bytes, and its size.
func storedReadme(ctx context.Context, store FileStore, name string, n int64, log *slog.Logger) ([]byte, int64) {
	f, err := store.Stat(ctx, name)
	if err != nil || f.Folder || f.Size == 0 {
		return nil, 0
	}
	n = min(n, f.Size)
	body, err := store.Open(ctx, f, 0, n)
	if err != nil {
		log.Warn("README not shown", "name", name, "error", err)
		return nil, 0
	}
	defer body.Close()
	text := make([]byte, n)
	if _, err := io.ReadFull(body, text); err != nil {
		log.Warn("README not shown", "name", name, "error", err)
		return nil, 0
	}
	return text, f.Size
}

// storedEntry is a stored file as an entry of a folder.
type storedEntry struct{ f StoredFile }

func (e storedEntry) Name() string               { return path.Base(e.f.Name) }
func (e storedEntry) IsDir() bool                { return e.f.Folder }
func (e storedEntry) Size() int64                { return e.f.Size }
func (e storedEntry) ModTime() time.Time         { return e.f.Modified }
func (e storedEntry) Sys() any                   { return nil }
func (e storedEntry) Type() fs.FileMode          { return e.Mode().Type() }
func (e storedEntry) Info() (fs.FileInfo, error) { return e, nil }

func (e storedEntry) Mode() fs.FileMode {
	if e.f.Folder {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
