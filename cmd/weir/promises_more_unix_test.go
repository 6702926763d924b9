//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/atomicfile"
)

// The compressors: their names say where the result goes, and a source goes only
// after its result is there.
func TestPromises_OfTheCompressors(t *testing.T) {
	t.Parallel()
	base := fastFolder(t)
	n := 0
	for _, c := range []struct {
		name, suffix string
		back         string // the option or command that expands
		pack         weir.Stage[byte, byte]
		unpack       weir.Stage[byte, byte]
	}{
		{"gzip", ".gz", "gunzip", compress.Gzip(), compress.Gunzip()},
		{"zstd", ".zst", "unzstd", compress.Zstd(), compress.Unzstd()},
	} {
		for _, expand := range []bool{false, true} {
			for _, o := range [][]string{nil, {"--rm"}, {"-f"}, {"--rm", "-f"}, {"--json"}, {"-q"}, {"-k"}, {"-t"}, {"-c"}, {"--dry-run"}, {"--rm", "--json"}} {
				for _, source := range []string{"file", "empty", "damaged", "none"} {
					for _, goal := range []string{"new", "old", "folder", "link to nothing"} {
						if source == "damaged" && !expand || slices.Contains(o, "-t") && !expand || slices.Contains(o, "-c") ||
							slices.Contains(o, "--dry-run") && (source != "file" || goal != "new") {
							continue
						}
						if n++; n%samples != 0 {
							continue
						}
						dir := filepath.Join(base, fmt.Sprint(n))
						check(t, os.Mkdir(dir, 0o755))
						x := &packing{dir: dir, plain: filepath.Join(dir, "file"), packed: filepath.Join(dir, "file"+c.suffix), pack: c.pack, unpack: c.unpack, expand: expand}
						args := append([]string{c.name}, o...)
						if expand {
							args[0] = c.back
						}
						if x.run(t, args, source, goal); t.Failed() {
							return
						}
						check(t, os.RemoveAll(dir))
					}
				}
			}
		}
	}
	t.Log(n, "cases")
}

type packing struct {
	dir, plain, packed string
	pack, unpack       weir.Stage[byte, byte]
	expand             bool
}

func (x *packing) run(t *testing.T, args []string, source, goal string) {
	t.Helper()
	has := func(o string) bool { return slices.Contains(args, o) }
	src, dst := x.plain, x.packed
	if x.expand {
		src, dst = dst, src
	}
	text, code := newText, exitOK
	data := []byte(text)
	switch source {
	case "empty":
		text, data = "", nil
	case "none":
		code = exitSource
	}
	if x.expand {
		data = through(t, x.pack, data)
	}
	if source == "damaged" {
		data[len(data)/2] ^= 0x55
		code = exitFailed
	}
	if source != "none" {
		check(t, os.WriteFile(src, data, newPerm))
		check(t, os.Chmod(src, newPerm))
		if os.Geteuid() == 0 {
			check(t, os.Chown(src, 77, 78))
		}
		check(t, os.Chtimes(src, newTime, newTime))
	}
	old := ""
	bad := goal != "new" && !(goal == "old" && has("-f"))
	switch goal {
	case "old":
		old = oldText
		check(t, os.WriteFile(dst, []byte(oldText), oldPerm))
	case "folder":
		check(t, os.Mkdir(dst, 0o755))
	case "link to nothing":
		check(t, os.Symlink("nothing", dst))
	}
	if bad && !has("-t") {
		if code != exitOK {
			return // either may be told
		}
		if code = exitDestination; !has("-f") || goal == "link to nothing" {
			code = exitUsage // it is skipped
		}
	}
	var stdout, stderr bytes.Buffer
	got := run(append(args, src), &stdout, &stderr)
	fail := func(format string, a ...any) {
		t.Helper()
		t.Errorf("%v, source %s, destination %s: "+format+"\n%s", append(append([]any{args, source, goal}, a...), stderr.String())...)
	}
	if got != code {
		fail("exit code %d, want %d", got, code)
	}
	tr := &trial{src: src, dst: dst, into: dst, code: code}
	tr.says(args, stderr.String(), fail)
	wrote := code == exitOK && !has("-t") && !has("--dry-run")
	if _, err := os.Lstat(src); (err == nil) != (source != "none" && !(wrote && has("--rm"))) {
		fail("the source: %v", err)
	}
	b, err := os.ReadFile(dst)
	switch {
	case wrote:
		if !x.expand {
			b = through(t, x.unpack, b)
		}
		st, serr := os.Stat(dst)
		if err != nil || serr != nil || string(b) != text {
			fail("the result stands for %d bytes, want %d: %v", len(b), len(text), err)
			return
		}
		if st.Mode() != newPerm || !st.ModTime().Equal(newTime) {
			fail("the result is %v of %v", st.Mode(), st.ModTime())
		}
		if sys := st.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (sys.Uid != 77 || sys.Gid != 78) {
			fail("the result belongs to %d:%d", sys.Uid, sys.Gid)
		}
	case old != "":
		if string(b) != old {
			fail("the old file holds %.20q, %v", b, err)
		}
	case goal == "new" && err == nil:
		fail("something is there after a failure")
	}
	for _, name := range leftIn(x.dir) {
		if atomicfile.IsTemp(name) {
			fail("%s is left", name)
		}
	}
}

