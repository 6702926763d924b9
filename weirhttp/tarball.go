package weirhttp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/archive"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

const (
	mostPacked  = 100_000         // most entries of a tarball
	packedCost  = 128             // bytes for an entry of a tarball, beside its name
	packedStep  = 64 << 10        // bytes taken from the budget at a time
	tarballKept = 5 * time.Minute // how long a tarball that nobody downloads is kept
	mostKept    = 32 << 20        // most memory of tarballs that nobody downloads, in bytes
)

// tarball is a folder as a tar file: the list of its entries. All bytes of the tar file
// follow from the list and the files. It does not change.
type tarball struct {
	view     view
	folder   string // the name of the folder below the root
	base     string // its name in the archive
	tag      string // entity tag, over the list
	size     int64
	entries  []packedFile
	leftOut  int
	memory   int64 // taken from the budget
	giveBack func(n int64)

	users int         // guarded by tarballs.mu; being kept is one use
	timer *time.Timer // ends being kept
}

// packedFile is a file or folder in a tarball.
type packedFile struct {
	name     string // below the folder of the tarball, with slashes; "": that folder
	at       int64  // where its header begins
	size     int64
	modified int64 // nanoseconds; tar files have seconds
	inode    uint64
	head     uint32      // bytes of its header
	mode     fs.FileMode // as in its header
}

func (p *packedFile) as(base string) string {
	if p.name == "" {
		return base
	}
	return base + "/" + p.name
}

// header returns the header of an entry.
func (t *tarball) header(b []byte, p *packedFile) ([]byte, error) {
	return archive.AppendTarHeader(b, p.as(t.base), p.mode, p.size, time.Unix(0, p.modified))
}

// errLong is the cause when a folder has more entries than a tarball, or when there is no
// memory for them.
var errLong = errors.New("folder too large for a list in memory")

// take takes memory for the list of a tarball. It reports false if there is none.
func (t *tarball) take(g *Guard, n int64) bool {
	if g != nil && !budget.TryAcquire(g.Budget, n) {
		if g.spare(); !budget.TryAcquire(g.Budget, n) {
			return false
		}
	}
	t.memory += n
	return true
}

// pack makes the tarball of a folder. It returns errLong if that has more than most
// entries, or if there is no memory.
func pack(ctx context.Context, v view, g *Guard, folder, base string, most int) (*tarball, error) {
	t := &tarball{view: v, folder: folder, base: base, giveBack: func(n int64) {
		if g != nil {
			budget.Release(g.Budget, n)
		}
	}}
	sum := sha256.New()
	var head []byte
	w := walker{view: v, ctx: ctx, batch: most + 1}
	left := int64(0) // memory that has been taken and not been used
	w.visit = func(as string, info fs.FileInfo, _ *openfile.File) error {
		p := packedFile{
			name: strings.TrimPrefix(strings.TrimPrefix(as, base), "/"), at: t.size,
			modified: info.ModTime().UnixNano(), inode: openfile.Identify(info).Inode(), mode: info.Mode(),
		}
		if !info.IsDir() {
			p.size = info.Size()
		}
		need := packedCost + int64(len(p.name))
		if left < need {
			if !t.take(g, packedStep) {
				return errLong
			}
			left += packedStep
		}
		if len(t.entries) == most {
			return errLong
		}
		left -= need
		var err error
		if head, err = t.header(head[:0], &p); err != nil {
			return err
		}
		p.head = uint32(len(head))
		hashEntry(sum, head, &p)
		t.size += int64(len(head)) + roundUp(p.size)
		t.entries = append(t.entries, p)
		return nil
	}
	if err := w.walk(folder, base); err != nil {
		t.giveBack(t.memory)
		return nil, err
	}
	t.entries = slices.Clip(t.entries)
	t.giveBack(left)
	t.memory -= left
	t.size += archive.TarEnd
	t.leftOut = w.leftOut
	t.tag = fmt.Sprintf(`"tar-%x"`, sum.Sum(nil)[:16])
	return t, nil
}

