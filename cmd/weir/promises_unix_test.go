//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/race"
)

var long = flag.Bool("long", false, "run the promises with all pairs of options")

// samples is how many cases the promises choose one of. They are all run where there
// is time for it, as in CI.
var samples = 3

func init() {
	if os.Getenv("WEIR_LONG") != "" && !race.Enabled {
		samples = 1
	}
}

// The matrix: the promises of the README and the help hold for every command,
// with every option, for every kind of source and destination, however the run
// ends. Each case combines a command, options, a source and a destination from
// the tables below. The promises check the files afterwards.

// ways are the commands that turn one file into another.
var ways = []struct {
	name    string
	words   func(src, dst string) []string
	options [][]string
	changed bool // the contents are others
}{
	{"copy", func(src, dst string) []string { return []string{"copy", src, dst} }, [][]string{
		nil, {"-p"}, {"--resume"}, {"--keep-partial"}, {"--verify"}, {"--sync"}, {"--rate", "1GiB/s"},
		{"--memory", "1MiB"}, {"--json"}, {"-q"}, {"-v"}, {"--dry-run"}, {"--exclude", "x*"}, {"--progress", "none"},
	}, false},
	{"pipe", func(src, dst string) []string { return []string{"pipe", src, dst} }, [][]string{
		nil, {"-p"}, {"--memory", "1MiB"}, {"--json"}, {"-q"}, {"-v"}, {"--dry-run"}, {"-f"},
	}, false},
	{"pipe through stages", func(src, dst string) []string { return []string{"pipe", src, "gzip", "gunzip", "upper", dst} }, [][]string{
		nil, {"-p"}, {"--json"}, {"-q"}, {"--dry-run"},
	}, true},
	{"tee", func(src, dst string) []string { return []string{"pipe", src, "tee:" + dst, "/dev/zero"} }, [][]string{
		nil, {"-p"}, {"--json"}, {"-q"}, {"--dry-run"},
	}, false},
}

const (
	oldText = "what was there before"
	oldPerm = fs.FileMode(0o600)
)

var (
	newText = strings.Repeat("what is copied\n", 20_000)
	newTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
)

const newPerm = fs.FileMode(0o640)

// trial is one case of the matrix.
type trial struct {
	dir      string
	src, dst string
	text     string // of the source
	file     bool   // the source is a file, whose metadata can be kept
	into     string // where the copy lies: dst, behind links and in folders
	was      bool   // there was a file with oldText
	straight bool   // the destination cannot be replaced
	code     int    // how the run ends
	both     bool   // both ends fail
	wait     func() string
}

// origins are the kinds of source.
var origins = []struct {
	name string
	make func(t *testing.T, x *trial)
}{
	{"file", func(t *testing.T, x *trial) { x.source(t, newText) }},
	{"empty", func(t *testing.T, x *trial) { x.source(t, "") }},
	{"sparse", func(t *testing.T, x *trial) {
		x.source(t, "")
		check(t, os.Truncate(x.src, 1<<20))
		check(t, os.Chtimes(x.src, newTime, newTime))
		x.text = string(make([]byte, 1<<20))
	}},
	{"link", func(t *testing.T, x *trial) {
		x.source(t, newText)
		check(t, os.Rename(x.src, x.src+".real"))
		check(t, os.Symlink("src.real", x.src))
	}},
	{"fifo", func(t *testing.T, x *trial) {
		check(t, syscall.Mkfifo(x.src, 0o600))
		x.text = newText
		go func() {
			if f, err := os.OpenFile(x.src, os.O_WRONLY, 0); err == nil {
				_, _ = io.WriteString(f, newText) // the run may end first
				f.Close()
			}
		}()
	}},
	{"http", func(_ *testing.T, x *trial) { x.src, x.text = matrixServer().URL+"/src", newText }},
	{"none", func(_ *testing.T, x *trial) { x.code = exitSource }},
	{"http that is not there", func(_ *testing.T, x *trial) { x.src, x.code = matrixServer().URL+"/none", exitSource }},
	{"http that breaks off", func(_ *testing.T, x *trial) { x.src, x.code = matrixServer().URL+"/half", exitSource }},
	{"file that cannot be read", func(_ *testing.T, x *trial) { x.src, x.code = "/proc/self/mem", exitSource }},
}

