package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deny"
	"github.com/weir-go/weir/weirhttp"
)

// sizes are what the flags with a size say; 0 if one is not given.
type sizes struct {
	memory, rate, connRate, minRate, maxSize, quota int64
}

// parseSizes refuses the first size that is none.
func (s *serving) parseSizes() (sizes, error) {
	var n sizes
	for _, f := range []struct {
		flag, value string
		n           *int64
	}{
		{"memory", s.memory, &n.memory},
		{"rate", s.rate, &n.rate},
		{"conn-rate", s.connRate, &n.connRate},
		{"min-rate", s.minRate, &n.minRate},
		{"max-size", s.maxSize, &n.maxSize},
		{"quota", s.quota, &n.quota},
	} {
		if f.value == "" {
			continue
		}
		var err error
		if *f.n, err = parseRate(f.value); err != nil {
			return sizes{}, &failure{code: exitUsage, text: fmt.Sprintf("--%s %s is no size", f.flag, f.value), try: "--" + f.flag + " 10MiB"}
		}
	}
	if least := int64(leastMemory); n.memory < least {
		return sizes{}, &failure{
			code: exitMemory, text: fmt.Sprintf("--memory %s is less than one transfer may need: %s", s.memory, weir.FormatBytes(least)),
			try: "--memory 16MiB",
		}
	}
	return n, nil
}

// leastMemory is what an archive of a folder or an upload may take; most downloads
// take much less.
const leastMemory = 2 << 20

// newGuard makes what the transfers share: memory, bandwidth, and their list.
func (s *serving) newGuard() *weirhttp.Guard {
	return &weirhttp.Guard{
		Stall: s.stall, MinRate: s.sizes.minRate, MaxConns: s.maxConns, MaxConnsPerAddr: s.maxPerAddr,
		Rate: s.sizes.rate, ConnRate: s.sizes.connRate, Queue: s.queue, Log: s.logger(),
		Budget: weir.NewBudget(s.sizes.memory), Transfers: &weirhttp.Transfers{Done: s.count},
	}
}

// count is told of each transfer that ended.
func (s *serving) count(t weirhttp.Transfer, err error) {
	if err == nil && t.Direction == weirhttp.Download {
		s.sent.Add(1)
	}
}

// handler puts together what answers: the files below root, the page, and up if
// it is not nil; around them what asks who comes, and the log.
func (s *serving) handler(root *os.Root, up *weirhttp.Uploads) (http.Handler, error) {
	mux := http.NewServeMux()
	log := s.guard.Log
	if s.access {
		log = s.leveled(slog.LevelError) // a refusal has a line as a request
	}
	mux.Handle("/", s.files(root, log))
	mux.HandleFunc("GET /_weir/", serveAsset)
	if up != nil {
		uploads := formAnswer(up)
		mux.Handle("/_upload", uploads)
		mux.Handle("/_upload/", uploads)
		mux.HandleFunc("PUT /_upload", func(w http.ResponseWriter, r *http.Request) {
			deny.Request(w, r, http.StatusBadRequest, "a file needs a name: end the address with a slash, /_upload/, or name it, /_upload/NAME")
		})
		mux.Handle("GET /_upload/{$}", http.RedirectHandler("/", http.StatusSeeOther))
	}
	h, err := s.protect(mux)
	if err != nil {
		return nil, err
	}
	h = withHealth(h)
	if s.access && !s.quiet {
		h = logRequests(s.requestLogger(), h)
	}
	return h, nil
}

// uploadsHandler takes uploads; it is nil if none are taken.
func (s *serving) uploadsHandler() (*weirhttp.Uploads, error) {
	if s.uploads == "" {
		return nil, nil
	}
	if st, err := os.Stat(s.uploads); err != nil || !st.IsDir() {
		return nil, &failure{code: exitDestination, text: fmt.Sprintf("cannot take uploads into %s: it is no folder", s.uploads), try: "mkdir -p " + quoted(s.uploads)}
	}
	up := weirhttp.UploadTo(s.uploads)
	up.MaxSize, up.Quota, up.Overwrite, up.Sync = s.sizes.maxSize, s.sizes.quota, s.overwrite, s.sync
	up.Stall, up.Queue, up.Budget, up.Log = s.stall, s.queue, s.guard.Budget, s.guard.Log
	up.NoDigest, up.URL = !s.digest, s.shown
	if s.access {
		up.Log = s.leveled(slog.LevelError) // a refusal has a line as a request
	}
	up.Done = func(weirhttp.Received) { s.received.Add(1) }
	return up, nil
}

// protect lets pass to h only who may: pages of this origin and of --cors, users
// of --auth, and where neither they nor a certificate stop it, no page of a
// false name.
func (s *serving) protect(h http.Handler) (http.Handler, error) {
	h, err := ownOrigin(s.cors, h)
	if err != nil {
		return nil, err
	}
	if s.users != "" {
		if h, err = s.userGate(h); err != nil {
			return nil, err
		}
	}
	if s.cors != "" {
		h = allowOrigin(s.cors, h)
	}
	if s.users == "" && s.cert == "" && !s.selfSigned {
		// A page of a false name has no password here, and no certificate.
		h = ownHost(s.listen, s.hosts, h)
	}
	return h, nil
}

// withHealth answers, before h, to who asks how the server is. When it stops nobody
// can ask any more: it takes no connections then.
func withHealth(h http.Handler) http.Handler {
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", ok)
	return mux
}
