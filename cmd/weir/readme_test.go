package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A shown command is one of the page's, with what the page says it prints.
type shownCommand struct {
	line   string
	args   []string // behind "weir"
	output []string
}

// shownCommands finds the commands of a page: those at the prompt of a console
// block, also inside a pipeline, and those in the text.
func shownCommands(page string) (found []shownCommand) {
	word := regexp.MustCompile(`'[^']*'|\||[^\s|']+`)
	for _, b := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		var output *[]string
		for line := range strings.Lines(b[1]) {
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
				if w != "|" {
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

func TestTheReadmesCommandsWork(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := shownCommands(string(page))
	if len(commands) < 9 {
		t.Errorf("found %d commands only", len(commands))
	}
	// How much stages need depends on the machine's cores.
	number := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	for _, c := range commands {
		found, err := find(c.args)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if len(c.args) < 3 || found.Name() != "pipe" && found.Name() != "copy" {
			continue
		}
		t.Chdir(t.TempDir())
		args := append([]string{c.args[0], "--dry-run"}, c.args[1:]...)
		for i, a := range args {
			if filepath.IsAbs(a) {
				args[i] = t.TempDir()
			}
		}
		if src := args[2]; src != "-" && !strings.Contains(src, "://") {
			if err := os.WriteFile(src, []byte("text\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var stderr bytes.Buffer
		code := run(args, io.Discard, &stderr)
		if len(c.output) == 0 || !strings.HasPrefix(c.output[0], "weir: ") {
			if code != exitOK {
				t.Errorf("%s: exit code %d, %s", c.line, code, &stderr)
			}
			continue
		}
		// The page shows how it fails, and the way out.
		got, want := strings.TrimSpace(stderr.String()), strings.Join(c.output, "\n")
		if code == exitOK || number.ReplaceAllString(got, "N") != number.ReplaceAllString(want, "N") {
			t.Errorf("%s: exit code %d, said\n%s", c.line, code, &stderr)
		}
	}
}

func TestACommandThatIsNotThereIsNoticed(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"cpy", "a", "b"}, {"help", "nothing"}, {"pipe", "a", "b", "--memroy", "1MiB"}, {"stages", "--explain"}} {
		if _, err := find(args); err == nil {
			t.Errorf("%q is taken for a command", args)
		}
	}
}
