package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/weirhttp"
)

// Stat implements [weirhttp.FileStore]. If a file and a folder have the same name, it
// describes the file.
func (s *Store) Stat(ctx context.Context, name string) (weirhttp.StoredFile, error) {
	if name != "." {
		o, err := s.head(ctx, s.key(name))
		if err == nil {
			return s.file(o), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return weirhttp.StoredFile{}, err
		}
	}
	folder := weirhttp.StoredFile{Name: name, Folder: true}
	if name == "." {
		return folder, nil
	}
	if found, err := s.hasAny(ctx, s.key(name)+"/"); found || err != nil {
		return folder, err
	}
	return weirhttp.StoredFile{}, &fs.PathError{Op: "find", Path: s.b.URL(s.key(name)), Err: fs.ErrNotExist}
}

// file describes an object as a file.
func (s *Store) file(o object) weirhttp.StoredFile {
	return weirhttp.StoredFile{
		Name: strings.TrimPrefix(o.key, s.b.Prefix), Size: o.info.Size, Modified: o.info.LastModified, Version: o.etag(),
	}
}

// List implements [weirhttp.FileStore].
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[weirhttp.StoredFile, error] {
	prefix := s.key(folder)
	if folder != "." {
		prefix += "/"
	}
	return func(yield func(weirhttp.StoredFile, error) bool) {
		for o, err := range s.list(ctx, prefix, false) {
			if err != nil {
				yield(weirhttp.StoredFile{}, err)
				return
			}
			rest := strings.TrimPrefix(o.key, prefix)
			name, isFolder := strings.CutSuffix(rest, "/")
			if name == "" || name == "." || name == ".." || o.key == s.hidden() {
				continue // a mark that there is a folder, or an object that no URL can name
			}
			f := s.file(o)
			if isFolder {
				f = weirhttp.StoredFile{Name: strings.TrimSuffix(f.Name, "/"), Folder: true}
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Open implements [weirhttp.FileStore].
func (s *Store) Open(ctx context.Context, f weirhttp.StoredFile, off, n int64) (io.ReadCloser, error) {
	return &reading{s.b.Range(ctx, s.key(f.Name), f.Size, f.Version, off, off+n)}, nil
}

// reading is a range of a file.
type reading struct{ io.ReadCloser }

// Read turns the error of a file that has changed into the error of weirhttp.
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, endpoint.ErrChanged) || errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(weirhttp.ErrChanged, err)
	}
	return n, err
}