// hashEntry adds an entry to the entity tag: its header, which has its time in seconds,
// and the other properties that tell two versions of a file apart.
func hashEntry(sum hash.Hash, head []byte, p *packedFile) {
	sum.Write(head)
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(p.modified))
	binary.LittleEndian.PutUint64(b[8:], p.inode)
	sum.Write(b[:])
}

// roundUp returns the space that a file of n bytes takes.
func roundUp(n int64) int64 { return (n + archive.TarBlock - 1) / archive.TarBlock * archive.TarBlock }

// packing makes the tarball of one folder. Requests for the same folder take turns.
type packing struct {
	turn chan struct{} // has a value while nobody packs
	last *tarball      // the newest that is kept; nil: none. Guarded by tarballs.mu.
	from time.Time     // when the walk for it began
	refs int           // guarded by tarballs.mu
}

// tarballs keeps the tarballs of folders, so that a download can be resumed without
// another walk. The zero value is ready to use.
type tarballs struct {
	mu      sync.Mutex // guards the fields below
	folders map[string]*packing
	kept    int64           // memory of the tarballs that are kept, in bytes
	guards  map[*Guard]bool // whose memory it is

	most int // entries of a tarball; 0: mostPacked
}

// get returns the tarball of a folder. The caller must release it. It returns a tarball
// that is kept if wanted accepts that, and otherwise one that was made after the call
// began. It returns errLong if the folder must be streamed.
func (c *tarballs) get(ctx context.Context, v view, g *Guard, folder, base string, wanted func(*tarball) bool) (*tarball, error) {
	begun := time.Now()
	p := c.enter(folder)
	defer c.leave(folder, p)
	if t := c.find(p, wanted, time.Time{}); t != nil {
		return t, nil
	}
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// Somebody may have made one while we waited.
	if t := c.find(p, wanted, begun); t != nil {
		return t, nil
	}
	from := time.Now()
	t, err := pack(ctx, v, g, folder, base, cmp.Or(c.most, mostPacked))
	if err != nil {
		return nil, err
	}
	t.users = 1 // the caller
	c.put(g, p, t, from)
	return t, nil
}

func (c *tarballs) enter(folder string) *packing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.folders == nil {
		c.folders = make(map[string]*packing)
	}
	p := c.folders[folder]
	if p == nil {
		p = &packing{turn: make(chan struct{}, 1)}
		p.turn <- struct{}{}
		c.folders[folder] = p
	}
	p.refs++
	return p
}

func (c *tarballs) leave(folder string, p *packing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.refs--
	c.forgetLocked(folder, p)
}

func (c *tarballs) forgetLocked(folder string, p *packing) {
	if p.refs == 0 && p.last == nil && c.folders[folder] == p {
		delete(c.folders, folder)
	}
}

// find returns the tarball that is kept if it was made after begun or is wanted.
func (c *tarballs) find(p *packing, wanted func(*tarball) bool, begun time.Time) *tarball {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := p.last
	if t == nil || !wanted(t) && (begun.IsZero() || p.from.Before(begun)) {
		return nil
	}
	t.users++
	t.timer.Reset(tarballKept)
	return t
}

// put keeps a tarball if there is room.
func (c *tarballs) put(g *Guard, p *packing, t *tarball, from time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.last != nil {
		c.unkeepLocked(p.last)
	}
	most := int64(mostKept)
	if g != nil && g.Budget != nil {
		most = min(most, g.Budget.Total()/4)
	}
	if c.kept+t.memory > most {
		c.dropLocked()
	}
	if t.memory > most {
		return
	}
	t.users++
	c.kept += t.memory
	p.last, p.from = t, from
	t.timer = time.AfterFunc(tarballKept, func() { c.unkeep(t) })
	if g != nil && !c.guards[g] {
		if c.guards == nil {
			c.guards = make(map[*Guard]bool)
		}
		c.guards[g] = true
		g.keep(c, c.drop)
	}
}

// drop forgets all tarballs. Those that are being downloaded stay until then.
func (c *tarballs) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked()
}

func (c *tarballs) dropLocked() {
	for _, p := range c.folders {
		if p.last != nil {
			c.unkeepLocked(p.last)
		}
	}
}