func through(t *testing.T, st weir.Stage[byte, byte], data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, weir.FromReader(bytes.NewReader(data)).Through(st).To(weir.ToWriter(&b)).Run(context.Background()))
	return b.Bytes()
}

// Folders: afterwards there are only complete files, new or old, and the last
// line says so.
func TestPromises_OfFolders(t *testing.T) {
	t.Parallel()
	base := fastFolder(t)
	n := 0
	options := [][]string{
		nil, {"-p"}, {"--resume"}, {"--keep-partial"}, {"--verify"}, {"--sync"}, {"--rate", "1GiB/s"}, {"--json"}, {"-q"},
		{"--delete"}, {"--exclude", "*.o"}, {"--resume", "--checksum"}, {"--dry-run"},
	}
	if *long {
		options = pairs(options)
	}
	for _, o := range options {
		if slices.Contains(o, "--resume") && slices.Contains(o, "--verify") {
			continue
		}
		for _, source := range []string{"folder", "contents", "with a pipe"} {
			for _, goal := range []string{"new", "old", "in the way", "file"} {
				n++
				dir := filepath.Join(base, fmt.Sprint(n))
				if runFolder(t, dir, o, source, goal); t.Failed() {
					return
				}
				check(t, os.RemoveAll(dir))
			}
		}
	}
	t.Log(n, "cases")
}

