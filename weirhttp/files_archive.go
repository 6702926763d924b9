package weirhttp

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

// archives are the formats a folder can be sent in.
var archives = map[string]struct {
	kind   string
	coding string // of the whole; "": none
	open   func(w io.Writer, more func() error) archiver
}{
	"tar":     {"application/x-tar", "", newTar},
	"tar.gz":  {"application/gzip", "gzip", newTar},
	"tar.zst": {"application/zstd", "zstd", newTar},
	"zip":     {"application/zip", "", newZip},
}

// What an archive takes from a budget: an encoder, and in a zip file what is kept
// of each file for the directory at its end.
const (
	archiveCost = encoderHolds + 64<<10
	zipBatch    = 1000
	zipCost     = 512 << 10 // of as many files
)

// serveArchive sends a folder as one file, made while it is sent.
func (s *FileServer) serveArchive(w http.ResponseWriter, r *http.Request, name, kind string) {
	a, ok := archives[kind]
	if !ok {
		http.Error(w, "archive is tar, tar.gz, tar.zst or zip", http.StatusBadRequest)
		return
	}
	var held reserved
	defer held.release()
	g := connOf(r).guard()
	if r.Method != http.MethodHead {
		if err := held.reserve(r.Context(), g, archiveCost); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	base := path.Base(path.Clean("/" + strings.ReplaceAll(name, `\`, "/")))
	if base == "/" {
		base = "files"
	}
	h := w.Header()
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": base + "." + kind}))
	walk := weir.Generate(kind, func(ctx context.Context, emit func([]byte) error) error {
		dir, err := s.openAny(name)
		if err != nil {
			return err
		}
		var to io.Writer = emitter(emit)
		if a.coding != "" {
			e := newEncoder(a.coding, to)
			defer freeEncoder(a.coding, e)
			to = e
		}
		out := a.open(to, func() error { return held.reserve(ctx, g, zipCost) })
		if err := s.pack(ctx, out, dir, name, base); err != nil {
			return err
		}
		if err := out.Close(); err != nil {
			return err
		}
		if c, ok := to.(io.Closer); ok {
			return c.Close()
		}
		return nil
	})
	Response{Type: a.kind, Name: strings.TrimPrefix(name+"."+kind, "./"), Plain: true, Flush: -1}.Send(w, r, walk)
}

// emitter is the emit of a source as a writer.
type emitter func([]byte) error

func (e emitter) Write(b []byte) (int, error) {
	if err := e(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// archiver writes an archive.
type archiver interface {
	folder(name string, info fs.FileInfo) error
	// file begins a file, whose contents, of the size info says, are written
	// to what it returns.
	file(name string, info fs.FileInfo) (io.Writer, error)
	Close() error
}

// packedBatch is how many names of a folder are in memory at a time, at each
// level of the tree: a folder with more is in the archive in as many sorted runs.
const packedBatch = 4096

// pack writes what is in the folder dir called name, and below, and closes dir.
// Its names in the archive begin with as. What clients cannot have otherwise is
// not in it, nor are symbolic links.
func (s *FileServer) pack(ctx context.Context, out archiver, dir *os.File, name, as string) error {
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil {
		err = out.folder(as, info)
	}
	for err == nil {
		var entries []fs.DirEntry
		entries, err = dir.ReadDir(packedBatch)
		if err == nil && len(entries) < packedBatch {
			err = io.EOF
			dir.Close() // a deep tree does not need a descriptor for each level
		}
		if perr := s.packAll(ctx, out, entries, name, as); perr != nil {
			return perr
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// packAll writes some of what is in a folder, by name.
func (s *FileServer) packAll(ctx context.Context, out archiver, entries []fs.DirEntry, name, as string) error {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, d := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if withheld(d.Name(), s.Hidden) {
			continue
		}
		if err := s.packEntry(ctx, out, d, path.Join(name, d.Name()), path.Join(as, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// packEntry writes one file or folder. One that cannot be read, or is gone, is
// not in the archive: the others are wanted all the same.
func (s *FileServer) packEntry(ctx context.Context, out archiver, d fs.DirEntry, from, to string) error {
	switch {
	case d.IsDir():
		dir, err := s.openAny(from)
		if err != nil {
			return s.leaveOut(from, err)
		}
		return s.pack(ctx, out, dir, from, to)
	case d.Type().IsRegular():
		f, err := s.openFile(from, false)
		if err != nil {
			return s.leaveOut(from, err)
		}
		defer f.release()
		return packFile(out, f, to)
	}
	return nil
}

// leaveOut returns err unless an archive can go without what it is about.
func (s *FileServer) leaveOut(name string, err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.log().Warn("left out of an archive", "name", name, "error", err)
	return nil
}

func packFile(out archiver, f *file, to string) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	w, err := out.file(to, info)
	if err != nil {
		return err
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&extent{f: f, size: info.Size()}}, *buf)
	if err == nil && n < info.Size() {
		err = ErrTruncated
	}
	return err
}

type tarArchive struct{ *tar.Writer }

func newTar(w io.Writer, _ func() error) archiver { return tarArchive{tar.NewWriter(w)} }

func (t tarArchive) folder(name string, info fs.FileInfo) error {
	return t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(info.Mode().Perm()), ModTime: info.ModTime().Truncate(time.Second),
	})
}

func (t tarArchive) file(name string, info fs.FileInfo) (io.Writer, error) {
	return t, t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(),
		ModTime: info.ModTime().Truncate(time.Second),
	})
}

type zipArchive struct {
	*zip.Writer
	more  func() error // is asked for memory
	files int
}

func newZip(w io.Writer, more func() error) archiver {
	return &zipArchive{Writer: zip.NewWriter(w), more: more}
}

func (z *zipArchive) folder(name string, info fs.FileInfo) error {
	_, err := z.create(name+"/", info, zip.Store)
	return err
}

func (z *zipArchive) file(name string, info fs.FileInfo) (io.Writer, error) {
	return z.create(name, info, zip.Deflate)
}

func (z *zipArchive) create(name string, info fs.FileInfo, method uint16) (io.Writer, error) {
	if z.files++; z.files%zipBatch == 0 {
		if err := z.more(); err != nil {
			return nil, err
		}
	}
	h := &zip.FileHeader{Name: name, Modified: info.ModTime(), Method: method}
	h.SetMode(info.Mode())
	return z.CreateHeader(h)
}
