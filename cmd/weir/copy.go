package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newCopy(stderr io.Writer) *cobra.Command {
	j := &job{stderr: stderr, verb: "copied"}
	c := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Copy a file, or standard input or output (-)",
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir copy - backup.img < /dev/sdb
  weir copy big.iso /mnt/slow/big.iso --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				f := usage(fmt.Sprintf("copy takes a source and a destination, not %d names", len(args)))
				f.try = "weir copy SRC DST"
				return f
			}
			j.src, j.dst = args[0], into(args[1], args[0])
			return j.run()
		},
	}
	j.flags(c)
	return c
}

// into is the file that dst stands for: one of the same name as src if dst is a
// folder.
func into(dst, src string) string {
	if st, err := os.Stat(dst); err == nil && st.IsDir() && src != "-" {
		return filepath.Join(dst, filepath.Base(src))
	}
	return dst
}

func (j *job) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&j.memory, "memory", "", "most memory the run may hold, as in 64MiB (default: what the stages need)")
	f.StringVar(&j.progress, "progress", "auto", "auto, live, plain (a line every 10 s) or none")
	f.BoolVarP(&j.quiet, "quiet", "q", false, "say nothing unless something fails")
	f.BoolVar(&j.json, "json", false, "lines of JSON on standard error, one summary last")
	f.BoolVar(&j.explain, "explain", false, "show lanes, pipes and ceiling, and do nothing")
	f.BoolVar(&j.force, "force", false, "write binary data to a terminal")
}
