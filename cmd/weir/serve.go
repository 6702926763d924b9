package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/deny"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/s3/filestore"
	"github.com/weir-go/weir/weirhttp"
	"github.com/weir-go/weir/weirhttp/auth"
)

// serving is a run of weir serve: its flags, and the settings made from them.
type serving struct {
	dir, uploads, listen, store     string
	memory, rate, connRate          string
	minRate, maxSize, quota         string
	maxRequest                      string
	maxConns, maxPerAddr            int
	stall, grace, queue, drainTime  time.Duration
	socketMode                      string
	trusted                         []string // addresses of proxies
	cert, key                       string
	selfSigned, h2c                 bool
	users, cors                     string
	hosts                           []string // additional host names to accept in requests
	hidden, symlinks, noList        bool
	overwrite, digest, sync, access bool
	quiet, json                     bool
	stdout, stderr                  io.Writer

	sizes              sizes    // in bytes
	name, inbox, shown string   // for the page: the names of DIR and of the uploads folder, and the path of the latter if it is served
	careful            []string // paths at which uploaded files are served
	sameFolder         bool     // DIR is the uploads folder
	realDir, realInbox string   // DIR and the uploads folder without symbolic links; "" if there are no uploads
	proxies            proxies
	fingerprint        string // of a generated certificate
	health             health
	notifier           *notifier
	forced             bool // the shutdown did not wait for all requests

	files      *filestore.Store // of --store; nil: DIR is served
	inboxFiles *filestore.Store // its folder for uploads; nil: none
	parts      *weir.Budget     // of uploads to it; nil: none

	guard          *weirhttp.Guard
	monitor        *monitor.Monitor
	reloads        []reloading  // at SIGHUP
	requests       *requestLog  // nil: none
	lines          lines        // of the request log, unless that is a terminal
	sent, received atomic.Int64 // files
	logging        sync.Mutex   // guards stderr if it is a terminal
}