// unkeep forgets a tarball, such as one of which a file has changed.
func (c *tarballs) unkeep(t *tarball) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unkeepLocked(t)
}

func (c *tarballs) unkeepLocked(t *tarball) {
	p := c.folders[t.folder]
	if p == nil || p.last != t {
		return
	}
	t.timer.Stop()
	p.last = nil
	c.kept -= t.memory
	if c.kept == 0 {
		for g := range c.guards {
			g.unkeep(c)
		}
		clear(c.guards)
	}
	c.forgetLocked(t.folder, p)
	c.releaseLocked(t)
}

// release ends one use of a tarball.
func (c *tarballs) release(t *tarball) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(t)
}

func (c *tarballs) releaseLocked(t *tarball) {
	if t.users--; t.users == 0 {
		t.giveBack(t.memory)
	}
}

// tarBody is a tarball that is being sent to one client.
type tarBody struct {
	*tarball
	from *tarballs
	buf  *[]byte        // the piece in memory
	f    *openfile.File // the file that is sent; nil: none
}

func (b *tarBody) close() {
	b.f.Release()
	b.f = nil
	if b.buf != nil {
		copyBuffers.Put(b.buf)
		b.buf = nil
		b.from.release(b.tarball)
	}
}

// cut returns a piece of a file that the kernel can send, or as many headers and small
// files as fit in a buffer; see sliceable.
func (b *tarBody) cut(s *span, off, n int64) (int64, error) {
	b.f.Release()
	b.f = nil
	buf := (*b.buf)[:0]
	for int64(len(buf)) < n && len(buf) < cap(buf) {
		at := off + int64(len(buf))
		room := min(n-int64(len(buf)), int64(cap(buf)-len(buf)))
		p, in := b.find(at)
		body := in - int64(p.head)
		switch {
		case in < int64(p.head):
			head, err := b.header(nil, p)
			if err != nil {
				return 0, err
			}
			buf = append(buf, head[in:min(int64(len(head)), in+room)]...)
		case body < p.size && (p.size > smallest || len(buf) > 0 && p.size-body > room):
			if len(buf) > 0 { // it goes next
				s.body = buf
				return int64(len(buf)), nil
			}
			f, err := b.open(p)
			if err != nil {
				return 0, err
			}
			b.f, s.f, s.off, s.here = f, f, body, min(p.size-body, n)
			return s.here, nil
		case body < p.size:
			var err error
			if buf, err = b.small(buf, p, body, min(p.size-body, room)); err != nil {
				return 0, err
			}
		default: // zeros up to the next entry, or the end
			end := b.size
			if i := b.index(at); i+1 < len(b.entries) {
				end = b.entries[i+1].at
			}
			k := len(buf) + int(min(end-at, room))
			clear(buf[len(buf):k:cap(buf)])
			buf = buf[:k]
		}
	}
	s.body = buf
	return int64(len(buf)), nil
}

// index returns the index of the entry at an offset of the tar file. The zeros at the end
// belong to the last entry.
func (t *tarball) index(at int64) int {
	i, found := slices.BinarySearchFunc(t.entries, at, func(p packedFile, at int64) int {
		return cmp.Compare(p.at, at)
	})
	if !found {
		i--
	}
	return i
}

// find returns the entry at an offset of the tar file, and the offset in that.
func (t *tarball) find(at int64) (p *packedFile, in int64) {
	p = &t.entries[t.index(at)]
	return p, at - p.at
}

// open opens the file of an entry, which must be the same as when the list was made.
func (b *tarBody) open(p *packedFile) (f *openfile.File, err error) {
	name := filepath.Join(b.folder, filepath.FromSlash(p.name))
	if f, err = b.view.openFile(name, false); err == nil {
		switch {
		case f.Size < p.size:
			err = ErrTruncated
		case f.Size != p.size, f.Modified.UnixNano() != p.modified, f.ID.Inode() != p.inode:
			err = ErrChanged
		default:
			return f, nil
		}
		f.Release()
	}
	b.from.unkeep(b.tarball) // the next request makes a new list
	return nil, fmt.Errorf("%s: %w", name, gone(err))
}