func (x *trial) source(t *testing.T, text string) {
	x.text, x.file = text, true
	check(t, os.WriteFile(x.src, []byte(text), newPerm))
	check(t, os.Chmod(x.src, newPerm))
	if os.Geteuid() == 0 {
		check(t, os.Chown(x.src, 77, 78))
	}
	check(t, os.Chtimes(x.src, newTime, newTime))
}

// goals are the kinds of destination.
var goals = []struct {
	name string
	make func(t *testing.T, x *trial)
}{
	{"new", func(*testing.T, *trial) {}},
	{"old", func(t *testing.T, x *trial) { x.old(t, x.dst) }},
	{"link to old", func(t *testing.T, x *trial) {
		x.into = filepath.Join(x.dir, "real")
		x.old(t, x.into)
		check(t, os.Symlink("real", x.dst))
	}},
	{"link to nothing", func(t *testing.T, x *trial) {
		x.fails(exitDestination)
		check(t, os.Symlink("nothing", x.dst))
	}},
	{"no folder", func(_ *testing.T, x *trial) {
		x.fails(exitDestination)
		x.dst = filepath.Join(x.dir, "nowhere", "dst")
		x.into = x.dst
	}},
	{"null", func(_ *testing.T, x *trial) { x.dst, x.straight, x.into = "/dev/null", true, "" }},
	{"fifo", func(t *testing.T, x *trial) {
		check(t, syscall.Mkfifo(x.dst, 0o600))
		x.straight, x.into = true, ""
		got := make(chan string)
		f, err := os.OpenFile(x.dst, os.O_RDWR, 0) // nobody waits for the other end
		check(t, err)
		r, err := os.Open(x.dst)
		check(t, err)
		go func() {
			b, _ := io.ReadAll(r)
			r.Close()
			got <- string(b)
		}()
		x.wait = func() string {
			f.Close()
			return <-got
		}
	}},
	{"full", func(_ *testing.T, x *trial) {
		x.dst, x.straight, x.into = "/dev/full", true, ""
		if x.text != "" || x.code != exitOK {
			x.fails(exitDestination)
		}
	}},
}

func (x *trial) old(t *testing.T, name string) {
	x.was = true
	check(t, os.WriteFile(name, []byte(oldText), oldPerm))
}

// fails sets the exit code. Where both ends fail, either may be told.
func (x *trial) fails(code int) {
	x.both = x.code != exitOK
	x.code = code
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var theMatrixServer *httptest.Server

// matrixServer serves newText, or half of it.
func matrixServer() *httptest.Server {
	if theMatrixServer == nil {
		theMatrixServer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/src":
				http.ServeContent(w, r, "", newTime, strings.NewReader(newText))
			case r.URL.Path == "/half" && r.Method == http.MethodGet && r.Header.Get("Range") == "":
				w.Header().Set("Content-Length", fmt.Sprint(len(newText)))
				_, _ = io.WriteString(w, newText[:len(newText)/2])
			default:
				http.Error(w, "Not Found", http.StatusNotFound)
			}
		}))
	}
	return theMatrixServer
}

