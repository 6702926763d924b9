// Detect re-enacts the tutorial's "Debugging backpressure": a file is copied to
// a slow destination, and the program says which stage waited for which, and
// how long.
//
//	go run ./examples/detect huge-file.txt output.txt
//
// What the tutorial got wrong: it counts how often write() returns false. With
// Node's own buffer sizes that is every single time, from one file to another,
// whether anything was slow or not; the count says nothing. Time does: how long
// each stage was blocked, and which one the others waited for.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: detect SOURCE DESTINATION")
		os.Exit(2)
	}
	if _, err := detect(ctx, os.Args[1], os.Args[2], 20<<20, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "detect:", err)
		os.Exit(1)
	}
}

// region detect

// detect copies a file at no more than rate bytes a second, prints the verdict
// while the flow runs, and returns the report.
func detect(ctx context.Context, source, destination string, rate int64, out io.Writer) (report.Report, error) {
	flow := weir.File(source).Through(pace.RateLimit[byte](rate, time.Second)).To(weir.Create(destination))
	ended := make(chan error, 1)
	go func() { ended <- flow.Run(ctx) }()

	watch := report.Watch(flow.Report)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			now, since := watch.Look()
			fmt.Fprintf(out, "%v (since %v)\n", now.Verdict, time.Since(since).Round(time.Second))
		case err := <-ended:
			report := flow.Report()
			for _, s := range report.Stages {
				fmt.Fprintf(out, "%-6s busy %3.0f%%  blocked %3.0f%%  starved %3.0f%%  outside %3.0f%%\n", s.Name,
					100*s.Share(s.Busy), 100*s.Share(s.Blocked), 100*s.Share(s.Starved), 100*s.Share(s.Outside))
			}
			for _, p := range report.Pipes {
				fmt.Fprintf(out, "%s: a writer waited %d times, %v in all\n", p.Name, p.BlockedN, p.Blocked.Round(time.Millisecond))
			}
			fmt.Fprintln(out, report.Verdict)
			return report, err
		}
	}
}

// endregion
