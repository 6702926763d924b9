package weirhttp

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/archive"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/negotiate"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// FileServer is a handler for the files below a folder, with GET and HEAD. Only Root, or
// Store, must be set. The fields must not change after the first request. Requests are served
// concurrently.
//
// It answers ranges and conditional requests as RFC 9110 says. Entity tags are strong,
// made of modification time, size and inode. A modification date identifies a file only
// when its second is over. If a folder has an index.html, that is its page.
//
// Paths never lead out of Root. Names that begin with a dot do not exist for clients, and
// neither do files that are still being written and names with control characters. A
// symbolic link is served as its target if the target could be served under its own name,
// whether the link is relative or absolute. Named pipes, devices and sockets are refused.
// The same holds in listings and archives, which count the entries that they leave out
// (see [Listing]; for an archive it is the header or trailer Weir-Left-Out).
//
// A folder as a tar file has a length, a strong entity tag and ranges. The handler makes a
// list of the folder first, and keeps it for five minutes for clients that resume. The
// memory comes from the guard's Budget. A folder of more than 100,000 entries, or one for
// which there is no memory, is sent without a length.
//
// A file that becomes shorter while it is sent, or that changes without growing, breaks
// the connection with [ErrChanged]: the last 64 KiB leave only after a look at its time
// and size. Of a file that grows, the announced length is sent.
//
// With Precompressed, NAME.gz is sent only if its first member holds all of NAME. Browsers
// and curl read no further, while files of several members are common (bgzip, cat, and
// gzip:members=yes make them). The last four bytes, which give the size of the last
// member, must give the size of NAME modulo 2³². A first member that records its own
// length must be the whole file.
//
// On Linux, under a [Guard], a long download over plain HTTP/1 leaves net/http: it costs
// a socket and no goroutine, and all clients share one open file. A handler around this
// one sees it return while the download continues; [Transfers] sees the end. Long
// listings take their memory from the guard's Budget too.
type FileServer struct {
	Root *os.Root

	// Store, if not nil, has the files, instead of Root. Downloads, ranges, conditions,
	// pages and listings are the same. Archive, Precompressed and Followers have no effect
	// then, and bytes pass through memory, 96 KiB for each download.
	Store FileStore

	Hidden        bool // serve names that begin with a dot
	Symlinks      bool // follow symbolic links that lead out of Root
	List          bool // list folders: HTML, or JSON for Accept: application/json and ?format=json
	Archive       bool // send folders as ?archive=tar, which can be resumed, tar.gz, tar.zst, zip, or zip&method=store, which states its size
	NoIndex       bool // list a folder even if it has an index.html
	Precompressed bool // send NAME.zst or NAME.gz instead of NAME if the client accepts it and NAME is not newer

	// Page, if not nil, writes the HTML page of a folder instead of the built-in
	// one. Calls can overlap. For HEAD, which needs the header only, the listing has
	// no entries.
	Page func(w http.ResponseWriter, r *http.Request, l Listing)

	// Followers is how many clients can follow files with ?follow at a time; zero
	// disables it. A client that follows a file gets its contents, and the bytes that
	// are appended to it. The answer is complete when the file has not grown for
	// FollowWait, when another file has its name, or when the server stops; it breaks if
	// the file becomes shorter. ?follow=N begins at an offset, ?follow=-N with the last
	// N bytes.
	//
	// A file that is still being uploaded to the folder by this process can be followed
	// too, under the name that its client asks for. The answer is complete when the upload
	// is, and breaks if the upload fails, makes no progress for FollowWait, or the server
	// stops.
	Followers  int
	FollowWait time.Duration // 0: 1 minute

	// Top, if not nil, writes the top of the page, and Page writes the rest. The
	// client gets the top of a long folder before the server has read all its names;
	// the listing has no entries then. If reading fails after that, Page finds the
	// error in the Err of its listing.
	Top func(w http.ResponseWriter, r *http.Request, l Listing)

	Log *slog.Logger // for failures; nil: slog.Default()

	following atomic.Int64

	open  openfile.Shelf
	small smallFiles
	tars  tarballs
}

// Files returns a handler for the files below root. root must stay open while the handler
// is in use.
//
//	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
func Files(root *os.Root) *FileServer { return &FileServer{Root: root} }

