package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-go/weir/internal/browsertest"
	"github.com/weir-go/weir/internal/race"
)

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"weir": main, "weir-with-a-broken-lab": brokenLab})
}

// suite runs the tests of this package. Most of them wait for processes, rates
// and browsers, so more of them run at a time than there are cores.
type suite struct{ *testing.M }

const atATime = 8

func (s suite) Run() int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given && runtime.GOMAXPROCS(0) < atATime {
		if err := flag.Set("test.parallel", strconv.Itoa(atATime)); err != nil {
			panic(err) // testing has that flag
		}
	}
	return browsertest.Suite{M: s.M}.Run()
}

func TestScripts_DoWhatTheySay(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Files:               scripts(t),
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               serveFiles,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			_, err := exec.LookPath(cond)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode},
	})
}

// scripts returns the scripts that can run here: some need a shell, which Windows
// lacks.
func scripts(t *testing.T) (files []string) {
	t.Helper()
	all, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(all) == 0 {
		t.Fatal("no scripts", err)
	}
	_, noShell := exec.LookPath("sh")
	// Hundreds of short runs, of which only the options differ.
	options := []string{"like_cp.txt", "gnu_gzip.txt", "gzip_flags.txt", "help.txt"}
	for _, name := range all {
		if race.Enabled && slices.Contains(options, filepath.Base(name)) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if noShell != nil && bytes.Contains(text, []byte("exec sh ")) {
			t.Logf("%s is left out: it needs sh", name)
			continue
		}
		files = append(files, name)
	}
	return files
}

// exitCode runs a command and checks the code it exits with: code 3 weir copy …
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args…")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
