package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir/internal/lab"
)

// brokenLab is the main function of a weir whose sides B exceed the ceiling
// that they state. The tests run it as a separate command.
func brokenLab() {
	list := lab.Experiments()
	for i := range list {
		list[i].B = func(_ context.Context, h *lab.Host) error {
			h.Ready(nil, 64<<10, func() int64 { return 65 << 10 })
			return nil
		}
	}
	stdout := &checkedWriter{to: os.Stdout}
	root := newRoot(os.Stdout, stdout, os.Stderr)
	isLab := func(c *cobra.Command) bool { return strings.HasPrefix(c.Name(), "lab") }
	for _, c := range slices.DeleteFunc(slices.Clone(root.Commands()), func(c *cobra.Command) bool { return !isLab(c) }) {
		root.RemoveCommand(c)
	}
	root.AddCommand(newLab(os.Stdout, os.Stderr, list), newLabSide(os.Stdout, list))
	os.Exit(runRoot(root, stdout, os.Args[1:], os.Stderr))
}

// weirCommand returns a command that runs weir with these arguments.
func weirCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Args[0] = "weir" // testscript runs the command of that name
	return cmd
}

// A summary is the last line of weir lab --json.
type labSummary struct {
	V       int
	Type    string
	OK      bool
	Results int
	Broken  []string
	Report  string
	Methods []string
}

func TestLab_JSONIsALineForEachResultAndASummary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := weirCommand(t, "lab", "transform", "--json", "--size", "8MiB", "--rate", "16MiB", "--report", "page.html")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v, %s", err, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), out)
	}
	var result struct {
		V      int
		Type   string
		OK     bool
		Result lab.Result
	}
	if err := strictly(lines[0], &result); err != nil {
		t.Fatal(err)
	}
	r := result.Result
	if result.V != 1 || result.Type != "experiment" || !result.OK || r.Experiment != "transform" || len(r.Sides) != 2 || len(r.Checks) == 0 || r.Settings.Size != 8<<20 {
		t.Errorf("%+v", result)
	}
	for _, s := range r.Sides {
		if len(s.Samples) == 0 || s.Sent != 8<<20/1024_000*1024_000 || s.Read != s.Sent {
			t.Errorf("side %s: %d samples, read %d, sent %d", s.Letter, len(s.Samples), s.Read, s.Sent)
		}
	}
	var summary labSummary
	if err := strictly(lines[1], &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Type != "summary" || !summary.OK || summary.Results != 1 || len(summary.Broken) != 0 || summary.Report != "page.html" || len(summary.Methods) < 5 {
		t.Errorf("%+v", summary)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "page.html")); err != nil || !bytes.Contains(page, []byte("weir lab transform --size 8MiB --rate 16MiB")) {
		t.Errorf("the report: %v", err)
	}
	for _, field := range fieldsOf(t, lines[0]) {
		if !strings.Contains(helpText("json"), field) {
			t.Errorf("help json lacks %s", field)
		}
	}
}

// strictly decodes a line all of whose fields are known.
func strictly(line string, to any) error {
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// fieldsOf returns the names of all fields of a JSON line.
func fieldsOf(t *testing.T, line string) (names []string) {
	t.Helper()
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	var v any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
	return names
}

func TestLab_ExitsWithSixWhenWeirBreaksItsCeiling(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		args := []string{"lab", "transform", "--size", "1MiB", "--report", "page.html"}
		if asJSON {
			args = append(args, "--json")
		}
		cmd := weirCommand(t, args...)
		cmd.Args[0] = "weir-with-a-broken-lab"
		cmd.Dir = t.TempDir()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.ExitCode() != exitCheck {
			t.Fatalf("%v: %s%s", err, out, &stderr)
		}
		if !strings.Contains(stderr.String(), "weir exceeded a limit that it stated: transform: memory in weir's buffers: 65 KiB of at most 64 KiB: broken") {
			t.Errorf("stderr: %s", &stderr)
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, "page.html")); err != nil {
			t.Error("no report of what is broken: ", err)
		}
		if asJSON && !strings.Contains(string(out), `"ok":false`) {
			t.Errorf("stdout: %s", out)
		}
	}
}

func TestLab_SaysThatNodeIsMissingAndGoesOn(t *testing.T) {
	t.Parallel()
	cmd := weirCommand(t, "lab", "transform", "--size", "1MiB", "--with-node", "--report", "none")
	cmd.Env = append(os.Environ(), "PATH="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if got, want := stderr.String(), "weir: --with-node: node is not installed (not found on PATH); only sides A and B run\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if !bytes.Contains(out, []byte("B weir")) || bytes.Contains(out, []byte("C Node")) {
		t.Errorf("sides: %s", out)
	}
}

// entries returns the names in a folder.
func entries(t *testing.T, dir string) (list []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		list = append(list, e.Name())
	}
	return list
}

func TestLab_ASignalEndsEveryProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send")
	}
	cmd := weirCommand(t, "lab", "upload", "--for", "5m", "--report", "page.html")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tmp := strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")
	for deadline := time.Now().Add(time.Minute); len(entries(t, tmp)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no experiment has begun")
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stdout) // ends when the last process has closed it
	err = cmd.Wait()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v: %s", err, &stderr)
	}
	if text := stderr.String(); !strings.Contains(text, "interrupted; every process of the lab has ended") {
		t.Errorf("stderr: %s", text)
	}
	if left := append(entries(t, tmp), entries(t, cmd.Dir)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
