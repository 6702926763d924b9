package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-go/weir/s3"
)

// shownCommand is a command of a page, with the output that the page shows.
type shownCommand struct {
	line   string
	args   []string // behind "weir"
	output []string
}

// shownCommands finds the commands of a page: those at the prompt of a console
// block or of an indented one, also inside a pipeline, and those in the text.
func shownCommands(page string) (found []shownCommand) {
	word := regexp.MustCompile(`'[^']*'|\||[^\s|']+`)
	redirection := regexp.MustCompile(`^[0-9]*[<>]`)
	for _, b := range regexp.MustCompile("(?s)```console\n(.*?)```|\n((?:    [^\n]*\n)+)").FindAllStringSubmatch(page, -1) {
		var output *[]string
		block := b[1]
		if block == "" {
			block = strings.TrimPrefix(strings.ReplaceAll(b[2], "\n    ", "\n"), "    ")
		}
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			prompt, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				if output != nil {
					*output = append(*output, line)
				}
				continue
			}
			output = nil
			var part []string
			for _, w := range append(word.FindAllString(prompt, -1), "|") {
				if redirection.MatchString(w) {
					continue
				}
				if w != "|" && w != ";" {
					part = append(part, strings.Trim(w, "'"))
					continue
				}
				args := part
				part = nil
				if len(args) > 2 && strings.Join(args[:3], " ") == "go run ./cmd/weir" {
					args = args[2:]
				} else if len(args) == 0 || args[0] != "weir" {
					continue
				}
				found = append(found, shownCommand{line: prompt, args: args[1:]})
				output = &found[len(found)-1].output
			}
		}
	}
	prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(page, "")
	for _, m := range regexp.MustCompile("`weir ([^`]+)`").FindAllStringSubmatch(prose, -1) {
		found = append(found, shownCommand{line: "weir " + m[1], args: strings.Fields(m[1])})
	}
	return found
}

// find returns the command that args name. Its flags are parsed.
func find(args []string) (*cobra.Command, error) {
	root := newRoot(io.Discard, io.Discard, io.Discard)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	found, rest, err := root.Find(args)
	if err == nil && found.Name() == "help" && len(rest) > 0 {
		found, rest, err = root.Find(rest)
	}
	if err != nil {
		return nil, err
	}
	if found == root {
		return nil, errors.New("there is no such command")
	}
	if err := found.ParseFlags(rest); !errors.Is(err, pflag.ErrHelp) {
		return found, err
	}
	return found, nil
}

// pages returns the names of the pages that show commands.
func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"../../README.md", "../../CONTRIBUTING.md"}
	for _, pattern := range []string{"../../docs/*.md", "help/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	for i, name := range names {
		abs, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		names[i] = abs
	}
	return names
}

func TestPages_ShowCommandsThatWork(t *testing.T) {
	commands := 0
	for _, name := range pages(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range shownCommands(string(page)) {
			commands++
			t.Run(filepath.Base(name), func(t *testing.T) { c.try(t) })
		}
	}
	if commands < 45 {
		t.Errorf("found %d commands only", commands)
	}
}

// try checks that the command exists with its flags, and where it is one of pipe
// or copy that it would run, or fails as the page says.
func (c shownCommand) try(t *testing.T) {
	found, err := find(c.args)
	if err != nil {
		t.Errorf("%s: %v", c.line, err)
		return
	}
	if len(c.args) < 3 || found.Name() != "pipe" && found.Name() != "copy" {
		return
	}
	if slices.ContainsFunc(c.args, s3.IsFolder) {
		return // even a dry run asks the store: the module e2e runs these
	}
	t.Chdir(t.TempDir())
	args := append([]string{c.args[0], "--dry-run"}, c.args[1:]...)
	for i, a := range args {
		if filepath.IsAbs(a) {
			args[i] = t.TempDir()
		}
	}
	for i, src := range args[2:] { // a dry run fails if a source is missing
		var err error
		switch {
		case strings.Contains(src, "://"), src == ".", src == "..":
		case strings.HasSuffix(src, "/"):
			err = os.MkdirAll(src, 0o700)
		case src != "-" && !filepath.IsAbs(src) && (i == 0 || found.Name() == "copy" && i < len(args)-3 && !strings.HasPrefix(src, "-")):
			err = os.WriteFile(src, []byte("text\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var stderr bytes.Buffer
	code := run(args, io.Discard, &stderr)
	if len(c.output) == 0 || !strings.HasPrefix(c.output[0], "weir: ") {
		if code != exitOK {
			t.Errorf("%s: exit code %d, %s", c.line, code, &stderr)
		}
		return
	}
	// The page shows how it fails, and the way out. How much stages need depends
	// on the machine's cores.
	number := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	wantCode := -1
	if last := len(c.output) - 1; strings.HasSuffix(c.line, "; echo $?") {
		wantCode, err = strconv.Atoi(c.output[last])
		if err != nil {
			t.Fatal(err)
		}
		c.output = c.output[:last]
	}
	got, want := strings.TrimSpace(stderr.String()), strings.Join(c.output, "\n")
	if code == exitOK && strings.HasPrefix(want, "weir: cannot") {
		return // what happens later, such as a full disk
	}
	if wantCode >= 0 && code != wantCode {
		t.Errorf("%s: exit code %d, not %d", c.line, code, wantCode)
	}
	if code == exitOK || number.ReplaceAllString(got, "N") != number.ReplaceAllString(want, "N") {
		t.Errorf("%s: exit code %d, said\n%s", c.line, code, &stderr)
	}
}

// shownFlag matches a span that begins with a flag. Flags of other programs
// follow a name.
var shownFlag = regexp.MustCompile("`(--[a-z][a-z-]+)")

func TestPages_NameOnlyFlagsThatExist(t *testing.T) {
	known := make(map[string]bool)
	var collect func(*cobra.Command)
	collect = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
		}
		for _, sub := range c.Commands() {
			collect(sub)
		}
	}
	collect(newRoot(io.Discard, io.Discard, io.Discard))
	known["--version"], known["--long"] = true, true // the second is zstd's
	checked := 0
	for _, name := range pages(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		flags := shownFlag
		if filepath.Base(filepath.Dir(name)) == "help" {
			flags = regexp.MustCompile(`(?m)(?:^|[ (])(--[a-z][a-z-]+)`) // plain text
		}
		for _, m := range flags.FindAllStringSubmatch(string(page), -1) {
			checked++
			if !known[m[1]] {
				t.Errorf("%s: there is no flag %s", filepath.Base(name), m[1])
			}
		}
	}
	if checked < 60 {
		t.Errorf("checked %d flags only", checked)
	}
}

func TestFind_NoticesACommandThatIsNotThere(t *testing.T) {
	for _, args := range [][]string{{"cpy", "a", "b"}, {"help", "nothing"}, {"pipe", "a", "b", "--memroy", "1MiB"}, {"stages", "--explain"}} {
		if _, err := find(args); err == nil {
			t.Errorf("%q is taken for a command", args)
		}
	}
}
