package weirhttp

import (
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

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/archive"
	"github.com/weir-go/weir/weirhttp/internal/encoder"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// archiveCost is the memory that an archive takes from a budget at first, in bytes. A zip
// file takes archive.ZipMemory more from time to time.
const archiveCost = encoder.Memory + 64<<10

// packer writes a folder into an archive.
type packer struct {
	view   view
	format archive.Format
	guard  *Guard
	held   reserved // memory of the archive
	out    archive.Writer
	ctx    context.Context // of the flow
}

// sendArchive answers with the folder called name. kind is the extension of the archive.
func sendArchive(w http.ResponseWriter, r *http.Request, p *packer, name, kind string) {
	base := path.Base(path.Clean("/" + strings.ReplaceAll(name, `\`, "/")))
	if base == "/" {
		base = "files"
	}
	h := w.Header()
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": base + "." + kind}))
	walk := weir.Generate(kind, func(ctx context.Context, emit func([]byte) error) error {
		return p.run(ctx, emitter(emit), name, base)
	})
	Response{Type: p.format.Type, Name: strings.TrimPrefix(name+"."+kind, "./"), Plain: true, Flush: -1}.Send(w, r, walk)
}

// run writes the archive of the folder called name to to. Names in it begin with base.
func (p *packer) run(ctx context.Context, to io.Writer, name, base string) error {
	dir, err := p.view.openAny(name)
	if err != nil {
		return err
	}
	if coding := p.format.Coding; coding != "" {
		e := encoder.New(coding, to)
		defer encoder.Free(coding, e)
		to = e
	}
	p.ctx = ctx
	p.out = p.format.New(to, func() error { return p.held.reserve(ctx, p.guard, archive.ZipMemory) })
	if err := p.folder(dir, name, base); err != nil {
		return err
	}
	if err := p.out.Close(); err != nil {
		return err
	}
	if c, ok := to.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// emitter makes a writer of the emit function of a source.
type emitter func([]byte) error

func (e emitter) Write(b []byte) (int, error) {
	if err := e(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// packedBatch is how many names of a folder are in memory at a time, at each level of the
// tree. An archive has the names of a larger folder in several sorted runs.
const packedBatch = 4096

// folder writes the folder dir called name, with everything in it, and closes dir. It
// leaves out symbolic links, and files that clients cannot get in another way. as is the
// name of the folder in the archive.
func (p *packer) folder(dir *os.File, name, as string) error {
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil {
		err = p.out.Folder(as, info)
	}
	for err == nil {
		var entries []fs.DirEntry
		entries, err = dir.ReadDir(packedBatch)
		if err == nil && len(entries) < packedBatch {
			err = io.EOF
			dir.Close() // a deep tree must not need a descriptor for each level
		}
		if perr := p.entries(entries, name, as); perr != nil {
			return perr
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// entries writes entries of a folder, sorted by name.
func (p *packer) entries(entries []fs.DirEntry, name, as string) error {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, d := range entries {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if names.Withheld(d.Name(), p.view.hidden) {
			continue
		}
		if err := p.entry(d, path.Join(name, d.Name()), path.Join(as, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// entry writes one file or folder. It leaves out one that cannot be read or is gone: the
// client wants the others all the same.
func (p *packer) entry(d fs.DirEntry, from, to string) error {
	switch {
	case d.IsDir():
		dir, err := p.view.openAny(from)
		if err != nil {
			return p.leaveOut(from, err)
		}
		return p.folder(dir, from, to)
	case d.Type().IsRegular():
		f, err := p.view.openFile(from, false)
		if err != nil {
			return p.leaveOut(from, err)
		}
		defer f.Release()
		return p.file(f, to)
	}
	return nil
}

// leaveOut returns err unless the archive can do without the file that it is about.
func (p *packer) leaveOut(name string, err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.view.log.Warn("file left out of an archive", "name", name, "error", err)
	return nil
}

func (p *packer) file(f *openfile.File, to string) error {
	info, err := f.F.Stat()
	if err != nil {
		return err
	}
	w, err := p.out.File(to, info)
	if err != nil {
		return err
	}
	f.Size, f.Modified = info.Size(), info.ModTime() // it is not shared
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{fileSpan(f, 0, f.Size)}, *buf)
	return err
}