// ServeHTTP answers with the file that r.URL.Path names. It returns when the file is
// sent, parked, or refused. It panics with [http.ErrAbortHandler] if an answer that has
// begun cannot be completed.
func (s *FileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		newRolling(w, r, guardOf(r)).arm() // also for answers that are written in one go
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpError(w, http.StatusMethodNotAllowed)
		return
	}
	name, slash, status := names.FromURL(r.URL.Path, s.Hidden)
	if status != 0 {
		httpError(w, status)
		return
	}
	if s.Store != nil {
		s.serveStored(w, r, name, slash)
		return
	}
	if s.Root == nil {
		s.fail(w, r, errors.New("FileServer has no Root"))
		return
	}
	if !slash && s.serveSmall(w, r, name) {
		return
	}
	info, err := s.view().stat(name)
	follow := s.Followers > 0 && !slash && r.URL.Query().Has("follow")
	if follow && errors.Is(err, fs.ErrNotExist) {
		if up := s.view().arrivalOf(name); up != nil {
			s.serveFollow(w, r, name, up)
			return
		}
	}
	switch {
	case err != nil:
		s.fail(w, r, err)
	case info.IsDir() && !slash:
		redirect(w, r, path.Base(r.URL.Path)+"/")
	case info.IsDir():
		s.serveFolder(w, r, name)
	case !info.Mode().IsRegular():
		httpError(w, http.StatusForbidden)
	case slash:
		redirect(w, r, "../"+path.Base(r.URL.Path))
	case follow:
		s.serveFollow(w, r, name, nil)
	default:
		s.serveFile(w, r, name)
	}
}

func (s *FileServer) view() view {
	return view{root: s.Root, hidden: s.Hidden, symlinks: s.Symlinks, shelf: &s.open, log: s.log()}
}

