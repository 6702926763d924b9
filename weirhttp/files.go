package weirhttp

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

// FileServer is a handler for the files below a folder, with GET and HEAD. Only
// Root must be set. The fields must not change after the first request;
// requests are served concurrently.
//
// It answers ranges (one, several, suffixes), If-Range and conditional requests,
// with strong entity tags made of modification time, size and inode. Names are
// those below Root, which is never left. Names that begin with a dot do not
// exist for clients, and what is neither a file nor a folder (named pipes,
// devices, sockets) is refused; files that are still being written have no name
// here either. A folder is its index.html, if it has one. A
// file that becomes shorter while it is sent breaks the connection; of one that
// grows the length that was promised is sent.
//
// With Precompressed, NAME.gz is sent only if all of NAME is in its first member:
// browsers and curl read no further in a Content-Encoding, while files of several
// members are ordinary (those of bgzip, of cat, and of gzip:members=yes). The last four bytes,
// which give the size of the last member, must give the size of NAME modulo 2³²,
// and a first member that records its own length must be the whole file.
//
// Under a [Guard] a long download over plain HTTP/1 leaves net/http, on Linux: it
// costs a socket and no goroutine, and files are open once for all clients. A
// handler around this one sees it return then while the download goes on;
// [Transfers] sees its end. Long listings take their memory from the guard's
// Budget too.
type FileServer struct {
	Root *os.Root

	Hidden        bool // serve names that begin with a dot
	Symlinks      bool // follow symbolic links that lead out of Root
	List          bool // list folders: HTML, or JSON for Accept: application/json and ?format=json
	Archive       bool // send folders as ?archive=tar, tar.gz, tar.zst or zip
	NoIndex       bool // a folder is its listing, also if it has an index.html
	Precompressed bool // send NAME.zst or NAME.gz in place of NAME where the client accepts it and NAME is not newer

	// Page, if not nil, answers with the HTML page of a folder in place of the
	// one that comes with the handler. It is called concurrently. For HEAD, which
	// wants the header only, the listing has no entries.
	Page func(w http.ResponseWriter, r *http.Request, l Listing)

	Log *slog.Logger // what went wrong; nil: slog.Default()

	open  shelf
	small smallFiles
}

// Files returns a handler for the files below root, which stays open and must
// not be closed while the handler is in use.
//
//	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
func Files(root *os.Root) *FileServer { return &FileServer{Root: root} }

// ServeHTTP answers with the file that r.URL.Path names, and returns when it is
// sent, parked, or refused. It panics with [http.ErrAbortHandler] when an answer
// that has begun cannot be completed.
func (s *FileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		newRolling(w, r, connOf(r).guard()).arm() // what is written in one go has its time too
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpError(w, http.StatusMethodNotAllowed)
		return
	}
	name, slash, status := cleanPath(r.URL.Path, s.Hidden)
	if status != 0 {
		httpError(w, status)
		return
	}
	if s.Root == nil {
		s.fail(w, r, errors.New("the handler has no Root"))
		return
	}
	if !slash && s.serveSmall(w, r, name) {
		return
	}
	info, err := s.stat(name)
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
	default:
		s.serveFile(w, r, name)
	}
}

func (s *FileServer) serveFolder(w http.ResponseWriter, r *http.Request, name string) {
	query := r.URL.Query()
	if kind := query.Get("archive"); kind != "" && s.Archive {
		s.serveArchive(w, r, name, kind)
		return
	}
	index := path.Join(name, "index.html")
	if query.Get("format") == "" && !s.NoIndex {
		if info, err := s.stat(index); err == nil && info.Mode().IsRegular() {
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

// serveFile answers with a regular file.
func (s *FileServer) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	shared := plainConn(r) != nil
	f, err := s.openFile(name, shared)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer func() { f.release() }() // f may be another file by then, or given away
	h := w.Header()
	if s.Precompressed {
		h.Add("Vary", "Accept-Encoding")
		if better, coding := s.precompressed(r, name, f, shared); better != nil {
			if _, ok := h["Content-Type"]; !ok {
				h.Set("Content-Type", contentType(name, f))
			}
			f.release()
			f = better
			h.Set("Content-Encoding", coding)
		}
	}
	h.Set("ETag", f.tag())
	a := &answer{ResponseWriter: w, s: s, r: r, name: name, f: f}
	http.ServeContent(a, r, name, f.modified, &extent{f: f, size: f.size})
	if a.parked {
		f = nil
	}
	a.finish()
}

// fail answers with the status of err.
func (s *FileServer) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	g := connOf(r).guard()
	switch {
	case status == http.StatusServiceUnavailable && g != nil:
		tellRetry(w.Header(), retryAfter(g.Queue))
		s.log().Warn("refused", "path", r.URL.Path, "client", r.RemoteAddr, "reason", err.Error())
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

// statusOf is the status for an error before the first byte.
func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist), isAbsent(err):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errSpecial):
		return http.StatusForbidden
	case errors.Is(err, errBudgetBusy), errors.Is(err, weir.ErrBudget):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// httpError answers with a status and its text, and without what was to
// describe the answer that there is not.
func httpError(w http.ResponseWriter, status int) {
	h := w.Header()
	for _, k := range [...]string{"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length",
		"Content-Range", "Etag", "Last-Modified"} {
		h.Del(k)
	}
	http.Error(w, http.StatusText(status), status)
}

// redirect sends the client to a URL relative to the one it asked for. The
// handler may be mounted anywhere, so that it does not know a whole one.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	u := "./" + escapePath(to)
	if strings.HasPrefix(to, "../") {
		u = escapePath(to)
	}
	if q := r.URL.RawQuery; q != "" {
		u += "?" + q
	}
	w.Header().Set("Location", u)
	w.WriteHeader(http.StatusMovedPermanently)
}

// httpTime is a time as headers have it.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