func TestPromises_HoldForEveryOptionSourceAndDestination(t *testing.T) {
	t.Parallel()
	base := fastFolder(t)
	defer func() {
		if theMatrixServer != nil {
			theMatrixServer.Close()
			theMatrixServer = nil
		}
	}()
	n := 0
	for _, way := range ways {
		options := way.options
		if *long {
			options = pairs(options)
		}
		for _, o := range options {
			for _, origin := range origins {
				for _, goal := range goals {
					if n++; n%samples != 0 {
						continue
					}
					dir := filepath.Join(base, fmt.Sprint(n))
					check(t, os.Mkdir(dir, 0o755))
					x := &trial{dir: dir, src: filepath.Join(dir, "src"), dst: filepath.Join(dir, "dst")}
					x.into = x.dst
					origin.make(t, x)
					goal.make(t, x)
					if way.changed {
						x.text = strings.ToUpper(x.text)
					}
					args := append(way.words(x.src, x.dst), o...)
					name := fmt.Sprintf("%s %v from %s to %s", way.name, o, origin.name, goal.name)
					if x.senseless(o, origin.name, goal.name) {
						if x.wait != nil {
							x.wait()
						}
						continue
					}
					x.run(t, name, args)
					if t.Failed() {
						return // one is enough to look at
					}
					check(t, os.RemoveAll(dir))
				}
			}
		}
	}
	t.Log(n, "cases")
}

// senseless reports whether options and ends do not go together.
func (x *trial) senseless(options []string, origin, goal string) bool {
	has := func(o string) bool { return slices.Contains(options, o) }
	switch {
	case x.both, has("-q") && has("-v"):
		return true
	case has("--dry-run"): // it opens nothing, so it finds nothing wrong
		return x.code != exitOK || origin == "fifo" || goal == "fifo"
	case has("--verify"): // a usage error, or nothing that could be read back
		return has("--resume") || x.straight
	}
	return false
}

// pairs are all options, and every two of them.
func pairs(options [][]string) (all [][]string) {
	for i, a := range options {
		all = append(all, a)
		for _, b := range options[i+1:] {
			if len(a) > 0 {
				all = append(all, slices.Concat(a, b))
			}
		}
	}
	return all
}

// fastFolder is a folder in memory, if there is one.
func fastFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "weir-promises-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// run runs the command in this process and checks what it promises.
func (x *trial) run(t *testing.T, name string, args []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(args, &stdout, &stderr)
	fail := func(format string, a ...any) {
		t.Helper()
		t.Errorf("%s: "+format+"\nweir %s\n%s", append(append([]any{name}, a...), strings.Join(args, " "), stderr.String())...)
	}
	if code != x.code {
		fail("exit code %d, want %d", code, x.code)
	}
	got := ""
	if x.wait != nil {
		got = x.wait()
	}
	dry, keep := slices.Contains(args, "--dry-run"), slices.Contains(args, "-p")
	x.says(args, stderr.String(), fail)
	if stdout.Len() > 0 {
		fail("%d bytes on standard output", stdout.Len())
	}

	// The source is as it was.
	if x.file {
		want, err := os.ReadFile(x.src)
		if err != nil || len(want) != len(x.text) {
			fail("the source has %d bytes, %v", len(want), err)
		}
	}
	// The destination is whole, or as it was.
	switch {
	case x.wait != nil && x.code == exitOK && got != x.text:
		fail("%d bytes arrived, want %d", len(got), len(x.text))
	case x.into == "":
		if st, err := os.Lstat(x.dst); err != nil || st.Mode().IsRegular() {
			fail("%s was replaced: %v", x.dst, err)
		}
	case x.code == exitOK && !dry:
		x.whole(keep, fail)
	case x.was:
		if b, err := os.ReadFile(x.into); err != nil || string(b) != oldText {
			fail("the old file holds %.20q, %v", b, err)
		}
	default:
		if _, err := os.Lstat(x.into); x.into != x.dst && err == nil || x.into == x.dst && isRegular(x.into) {
			fail("something is there after a failure")
		}
	}
	// Nothing else is.
	for _, name := range leftIn(x.dir) {
		part := strings.Contains(name, partSuffix)
		if atomicfile.IsTemp(name) || part && (x.code == exitOK || !slices.Contains(args, "--keep-partial") && !slices.Contains(args, "--resume")) {
			fail("%s is left", name)
		}
	}
}

