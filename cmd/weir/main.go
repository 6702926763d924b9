// Command weir copies and pipes files through stages in bounded memory, and
// says which part of the way is slow.
//
//	weir copy SRC DST
//	weir pipe SRC STAGE… DST
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = usage(err.Error())
		if unknown, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
			f = unknownFlag(root, args, unknown)
		}
	}
	if !f.told {
		fmt.Fprintf(stderr, "weir: %s\n", f.text)
		if f.try != "" {
			fmt.Fprintf(stderr, "  try: %s\n", f.try)
		}
	}
	return f.code
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Copy and pipe files in bounded memory, and see what is slow",
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir pipe access.log gzip access.log.gz
  weir pipe access.log.gz gunzip grep:ERROR head:100 -`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				f := usage(fmt.Sprintf("unknown command %q", args[0]))
				f.try = "weir copy SRC DST, or weir pipe SRC STAGE… DST; weir --help shows more"
				return f
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(newCopy(stderr), newPipe(stderr), newStages(stdout), exitCodesTopic())
	return root
}