func runFolder(t *testing.T, dir string, o []string, source, goal string) {
	t.Helper()
	has := func(s string) bool { return slices.Contains(o, s) }
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	put := func(root, name, text string, perm fs.FileMode) {
		t.Helper()
		name = filepath.Join(root, name)
		check(t, os.MkdirAll(filepath.Dir(name), 0o755))
		check(t, os.WriteFile(name, []byte(text), perm))
		check(t, os.Chmod(name, perm))
	}
	files := map[string]string{"a": newText, "sub/b": "b", "sub/deep/c": "", "x.o": "o"}
	for name, text := range files {
		put(src, name, text, newPerm)
		check(t, os.Chtimes(filepath.Join(src, name), newTime, newTime))
	}
	check(t, os.Symlink("a", filepath.Join(src, "link")))
	arg, into, code := src, dst, exitOK
	if source == "contents" {
		arg += "/."
	}
	if source == "with a pipe" {
		check(t, syscall.Mkfifo(filepath.Join(src, "pipe"), 0o600))
	}
	was := map[string]string{}
	switch goal {
	case "old", "in the way":
		check(t, os.Mkdir(dst, 0o755))
		if source != "contents" {
			into = filepath.Join(dst, "src")
		}
		put(into, "a", oldText, oldPerm)
		put(into, "mine", oldText, oldPerm)
		was["mine"] = oldText
		if goal == "in the way" {
			put(into, "sub/b/x", oldText, oldPerm)
			code = exitDestination
			was["sub/b/x"] = oldText
			delete(files, "sub/b")
		}
	case "file":
		put(dir, "dst", oldText, oldPerm)
		code = exitDestination
	}
	if has("--dry-run") && code != exitOK {
		return
	}
	if has("--exclude") {
		delete(files, "x.o")
	}
	if has("--delete") && code == exitOK {
		delete(was, "mine")
	}
	var stdout, stderr bytes.Buffer
	args := append([]string{"copy", arg, dst}, o...)
	got := run(args, &stdout, &stderr)
	fail := func(format string, a ...any) {
		t.Helper()
		t.Errorf("copy %v, source %s, destination %s: "+format+"\n%s", append(append([]any{o, source, goal}, a...), stderr.String())...)
	}
	exit := code
	if code == exitOK && source == "with a pipe" {
		exit = exitUsage // something was skipped
	}
	if got != exit {
		fail("exit code %d, want %d", got, exit)
	}
	if code != exitOK && !strings.Contains(stderr.String(), "dst") {
		fail("no line says what failed")
	}
	if has("--json") && source != "with a pipe" && !has("--dry-run") {
		for _, line := range strings.Split(strings.TrimSpace(stderr.String()), "\n") {
			if !strings.HasPrefix(line, "{") {
				fail("a line is no JSON: %q", line)
			}
		}
	}
	if goal == "file" {
		if b, err := os.ReadFile(dst); err != nil || string(b) != oldText {
			fail("the old file holds %.20q, %v", b, err)
		}
		return
	}
	if has("--dry-run") {
		if b, err := os.ReadFile(filepath.Join(into, "a")); goal == "new" && err == nil || goal == "old" && string(b) != oldText {
			fail("something was copied")
		}
		return
	}
	want := map[string]string{}
	for _, m := range []map[string]string{files, was} {
		for name, text := range m {
			want[name] = text
		}
	}
	_ = filepath.WalkDir(into, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(into, path)
		if err != nil || d.IsDir() || name == "link" {
			return err
		}
		b, _ := os.ReadFile(path)
		if text, ok := want[filepath.ToSlash(name)]; !ok || text != string(b) {
			fail("%s holds %.20q", name, b)
		}
		delete(want, filepath.ToSlash(name))
		return nil
	})
	if len(want) > 0 {
		fail("not there: %d files", len(want))
	}
	if to, err := os.Readlink(filepath.Join(into, "link")); err != nil || to != "a" {
		fail("the link leads to %q, %v", to, err)
	}
	st, err := os.Stat(filepath.Join(into, "a"))
	if err != nil {
		fail("%v", err)
		return
	}
	perm := newPerm &^ umask
	switch {
	case has("-p"):
		perm = newPerm
	case goal != "new":
		perm = oldPerm
	}
	if st.Mode() != perm || has("-p") != st.ModTime().Equal(newTime) {
		fail("a is %v of %v, want %v", st.Mode(), st.ModTime(), perm)
	}
	for _, name := range leftIn(dir) {
		if atomicfile.IsTemp(name) || strings.Contains(name, partSuffix) && code == exitOK {
			fail("%s is left", name)
		}
	}
}