func isRegular(name string) bool {
	st, err := os.Lstat(name)
	return err == nil && st.Mode().IsRegular()
}

func leftIn(dir string) (names []string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		names = append(names, filepath.Base(path))
		return nil
	})
	return names
}

// says checks the messages: none on success, a line for a failure, and JSON
// only with --json.
func (x *trial) says(args []string, text string, fail func(string, ...any)) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	asJSON, quiet := slices.Contains(args, "--json"), slices.Contains(args, "-q")
	unbegun := false // there was no run to sum up
	switch args[0] {
	case "gzip", "gunzip", "zstd", "unzstd":
		quiet = !slices.Contains(args, "-v") && !slices.Contains(args, "--dry-run")
		unbegun = x.code == exitUsage || x.code == exitSource
	}
	switch {
	case asJSON:
		errs, summaries := 0, 0
		for i, line := range lines {
			var m struct {
				Type string
				V    int
				Code int
				Text string
				OK   bool
			}
			if slices.Contains(args, "--dry-run") {
				continue
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil || m.V != 1 {
				fail("a line is no JSON: %q", line)
			}
			switch m.Type {
			case "error":
				errs++
				if m.Code != x.code || m.Text == "" {
					fail("the error is %+v", m)
				}
			case "summary":
				summaries++
				if m.OK != (x.code == exitOK) || i != len(lines)-1 {
					fail("the summary is %+v in line %d of %d", m, i+1, len(lines))
				}
			}
		}
		if !slices.Contains(args, "--dry-run") && (summaries != 1 && !unbegun || errs != min(1, x.code)) {
			fail("%d summaries, %d errors", summaries, errs)
		}
	case x.code != exitOK:
		found := false
		for _, line := range lines {
			found = found || strings.HasPrefix(line, "weir: ") &&
				(strings.Contains(line, x.src) || strings.Contains(line, x.dst) || strings.Contains(line, x.into))
		}
		if !found {
			fail("no line says what failed")
		}
	case quiet && text != "":
		fail("it says something")
	case !quiet && text == "":
		fail("it says nothing")
	}
}

// whole checks a copy: its contents, permissions, owner, time and holes.
func (x *trial) whole(keep bool, fail func(string, ...any)) {
	b, err := os.ReadFile(x.into)
	if err != nil || string(b) != x.text {
		fail("the copy has %d bytes, want %d, %v", len(b), len(x.text), err)
		return
	}
	st, err := os.Stat(x.into)
	if err != nil {
		fail("%v", err)
		return
	}
	want := oldPerm
	switch {
	case x.file && keep:
		want = newPerm
	case x.was:
	case x.file:
		want = newPerm &^ umask
	default:
		want = 0o666 &^ umask
	}
	if st.Mode() != want {
		fail("the copy is %v, want %v", st.Mode(), want)
	}
	if x.file && keep != st.ModTime().Equal(newTime) {
		fail("the copy is of %v", st.ModTime())
	}
	sys := st.Sys().(*syscall.Stat_t)
	if os.Geteuid() == 0 {
		uid, gid := uint32(0), uint32(os.Getegid())
		if x.file && keep {
			uid, gid = 77, 78
		}
		if sys.Uid != uid || sys.Gid != gid {
			fail("the copy belongs to %d:%d, want %d:%d", sys.Uid, sys.Gid, uid, gid)
		}
	}
	if x.file && len(x.text) == 1<<20 && sys.Blocks*512 > 1<<19 {
		fail("the copy has no holes: %d bytes", sys.Blocks*512)
	}
	if x.into != x.dst {
		if st, err := os.Lstat(x.dst); err != nil || st.Mode()&fs.ModeSymlink == 0 {
			fail("the link is gone: %v", err)
		}
	}
}
