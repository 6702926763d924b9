// Pipeline re-enacts the tutorial's "pipeline() - La forma moderna": a file is
// compressed into another, with backpressure and errors taken care of.
//
//	go run ./examples/pipeline input.txt
//
// What the tutorial got wrong: its two variants declare pipeline twice in one
// file, which is a syntax error; and its rule to use pipe() or pipeline() always
// holds for neither, since pipe() leaks the files that it opened (see
// examples/pipe). A pipeline that fails leaves half an archive under the final
// name; here the archive is whole or absent.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pipeline FILE")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline failed:", err)
		os.Exit(1)
	}
}

// region compressFile

func compressFile(ctx context.Context, input, output string) error {
	return weir.File(input).Through(compress.Gzip()).To(weir.Create(output)).Run(ctx)
}

// endregion

// run compresses input to input.gz, and says before how much memory that takes
// and afterwards where the time went.
func run(ctx context.Context, input string, out io.Writer) error {
	// region report
	flow := weir.File(input).Through(compress.Gzip()).To(weir.Create(input + ".gz"))
	plan, err := flow.Explain()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, plan)
	if err := flow.Run(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, flow.Report())
	// endregion
	return nil
}
