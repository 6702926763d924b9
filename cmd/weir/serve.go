package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir/monitor"
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
	quiet, json                     bool
	stdout, stderr                  io.Writer

	sizes              sizes    // in bytes
	name, inbox, shown string   // for the page: what DIR and the uploads are called, and the path of the latter if it is served
	careful            []string // paths at which what is uploaded is served

	guard          *weirhttp.Guard
	monitor        *monitor.Monitor
	reloads        []reloading  // at SIGHUP
	lines          lines        // of the request log, where it is no terminal
	sent, received atomic.Int64 // files
	logging        sync.Mutex   // guards stderr, where it is a terminal
}

func newServe(stdout, stderr io.Writer) *cobra.Command {
	s := &serving{stdout: stdout, stderr: stderr, lines: lines{out: stderr}}
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
less than --min-rate on average. Any other may take as long as it likes.

INT, TERM and QUIT end the server: it accepts no more connections and waits up
to --grace for running transfers. A second signal disconnects them at once. HUP
reloads the users of --auth and the certificate of --tls-cert. In the foreground
of a terminal HUP ends the server, since it means that the terminal was closed.`,
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
	f.BoolVar(&s.access, "access-log", true, "a line for each request; JSON if standard error is no terminal, or with --json")
	f.DurationVar(&s.grace, "grace", 10*time.Second, "how long transfers may take to finish at the end")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "say nothing but errors")
	f.BoolVar(&s.json, "json", false, "lines of JSON on standard error, and nothing else")
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
	if s.grace < 0 {
		return refuse(fmt.Sprintf("--grace %v is over before it begins", s.grace), "--grace 0s, to wait for nobody")
	}
	for _, f := range []struct {
		flag string
		n    int
	}{{"max-conns", s.maxConns}, {"max-conns-per-addr", s.maxPerAddr}} {
		if given(f.flag) && f.n <= 0 {
			return refuse(fmt.Sprintf("--%s %d lets nobody in", f.flag, f.n), "--"+f.flag+" 1000")
		}
	}
	for _, host := range s.hosts {
		if plainHost(host) == "" || strings.ContainsAny(host, "/@ ") {
			return refuse(fmt.Sprintf("--host %q is no name of a host", host), "--host files.example")
		}
	}
	switch {
	case s.selfSigned && (s.cert != "" || s.key != ""):
		return refuse("--tls-self-signed makes a certificate, and one is given", "--tls-cert and --tls-key alone")
	case s.h2c && (s.selfSigned || s.cert != ""):
		return refuse("--h2c is HTTP/2 without TLS, and TLS is on", "TLS without --h2c; it has HTTP/2")
	}
	return nil
}
