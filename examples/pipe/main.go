// Pipe re-enacts the tutorial's "La solución: piping" and "Cómo funciona
// pipe()": a file goes to a writer in constant memory, first as one flow, then
// with the two goroutines and the bounded buffer that such a flow consists of.
//
//	go run ./examples/pipe README.md
//
// What the tutorial got wrong: stream.pipe(res) leaks the open file whenever
// the other end goes away early, and ends the whole process if the file does
// not exist, because pipe() neither forwards errors nor closes its source. Its
// buffers have a threshold, not a limit. And its view of the inside leaves out
// several destinations, errors and ends. Here Run returns the first error, when
// everything is closed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pipe FILE")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pipe:", err)
		os.Exit(1)
	}
}

// run writes the file to out twice and reports the costs on info.
func run(ctx context.Context, path string, out, info io.Writer) error {
	report, err := send(ctx, path, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(info, "the flow can hold %s, and held %s\n", weir.FormatBytes(report.Ceiling), weir.FormatBytes(report.Peak))

	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, stats, err := byHand(out, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(info, "by hand: %s, at most %s of %s waited in the pipe\n", weir.FormatBytes(n), weir.FormatBytes(stats.Peak), stats.Limit)
	return nil
}

// send is the tutorial's stream.pipe(res).
func send(ctx context.Context, path string, res io.Writer) (report.Report, error) {
	// region send
	flow := weir.File(path).To(weir.ToWriter(weir.KeepOpen(res)))
	err := flow.Run(ctx)
	// endregion
	return flow.Report(), err
}

// region inside

// byHand does what a flow does between a source and a sink.
func byHand(dst io.Writer, src io.Reader) (int64, report.PipeStats, error) {
	r, w := weir.NewPipe[byte](weir.Bytes(64 << 10))
	var reading sync.WaitGroup
	reading.Go(func() {
		_, err := w.ReadFrom(src) // waits while the pipe is full: 'pause', and then 'resume'
		w.CloseWithError(err)     // the end, or what went wrong
	})
	n, err := r.WriteTo(dst) // returns the error of either side
	r.CloseWithError(err)    // nobody reads any more: ReadFrom returns
	reading.Wait()
	return n, r.Stats(), err
}

// endregion
