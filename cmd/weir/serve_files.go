package main

import (
	"bytes"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/weir-go/weir/weirhttp"
)

// Values of headers, which all answers share.
var (
	nosniff = []string{"nosniff"}
	sandbox = []string{"sandbox"}
)

// files serves what is below root. What was uploaded is from anybody: no page of
// it may act as one of this server, and none of it stands in for something else.
func (s *serving) files(root *os.Root, log *slog.Logger) http.Handler {
	server := func(careful bool) http.Handler {
		f := weirhttp.Files(root)
		f.Hidden, f.Symlinks, f.List, f.Archive = s.hidden, s.symlinks, !s.noList, !s.noList
		f.NoIndex, f.Precompressed = careful, !careful
		f.Log, f.Page = log, s.page
		return f
	}
	own, inbox := server(false), server(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = nosniff
		if !s.uploaded(r.URL.Path) {
			own.ServeHTTP(w, r)
			return
		}
		h["Content-Security-Policy"] = sandbox // a listing has its own
		inbox.ServeHTTP(w, r)
	})
}

// uploaded reports whether what is at a path was uploaded, or may have been.
// Case makes no difference to some file systems.
func (s *serving) uploaded(p string) bool {
	if len(s.careful) == 0 {
		return false
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	p = path.Clean(p)
	for _, in := range s.careful {
		if in == "/" || len(p) >= len(in) && strings.EqualFold(p[:len(in)], in) && (len(p) == len(in) || p[len(in)] == '/') {
			return true
		}
	}
	return false
}

// serverLog is where net/http tells what went wrong in it. Clients that do not
// get through their handshake are everyday: browsers that do not trust the
// certificate, and those who look for open ports.
func serverLog(l *slog.Logger) *log.Logger { return log.New(serverErrors{l}, "", 0) }

type serverErrors struct{ log *slog.Logger }

func (s serverErrors) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("http: TLS handshake error")) && !bytes.Contains(p, []byte("error reading preface")) {
		s.log.Warn(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}
