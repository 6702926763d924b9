// Http-response re-enacts the tutorial's "Backpressure en HTTP responses" and
// its interview question: a large file goes to clients, each as fast as that
// client takes it, all of them within one amount of memory.
//
//	go run ./examples/http-response large-file.json
//	curl --limit-rate 1M http://127.0.0.1:3000/ -o copy.json
//
// What the tutorial got wrong: on an error it sets status 500 and writes
// "Server Error", which after the first byte appends that text to a file that
// the client takes for complete. It waits for the request's 'close', which says
// that the request was read, not that the client has gone. And 64 KB for each
// client is the size of one chunk: Node held some 340 KB for each here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: http-response [-addr ADDR] FILE")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", *addr)
	if err == nil {
		s := &sender{
			path: flag.Arg(0), budget: weir.NewBudget(64 << 20), stall: 30 * time.Second,
			done: func(r report.Report) { log.Printf("%v; %v", r.Err, r.Verdict) },
		}
		log.Printf("http://%s serves %s", listener.Addr(), s.path)
		err = serve(ctx, listener, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "http-response:", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends, and gives those under way ten seconds
// to end too.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	// There is no WriteTimeout: it would end every large download. The sender
	// limits how long a client may take nothing.
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// sender serves one file.
type sender struct {
	path   string
	budget *weir.Budget
	stall  time.Duration       // how long a client may take nothing
	done   func(report.Report) // called after every transfer
}

func (s *sender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := weir.File(s.path)
	switch r.Method {
	case http.MethodGet:
	case http.MethodHead:
		body = weir.FileRange(s.path, 0, 0)
	default:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if info, err := os.Stat(s.path); err == nil && info.Mode().IsRegular() {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	if kind := mime.TypeByExtension(filepath.Ext(s.path)); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	s.respond(w, r, body)
}

// region respond

// respond sends body to the client. An error before the first byte becomes a
// status code. An error after it breaks the connection, so that no client takes
// a part for the whole.
func (s *sender) respond(w http.ResponseWriter, r *http.Request, body weir.Stream[byte]) {
	c := &client{w: w, conn: http.NewResponseController(w), stall: s.stall}
	flow := body.To(weir.Sink[byte]{Name: "client", Open: c.open})
	flow.Limit, flow.Budget = weir.Bytes(64<<10), s.budget
	err := flow.Run(r.Context()) // ends when the client leaves
	s.done(flow.Report())
	switch {
	case err == nil:
	case c.begun:
		panic(http.ErrAbortHandler)
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "Not Found", http.StatusNotFound)
	default:
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	}
}

// endregion

// region client

// client writes the response at the end of a flow. A write that takes longer
// than stall fails. When the flow ends, it interrupts a running write through
// SetWriteDeadline.
type client struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	stall time.Duration
	ctx   context.Context
	begun bool
}

func (c *client) open(ctx context.Context) (weir.Writer[byte], error) {
	c.ctx = ctx
	return c, nil
}

func (c *client) Write(chunk []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	if c.ctx.Err() != nil { // ours may have replaced the deadline that interrupts
		return 0, context.Cause(c.ctx)
	}
	c.begun = true
	return c.w.Write(chunk)
}

func (c *client) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// endregion
