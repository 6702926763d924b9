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
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/lab"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	out := &checkedWriter{to: stdout}
	stderr = discreet{stderr}
	return runRoot(newRoot(stdout, out, stderr), out, args, stderr)
}

func runRoot(root *cobra.Command, out *checkedWriter, args []string, stderr io.Writer) (code int) {
	args = wholeLevels(root, args)
	root.SetArgs(args)
	defer func() {
		if wantsJSON(root, args) {
			if p := recover(); p != nil { // no line may be anything but JSON
				f := &failure{code: exitFailed, text: fmt.Sprintf("internal error: %v", p), try: "weir version, and report both"}
				f.tell(stderr, true)
				code = f.code
			}
		}
	}()
	c, err := root, error(nil)
	if f := earlyFlag(root, args); f != nil {
		err = f
	} else if f := unknownCommand(root, args); f != nil {
		err = f
	} else {
		c, err = root.ExecuteContextC(context.Background())
	}
	if out.err != nil { // some commands return it too
		err = out.failure()
	}
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = misuse(c, err.Error())
	}
	blameEnvironment(c.Flags(), f)
	f.tell(stderr, wantsJSON(c, args))
	return f.code
}

// discreet hides the passwords and queries of URLs. It is around standard error as
// a whole, since a message that names a URL can come from anywhere.
type discreet struct{ to io.Writer }

