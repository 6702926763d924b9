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
	"github.com/weir-go/weir/internal/units"
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
		f := &failure{code: exitSource, text: fmt.Sprintf("cannot serve %s: %v", s.dir, innermost(err)), try: "ls -ld " + quoted(s.dir)}
		if errors.Is(err, fs.ErrNotExist) {
			f.try = "ls " + quoted(nearest(s.dir))
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
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return s.cannotListen(err)
	}
	s.announce(l.Addr(), srv.TLSConfig != nil)

	served := make(chan error, 1)
	go func() { served <- s.guard.Serve(srv, l) }()
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
			case stops[sig] == nil: // continued, maybe elsewhere: only job needs to know
			case sig == syscall.SIGHUP && !front:
				s.reload()
			default:
				stopped.take(sig, time.Now())
			}
		}
	}
	failed := s.guard.Transfers.Totals().Failed
	cut := s.shutdown(&stopped, signals) != nil && s.guard.Transfers.Totals().Failed > failed
	<-served
	unwatch() // the lines of requests come before the last one
	s.farewell(cut)
	return &failure{code: stopped.first.code, told: true}
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
// than until the next signal. One more ends the process. The error is that some
// transfers were cut.
func (s *serving) shutdown(stopped *stopper, signals <-chan os.Signal) error {
	if n := len(s.guard.Transfers.List()); n > 0 {
		s.say("stopping", map[string]any{"cause": stopped.first.text, "transfers": n, "grace": s.grace.Seconds()},
			"stopping: %s may take %v to finish (Ctrl-C again: now)\n", units.Count(int64(n), "transfer"), s.grace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
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
					os.Exit(stopped.first.code)
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

// announce says what is served, where, and in how much memory.
func (s *serving) announce(addr net.Addr, secure bool) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	url := fmt.Sprintf("%s://%s/", scheme, addr)
	ceiling := s.guard.Budget.Total()
	fields := map[string]any{"folder": s.dir, "url": url, "ceiling": ceiling}
	text := fmt.Sprintf("serving   %-20s %s\n", s.dir, url)
	if s.uploads != "" {
		fields["uploads"], fields["uploads_url"] = s.uploads, url+"_upload/"
		text += fmt.Sprintf("uploads   %-20s %s_upload/  (PUT, POST, tus, or the page)\n", s.uploads, url)
	}
	text += fmt.Sprintf("memory    ceiling %s for all transfers; one that finds none waits %v, then gets 503\n", weir.FormatBytes(ceiling), s.queue)
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
		s.warn("everybody who can reach %s can %s; --auth asks who they are", addr, what)
	case !secure:
		s.warn("passwords come in clear; --tls-self-signed, or --tls-cert and --tls-key, hide them")
	}
}

func (s *serving) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("warning", map[string]any{"text": text}, "warning   %s\n", text)
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
	t := s.guard.Transfers.Totals()
	peak, process := s.guard.Budget.Peak(), peakMemory()
	text := fmt.Sprintf("served %s in %s, received %s in %s", weir.FormatBytes(t.BytesOut), units.Count(s.sent.Load(), "download"),
		weir.FormatBytes(t.BytesIn), units.Count(s.received.Load(), "file"))
	if t.Failed > 0 {
		text += fmt.Sprintf("; %d ended early", t.Failed)
	}
	if cut {
		text += "; those left at the end were cut"
	}
	text += fmt.Sprintf("; peak %s for transfers", weir.FormatBytes(peak))
	if process > 0 {
		text += fmt.Sprintf(", process %s", weir.FormatBytes(process))
	}
	s.say("summary", map[string]any{
		"ok": true, "bytes_out": t.BytesOut, "downloads": s.sent.Load(), "bytes_in": t.BytesIn, "uploads": s.received.Load(),
		"ended_early": t.Failed, "cut": cut, "memory": map[string]any{"ceiling": s.guard.Budget.Total(), "peak": peak, "process": process},
	}, "%s\n", text)
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
