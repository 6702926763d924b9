package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

// serving is weir serve.
type serving struct {
	dir, uploads, listen            string
	memory, rate, connRate          string
	minRate, maxSize, quota         string
	maxConns, maxPerAddr            int
	stall, grace, queue             time.Duration
	cert, key                       string
	selfSigned, h2c                 bool
	users, cors                     string
	hosts                           []string // names that requests may have for this server
	hidden, symlinks, noList        bool
	overwrite, digest, sync, access bool
	quiet                           bool
	largest                         int64    // upload; 0: any
	name, inbox, shown              string   // for the page: what DIR and the uploads are called, and the path of the latter if it is served
	careful                         []string // paths at which what is uploaded is served
	stdout, stderr                  io.Writer

	guard          *weirhttp.Guard
	lines          lines        // of the request log, where it is no terminal
	sent, received atomic.Int64 // files
	stopping       atomic.Bool
	logging        sync.Mutex // guards stderr, where it is a terminal
}

func newServe(stdout, stderr io.Writer) *cobra.Command {
	s := &serving{stdout: stdout, stderr: stderr}
	c := &cobra.Command{
		Use:   "serve [DIR]",
		Short: "Serve a folder over HTTP, and take uploads",
		Long: `Serve the files of a folder over HTTP, to any number of clients, fast or slow,
in bounded memory. With --uploads it also takes files: from the page by drag and
drop, from curl -T, from forms, and from tus clients, which can resume.

It listens on this machine only and is read-only, unless told otherwise. Names
that begin with a dot are not served, and no path and no symbolic link leads out
of the folder. Without TLS and --auth, requests must name the server by an
address, by localhost, by the name of this machine or by a --host, so that no
page whose name is made to lead here reads along.

A client that takes nothing for --stall is cut off, and so is one that takes
less than --min-rate on average. Any other may take as long as it likes.`,
		Example: `  weir serve
  weir serve ./public --uploads ./inbox --max-size 10GiB
  weir serve --listen :8443 --tls-self-signed --auth users.txt
  curl -T big.iso http://127.0.0.1:8080/_upload/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				f := usage(fmt.Sprintf("serve takes one folder, not %d", len(args)))
				f.try = "weir serve " + args[0]
				return f
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			s.dir = "."
			if len(args) > 0 {
				s.dir = args[0]
			}
			if err := s.together(c.Flags().Changed); err != nil {
				return err
			}
			return s.serve()
		},
	}
	f := c.Flags()
	f.StringVar(&s.uploads, "uploads", "", "folder that takes uploads, at /_upload/")
	f.StringVarP(&s.listen, "listen", "l", "127.0.0.1:8080", "address to listen on; port 0 takes any")
	f.StringVar(&s.memory, "memory", "256MiB", "most memory for all transfers")
	f.StringVar(&s.rate, "rate", "", "bandwidth of all connections together, as in 100MiB/s")
	f.StringVar(&s.connRate, "conn-rate", "", "bandwidth of each connection")
	f.StringVar(&s.minRate, "min-rate", "512B/s", "what a client must take on average")
	f.DurationVar(&s.stall, "stall", time.Minute, "how long a client may take nothing, or send nothing")
	f.DurationVar(&s.queue, "queue", 5*time.Second, "how long a transfer waits for memory before it gets 503")
	f.IntVar(&s.maxConns, "max-conns", 10_000, "connections at a time")
	f.IntVar(&s.maxPerAddr, "max-conns-per-addr", 0, "connections of one address (default 512, any from this machine)")
	f.StringVar(&s.maxSize, "max-size", "", "largest upload, as in 10GiB")
	f.StringVar(&s.quota, "quota", "", "most bytes in the uploads folder")
	f.BoolVar(&s.overwrite, "overwrite", false, "an upload replaces a file of its name, instead of getting a number")
	f.BoolVar(&s.digest, "digest", false, "answer an upload with its SHA-256, which costs as much time as all the rest")
	f.BoolVar(&s.sync, "sync", false, "answer an upload when it is on stable storage")
	f.StringVar(&s.cert, "tls-cert", "", "file with a certificate, in PEM")
	f.StringVar(&s.key, "tls-key", "", "file with its key, in PEM")
	f.BoolVar(&s.selfSigned, "tls-self-signed", false, "TLS with a certificate made now, for this run")
	f.BoolVar(&s.h2c, "h2c", false, "HTTP/2 without TLS too")
	f.StringVar(&s.users, "auth", "", "file of users: NAME:HASH:RIGHTS, made with weir password")
	f.StringArrayVar(&s.hosts, "host", nil, "name that requests may have for this server besides its own, or *; may be repeated")
	f.StringVar(&s.cors, "cors", "", "origin whose pages may use this server, or *")
	f.BoolVar(&s.hidden, "hidden", false, "serve names that begin with a dot")
	f.BoolVar(&s.symlinks, "symlinks", false, "follow symbolic links out of the folder")
	f.BoolVar(&s.noList, "no-list", false, "do not list folders")
	f.BoolVar(&s.access, "access-log", true, "a line for each request; JSON if standard error is no terminal")
	f.DurationVar(&s.grace, "grace", 10*time.Second, "how long transfers may take to finish at the end")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "say nothing but errors")
	return c
}

// together refuses flags that only make sense with another, or without it.
func (s *serving) together(given func(string) bool) error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	if s.uploads == "" {
		for _, flag := range []string{"max-size", "quota", "overwrite", "digest", "sync"} {
			if given(flag) {
				return refuse("--"+flag+" is about uploads, and none are taken", "--uploads inbox --"+flag+" …")
			}
		}
	}
	if s.stall <= 0 {
		return refuse(fmt.Sprintf("--stall %v cuts every client off", s.stall), "--stall 24h, for almost any")
	}
	if s.queue <= 0 {
		return refuse(fmt.Sprintf("--queue %v leaves no time to find memory", s.queue), "--queue 1ms, to wait hardly at all")
	}
	switch {
	case s.selfSigned && (s.cert != "" || s.key != ""):
		return refuse("--tls-self-signed makes a certificate, and one is given", "--tls-cert and --tls-key alone")
	case s.h2c && (s.selfSigned || s.cert != ""):
		return refuse("--h2c is HTTP/2 without TLS, and TLS is on", "TLS without --h2c; it has HTTP/2")
	}
	return nil
}

func (s *serving) serve() error {
	handler, cleanup, err := s.handler()
	if err != nil {
		return err
	}
	defer cleanup()
	srv := &http.Server{Handler: handler, ErrorLog: serverLog(s.logger())}
	if srv.TLSConfig, err = s.tls(); err != nil {
		return err
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(s.h2c)
	// Before anybody is told that it serves: who waits for that may end it at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		f := &failure{code: exitDestination, text: fmt.Sprintf("cannot listen on %s: %v", s.listen, plainNetError(err))}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			f.try = "--listen 127.0.0.1:0, for a free port"
		case !strings.Contains(s.listen, ":"):
			f.try, f.code = "--listen 127.0.0.1:"+s.listen, exitUsage
		}
		return f
	}
	s.announce(l.Addr(), srv.TLSConfig != nil)

	served := make(chan error, 1)
	go func() { served <- s.guard.Serve(srv, l) }()
	watching, stopWatching := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){s.watchSlow, s.stayThin, s.lines.run} {
		watchers.Go(func() { watch(watching) })
	}
	unwatch := sync.OnceFunc(func() {
		stopWatching()
		watchers.Wait()
	})
	defer unwatch()

	code := exitInterrupted
	select {
	case err := <-served:
		return &failure{code: exitFailed, text: "serving ended: " + err.Error()}
	case sig := <-signals:
		if sig == syscall.SIGTERM {
			code = exitTerminated
		}
	}
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	if n := len(s.guard.Transfers.List()); n > 0 && !s.quiet {
		fmt.Fprintf(s.stderr, "stopping: %s may take %v to finish (Ctrl-C again: now)\n", plural(int64(n), "transfer"), s.grace)
	}
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	cut := s.guard.Shutdown(ctx)
	<-served
	unwatch()
	s.farewell(cut != nil)
	return &failure{code: code, told: true}
}

// handler puts the server together.
func (s *serving) handler() (h http.Handler, cleanup func(), err error) {
	n := map[string]int64{} // 0: not given
	for flag, value := range map[string]string{
		"memory": s.memory, "rate": s.rate, "conn-rate": s.connRate, "min-rate": s.minRate, "max-size": s.maxSize, "quota": s.quota,
	} {
		if value == "" {
			continue
		}
		if n[flag], err = parseRate(value); err != nil {
			return nil, nil, &failure{code: exitUsage, text: fmt.Sprintf("--%s %s is no size", flag, value), try: "--" + flag + " 10MiB"}
		}
	}
	s.lines.out = s.stderr
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, nil, &failure{code: exitSource, text: fmt.Sprintf("cannot serve %s: %v", s.dir, innermost(err)), try: "ls -ld " + s.dir}
	}
	s.place()
	s.largest = n["max-size"]
	log := s.logger()
	budget := weir.NewBudget(max(n["memory"], 1))
	transfers := &weirhttp.Transfers{}
	s.guard = &weirhttp.Guard{
		Stall: s.stall, MinRate: n["min-rate"], MaxConns: s.maxConns, MaxConnsPerAddr: s.maxPerAddr,
		Rate: n["rate"], ConnRate: n["conn-rate"], Budget: budget, Queue: s.queue, Transfers: transfers, Log: log,
	}
	files := s.files(root, log)
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.HandleFunc("GET /_weir/", serveAsset)
	cleanup = func() { _ = root.Close() }
	if s.uploads != "" {
		if st, err := os.Stat(s.uploads); err != nil || !st.IsDir() {
			cleanup()
			return nil, nil, &failure{code: exitDestination, text: fmt.Sprintf("cannot take uploads into %s: it is no folder", s.uploads), try: "mkdir -p " + s.uploads}
		}
		up := weirhttp.UploadTo(s.uploads)
		up.MaxSize, up.Quota, up.Overwrite, up.Sync = n["max-size"], n["quota"], s.overwrite, s.sync
		up.Stall, up.Budget, up.Log = s.stall, budget, log
		up.NoDigest, up.URL = !s.digest, s.shown
		if s.access {
			up.Log = s.leveled(slog.LevelError) // a refusal has a line as a request
		}
		up.Done = func(weirhttp.Received) { s.received.Add(1) }
		uploads := formAnswer(up)
		mux.Handle("/_upload", uploads)
		mux.Handle("/_upload/", uploads)
		mux.Handle("GET /_upload/{$}", http.RedirectHandler("/", http.StatusSeeOther))
		cleanup = func() { _ = up.Close(); _ = root.Close() }
	}
	if h, err = ownOrigin(s.cors, mux); err != nil {
		cleanup()
		return nil, nil, err
	}
	if s.users != "" {
		users, err := readUsers(s.users)
		if err != nil {
			cleanup()
			return nil, nil, err
		}
		users.Uploads = "/_upload"
		h = users.Handler(h)
	}
	if s.cors != "" {
		h = allowOrigin(s.cors, h)
	}
	if s.users == "" && s.cert == "" && !s.selfSigned {
		// A page of a false name has no password here, and no certificate.
		h = ownHost(s.listen, s.hosts, h)
	}
	outer := http.NewServeMux()
	outer.Handle("/", h)
	outer.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	outer.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	transfers.Done = s.count
	if s.access && !s.quiet {
		if !isTerminal(s.stderr) {
			log = slog.New(slog.NewJSONHandler(&s.lines, nil))
		}
		return logRequests(log, outer), cleanup, nil
	}
	return outer, cleanup, nil
}

// count is told of each transfer that ended.
func (s *serving) count(t weirhttp.Transfer, err error) {
	if err == nil && t.Kind == weirhttp.Download {
		s.sent.Add(1)
	}
}

// announce says what is served, where, and in how much memory.
func (s *serving) announce(addr net.Addr, secure bool) {
	if s.quiet {
		return
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	url := fmt.Sprintf("%s://%s/", scheme, addr)
	fmt.Fprintf(s.stderr, "serving   %-20s %s\n", s.dir, url)
	if s.uploads != "" {
		fmt.Fprintf(s.stderr, "uploads   %-20s %s_upload/  (PUT, POST, tus, or the page)\n", s.uploads, url)
	}
	fmt.Fprintf(s.stderr, "memory    ceiling %s for all transfers; one that finds none waits %v, then gets 503\n", weir.FormatBytes(s.guard.Budget.Total()), s.queue)
	host, _, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() && s.users == "" {
		what := "read"
		if s.uploads != "" {
			what = "read, and write to " + filepath.Clean(s.uploads)
		}
		fmt.Fprintf(s.stderr, "warning   everybody who can reach %s can %s; --auth asks who they are\n", addr, what)
	}
}

// farewell is what is left on the screen.
func (s *serving) farewell(cut bool) {
	if s.quiet {
		return
	}
	t := s.guard.Transfers.Totals()
	fmt.Fprintf(s.stderr, "served %s in %s, received %s in %s", weir.FormatBytes(t.BytesOut), plural(s.sent.Load(), "download"),
		weir.FormatBytes(t.BytesIn), plural(s.received.Load(), "file"))
	if t.Failed > 0 {
		fmt.Fprintf(s.stderr, "; %d ended early", t.Failed)
	}
	if cut {
		fmt.Fprint(s.stderr, "; those left at the end were cut")
	}
	fmt.Fprintf(s.stderr, "; peak %s for transfers", weir.FormatBytes(s.guard.Budget.Peak()))
	if p := peakMemory(); p > 0 {
		fmt.Fprintf(s.stderr, ", process %s", weir.FormatBytes(p))
	}
	fmt.Fprintln(s.stderr)
}

func plainNetError(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) {
		var se *os.SyscallError
		if errors.As(oe.Err, &se) {
			return se.Err
		}
		return oe.Err
	}
	return err
}
