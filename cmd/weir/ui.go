package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir/monitor"
)

const (
	uiAnyPort = "127.0.0.1:0"   // of --ui without an address
	uiGrace   = 2 * time.Second // for open pages to get the last snapshot
)

// uiFlag adds --ui.
func (s *settings) uiFlag(c *cobra.Command) {
	c.Flags().StringVar(&s.ui, "ui", "", "show the run on a web page while it lasts; --ui=ADDR chooses the address (default: a free port of 127.0.0.1)")
	c.Flags().Lookup("ui").NoOptDefVal = uiAnyPort
}

// livePage serves the page of one run.
type livePage struct {
	url     string
	monitor *monitor.Monitor
	srv     *http.Server
	served  chan struct{}
}

// openPage serves a page of the steps and says where, if --ui was given. It
// returns nil otherwise.
func (s *settings) openPage(steps []*step) (*livePage, error) {
	if s.ui == "" {
		return nil, nil
	}
	addr, err := loopback(s.ui)
	if err != nil {
		return nil, &failure{
			code: exitUsage, text: fmt.Sprintf("invalid address %q for --ui: %v", s.ui, err),
			try: "--ui=127.0.0.1:8080; from another machine, through ssh -L 8080:127.0.0.1:8080",
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("cannot listen on %s: %v", addr, innermost(err)), try: "--ui, which takes a free port"}
	}
	p := &livePage{url: "http://" + l.Addr().String() + "/_weir/", served: make(chan struct{})}
	p.monitor = s.watchSteps(steps)
	mux := http.NewServeMux()
	mux.Handle("/_weir/", p.monitor.Handler(monitor.HandlerOptions{}))
	mux.Handle("/{$}", http.RedirectHandler("/_weir/", http.StatusFound))
	p.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(p.served)
		_ = p.srv.Serve(l) // ends with close
	}()
	if !s.json { // else it is in the line "start"
		fmt.Fprintf(s.stderr, "page: %s\n", p.url)
	}
	return p, nil
}

// withoutArguments returns the name of a stage or a pipe without the arguments
// that the user typed behind it: "tee" for "tee notes.txt", "grep" for
// "grep:ERROR".
func withoutArguments(name string) string {
	parts := strings.Split(name, " → ")
	for i, p := range parts {
		parts[i], _, _ = strings.Cut(p, ":")
		parts[i], _, _ = strings.Cut(parts[i], " ")
	}
	return strings.Join(parts, " → ")
}

// close ends the page: open ones get the last snapshot, and are not waited for
// if they do not take it.
func (p *livePage) close() {
	if p == nil {
		return
	}
	p.monitor.Close()
	ctx, cancel := context.WithTimeout(context.Background(), uiGrace)
	defer cancel()
	if p.srv.Shutdown(ctx) != nil {
		_ = p.srv.Close()
	}
	<-p.served
}

// loopback completes an address, and refuses one that other machines can reach.
func loopback(addr string) (string, error) {
	if _, err := strconv.Atoi(addr); err == nil {
		addr = ":" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	switch ip := net.ParseIP(host); {
	case host == "", host == "localhost":
		host = "127.0.0.1"
	case ip == nil || !ip.IsLoopback():
		return "", fmt.Errorf("%s is not an address of this machine only", host)
	}
	return net.JoinHostPort(host, port), nil
}

// pageOf returns the address under which the monitor's page of a server can be
// opened, or an empty string. Without users only this machine may see it, and
// must call itself by a loopback address.
func (s *serving) pageOf(scheme string, addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	ip := net.ParseIP(host)
	if s.users == "" && ip != nil && !ip.IsLoopback() {
		if !ip.IsUnspecified() {
			return ""
		}
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/_weir/"
}