// serveSmall answers with a small file from memory, and reports whether it did.
func (s *FileServer) serveSmall(w http.ResponseWriter, r *http.Request, name string) bool {
	if !plainRequest(r) {
		return false
	}
	h := w.Header()
	if s.Precompressed {
		if _, ok := r.Header["Accept-Encoding"]; ok {
			return false // the client may prefer a compressed sibling
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
	id := openfile.Identify(info)
	if id.IsZero() || s.view().linked(filepath.Dir(name)) {
		return false
	}
	f := s.small.get(name, id)
	if f == nil {
		if f = s.small.read(s.view(), name, id); f == nil {
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

// plainRequest reports whether r asks for all of a file, without conditions.
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

// serveFile answers with a regular file.
func (s *FileServer) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	v, shared := s.view(), plainConn(r) != nil
	f, err := v.openFile(name, shared)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	if s.Precompressed {
		h.Add("Vary", "Accept-Encoding")
		if better, coding := v.precompressed(r, name, f, shared); better != nil {
			if _, ok := h["Content-Type"]; !ok {
				h.Set("Content-Type", f.ContentType(name))
			}
			f.Release()
			f = better
			h.Set("Content-Encoding", coding)
		}
	}
	d := &described{sliceable: oneFile{f}, name: name, size: f.Size, tag: f.Tag(), modified: f.Modified, log: v.log}
	if _, ok := h["Content-Type"]; !ok {
		d.kind = f.ContentType(name)
	}
	d.answer(w, r)
}

// serveFollow answers with a file as it grows, or with the upload up that will be the file
// called name.
func (s *FileServer) serveFollow(w http.ResponseWriter, r *http.Request, name string, up *arrival) {
	v, g := s.view(), guardOf(r)
	defer s.following.Add(-1)
	if s.following.Add(1) > int64(s.Followers) {
		tellRetry(w.Header(), budget.RetryAfter(queueOf(g)))
		v.log.Warn("request refused", "path", r.URL.Path, "client", r.RemoteAddr, "reason", "too many followers")
		httpError(w, http.StatusServiceUnavailable)
		return
	}
	f, err := v.openGrowing(name, up)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	off, err := followFrom(r.URL.Query().Get("follow"), info.Size(), up)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies must not wait for more
	if _, ok := h["Content-Type"]; !ok {
		h.Set("Content-Type", (&openfile.File{F: f}).ContentType(name))
	}
	size := int64(-1)
	switch {
	case up != nil && up.size >= off:
		size = up.size - off
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	case up != nil && !r.ProtoAtLeast(1, 1): // the client would take the end of the connection for the end of the file
		httpError(w, http.StatusHTTPVersionNotSupported)
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	release, err := g.reserve(r.Context(), copyCost)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		s.fail(w, r, err)
		return
	}
	defer release()
	t := &follower{w: w, r: r, view: v, name: name, f: f, up: up, off: off, wait: cmp.Or(s.FollowWait, time.Minute), wire: newRolling(w, r, g)}
	t.x = begin(r, Download, name, size)
	defer t.x.end(errPanicked) // unless it has ended
	if c := connOf(r); c != nil {
		c.carry(t.x, r)
		t.stop = portOf(c).done
	}
	err = t.run()
	t.x.end(err)
	if err != nil {
		if isFileFault(err) || errors.Is(err, errUnfinished) || errors.Is(err, errStandstill) {
			v.log.Warn("download aborted", "path", r.URL.Path, "client", r.RemoteAddr, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// serveFolder answers with a folder as an archive, its index.html, or its listing.
func (s *FileServer) serveFolder(w http.ResponseWriter, r *http.Request, name string) {
	query := r.URL.Query()
	if kind := query.Get("archive"); kind != "" && s.Archive {
		s.serveArchive(w, r, name, kind)
		return
	}
	index := path.Join(name, "index.html")
	if query.Get("format") == "" && !s.NoIndex {
		if info, err := s.view().stat(index); err == nil && info.Mode().IsRegular() {
			s.serveFile(w, r, index)
			return
		}
	}
	if !s.List {
		httpError(w, http.StatusForbidden)
		return
	}
	s.serveList(w, r, name)
}

// serveArchive sends a folder as an archive. All but tar files are made while they are
// sent.
func (s *FileServer) serveArchive(w http.ResponseWriter, r *http.Request, name, kind string) {
	format, ok := archive.Formats[kind]
	if !ok {
		http.Error(w, "archive must be tar, tar.gz, tar.zst or zip", http.StatusBadRequest)
		return
	}
	stored := false
	switch method := r.URL.Query().Get("method"); {
	case kind == "zip" && method == "store":
		format, stored = archive.Stored, true
	case method != "":
		http.Error(w, "method must be store, for a zip", http.StatusBadRequest)
		return
	}
	if kind == "tar" {
		if err := s.tars.serveTar(w, r, s.view(), name); !errors.Is(err, errLong) {
			s.failIf(w, r, err)
			return
		}
	}
	p := &packer{view: s.view(), format: format, guard: guardOf(r)}
	defer p.held.release()
	if r.Method != http.MethodHead {
		if err := p.held.reserve(r.Context(), p.guard, archiveCost); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if stored {
		if err := s.tars.serveZip(w, r, p, name); !errors.Is(err, errLong) {
			s.failIf(w, r, err)
			return
		}
	}
	sendArchive(w, r, p, name, kind)
}

// failIf answers with the status of err, unless that is nil.
func (s *FileServer) failIf(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err == nil:
	case r.Context().Err() != nil: // the client left
		panic(http.ErrAbortHandler)
	default:
		s.fail(w, r, err)
	}
}

// serveStored answers with the file or folder that a store has under a name.
func (s *FileServer) serveStored(w http.ResponseWriter, r *http.Request, name string, slash bool) {
	name = filepath.ToSlash(name)
	if slash {
		s.serveStoredFolder(w, r, name)
		return
	}
	f, err := s.Store.Stat(r.Context(), name)
	switch {
	case err != nil:
		s.failIf(w, r, err)
	case f.Folder:
		redirect(w, r, path.Base(r.URL.Path)+"/")
	default:
		s.serveStoredFile(w, r, f)
	}
}

// serveStoredFile answers with a file in a store.
func (s *FileServer) serveStoredFile(w http.ResponseWriter, r *http.Request, f StoredFile) {
	c := newStoredContent(r.Context(), s.Store, f)
	d := &described{sliceable: c, name: f.Name, size: f.Size, tag: f.tag(), modified: f.Modified, memory: storedCost, log: s.log()}
	if _, ok := w.Header()["Content-Type"]; !ok {
		var err error
		if d.kind, err = c.kind(); err != nil {
			c.close()
			s.failIf(w, r, err)
			return
		}
	}
	d.answer(w, r)
}

// serveStoredFolder answers with a folder in a store: its index.html, or its listing.
func (s *FileServer) serveStoredFolder(w http.ResponseWriter, r *http.Request, name string) {
	if r.URL.Query().Get("format") == "" && !s.NoIndex {
		f, err := s.Store.Stat(r.Context(), path.Join(name, "index.html"))
		switch {
		case err == nil && !f.Folder:
			s.serveStoredFile(w, r, f)
			return
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			s.failIf(w, r, err)
			return
		}
	}
	if name != "." {
		f, err := s.Store.Stat(r.Context(), name)
		switch {
		case err != nil:
			s.failIf(w, r, err)
			return
		case !f.Folder:
			redirect(w, r, "../"+path.Base(r.URL.Path))
			return
		}
	}
	if !s.List {
		httpError(w, http.StatusForbidden)
		return
	}
	s.serveList(w, r, name)
}

// serveList answers with the listing of a folder.
func (s *FileServer) serveList(w http.ResponseWriter, r *http.Request, name string) {
	asJSON := false
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		asJSON = true
	case "html":
	case "":
		accept := r.Header.Values("Accept")
		asJSON = negotiate.Weight(accept, "application/json") > negotiate.Weight(accept, "text/html")
	default:
		http.Error(w, "format must be html or json", http.StatusBadRequest)
		return
	}
	limit := pageLength
	if asJSON {
		limit = mostListed
	}
	selection, err := selectionOf(r.URL.Query(), limit)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var l *lister
	if s.Store != nil {
		l, err = openStoredLister(s.view(), s.Store, r, name, selection)
	} else {
		l, err = openLister(s.view(), r, name, selection)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer l.close()
	l.Archive = s.Archive && s.Store == nil
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept")
	switch {
	case asJSON:
		s.serveJSON(w, r, l)
		return
	case s.Page != nil:
		s.servePage(w, r, l)
		return
	}
	if err := l.finish(); err != nil {
		s.fail(w, r, err)
		return
	}
	l.explain()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	inPieces(w, r, func(_ *rolling, out *bufio.Writer) error { return writePage(out, l.Listing) })
}

// inPieces sends what write writes to out, which collects it: a listing is written word by
// word. After an error the answer breaks, so that the client does not mistake a part for the
// whole.
func inPieces(w http.ResponseWriter, r *http.Request, write func(wire *rolling, out *bufio.Writer) error) {
	wire := newRolling(w, r, guardOf(r))
	defer wire.arm()
	out := bufio.NewWriterSize(wire, rollingPiece)
	err := write(wire, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// serveJSON answers with the listing of a folder for programs. The answer begins before all
// the names of a long folder are read, unless memory is short. If reading fails after that,
// the answer breaks.
func (s *FileServer) serveJSON(w http.ResponseWriter, r *http.Request, l *lister) {
	for range listedFirst - 1 { // openLister has read the first batch
		if err := l.step(); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	ahead := !l.done && l.hasRoom()
	if !ahead {
		if err := l.read(); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	inPieces(w, r, func(wire *rolling, out *bufio.Writer) error {
		if err := l.writeTop(out); err != nil {
			return err
		}
		if ahead {
			if err := out.Flush(); err != nil {
				return err
			}
			_ = wire.flush() // an error means that the client has disconnected
			if err := l.read(); err != nil {
				if r.Context().Err() == nil {
					s.log().Warn("folder not listed", "path", r.URL.Path, "client", r.RemoteAddr, "error", err)
				}
				return err
			}
		}
		return l.writeRest(out)
	})
}

// servePage answers with the page of a folder. If the folder is long, it sends the top of
// the page before it reads the rest of the names.
func (s *FileServer) servePage(w http.ResponseWriter, r *http.Request, l *lister) {
	if s.Top != nil {
		s.Top(w, r, l.Listing)
		if !l.done {
			_ = http.NewResponseController(w).Flush() // an error means that the client has disconnected
		}
	}
	if err := l.finish(); err != nil {
		if s.Top == nil {
			s.fail(w, r, err)
			return
		}
		l.Err = err
		s.log().Warn("folder not listed", "path", r.URL.Path, "client", r.RemoteAddr, "error", err)
	}
	l.explain()
	s.Page(w, r, l.Listing)
}

// fail answers with the status of err.
func (s *FileServer) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	g := guardOf(r)
	switch {
	case status == http.StatusServiceUnavailable && g != nil:
		tellRetry(w.Header(), budget.RetryAfter(g.Queue))
		s.log().Warn("request refused", "path", r.URL.Path, "client", r.RemoteAddr, "reason", err.Error())
	case status >= 500:
		s.log().Error("file not served", "path", r.URL.Path, "client", r.RemoteAddr, "error", err)
	}
	httpError(w, status)
}

func (s *FileServer) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

// redirect sends the client to a URL relative to the URL of its request. The handler can be
// mounted anywhere, so it does not know an absolute URL.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	u := "./" + names.Escape(to)
	if strings.HasPrefix(to, "../") {
		u = names.Escape(to)
	}
	if q := r.URL.RawQuery; q != "" {
		u += "?" + q
	}
	w.Header().Set("Location", u)
	w.WriteHeader(http.StatusMovedPermanently)
}
