package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// childProgram is a program that runs in a process of its own, and the number
// of its arguments.
type childProgram struct {
	args int
	run  func(args []string) error
}

// children are the contenders that run in a process of their own.
var children = map[string]childProgram{
	"copy-weir":       {2, copyWeir},
	"copy-weir-stage": {2, copyWeirStage},
	"copy-io":         {2, copyIO},
	"copy-loop":       {2, copyLoop},
	"recode-weir":     {2, recodeWeir()},
	"recode-weir-one": {2, recodeWeir(compress.Workers(1))},
	"recode-serial":   {2, recodeSerial},
	"recode-pipes":    {2, recodePipes},
	"gzip-weir":       {2, coded(gzipStage())},
	"gzip-weir-one":   {2, coded(gzipStage(compress.Workers(1)))},
	"gzip-bare":       {2, bare(nil, bareGzip)},
	"pgzip-bare":      {2, bare(nil, barePgzip)},
	"gunzip-weir":     {2, coded(func() weir.Stage[byte, byte] { return compress.Gunzip() })},
	"gunzip-bare":     {2, bare(bareGunzip, nil)},
	"zstd-weir-one":   {2, coded(zstdStage(compress.Workers(1)))},
	"zstd-bare":       {2, bare(nil, bareZstd)},
	"unzstd-weir":     {2, coded(func() weir.Stage[byte, byte] { return compress.Unzstd() })},
	"unzstd-bare":     {2, bare(bareUnzstd, nil)},
	"work-items":      {2, workItems},
	"work-bytes":      {2, workBytes},
}

// execChild runs the child called name.
func execChild(name string, args []string) error {
	c, ok := children[name]
	if !ok {
		names := make([]string, 0, len(children))
		for n := range children {
			names = append(names, n)
		}
		slices.Sort(names)
		return fmt.Errorf("no child is called %q: there are %v", name, names)
	}
	if len(args) != c.args {
		return fmt.Errorf("%s takes %d arguments", name, c.args)
	}
	return c.run(args)
}

// runFlow runs a flow to its end and reports its ceiling and the peak memory of
// the process.
func runFlow(f *weir.Flow) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ceiling, err := f.Ceiling()
	if err != nil {
		return err
	}
	if err := f.Run(ctx); err != nil {
		return err
	}
	return say(said{Limit: ceiling.Bytes, Peak: residentPeak(os.Getpid())})
}

// say sends s to the parent.
func say(s said) error { return json.NewEncoder(os.Stdout).Encode(s) }
