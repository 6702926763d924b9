// Command weir copies and pipes files through stages in bounded memory, and
// says which part of the way is slow.
//
//	weir copy SRC… DST
//	weir pipe SRC STAGE… DST
//	weir gzip FILE…
//
// weir help lists the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	c, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = misuse(c, err.Error())
	}
	f.print(stderr)
	return f.code
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:     "weir",
		Short:   "Copy and pipe files in bounded memory, and see what is slow",
		Version: thisVersion().String(),
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir pipe access.log gzip access.log.gz
  weir pipe access.log.gz gunzip grep:ERROR head:100 -`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			f := usage(fmt.Sprintf("unknown command %q", args[0]))
			f.try = "weir copy SRC DST, or weir pipe SRC STAGE… DST; weir --help shows more"
			if best := closest(args[0], commandNames(c)); best != "" {
				f.text += fmt.Sprintf(" (did you mean %s?)", best)
				f.try = "weir " + best + " --help"
			}
			return f
		},
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return fromEnvironment(c.Flags()) },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "say which version this is")
	root.AddGroup(&cobra.Group{ID: "move", Title: "Move data:"}, &cobra.Group{ID: "serve", Title: "Serve:"},
		&cobra.Group{ID: "about", Title: "Learn more:"})
	for _, c := range []*cobra.Command{
		newCopy(stdout, stderr), newPipe(stdout, stderr),
		newCodec(gzipCodec, stdout, stderr), newCodec(gunzipCodec, stdout, stderr),
		newCodec(zstdCodec, stdout, stderr), newCodec(unzstdCodec, stdout, stderr),
	} {
		c.GroupID = "move"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newServe(stdout, stderr), newPassword(stdout, stderr)} {
		c.GroupID = "serve"
		root.AddCommand(c)
	}
	for _, c := range append(helpTopics(), newStages(stdout), newVersion(stdout)) {
		c.GroupID = "about"
		root.AddCommand(c)
	}
	root.AddCommand(newMan())
	root.SetCompletionCommandGroupID("about")
	root.SetHelpCommand(newHelp())
	root.SetHelpCommandGroupID("about")
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				f.Usage += " [$" + environmentName(f.Name) + "]"
			}
		})
	}
	return root
}

func commandNames(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	return names
}

// environmentName is the variable that stands in for a flag: WEIR_MEMORY.
func environmentName(flag string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line does not.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := environmentName(f.Name)
		value := os.Getenv(name)
		if value == "" || f.Changed || f.Name == "help" || f.Name == "version" || err != nil {
			return
		}
		if serr := f.Value.Set(value); serr != nil {
			what, _ := badValue(f, value)
			err = &failure{code: exitUsage, text: fmt.Sprintf("%s=%s %s", name, value, what), try: "unset " + name}
		}
	})
	return err
}