// gone returns ErrChanged for a file that exists no longer.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrChanged
	}
	return err
}

// small appends n bytes of a small file, from offset off.
func (b *tarBody) small(buf []byte, p *packedFile, off, n int64) ([]byte, error) {
	f, err := b.open(p)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	body := buf[len(buf) : len(buf)+int(n)]
	if k, err := f.ReadAt(body, off); err != nil && (err != io.EOF || k < len(body)) {
		if err == io.EOF {
			err = ErrTruncated
		}
		return nil, err
	}
	return buf[:len(buf)+int(n)], unchanged(f)
}

// wants returns which tarballs a request accepts that are kept: one with the entity tag of
// If-Range or If-Match, or else any if it asks for the rest of one.
func wants(r *http.Request) func(*tarball) bool {
	for _, k := range [...]string{"If-Range", "If-Match"} {
		if tag := strings.Join(r.Header[k], ","); tag != "" {
			return func(t *tarball) bool { return t.tag == tag }
		}
	}
	return func(*tarball) bool { return r.Method == http.MethodGet && r.Header.Get("Range") != "" }
}

// serveTar answers with a folder as a tar file that can be resumed. It returns errLong if
// the folder is too large for that.
func (c *tarballs) serveTar(w http.ResponseWriter, r *http.Request, v view, name string) error {
	base := archiveName(w.Header(), name, "tar")
	t, err := c.get(r.Context(), v, guardOf(r), name, base, wants(r))
	if err != nil {
		return err
	}
	tellLeftOut(w.Header(), v.log, name, t.leftOut)
	d := &described{
		sliceable: &tarBody{tarball: t, from: c, buf: copyBuffers.Get().(*[]byte)},
		name:      archiveFile(name, "tar"), kind: archive.Formats["tar"].Type,
		size: t.size, tag: t.tag, memory: copyCost, log: v.log,
	}
	d.answer(w, r)
	return nil
}

// info describes an entry as it was when the list was made.
func (p *packedFile) info() fs.FileInfo { return packedInfo{p} }

type packedInfo struct{ *packedFile }

func (p packedInfo) Name() string       { return p.name }
func (p packedInfo) Size() int64        { return p.size }
func (p packedInfo) Mode() fs.FileMode  { return p.mode }
func (p packedInfo) ModTime() time.Time { return time.Unix(0, p.modified) }
func (p packedInfo) IsDir() bool        { return p.mode.IsDir() }
func (p packedInfo) Sys() any           { return nil }

// serveZip answers with a folder as a zip file that states its size, since its files are
// not compressed. It returns errLong if the folder is too large for that.
func (c *tarballs) serveZip(w http.ResponseWriter, r *http.Request, p *packer, name string) error {
	base := archiveName(w.Header(), name, "zip")
	t, err := c.get(r.Context(), p.view, p.guard, name, base, wants(r))
	if err != nil {
		return err
	}
	defer c.release(t)
	sizer := archive.NewSizer()
	for i := range t.entries {
		e := &t.entries[i]
		if err := sizer.Add(e.as(base), e.mode, e.size, time.Unix(0, e.modified)); err != nil {
			return err
		}
	}
	size, err := sizer.Size()
	if err != nil {
		return err
	}
	tellLeftOut(w.Header(), p.view.log, name, t.leftOut)
	body := &tarBody{tarball: t, from: c}
	zipped := weir.Generate("zip", func(ctx context.Context, emit func([]byte) error) error {
		p.out = p.format.New(emitter(emit), func() error { return p.held.reserve(ctx, p.guard, archive.ZipMemory) })
		for i := range t.entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e := &t.entries[i]
			var f *openfile.File
			if !e.mode.IsDir() {
				var err error
				if f, err = body.open(e); err != nil {
					return err
				}
			}
			err := p.add(e.as(base), e.info(), f)
			f.Release()
			if err != nil {
				return err
			}
		}
		return p.out.Close()
	})
	Response{Type: p.format.Type, Name: archiveFile(name, "zip"), Size: size, Plain: true, Flush: -1}.Send(w, r, zipped)
	return nil
}