func newServe(stdout, stderr io.Writer) *cobra.Command {
	s := &serving{stdout: stdout, stderr: stderr, lines: lines{out: stderr}}
	c := &cobra.Command{
		Use:   "serve [DIR]",
		Short: "Serve a folder over HTTP, and take uploads",
		Long: `Serve the files of a folder over HTTP, to any number of clients, fast or slow,
in bounded memory. With --uploads, weir also receives files: from the page by
drag and drop, from curl -T, from forms, and from clients that can resume: those
of tus 1.0, and of resumable uploads over HTTP (interop versions 3 to 9, or none).

By default weir serve listens on this machine only, and is read-only. It does
not serve names that begin with a dot, and no path and no symbolic link leads
out of the folder. Without TLS and --auth, weir only answers requests whose Host
header is an IP address, localhost, this machine's name, or a name given with
--host. This stops a malicious web page from reaching the server through DNS
rebinding.

?archive=tar downloads a folder as a tar file of known length, which clients can
resume; zip, tar.gz and tar.zst are made while they are sent. ?follow sends a file
and then what is appended to it, and an upload while it arrives.

--store serves objects instead of files. Any number of servers can share one
store, behind any load balancer: each request can go to any of them, also those
of one upload. See weir help stores.

weir disconnects a client that makes no progress for --stall, or averages less
than --min-rate. Any other client can take as long as it likes.

/_weir/ shows the running transfers and what is slow, to users, or without --auth
to this machine only. /healthz answers ok while the server runs, /readyz while it
takes new work; neither asks for a password. USR1 logs the running transfers.

INT, TERM and QUIT end the server. If anyone has asked /readyz in the last minute,
it answers 503 for --drain first, while the server still serves, so that load
balancers can turn away. Then the server accepts no more connections and waits up
to --grace for running transfers. A second signal disconnects them at once. HUP
reloads the users of --auth and the certificate of --tls-cert. In the foreground
of a terminal HUP ends the server, because it means that the terminal was closed.
systemd learns when the server is ready, reloads and stops (Type=notify).`,
		Example: `  weir serve
  weir serve ./public --uploads ./inbox --max-size 10GiB
  weir serve --listen :8443 --tls-self-signed --auth users.txt
  weir serve --store s3://bucket/prefix --uploads .
  weir serve --listen unix:/run/weir/http.sock --trusted-proxy unix
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
			if s.store != "" {
				if err := s.togetherWithStore(c.Flags().Changed, strings.Join(args, "")); err != nil {
					return err
				}
			}
			if err := s.together(c.Flags().Changed); err != nil {
				return err
			}
			return s.serve()
		},
	}
	f := c.Flags()
	f.StringVar(&s.uploads, "uploads", "", "folder for uploads, which clients send to /_upload/; if it is DIR, the page uploads into the folder it shows; with --store a folder of the store, as in --uploads .")
	f.StringVar(&s.store, "store", "", "serve a prefix of an object store instead of a folder: s3://bucket/prefix; any number of servers can share it")
	f.StringVarP(&s.listen, "listen", "l", "127.0.0.1:8080", "address to listen on; port 0 picks a free port; unix:PATH is a socket")
	f.StringVar(&s.socketMode, "socket-mode", "0660", "permissions of the socket of --listen unix:PATH")
	f.StringArrayVar(&s.trusted, "trusted-proxy", nil, "proxy whose X-Forwarded-For or Forwarded names the client: address, network as in 10.0.0.0/8, or unix; repeatable")
	f.StringVar(&s.memory, "memory", "256MiB", "maximum memory for all transfers")
	f.StringVar(&s.rate, "rate", "", "maximum bandwidth of all connections together, as in 100MiB/s")
	f.StringVar(&s.connRate, "conn-rate", "", "maximum bandwidth of each connection")
	f.StringVar(&s.minRate, "min-rate", "512B/s", "minimum average transfer rate; slower clients are disconnected")
	f.DurationVar(&s.stall, "stall", time.Minute, "longest time without progress; then the client is disconnected")
	f.DurationVar(&s.queue, "queue", 5*time.Second, "how long a transfer waits for memory before it gets 503")
	f.IntVar(&s.maxConns, "max-conns", 10_000, "maximum connections at a time")
	f.IntVar(&s.maxPerAddr, "max-conns-per-addr", 0, "maximum connections per client address (default 512; unlimited for this machine)")
	f.StringVar(&s.maxSize, "max-size", "", "largest upload, as in 10GiB")
	f.StringVar(&s.maxRequest, "max-request", "", "largest body of a request, for a proxy that allows no more; resumable uploads send pieces of this size")
	f.StringVar(&s.quota, "quota", "", "maximum size of the uploads folder")
	f.BoolVar(&s.overwrite, "overwrite", false, "replace a file with the name of an upload, instead of adding a number to the name")
	f.BoolVar(&s.digest, "digest", false, "include the SHA-256 in the upload response (about doubles the CPU cost)")
	f.BoolVar(&s.sync, "sync", false, "answer an upload only when it is on stable storage")
	f.StringVar(&s.cert, "tls-cert", "", "certificate file (PEM)")
	f.StringVar(&s.key, "tls-key", "", "private key file (PEM)")
	f.BoolVar(&s.selfSigned, "tls-self-signed", false, "enable TLS with a self-signed certificate generated for this run")
	f.BoolVar(&s.h2c, "h2c", false, "also accept HTTP/2 without TLS")
	f.StringVar(&s.users, "auth", "", "file of users: NAME:HASH:RIGHTS, made with weir password")
	f.StringArrayVar(&s.hosts, "host", nil, "additional host name to accept in requests; repeatable, * accepts any")
	f.StringVar(&s.cors, "cors", "", "origin whose pages can use this server, or *")
	f.BoolVar(&s.hidden, "hidden", false, "serve names that begin with a dot")
	f.BoolVar(&s.symlinks, "symlinks", false, "follow symbolic links out of the folder")
	f.BoolVar(&s.noList, "no-list", false, "do not list folders")
	f.BoolVar(&s.access, "access-log", true, "log a line for each request; as JSON if standard error is not a terminal, or with --json")
	f.DurationVar(&s.drainTime, "drain", 5*time.Second, "how long /readyz answers 503 before the shutdown, if anyone has asked it in the last minute")
	f.DurationVar(&s.grace, "grace", 10*time.Second, "how long to wait for running transfers at shutdown")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "print errors only")
	f.BoolVar(&s.json, "json", false, "print JSON lines on standard error, and nothing else")
	return c
}

// together refuses flags that contradict each other, or that need another one.
func (s *serving) together(given func(string) bool) error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	if s.uploads == "" {
		for _, flag := range []string{"max-size", "max-request", "quota", "overwrite", "digest", "sync"} {
			if given(flag) {
				return refuse("--"+flag+" requires --uploads", "--uploads inbox --"+flag+" …")
			}
		}
	}
	if s.stall <= 0 {
		return refuse(fmt.Sprintf("--stall %v would disconnect every client", s.stall), "--stall 24h")
	}
	if s.queue <= 0 {
		return invalid("duration", s.queue, "queue", "must be positive", "1ms")
	}
	if s.drainTime < 0 {
		return invalid("duration", s.drainTime, "drain", "must not be negative", "0s, not to wait")
	}
	if s.grace < 0 {
		return invalid("duration", s.grace, "grace", "must not be negative", "0s, not to wait")
	}
	for _, f := range []struct {
		flag string
		n    int
	}{{"max-conns", s.maxConns}, {"max-conns-per-addr", s.maxPerAddr}} {
		if given(f.flag) && f.n <= 0 {
			return invalid("number", f.n, f.flag, "must be positive", "1000")
		}
	}
	for _, host := range s.hosts {
		if ip, err := netip.ParseAddr(plainHost(host)); err == nil && ip.IsUnspecified() {
			return refuse(fmt.Sprintf("--host %s is an address; --host takes names that requests have for this server", host), "--listen :8080, for every address of this machine")
		}
		if plainHost(host) == "" || strings.ContainsAny(host, "/@ ") {
			return invalid("host name", host, "host", "", "files.example")
		}
	}
	if _, err := parseMode(s.socketMode); err != nil {
		return invalid("file mode", s.socketMode, "socket-mode", "", "0660")
	}
	path, onSocket := socketOf(s.listen)
	if onSocket && (path == "" || strings.HasPrefix(path, "@")) {
		return refuse(fmt.Sprintf("--listen %s does not name a file", s.listen), "--listen unix:/run/weir/http.sock")
	}
	if given("socket-mode") && !onSocket {
		return refuse("--socket-mode requires --listen unix:PATH", "--listen unix:/run/weir/http.sock --socket-mode "+s.socketMode)
	}
	var err error
	if s.proxies, err = parseProxies(s.trusted); err != nil {
		return refuse("--trusted-proxy: "+err.Error(), "--trusted-proxy 127.0.0.1")
	}
	if s.proxies.unix && !onSocket {
		return refuse("--trusted-proxy unix requires --listen unix:PATH", "--trusted-proxy 127.0.0.1")
	}
	switch {
	case s.selfSigned && (s.cert != "" || s.key != ""):
		return refuse("--tls-self-signed cannot be used with --tls-cert and --tls-key", "--tls-cert and --tls-key alone")
	case s.h2c && (s.selfSigned || s.cert != ""):
		return refuse("--h2c cannot be used with TLS, which has HTTP/2 anyway", "TLS without --h2c")
	}
	return nil
}

// serve serves until a signal stops it.
func (s *serving) serve() error {
	var err error
	if s.sizes, err = s.parseSizes(); err != nil {
		return err
	}
	if s.store != "" {
		defer s.closeStore()
		if err := s.openStore(); err != nil {
			return err
		}
		return s.serveFrom(nil)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return s.cannotServe(err)
	}
	defer root.Close()
	s.classify()
	return s.serveFrom(root)
}

// cannotServe explains why the folder cannot be opened.
func (s *serving) cannotServe(err error) *failure {
	f := &failure{code: exitSource, text: fmt.Sprintf("cannot serve %s: %v", s.dir, innermost(err)), try: "ls -ld " + quoted(s.dir)}
	file := inTheWay(filepath.Join(s.dir, "x"))
	url := cmp.Or(withSlashes(s.dir), s.dir)
	switch {
	case file != "":
		f.try = "weir serve " + quoted(filepath.Dir(file))
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(strings.ToLower(url), "s3://"):
		f.text, f.try = fmt.Sprintf("cannot serve %s: not a folder", s.dir), "--store "+quoted(url)
	case errors.Is(err, fs.ErrNotExist) && !isLocal(s.dir):
		f.text, f.try = fmt.Sprintf("cannot serve %s: not a folder", s.dir), "weir serve DIR"
	case errors.Is(err, fs.ErrNotExist):
		f.try = instead(s.dir)
	}
	return f
}

// serveFrom serves the files below root, or the files of the store if root is nil.
func (s *serving) serveFrom(root *os.Root) error {
	s.guard = s.newGuard()
	up, err := s.uploadsHandler()
	if err != nil {
		return err
	}
	if up != nil {
		defer s.closeUploads(up)
	}
	h, err := s.handler(root, up)
	if err != nil {
		return err
	}
	defer s.monitor.Close()
	return s.answer(h)
}

// closeUploads closes up. After a forced end it does not wait for a request that the disk
// holds up: the process ends anyway.
func (s *serving) closeUploads(up *weirhttp.Uploads) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		up.Close()
	}()
	var late <-chan time.Time
	if s.forced {
		late = time.After(100 * time.Millisecond)
	}
	select {
	case <-closed:
	case <-late:
	}
}

// answer listens and serves h until a signal stops it.
func (s *serving) answer(h http.Handler) error {
	srv := &http.Server{Handler: h, ErrorLog: serverLog(s.logger()), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(s.h2c)
	var err error
	if srv.TLSConfig, err = s.tls(); err != nil {
		return err
	}
	// Catch signals before announcing: a program that waits for the announcement can send
	// one at once.
	defer keepPipes()()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(stopSignals(), continueSignals...)...)
	defer signal.Stop(signals)
	asks := make(chan os.Signal, 1)
	if len(askSignals) > 0 {
		signal.Notify(asks, askSignals...)
		defer signal.Stop(asks)
	}
	job := newTerminalJob()
	defer job.close()
	l, err := s.openListener()
	if err != nil {
		return s.cannotListen(err)
	}
	s.notifier = newNotifier(s.logger())
	s.announce(l.Addr(), srv.TLSConfig != nil)

	defer s.top().close()

	served := make(chan error, 1)
	go func() { served <- s.guard.Serve(srv, l) }()
	s.notifier.ready() // connections wait in the listener's queue until Serve accepts them
	unwatch := s.watch()
	defer unwatch()
	var stopped stopper
	for stopped.first == nil {
		select {
		case err := <-served:
			return &failure{code: exitFailed, text: "serving ended: " + err.Error()}
		case <-asks:
			s.snapshot()
		case sig := <-signals:
			front := job.inFront()
			switch {
			case stops[sig] == nil: // continued, perhaps in the background: only job needs to know
			case sig == syscall.SIGHUP && !front:
				s.reload()
			default:
				stopped.take(sig, time.Now())
			}
		}
	}
	s.drain(&stopped, signals)
	s.monitor.Close() // an open page must not keep the server
	failed := s.guard.Transfers.Totals().Failed
	s.forced = s.shutdown(&stopped, signals) != nil
	cut := s.forced && s.endedEarly() > failed
	<-served
	if s.requests != nil {
		s.requests.end()
	}
	unwatch() // write the lines of requests before the summary
	s.farewell(cut)
	return &failure{code: stopped.first.code, told: true}
}

// watch starts the background work of the server, and returns a function that ends it.
func (s *serving) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){s.watchSlow, s.stayThin, s.lines.run} {
		watchers.Go(func() { watch(ctx) })
	}
	return sync.OnceFunc(func() {
		cancel()
		watchers.Wait()
	})
}

// drain makes /readyz answer 503 and serves on for --drain, or until the next signal. It
// does not wait if nobody asks /readyz.
func (s *serving) drain(stopped *stopper, signals <-chan os.Signal) {
	watched := s.health.stop(time.Now())
	if !watched || s.drainTime == 0 {
		s.notifier.stopping(s.grace)
		return
	}
	s.notifier.stopping(s.drainTime + s.grace)
	s.say("draining", map[string]any{"cause": stopped.first.text, "drain": s.drainTime.Seconds()},
		"draining: /readyz answers 503 for %v (Ctrl-C again: stop now)\n", s.drainTime)
	over := time.NewTimer(s.drainTime)
	defer over.Stop()
	for !stopped.again {
		select {
		case <-over.C:
			return
		case sig := <-signals:
			if stops[sig] != nil {
				stopped.take(sig, time.Now())
			}
		}
	}
}

// shutdown waits for running transfers, up to --grace or until the next signal. One more
// signal ends the process. It returns an error if it has broken off transfers.
func (s *serving) shutdown(stopped *stopper, signals <-chan os.Signal) error {
	if n := len(s.guard.Transfers.List()); n > 0 && !stopped.again {
		s.say("stopping", map[string]any{"cause": stopped.first.text, "transfers": n, "grace": s.grace.Seconds()},
			"stopping: waiting up to %[2]v for %[1]s (Ctrl-C again: stop now)\n", units.Count(int64(n), "transfer"), s.grace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	if stopped.again {
		cancel()
	}
	done := make(chan struct{})
	var again sync.WaitGroup
	defer again.Wait()
	defer close(done)
	defer cancel()
	again.Go(func() {
		for {
			select {
			case sig := <-signals:
				if stops[sig] == nil {
					continue
				}
				if _, more := stopped.take(sig, time.Now()); !more {
					continue
				}
				if ctx.Err() != nil {
					exitNow(stopped.first.code)
				}
				cancel()
			case <-done:
				return
			}
		}
	})
	return s.guard.Shutdown(ctx)
}

// say writes text to standard error, or with --json a line with the fields.
func (s *serving) say(kind string, fields map[string]any, format string, args ...any) {
	switch {
	case s.quiet:
	case s.json:
		emitLine(s.stderr, kind, fields)
	default:
		fmt.Fprintf(s.stderr, format, args...)
	}
}

// announce prints the folder, its URL, and the memory limit.
func (s *serving) announce(addr net.Addr, secure bool) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	shown, reach, also := addr.String(), addr.String(), ""
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		shown, reach = fmt.Sprintf("localhost:%d", tcp.Port), fmt.Sprintf("port %d of this machine", tcp.Port)
		also = "  (and every other address of this machine)"
	}
	url := fmt.Sprintf("%s://%s/", scheme, shown)
	if addr.Network() == "unix" {
		url = "unix:" + addr.String()
	}
	ceiling := s.sizes.memory
	fields := map[string]any{"folder": s.dir, "url": url, "ceiling": ceiling}
	text := fmt.Sprintf("serving   %-20s %s%s\n", s.dir, url, also)
	if s.uploads != "" {
		at := url + "_upload/"
		if addr.Network() == "unix" {
			at = "/_upload/"
		}
		into := s.uploads
		if s.files != nil {
			into = strings.TrimSuffix(s.inboxFiles.String(), "/")
		}
		fields["uploads"], fields["uploads_url"] = into, at
		text += fmt.Sprintf("uploads   %-20s %s  (PUT, POST, tus, or the page)\n", into, at)
	}
	if page := s.pageOf(scheme, addr); page != "" {
		fields["ui"] = page
		who := "this machine only"
		if s.users != "" {
			who = "users"
		}
		text += fmt.Sprintf("monitor   %-20s %s\n", who, page)
	}
	if s.fingerprint != "" {
		fields["fingerprint"] = s.fingerprint
		text += fmt.Sprintf("tls       %-20s %s\n", "SHA-256 fingerprint", s.fingerprint)
	}
	text += fmt.Sprintf("memory    %s for all transfers (when full, new transfers wait up to %v, then get 503)\n", weir.FormatBytes(ceiling), s.queue)
	s.say("start", fields, "%s", text)
	host, _, _ := net.SplitHostPort(addr.String())
	ip := net.ParseIP(host)
	switch {
	case ip == nil || ip.IsLoopback():
	case s.users == "":
		what := "read"
		if s.uploads != "" {
			what = "read, and write to " + filepath.Clean(s.uploads)
		}
		s.warn("anyone who can reach %s can %s; use --auth to require a password", reach, what)
	case !secure:
		s.warn("passwords are sent unencrypted; enable TLS with --tls-self-signed, or --tls-cert and --tls-key")
	}
}

func (s *serving) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("warning", map[string]any{"text": text}, "warning   %s\n", text)
}

// snapshot logs the transfers under way. A signal asks for it.
func (s *serving) snapshot() {
	list := s.guard.Transfers.List()
	t := s.guard.Transfers.Totals()
	log := s.logger()
	log.Info("snapshot", "transfers", len(list), "sent", t.BytesOut, "received", t.BytesIn,
		"memory", s.guard.Budget.Used(), "ceiling", s.sizes.memory)
	for _, t := range list {
		log.Info("transfer", s.describe(t)...)
	}
}

// describe returns the log attributes of a transfer under way.
func (s *serving) describe(t weirhttp.Transfer) []any {
	age := time.Since(t.Start)
	return []any{"client", t.Client, "path", t.Name, "state", string(t.State), "bytes", t.Moved, "size", t.Size, "unsent", t.Unsent,
		"rate", rate(t.Moved, age), "seconds", seconds(age), "verdict", t.Report().Verdict.String()}
}

// endedEarly counts the transfers that have failed, and after the shutdown also those that
// it did not wait for.
func (s *serving) endedEarly() int64 {
	t := s.guard.Transfers.Totals()
	return t.Failed + t.Active
}

// farewell prints the summary of the run.
func (s *serving) farewell(cut bool) {
	t, early := s.guard.Transfers.Totals(), s.endedEarly()
	peak, process := s.peak(), peakMemory()
	text := fmt.Sprintf("served %s in %s, received %s in %s", weir.FormatBytes(t.BytesOut), units.Count(s.sent.Load(), "download"),
		weir.FormatBytes(t.BytesIn), units.Count(s.received.Load(), "file"))
	if early > 0 {
		text += fmt.Sprintf("; %d ended early", early)
	}
	if cut {
		text += "; transfers still running at shutdown were disconnected"
	}
	text += fmt.Sprintf("; peak %s for transfers", weir.FormatBytes(peak))
	if process > 0 {
		text += fmt.Sprintf(", process %s", weir.FormatBytes(process))
	}
	s.say("summary", map[string]any{
		"ok": true, "bytes_out": t.BytesOut, "downloads": s.sent.Load(), "bytes_in": t.BytesIn, "uploads": s.received.Load(),
		"ended_early": early, "cut": cut, "memory": map[string]any{"ceiling": s.sizes.memory, "peak": peak, "process": process},
	}, "%s\n", text)
}

// sizes are the values of the flags with a size; 0 if not given.
type sizes struct {
	memory, rate, connRate, minRate, maxSize, maxRequest, quota int64
}

// leastMemory is the most that an archive of a folder or an upload takes, in bytes. Most
// downloads take much less.
const leastMemory = 2 << 20

// parseSizes parses the size flags and reports the first invalid one.
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
		{"max-request", s.maxRequest, &n.maxRequest},
		{"quota", s.quota, &n.quota},
	} {
		if f.value == "" {
			continue
		}
		var err error
		if *f.n, err = parseRate(f.value); err != nil {
			if strings.HasSuffix(f.flag, "rate") {
				return sizes{}, invalid("rate", f.value, f.flag, "", "10MiB/s")
			}
			return sizes{}, invalid("size", f.value, f.flag, "", "10MiB")
		}
	}
	if least := int64(leastMemory); n.memory < least {
		return sizes{}, &failure{
			code: exitMemory, text: fmt.Sprintf("--memory %s is too small: one transfer can need %s", s.memory, weir.FormatBytes(least)),
			try: "--memory 16MiB",
		}
	}
	return n, nil
}

// newGuard makes the guard, with the memory, the bandwidth and the list of all transfers.
func (s *serving) newGuard() *weirhttp.Guard {
	memory := s.sizes.memory
	if s.parts != nil {
		memory -= s.parts.Total()
	}
	return &weirhttp.Guard{
		Stall: s.stall, MinRate: s.sizes.minRate, MaxConns: s.maxConns, MaxConnsPerAddr: s.maxPerAddr,
		Rate: s.sizes.rate, ConnRate: s.sizes.connRate, Queue: s.queue, Log: s.logger(),
		Budget: weir.NewBudget(memory), Transfers: &weirhttp.Transfers{Done: s.count},
	}
}

// count counts each download that has succeeded.
func (s *serving) count(t weirhttp.Transfer, err error) {
	if err == nil && t.Direction == weirhttp.Download {
		s.sent.Add(1)
	}
	s.tellMonitor(t, err)
}

// handler combines the handlers: the files below root, the page, and up if it is not nil,
// inside the access checks and the request log.
func (s *serving) handler(root *os.Root, up *weirhttp.Uploads) (http.Handler, error) {
	mux := http.NewServeMux()
	log := s.guard.Log
	if s.access {
		log = s.leveled(slog.LevelError) // the request log has a line for each refusal
	}
	mux.Handle("/", s.fileServer(root, log))
	mux.HandleFunc("GET /_weir/", serveAsset)
	s.mountMonitor(mux)
	if up != nil {
		uploads := limitRequests(s.sizes.maxRequest, formAnswer(up))
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
	h = s.health.before(errorPages(h))
	if s.access && !s.quiet {
		s.requests = newRequestLog(s.requestLogger())
		h = s.requests.around(h)
	}
	return s.proxies.behind(resourcePolicy(s.cors, h)), nil
}

// uploadsHandler returns the handler of uploads, nil if there is no --uploads.
func (s *serving) uploadsHandler() (*weirhttp.Uploads, error) {
	if s.uploads == "" {
		return nil, nil
	}
	if s.inboxFiles != nil {
		return s.setUploads(s.storeUploads()), nil
	}
	st, err := os.Stat(s.uploads)
	if err == nil && !st.IsDir() {
		return nil, &failure{code: exitDestination, text: fmt.Sprintf("cannot store uploads in %s: not a folder", s.uploads), try: "--uploads " + quoted(filepath.Dir(filepath.Clean(s.uploads)))}
	}
	if err != nil {
		f := &failure{code: exitDestination, text: fmt.Sprintf("cannot store uploads in %s: %v", s.uploads, innermost(err))}
		switch {
		case !isLocal(s.uploads) || withSlashes(s.uploads) != "":
			f.text, f.try = fmt.Sprintf("cannot store uploads in %s: not a folder", s.uploads), "--store s3://bucket/prefix --uploads inbox, for uploads to an object store"
		case errors.Is(err, fs.ErrNotExist):
			f.try = "mkdir -p " + quoted(s.uploads)
		}
		return nil, f
	}
	return s.setUploads(weirhttp.UploadTo(s.uploads)), nil
}

// setUploads sets the options that do not depend on where uploads go.
func (s *serving) setUploads(up *weirhttp.Uploads) *weirhttp.Uploads {
	up.MaxSize, up.Quota, up.Overwrite, up.Sync = s.sizes.maxSize, s.sizes.quota, s.overwrite, s.sync
	up.Stall, up.Queue, up.Budget, up.Log = s.stall, s.queue, s.guard.Budget, s.guard.Log
	up.NoDigest, up.URL, up.MaxRequest, up.Folders = !s.digest, s.shown, s.sizes.maxRequest, s.sameFolder
	if s.access {
		up.Log = s.leveled(slog.LevelError) // the request log has a line for each refusal
	}
	up.Done = func(weirhttp.Received) { s.received.Add(1) }
	return up
}

// protect wraps h with the access checks: same origin or --cors for browsers, --auth for
// users, and a check of the Host header if neither --auth nor TLS is on.
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
	_, onSocket := socketOf(s.listen)
	if s.users == "" && s.cert == "" && !s.selfSigned && (!onSocket || len(s.hosts) > 0) {
		// Otherwise a page that reaches us by DNS rebinding fails for want of a password or a
		// certificate. No browser opens a unix socket; the proxy on it knows its own names.
		h = ownHost(s.listen, s.hosts, h)
	}
	return h, nil
}

// pageTop writes the top of the page of a folder: its path, and the means to upload and to
// filter. Without JavaScript both are forms.
func (s *serving) pageTop(w http.ResponseWriter, r *http.Request, l weirhttp.Listing) {
	pageHeader(w.Header())
	if r.Method == http.MethodHead {
		return
	}
	_ = s.folderPage(l).writeTop(w) // an error means that the client has disconnected
}

// page writes the rest: the entries of the folder.
func (s *serving) page(w http.ResponseWriter, r *http.Request, l weirhttp.Listing) {
	if r.Method == http.MethodHead {
		return
	}
	_ = s.folderPage(l).writeRest(w) // an error means that the client has disconnected
}

// folderPage returns the page of a folder.
func (s *serving) folderPage(l weirhttp.Listing) *folderPage {
	p := &folderPage{list: l, root: s.name, title: s.name, inbox: s.inbox, max: s.sizes.maxSize, maxRequest: s.sizes.maxRequest}
	parts := strings.Split(strings.Trim(l.Path, "/"), "/")
	for i, name := range parts {
		if name != "" {
			p.crumbs = append(p.crumbs, crumb{chars.Visible(name), strings.Repeat("../", len(parts)-1-i) + "./"})
		}
	}
	if n := len(p.crumbs); n > 0 {
		p.title = p.crumbs[n-1].Name
		p.crumbs[n-1].Link = ""
	}
	if s.sameFolder {
		p.into = l.Path
	}
	return p
}

// classify sets the names of the folders for the page, the paths at which the server shows
// uploaded files (careful), and the one that the page can link to. It finds the paths by
// name and behind symbolic links, since clients can use both.
func (s *serving) classify() {
	base := func(dir string) string {
		if full, err := filepath.Abs(dir); err == nil {
			dir = full
		}
		return filepath.Base(dir)
	}
	s.name = base(s.dir)
	if s.uploads == "" {
		return
	}
	s.inbox = base(s.uploads)
	resolved := func(dir string) (string, error) {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		return filepath.EvalSymlinks(dir)
	}
	dir, err1 := resolved(s.dir)
	in, err2 := resolved(s.uploads)
	if err1 == nil && err2 == nil {
		s.realDir, s.realInbox = dir, in
	}
	for _, as := range []func(string) (string, error){filepath.Abs, resolved} {
		dir, err1 := as(s.dir)
		in, err2 := as(s.uploads)
		if err1 != nil || err2 != nil {
			continue
		}
		rel, err := filepath.Rel(dir, in)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		at := path.Join("/", filepath.ToSlash(rel))
		s.careful = append(s.careful, at)
		s.sameFolder = s.sameFolder || at == "/"
		if s.hidden || !strings.Contains(at, "/.") {
			s.shown = (&url.URL{Path: at}).EscapedPath()
		}
	}
}

// fileServer serves the files below root, or the files of the store. Anybody can have uploaded the files in the uploads
// folder, so their pages are sandboxed, and none of them is used as an index or as the
// compressed form of another file.
func (s *serving) fileServer(root *os.Root, log *slog.Logger) http.Handler {
	server := func(careful bool) http.Handler {
		f := weirhttp.Files(root)
		if s.files != nil {
			f.Store = s.files
		}
		f.Hidden, f.Symlinks, f.List, f.Archive = s.hidden, s.symlinks, !s.noList, !s.noList
		f.NoIndex, f.Precompressed = careful, !careful
		f.Log, f.Top, f.Page = log, s.pageTop, s.page
		f.Followers = mostFollowers
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

// mostFollowers is how many clients can follow files with ?follow at a time, in the served
// folder and in the uploads folder each.
const mostFollowers = 100

// uploaded reports whether the file at a path can have been uploaded: by its path, or
// because a symbolic link leads to the uploads folder. It ignores case, as some file systems
// do.
func (s *serving) uploaded(p string) bool {
	if s.uploads == "" {
		return false
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	folder := strings.HasSuffix(p, "/")
	p = path.Clean(p)
	for _, in := range s.careful {
		if in == "/" || len(p) >= len(in) && strings.EqualFold(p[:len(in)], in) && (len(p) == len(in) || p[len(in)] == '/') {
			return true
		}
	}
	return s.leadsToUploads(p) || folder && s.leadsToUploads(path.Join(p, "index.html"))
}

// leadsToUploads reports whether the file at a clean path is really in the uploads folder.
func (s *serving) leadsToUploads(p string) bool {
	if s.realInbox == "" {
		return false
	}
	at, err := filepath.EvalSymlinks(filepath.Join(s.realDir, filepath.FromSlash(p)))
	if err != nil {
		return false // no such file
	}
	in := strings.TrimSuffix(s.realInbox, string(filepath.Separator))
	return len(at) >= len(in) && strings.EqualFold(at[:len(in)], in) && (len(at) == len(in) || at[len(in)] == filepath.Separator)
}

// Values of headers, which all answers share.
var (
	nosniff = []string{"nosniff"}
	sandbox = []string{"sandbox"}
)

// reloading is something to read again at SIGHUP.
type reloading struct {
	what string
	load func() error // after an error the old value stays
}

// userGate wraps h with the check of passwords. A reload reads the file of --auth again and
// resets the counts of wrong passwords.
func (s *serving) userGate(h http.Handler) (http.Handler, error) {
	var users atomic.Pointer[auth.Users]
	load := func() error {
		u, err := readUsers(s.users)
		if err != nil {
			return err
		}
		u.Uploads = "/_upload"
		users.Store(u)
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	s.reloads = append(s.reloads, reloading{"users", load})
	known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l := lineOf(r); l != nil {
			user, _, _ := auth.Credentials(r)
			l.accepts(user)
		}
		h.ServeHTTP(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users.Load().Handler(known).ServeHTTP(w, r)
	}), nil
}

// certificate returns a configuration with the certificate of --tls-cert. A reload reads it
// again. Open connections keep the old one.
func (s *serving) certificate() (*tls.Config, error) {
	var current atomic.Pointer[tls.Certificate]
	load := func() error {
		cert, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return err
		}
		current.Store(&cert)
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	s.reloads = append(s.reloads, reloading{"certificate", load})
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }}, nil
}

// reload reads users and certificate again.
func (s *serving) reload() {
	log := s.logger()
	s.notifier.reloading()
	defer s.notifier.ready()
	if len(s.reloads) == 0 {
		log.Info("SIGHUP: no users and no certificate to reload")
	}
	for _, r := range s.reloads {
		if err := r.load(); err != nil {
			log.Error("cannot reload; the old one stays in use", "what", r.what, "error", err.Error())
			continue
		}
		log.Info("reloaded", "what", r.what)
	}
}

// tls returns the configuration that the flags ask for, nil for no TLS.
func (s *serving) tls() (*tls.Config, error) {
	switch {
	case s.selfSigned:
		cert, err := selfSigned(s.listen, s.hosts)
		if err != nil {
			return nil, &failure{code: exitFailed, text: "cannot make a certificate: " + err.Error()}
		}
		s.fingerprint = fingerprintOf(cert)
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	case s.cert != "" && s.key != "":
		c, err := s.certificate()
		if err != nil {
			return nil, &failure{code: exitUsage, text: "cannot use the certificate: " + err.Error(), try: "--tls-self-signed"}
		}
		return c, nil
	case s.cert != "" || s.key != "":
		return nil, &failure{code: exitUsage, text: "--tls-cert and --tls-key must be used together", try: "--tls-self-signed, for a certificate generated now"}
	}
	return nil, nil
}

// logger writes text lines to a terminal, and JSON to everything else.
func (s *serving) logger() *slog.Logger {
	level := slog.LevelInfo
	if s.quiet {
		level = slog.LevelError
	}
	return s.leveled(level)
}

func (s *serving) leveled(level slog.Level) *slog.Logger {
	if s.forPeople() {
		return slog.New(&lineHandler{out: s.stderr, level: level, mu: &s.logging})
	}
	return s.inJSON(s.stderr, level)
}

// requestLogger is the logger of requests. It collects JSON lines and writes several at
// once.
func (s *serving) requestLogger() *slog.Logger {
	if s.forPeople() {
		return s.logger()
	}
	return s.inJSON(&s.lines, slog.LevelInfo)
}

func (s *serving) forPeople() bool { return !s.json && isTerminal(s.stderr) }

// inJSON writes records as JSON. With --json they have the two fields that all lines of
// weir have.
func (s *serving) inJSON(out io.Writer, level slog.Level) *slog.Logger {
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
	if s.json {
		log = log.With("v", 1, "type", "log")
	}
	return log
}

// watchSlow logs each transfer that waits for a slow client, once.
func (s *serving) watchSlow(ctx context.Context) {
	ticker := time.NewTicker(slowAfter / 4)
	defer ticker.Stop()
	told := map[uint64]bool{}
	log := s.logger()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		live := map[uint64]bool{}
		for _, t := range s.guard.Transfers.List() {
			live[t.ID] = told[t.ID]
			age := time.Since(t.Start)
			if told[t.ID] || t.State != weirhttp.StateClient || age < slowAfter {
				continue
			}
			live[t.ID] = true
			log.Info("slow client", append(s.describe(t), "slow", slowMeans)...)
		}
		told = live
	}
}

// slowAfter is the age from which a transfer that waits for its client is called slow.
const slowAfter = 10 * time.Second

var slowMeans = fmt.Sprintf("it has run for %v or more and waits for its client now", slowAfter)

// stayThin keeps the memory of the process small when that costs nothing, and returns
// memory to the system after a burst of clients or requests. While clients are slow the
// process allocates almost nothing, so the garbage collector would not run for minutes.
func (s *serving) stayThin(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var spare spare
	var waste *waste
	if os.Getenv("GOGC") == "" { // otherwise the user has decided
		waste = newWaste(debug.SetGCPercent)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m := readMemory()
		calmed, resting := waste.look(m.cycles, m.live), spare.look(m)
		if calmed || resting {
			debug.FreeOSMemory()
		}
	}
}
