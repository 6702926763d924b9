// Http-upload re-enacts the tutorial's "Backpressure en HTTP requests
// (upload)": the body that a client posts goes into a file, as fast as the disk
// takes it.
//
//	mkdir -p /tmp/inbox
//	go run ./examples/http-upload /tmp/inbox
//	curl --data-binary @huge-file.mp4 http://127.0.0.1:3000/upload
//
// What the tutorial got wrong: every upload has the same name, so two at a time
// both get 200 and leave a mixture of both. An aborted upload leaves half a
// file under the final name and keeps it open forever, because pipe() passes on
// neither errors nor the end of its source. Nothing limits the size, and
// nothing writes the file to the disk before the response says "complete".
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	limit := flag.Int64("limit", 1<<30, "largest upload, in bytes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: http-upload [-addr ADDR] [-limit BYTES] FOLDER")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", *addr)
	if err == nil {
		in := &inbox{
			dir: flag.Arg(0), limit: *limit, stall: 30 * time.Second,
			done: func(r report.Report) { log.Printf("%v; %v", r.Err, r.Verdict) },
		}
		log.Printf("http://%s/upload writes to %s", listener.Addr(), in.dir)
		err = serve(ctx, listener, in.handler())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "http-upload:", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends, and gives those under way ten seconds
// to end too.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	// There is no ReadTimeout: it would end every large upload. The inbox
	// limits how long a client may send nothing.
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
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

// inbox is a folder that takes uploads.
type inbox struct {
	dir   string
	limit int64               // largest upload, in bytes
	stall time.Duration       // how long a client may send nothing
	done  func(report.Report) // called after every upload
}

func (in *inbox) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", in.upload) // others: 404 and 405
	return mux
}

// region upload

func (in *inbox) upload(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > in.limit { // refused before it is read
		http.Error(w, "Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	name := rand.Text()
	var digest []byte
	c := &client{body: http.MaxBytesReader(w, r.Body, in.limit), conn: http.NewResponseController(w), stall: in.stall}
	flow := weir.From(weir.Source[byte]{Name: "client", Open: c.open}).
		Through(weir.Hash(sha256.New, func(sum []byte) { digest = sum })).
		To(weir.CreateNew(filepath.Join(in.dir, name), weir.Durable()))
	// Any failed read ends the request's context, even a timeout. The error of the
	// body is more exact, and the flow gets it too when the client leaves.
	err := flow.Run(context.WithoutCancel(r.Context()))
	in.done(flow.Report())

	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		w.Header().Set("Location", "/"+name)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "Upload complete: %s, SHA-256 %x\n", name, digest)
	case errors.As(err, &tooLarge):
		http.Error(w, "Too Large", http.StatusRequestEntityTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		http.Error(w, "Request Timeout", http.StatusRequestTimeout)
	case errors.Is(err, io.ErrUnexpectedEOF), r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has gone
	case errors.Is(err, syscall.ENOSPC):
		http.Error(w, "Insufficient Storage", http.StatusInsufficientStorage)
	default:
		http.Error(w, "Upload failed", http.StatusInternalServerError)
	}
}

// endregion

// region client

// client is the body of a request as the beginning of a flow. A read that takes
// longer than stall fails; one that is under way when the flow ends is
// interrupted through SetReadDeadline.
type client struct {
	body  io.Reader
	conn  *http.ResponseController
	stall time.Duration
	ctx   context.Context
}

func (c *client) open(ctx context.Context) (weir.Reader[byte], error) {
	c.ctx = ctx
	return c, nil
}

func (c *client) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	if c.ctx.Err() != nil { // ours may have replaced the deadline that interrupts
		return 0, context.Cause(c.ctx)
	}
	return c.body.Read(p)
}

func (c *client) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// endregion