// endings are runs of their own processes that are ended from outside: by a
// signal, or by a limit for the size of files.
var endings = []struct {
	name  string
	words string // of a shell, with SRC, TREE and DST
	part  bool   // an unfinished copy stays
}{
	{"copy", "copy SRC DST --rate 1MiB/s", false},
	{"copy -p", "copy SRC DST --rate 1MiB/s -p", false},
	{"copy --verify", "copy SRC DST --rate 1MiB/s --verify", false},
	{"copy --sync --json", "copy SRC DST --rate 1MiB/s --sync --json", false},
	{"copy --keep-partial", "copy SRC DST --rate 1MiB/s --keep-partial", true},
	{"copy --resume -p", "copy SRC DST --rate 1MiB/s --resume -p", true},
	{"pipe", "pipe SRC rate:1MiB/s DST", false},
	{"tee", "pipe SRC rate:1MiB/s tee:DST /dev/null", false},
	{"folder", "copy TREE DST --rate 1MiB/s", false},
	{"folder -p", "copy TREE DST --rate 1MiB/s -p", false},
	{"folder --keep-partial", "copy TREE DST --rate 1MiB/s --keep-partial", true},
}

func TestPromises_HoldHoweverARunEnds(t *testing.T) {
	t.Parallel()
	base := fastFolder(t)
	self, err := os.Executable()
	check(t, err)
	command := filepath.Join(base, "weir") // by its name the test program is the command
	check(t, os.Symlink(self, command))
	tree := filepath.Join(base, "tree")
	check(t, os.Mkdir(tree, 0o755))
	for _, name := range []string{"a", "b", "c"} {
		check(t, os.WriteFile(filepath.Join(tree, name), make([]byte, 4<<20), 0o644))
	}
	src := filepath.Join(tree, "a")
	for i, e := range endings {
		for _, how := range []string{"interrupt", "terminate", "limit"} {
			dir := filepath.Join(base, fmt.Sprint(i, how))
			check(t, os.Mkdir(dir, 0o755))
			dst := filepath.Join(dir, "dst")
			words := strings.Fields(e.words)
			for j, w := range words {
				w = strings.ReplaceAll(w, "SRC", src)
				w = strings.ReplaceAll(w, "TREE", tree)
				words[j] = strings.ReplaceAll(w, "DST", dst)
			}
			code := map[string]int{"interrupt": exitInterrupted, "terminate": exitTerminated, "limit": exitDestination}[how]
			cmd := exec.Command(command, words...)
			if how == "limit" {
				if strings.HasPrefix(e.name, "folder") {
					continue // one file after the other fails, and the run continues
				}
				cmd = exec.Command("sh", append([]string{"-c", `ulimit -f 200; exec "$@"`, "sh", command}, words...)...)
			}
			cmd.Env = append(os.Environ(), "TMPDIR="+base)
			var said bytes.Buffer
			cmd.Stderr = &said
			check(t, cmd.Start())
			if how != "limit" {
				began := time.Now()
				for !written(dir) && time.Since(began) < 20*time.Second {
					time.Sleep(5 * time.Millisecond) // the file system tells nobody
				}
				sig := syscall.SIGINT
				if how == "terminate" {
					sig = syscall.SIGTERM
				}
				check(t, cmd.Process.Signal(sig))
			}
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != code {
				t.Errorf("%s, %s: %v, want exit code %d\n%s", e.name, how, err, code, said.String())
			}
			_, err = os.Lstat(dst)
			if (err == nil) != (e.part && strings.HasPrefix(e.name, "folder")) {
				t.Errorf("%s, %s: %v\n%s", e.name, how, err, said.String())
			}
			for _, name := range leftIn(dir) {
				if atomicfile.IsTemp(name) || strings.Contains(name, partSuffix) && !e.part {
					t.Errorf("%s, %s: %s is left\n%s", e.name, how, name, said.String())
				}
			}
			if b, err := os.ReadFile(src); err != nil || len(b) != 4<<20 {
				t.Errorf("%s, %s: the source has %d bytes, %v", e.name, how, len(b), err)
			}
			if t.Failed() {
				return
			}
			check(t, os.RemoveAll(dir))
		}
	}
}

// written reports whether a run has begun to write below dir.
func written(dir string) (yes bool) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil && st.Size() > 0 && !strings.HasSuffix(d.Name(), ".json") {
				yes = true
			}
		}
		return nil
	})
	return yes
}
