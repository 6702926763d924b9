package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/weirhttp"
)

// serve serves until a signal ends it.
func (s *serving) serve() error {
	var err error
	if s.sizes, err = s.parseSizes(); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		f := &failure{code: exitSource, text: fmt.Sprintf("cannot serve %s: %v", s.dir, innermost(err)), try: "ls -ld " + s.dir}
		if errors.Is(err, fs.ErrNotExist) {
			f.try = "mkdir -p " + s.dir
		}
		return f
	}
	defer root.Close()
	s.classify()
	s.guard = s.newGuard()
	up, err := s.uploadsHandler()
	if err != nil {
		return err
	}
	if up != nil {
		defer up.Close()
	}
	h, err := s.handler(root, up)
	if err != nil {
		return err
	}
	return s.answer(h)
}

// answer listens, and lets h answer until a signal ends it.
func (s *serving) answer(h http.Handler) error {
	srv := &http.Server{Handler: h, ErrorLog: serverLog(s.logger()), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(s.h2c)
	var err error
	if srv.TLSConfig, err = s.tls(); err != nil {
		return err
	}
	// Before anybody is told that it serves: who waits for that may end it at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	asks := make(chan os.Signal, 1)
	if len(askSignals) > 0 {
		signal.Notify(asks, askSignals...)
		defer signal.Stop(asks)
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return s.cannotListen(err)
	}
	s.announce(l.Addr(), srv.TLSConfig != nil)

	served := make(chan error, 1)
	go func() { served <- s.guard.Serve(srv, l) }()
	unwatch := s.watch()
	defer unwatch()
	code := exitInterrupted
	for ended := false; !ended; {
		select {
		case err := <-served:
			return &failure{code: exitFailed, text: "serving ended: " + err.Error()}
		case <-asks:
			s.snapshot()
		case sig := <-signals:
			if ended = true; sig == syscall.SIGTERM {
				code = exitTerminated
			}
		}
	}
	failed := s.guard.Transfers.Totals().Failed
	cut := s.shutdown(signals) != nil && s.guard.Transfers.Totals().Failed > failed
	<-served
	unwatch() // the lines of requests come before the last one
	s.farewell(cut)
	return &failure{code: code, told: true}
}

func (s *serving) cannotListen(err error) error {
	f := &failure{code: exitDestination, text: fmt.Sprintf("cannot listen on %s: %v", s.listen, plainNetError(err))}
	switch {
	case errno.Is(err, syscall.EADDRINUSE):
		f.try = "--listen 127.0.0.1:0, for a free port"
	case !strings.Contains(s.listen, ":"):
		f.try, f.code = "--listen 127.0.0.1:8080", exitUsage
		if _, err := strconv.ParseUint(s.listen, 10, 16); err == nil {
			f.try = "--listen 127.0.0.1:" + s.listen
		}
	case errno.Is(err, syscall.EADDRNOTAVAIL):
		f.try = "--listen :8080, for every address of this machine"
	case errno.Is(err, syscall.EACCES):
		f.try = "--listen 127.0.0.1:8080; ports below 1024 are for root"
	}
	return f
}

// watch starts what is done beside serving, until stop is called.
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

// shutdown waits for the transfers there are, but no longer than --grace, nor
// than until the next signal. The error is that some were cut.
func (s *serving) shutdown(signals <-chan os.Signal) error {
	if n := len(s.guard.Transfers.List()); n > 0 && !s.quiet {
		fmt.Fprintf(s.stderr, "stopping: %s may take %v to finish (Ctrl-C again: now)\n", plural(int64(n), "transfer"), s.grace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	var again sync.WaitGroup
	defer again.Wait()
	defer cancel()
	again.Go(func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	})
	return s.guard.Shutdown(ctx)
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
	ip := net.ParseIP(host)
	switch {
	case ip == nil || ip.IsLoopback():
	case s.users == "":
		what := "read"
		if s.uploads != "" {
			what = "read, and write to " + filepath.Clean(s.uploads)
		}
		fmt.Fprintf(s.stderr, "warning   everybody who can reach %s can %s; --auth asks who they are\n", addr, what)
	case !secure:
		fmt.Fprintf(s.stderr, "warning   passwords come in clear; --tls-self-signed, or --tls-cert and --tls-key, hide them\n")
	}
}

// snapshot shows what is on its way, to who asks with a signal.
func (s *serving) snapshot() {
	list := s.guard.Transfers.List()
	t := s.guard.Transfers.Totals()
	log := s.logger()
	log.Info("snapshot", "transfers", len(list), "sent", t.BytesOut, "received", t.BytesIn,
		"memory", s.guard.Budget.Used(), "ceiling", s.guard.Budget.Total())
	for _, t := range list {
		log.Info("transfer", s.describe(t)...)
	}
}

// describe is a transfer on its way as the log has it.
func (s *serving) describe(t weirhttp.Transfer) []any {
	age := time.Since(t.Start)
	return []any{"client", t.Client, "path", t.Name, "state", string(t.State), "bytes", t.Moved, "size", t.Size, "unsent", t.Unsent,
		"rate", rate(t.Moved, age), "seconds", seconds(age), "verdict", t.Report().Verdict.String()}
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
