package weirhttp

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/archive"
	"github.com/weir-go/weir/weirhttp/internal/encoder"
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

	leftOut int // names that the archive does not have
}

// leftOutHeader is the header field or trailer of an archive that says how many names it
// does not have, if there are any; see [Listing.LeftOut].
const leftOutHeader = "Weir-Left-Out"

// sendArchive answers with the folder called name, in an archive that is made while it is
// sent. kind is the extension of the archive.
func sendArchive(w http.ResponseWriter, r *http.Request, p *packer, name, kind string) {
	base := archiveName(w.Header(), name, kind)
	w.Header().Set("Trailer", leftOutHeader)
	walk := weir.Generate(kind, func(ctx context.Context, emit func([]byte) error) error {
		return p.run(ctx, emitter(emit), name, base)
	})
	Response{Type: p.format.Type, Name: archiveFile(name, kind), Plain: true, Flush: -1}.Send(w, r, walk)
	tellLeftOut(w.Header(), p.view.log, name, p.leftOut)
}

// archiveName returns the name of the folder in its archive, and names the archive in h.
func archiveName(h http.Header, name, kind string) (base string) {
	base = path.Base(path.Clean("/" + filepath.ToSlash(name)))
	if base == "/" {
		base = "files"
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": strings.ToValidUTF8(base, "_") + "." + kind}))
	return base
}

// archiveFile returns the name of an archive, below the root, in the registry of
// transfers.
func archiveFile(name, kind string) string { return strings.TrimPrefix(name+"."+kind, "./") }

// tellLeftOut reports names that an archive does not have.
func tellLeftOut(h http.Header, log *slog.Logger, name string, n int) {
	if n > 0 {
		h.Set(leftOutHeader, strconv.Itoa(n))
		log.Warn("archive is not complete", "name", name, "left_out", n)
	}
}

// run writes the archive of the folder called name to to. Names in it begin with base.
func (p *packer) run(ctx context.Context, to io.Writer, name, base string) error {
	if coding := p.format.Coding; coding != "" {
		e := encoder.New(coding, to)
		defer encoder.Free(coding, e)
		to = e
	}
	p.out = p.format.New(to, func() error { return p.held.reserve(ctx, p.guard, archive.ZipMemory) })
	w := walker{view: p.view, ctx: ctx, batch: packedBatch, files: true, visit: p.add}
	if err := w.walk(name, base); err != nil {
		return err
	}
	p.leftOut = w.leftOut
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

// add writes a file or folder.
func (p *packer) add(as string, info fs.FileInfo, f *openfile.File) error {
	if f == nil {
		return p.out.Folder(as, info)
	}
	w, err := p.out.File(as, info)
	if err != nil {
		return err
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&span{f: f, here: f.Size, left: f.Size}}, *buf)
	return err
}
