package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/units"
)

func newPipe(stdout, stderr io.Writer) *cobra.Command {
	s := &settings{stdout: stdout, stderr: stderr}
	var preserve bool
	c := &cobra.Command{
		Use:   "pipe SRC STAGE… DST",
		Short: "Pass a file through stages",
		Long: `Pass a file through stages, in bounded memory.

SRC and DST are files, URLs (http://, https://, s3://bucket/key), or - for
standard input and output. A STAGE is a name, or a name with arguments after a
colon: gzip, gzip:level=9, grep:ERROR. "weir stages" lists them, "weir help
stages" has the grammar. The stage tee:DST also writes the data to DST. If the
last word is the name of a stage, weir assumes that you forgot DST; to write to a
file called gzip, use ./gzip. Destinations are whole or absent: after a failure
they are unchanged. With a stage spool:DIR, or with nats://host/NAME as SRC or
DST, the same command continues after a crash: see weir help survive.`,
		Example: `  weir pipe access.log gzip access.log.gz
  weir pipe access.log.gz gunzip grep:ERROR head:100 -
  weir pipe https://example.org/data.csv.gz gunzip tee:data.csv csvjson zstd data.jsonl.zst
  tar -c photos | weir pipe - zstd rate:10MiB/s photos.tar.zst`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return &failure{
					code: exitUsage, text: "pipe takes a source, stages and a destination, not " + units.Count(int64(len(args)), "word"),
					try: "weir pipe SRC STAGE… DST, as in: weir pipe access.log gzip access.log.gz",
				}
			}
			if err := slashes(args[:1], destinationsOf(args)); err != nil {
				return err
			}
			if err := s.remote.parse(args); err != nil {
				return err
			}
			st, err := s.pipeStep(args, preserve)
			if err != nil {
				return err
			}
			return s.execute("piped", st)
		},
		ValidArgsFunction: completeStage,
	}
	s.flags(c)
	s.uiFlag(c)
	s.remote.flags(c)
	c.Flags().BoolVarP(&s.force, "force", "f", false, "write binary data to a terminal")
	c.Flags().BoolVarP(&preserve, "preserve", "p", false, "keep permissions, times, and the owner where allowed")
	return c
}

// destinationsOf returns the last word of a pipe and those of its stages tee.
func destinationsOf(words []string) (list []string) {
	for _, w := range words[1 : len(words)-1] {
		if name, ok := strings.CutPrefix(w, "tee:"); ok {
			list = append(list, name)
		}
	}
	return append(list, words[len(words)-1])
}

// completeStage completes files first and stages after them.
func completeStage(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, k := range stageKinds {
		names = append(names, k.name+"\t"+k.short)
	}
	return names, cobra.ShellCompDirectiveDefault
}

func isStage(name string) bool {
	return slices.ContainsFunc(stageKinds, func(k stageKind) bool { return k.name == name })
}

// pipeStep prepares SRC STAGE… DST.
func (s *settings) pipeStep(words []string, preserve bool) (*step, error) {
	n := len(words) - 1
	src, dst := words[0], words[n]
	st := &step{src: shown(src), dst: shown(dst), piped: true}
	if sameFile(src, dst) {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("%s and %s are the same file", src, dst), try: "use another name for the destination"}
	}
	line := append([]string{"pipe"}, words...)
	if name, _, _ := strings.Cut(dst, ":"); isStage(name) {
		return nil, &failure{
			code: exitUsage, line: line, word: n + 1, text: fmt.Sprintf("missing destination after %q", dst),
			try: fmt.Sprintf("add a file or - at the end, or write ./%s for a file of that name", dst),
		}
	}
	if hasEdge(words) {
		if err := s.surviving(st, line); err != nil {
			return nil, err
		}
		if st.survives != nil && preserve {
			return nil, &failure{code: exitUsage, text: "--preserve does not work with a flow that survives a crash", try: "leave out --preserve, or the spool"}
		}
	}
	st.build = func(frugal bool) (*weir.Flow, error) {
		src, dst := thrifty(src, frugal, "1"), thrifty(dst, frugal, "2")
		if st.survives != nil {
			return st.survives.build(frugal)
		}
		in, err := endpoint.Source(src, endpoint.SourceOptions{HTTP: s.remote.options})
		if err != nil {
			return nil, badName(err)
		}
		st.size, st.sums, st.perm = sizeOf(src, in), nil, permOf(src)
		b := &builder{set: s, step: st, frugal: frugal, stream: in.Stream()}
		for at := 2; at <= n; at++ {
			if err := b.parseStage(line, at); err != nil {
				return nil, err
			}
		}
		sink, err := endpoint.Sink(dst, endpoint.SinkOptions{File: []weir.FileOption{weir.Perm(st.perm)}, HTTP: s.remote.options})
		if err != nil {
			return nil, badName(err)
		}
		if dst == "-" && b.binary {
			if err := s.binaryToTerminal(); err != nil {
				return nil, err
			}
		}
		flow := b.stream.To(sink)
		if len(b.flows) > 0 {
			flow = weir.Join(append([]*weir.Flow{flow}, b.flows...)...)
		}
		flow.Name = "pipe " + st.src
		b.nameSteps()
		return flow, nil
	}
	st.prepare = func(ctx context.Context) error {
		if st.survives != nil {
			if err := s.probe(ctx, st, line); err != nil {
				return err
			}
		}
		return st.sweep()
	}
	st.run = func(ctx context.Context) error {
		if st.survives != nil {
			return st.survives.run(ctx)
		}
		st.kept = &carry.Note{Metadata: preserve && isFile(src), Plain: true}
		return st.flowRun(ctx, s)
	}
	return st, nil
}