func (w discreet) Write(p []byte) (int, error) {
	text := []byte(endpoint.Redact(string(p)))
	if _, err := w.to.Write(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// fileOf returns the file that w writes to, or nil.
func fileOf(w io.Writer) *os.File {
	if d, ok := w.(discreet); ok {
		w = d.to
	}
	f, _ := w.(*os.File)
	return f
}

// checkedWriter keeps the first error of a writer whose users look at none: the
// help that a full disk does not take has not been printed.
type checkedWriter struct {
	to    io.Writer
	err   error
	begun bool
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	if !w.begun { // until the process ends, so that its exit code reports the failed write
		w.begun = true
		keepPipes()
	}
	n, err := w.to.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func (w *checkedWriter) failure() error {
	if w.err == nil || errno.Is(w.err, syscall.EPIPE) {
		return nil // a reader that left has seen enough, as head has
	}
	return &failure{code: exitDestination, text: fmt.Sprintf("cannot write standard output: %v", innermost(w.err))}
}

// wantsJSON reports whether --json was given to c, or in its environment. The
// words are looked at where its flags could not be parsed.
func wantsJSON(c *cobra.Command, args []string) bool {
	if f := c.Flags().Lookup("json"); f != nil && f.Changed {
		return f.Value.String() == "true"
	}
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "--json" {
			return true
		}
		if value, ok := strings.CutPrefix(a, "--json="); ok {
			yes, err := strconv.ParseBool(value)
			return yes || err != nil
		}
	}
	yes, _ := strconv.ParseBool(os.Getenv(environmentName("json")))
	return yes
}

// earlyFlag finds a flag directly before the name of a command, as in weir edge --json
// drop. cobra takes the name for the value of the flag then, and runs something else.
func earlyFlag(root *cobra.Command, args []string) *failure {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	c, flag := root, "" // flag: the word before, if that is a flag without a value
	for i, word := range args {
		sub := subcommand(c, word)
		switch {
		case sub == nil && strings.HasPrefix(word, "-"):
			flag = ""
			if strings.HasPrefix(word, "--") && !strings.Contains(word, "=") || len(word) == 2 {
				flag = word
			}
		case sub == nil && flag == "":
			return nil // an argument
		case sub == nil:
			flag = "" // its value
		case flag == "":
			c = sub
		default:
			for c = sub; i+1 < len(args) && subcommand(c, args[i+1]) != nil; i++ {
				c = subcommand(c, args[i+1])
			}
			name := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
			f := &failure{code: exitUsage, text: fmt.Sprintf("%s must come after the command %q", flag, name), try: c.CommandPath() + " " + flag}
			if flag == "--version" {
				f.text, f.try = fmt.Sprintf("%s stands alone, without the command %q", flag, name), root.Name()+" "+flag
			} else if i+1 < len(args) {
				f.try += " …"
			}
			return f
		}
	}
	return nil
}

// subcommand returns the command of this name below c, nil if there is none.
func subcommand(c *cobra.Command, name string) *cobra.Command {
	for _, sub := range c.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}

// unknownCommand finds a first word that names no command, even where --help or
// --version follows it.
func unknownCommand(root *cobra.Command, args []string) *failure {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	c, rest, _ := root.Find(args) // an error is expected: the command is unknown
	if !c.HasSubCommands() {
		return nil
	}
	for _, word := range rest {
		if strings.HasPrefix(word, "-") {
			continue
		}
		if strings.HasPrefix(word, "__") { // completion asks with it
			return nil
		}
		f := &failure{code: exitUsage, text: fmt.Sprintf("unknown command %q", strings.TrimPrefix(c.CommandPath()+" "+word, "weir ")), try: c.CommandPath() + " --help"}
		if c == root {
			f.try = "weir copy SRC DST, or weir pipe SRC STAGE… DST; weir --help shows more"
		}
		if best := closest(word, commandNames(c)); best != "" {
			f.text += fmt.Sprintf(" (did you mean %s?)", best)
			f.try = c.CommandPath() + " " + best + " --help"
		}
		return f
	}
	return nil
}

// newRoot builds the commands. Commands that move data write to stdout, and
// those that explain weir write to out.
func newRoot(stdout, out, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Copy and pipe files in bounded memory, and see what is slow",
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir pipe access.log gzip access.log.gz
  weir pipe access.log.gz gunzip grep:ERROR head:100 -`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if asksVersion(c) {
				return nil
			}
			return fromEnvironment(c.Flags())
		},
	}
	root.SetOut(out)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(wrongFlag)
	root.SetUsageFunc(writeUsage)
	addVersionFlag(root, "")
	root.AddGroup(&cobra.Group{ID: "move", Title: "Move data:"}, &cobra.Group{ID: "serve", Title: "Serve:"}, &cobra.Group{ID: "watch", Title: "Find what is slow:"},
		&cobra.Group{ID: "about", Title: "Learn more:"})
	for _, c := range []*cobra.Command{
		newCopy(stdout, stderr), newPipe(stdout, stderr),
		newCodec(gzipCodec, stdout, stderr), newCodec(gunzipCodec, stdout, stderr),
		newCodec(zstdCodec, stdout, stderr), newCodec(unzstdCodec, stdout, stderr),
		newEdge(stdout),
	} {
		c.GroupID = "move"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newServe(stdout, stderr), newPassword(out, stderr)} {
		c.GroupID = "serve"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{newTop(stdout, stderr), newWho(stdout, stderr)} {
		c.GroupID = "watch"
		root.AddCommand(c)
	}
	for _, c := range append(helpTopics(), newLab(stdout, stderr, lab.Experiments()), newStages(out), newVersion(out)) {
		c.GroupID = "about"
		root.AddCommand(c)
	}
	root.AddCommand(newMan(), newLabSide(stdout, lab.Experiments()))
	root.SetCompletionCommandGroupID("about")
	root.SetHelpCommand(newHelp())
	root.SetHelpCommandGroupID("about")
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "version" {
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

// environmentName returns the variable that stands in for a flag: WEIR_MEMORY.
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
			text, _ := badValue(f, value, name)
			err = &failure{code: exitUsage, text: text, try: "unset " + name}
			return
		}
		f.Annotations = map[string][]string{setBy: {value}}
	})
	return err
}

// setBy is the annotation of a flag that the environment has set, with the value
// that it has there.
const setBy = "weir_environment"

// blameEnvironment makes f name the environment variable, if f blames a flag or
// a value that comes from one.
func blameEnvironment(flags *pflag.FlagSet, f *failure) {
	flags.VisitAll(func(fl *pflag.Flag) {
		value, set := fl.Annotations[setBy]
		if !set || f.told {
			return
		}
		name := environmentName(fl.Name)
		flag := regexp.MustCompile(`(^|[\s(])--` + fl.Name + `($|[^-\w])`)
		if strings.Contains(f.text, name) {
			return
		}
		if flag.MatchString(f.text) {
			given := regexp.MustCompile(`(^|[\s(])--` + fl.Name + ` "?` + regexp.QuoteMeta(value[0]) + `"?($|[^-\w])`)
			f.text = given.ReplaceAllString(f.text, "${1}"+name+"="+strings.ReplaceAll(value[0], "$", "$$")+"${2}")
			f.text = flag.ReplaceAllString(f.text, "${1}"+name+"${2}")
			f.try = regexp.MustCompile(`(^|\s)--`+fl.Name+`[ =](\S)`).ReplaceAllString(f.try, "${1}"+name+"=${2}")
			f.try = flag.ReplaceAllString(f.try, "${1}"+name+"${2}")
			return
		}
		whole := regexp.MustCompile(`(^|[\s"'(])` + regexp.QuoteMeta(value[0]) + `($|[\s"'):,;])`)
		if fl.Value.Type() == "string" && len(value[0]) > 1 && whole.MatchString(f.text) {
			f.text += fmt.Sprintf(" (from %s)", name)
		}
	})
}
