package main

import (
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
	oldslog "golang.org/x/exp/slog"
)

func init() {
	children["http-server"] = childProgram{5, httpServer}
	children["http-slow"] = childProgram{8, slowClients}
	children["http-fast"] = childProgram{4, fastClients}
	children["http-small"] = childProgram{4, smallClients}
	children["http-put"] = childProgram{4, putClient}
}

// httpServer runs one of the servers that are written in Go: the kind, the
// address, the folder to serve, the one for uploads, and whether these are to be
// on stable storage when they are answered.
func httpServer(args []string) error {
	kind, addr, dir, uploads := args[0], args[1], args[2], args[3]
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{}
	switch kind {
	case "content":
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(filepath.Join(dir, filepath.Base(r.URL.Path)))
			if err != nil {
				http.NotFound(w, r)
				return
			}
			defer f.Close()
			http.ServeContent(w, r, r.URL.Path, time.Time{}, f)
		})
	case "files":
		srv.Handler = http.FileServer(http.Dir(dir))
	case "tusd":
		srv.Handler, err = tusd(uploads)
	case "weirhttp":
		return serveWeirhttp(l, srv, dir, uploads, args[4] == "true")
	default:
		err = fmt.Errorf("no server is called %q", kind)
	}
	if err != nil {
		return err
	}
	return srv.Serve(l)
}

// serveWeirhttp runs the server of weir serve, without its access log and the
// digest of uploads. It also reports the number of its goroutines.
func serveWeirhttp(l net.Listener, srv *http.Server, dir, uploads string, sync bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	budget := weir.NewBudget(256 << 20)
	quiet := slog.New(slog.DiscardHandler)
	g := &weirhttp.Guard{Budget: budget, Log: quiet, Transfers: &weirhttp.Transfers{}}
	up := weirhttp.UploadTo(uploads)
	up.NoDigest, up.Sync, up.Budget, up.Log = true, sync, budget, quiet
	files := weirhttp.Files(root)
	files.Log = quiet
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.Handle("/_upload/", up)
	mux.Handle("GET /_vars", expvar.Handler())
	mux.HandleFunc("GET /_pprof/heap", pprof.Handler("heap").ServeHTTP)
	mux.HandleFunc("GET /_pprof/profile", pprof.Profile)
	expvar.Publish("goroutines", expvar.Func(func() any { return runtime.NumGoroutine() }))
	srv.Handler = mux
	return g.Serve(srv, l)
}

func tusd(uploads string) (http.Handler, error) {
	parts := handler.NewStoreComposer()
	store := filestore.New(uploads)
	store.UseIn(parts)
	h, err := handler.NewHandler(handler.Config{BasePath: "/_upload/", StoreComposer: parts, Logger: oldslog.New(oldslog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return nil, err
	}
	return http.StripPrefix("/_upload/", h), nil
}
