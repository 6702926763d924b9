package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newPipe(stderr io.Writer) *cobra.Command {
	j := &job{stderr: stderr, verb: "piped"}
	c := &cobra.Command{
		Use:   "pipe SRC STAGE… DST",
		Short: "Pass a file through stages",
		Long: `Pass a file through stages, in bounded memory.

SRC and DST are files, or - for standard input and output. A STAGE is a name,
or a name with arguments behind a colon: gzip, gzip:level=9, grep:ERROR.
"weir stages" lists them. DST is whole or absent: after a failure it is as it
was before.`,
		Example: `  weir pipe access.log gzip access.log.gz
  weir pipe access.log.gz gunzip grep:ERROR head:100 -
  tar -c photos | weir pipe - zstd rate:10MiB/s photos.tar.zst`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				f := usage(fmt.Sprintf("pipe takes a source, stages and a destination, not %d words", len(args)))
				f.try = "weir pipe SRC STAGE… DST, as in: weir pipe access.log gzip access.log.gz"
				return f
			}
			n := len(args) - 1
			j.src, j.stages, j.dst = args[0], args[1:n], args[n]
			return j.run()
		},
	}
	j.flags(c)
	return c
}
