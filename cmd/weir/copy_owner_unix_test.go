//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const special = fs.ModeSetuid | fs.ModeSetgid

// owned is what copies are about here.
type owned struct {
	mode     fs.FileMode
	uid, gid int
}

func (o owned) String() string { return fmt.Sprintf("%v of %d:%d", o.mode, o.uid, o.gid) }

func ownedBy(t *testing.T, name string) owned {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return owned{info.Mode(), int(st.Uid), int(st.Gid)}
}

// putOwned makes a file.
func putOwned(t *testing.T, name, text string, o owned) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, o.uid, o.gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, o.mode); err != nil {
		t.Fatal(err)
	}
}

// weirAs runs the command as the user and group id, which must not be 0.
func weirAs(t *testing.T, id int, args ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(openFolder(t, 0o755), "weir") // the one that go test has made only root may run
	// A link, or a copy made by another process. If this process had it open for
	// writing, a process started by another test could inherit the descriptor, and
	// then nobody could run the file.
	if err := os.Link(self, name); err != nil {
		if out, err := exec.Command("cp", self, name).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v, %s", err, out)
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("weir %v: %v\n%s", args, err, b)
	}
}

// weirHere runs the command in this process, as root.
func weirHere(t *testing.T, args ...string) {
	t.Helper()
	var b bytes.Buffer
	if code := run(args, &b, &b); code != 0 {
		t.Fatalf("weir %v: code %d\n%s", args, code, b.String())
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of somebody else")
	}
}

// openFolder makes a folder that everybody may enter.
func openFolder(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{filepath.Dir(dir): 0o755, dir: mode} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whatever is copied and however, a file that is set-user-ID or set-group-ID
// afterwards has owner and group of one that was, and what that one held.
func TestCopy_NoCopyHasTheRightsOfAnotherOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const text = "what runs"
	stranger := owned{special | 0o755, 1234, 1235}
	ordinary := 65534
	plain := func(uid int) owned { return owned{0o755, uid, uid} }
	for _, c := range []struct {
		name string
		as   int
		args []string
		src  owned
		over *owned // an existing destination, if any
		part *owned // an unfinished copy, if any
		want owned
	}{
		{"root keeps the owner", 0, []string{"-p"}, stranger, nil, nil, stranger},
		{"root, read back", 0, []string{"-p", "--verify"}, stranger, nil, nil, stranger},
		{"root, slowly", 0, []string{"-p", "--rate", "1MiB/s"}, stranger, nil, nil, stranger},
		{"root, kept in part", 0, []string{"-p", "--keep-partial"}, stranger, nil, nil, stranger},
		{"root, over a file", 0, []string{"-p"}, stranger, &owned{0o600, 77, 78}, nil, stranger},
		{"root, over its own special file", 0, []string{"-p"}, owned{0o711, 1234, 1235}, &owned{special | 0o755, 0, 0}, nil, owned{0o711, 1234, 1235}},
		{"root without -p", 0, nil, stranger, nil, nil, plain(0)},
		{"root without -p, kept in part", 0, []string{"--keep-partial"}, stranger, nil, nil, plain(0)},
		{"root without -p, over a special file", 0, nil, stranger, &owned{special | 0o711, 77, 78}, nil, owned{0o711, 77, 78}},
		{"root without -p, in part over a special file", 0, []string{"--keep-partial"}, stranger, &owned{special | 0o711, 77, 78}, nil, owned{0o711, 77, 78}},
		{"root, a special part was there", 0, []string{"--keep-partial"}, stranger, nil, &owned{special | 0o777, 0, 0}, plain(0)},
		{"root, a part of somebody else was there", 0, []string{"-p", "--keep-partial"}, stranger, nil, &owned{0o666, 77, 77}, stranger},
		{"ordinary user", ordinary, []string{"-p"}, stranger, nil, nil, plain(ordinary)},
		{"ordinary user, of root", ordinary, []string{"-p"}, owned{special | 0o755, 0, 0}, nil, nil, plain(ordinary)},
		{"ordinary user, own group", ordinary, []string{"-p"}, owned{special | 0o755, 0, ordinary}, nil, nil, plain(ordinary)},
		{"ordinary user, own file", ordinary, []string{"-p"}, owned{special | 0o755, ordinary, ordinary}, nil, nil, owned{special | 0o755, ordinary, ordinary}},
		{"ordinary user, own file of a strange group", ordinary, []string{"-p"}, owned{special | 0o755, ordinary, 1}, nil, nil, plain(ordinary)},
		{"ordinary user, kept in part", ordinary, []string{"-p", "--keep-partial"}, stranger, nil, nil, plain(ordinary)},
		{"ordinary user without -p", ordinary, nil, stranger, nil, nil, plain(ordinary)},
		{"ordinary user, over own special file", ordinary, nil, stranger, &owned{special | 0o711, ordinary, ordinary}, nil, owned{0o711, ordinary, ordinary}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := openFolder(t, 0o777)
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			putOwned(t, src, text, c.src)
			if c.over != nil {
				putOwned(t, dst, "old", *c.over)
			}
			if c.part != nil {
				putOwned(t, dst+partSuffix, "part", *c.part)
			}
			args := append([]string{"copy", src, dst, "-q"}, c.args...)
			if c.as == 0 {
				weirHere(t, args...)
			} else {
				weirAs(t, c.as, args...)
			}
			if got := ownedBy(t, dst); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if got, err := os.ReadFile(dst); err != nil || string(got) != text {
				t.Errorf("it holds %q, %v", got, err)
			}
		})
	}
}

// Anybody could have written the first part of a copy that is resumed.
func TestCopy_ResumesNoSpecialFileFromAPartOfSomebodyElse(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const text = "what runs"
	src := owned{special | 0o755, 0, 0}
	for _, c := range []struct {
		part owned
		args []string
		want owned
	}{
		{owned{0o600, 0, 0}, []string{"-p"}, src},
		{owned{0o644, 0, 0}, []string{"-p"}, src},
		{owned{0o664, 0, 0}, []string{"-p"}, owned{0o755, 0, 0}},
		{owned{0o600, 77, 77}, []string{"-p"}, owned{0o755, 0, 0}},
		{owned{special | 0o755, 0, 0}, nil, owned{0o755, 0, 0}},
	} {
		dir := openFolder(t, 0o755)
		name, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
		putOwned(t, name, text, src)
		c0 := &copying{settings: settings{stdout: io.Discard, stderr: io.Discard}}
		part, err := openPartial(c0, name, dst)
		if err != nil {
			t.Fatal(err)
		}
		if err := part.begin(t.Context()); err != nil { // writes the note
			t.Fatal(err)
		}
		putOwned(t, part.path, text[:4], c.part)
		if err := part.leave(); err != nil {
			t.Fatal(err)
		}
		weirHere(t, append([]string{"copy", name, dst, "--resume", "-q"}, c.args...)...)
		if got := ownedBy(t, dst); got != c.want {
			t.Errorf("from a part that is %v: %v, want %v", c.part, got, c.want)
		}
		if got, err := os.ReadFile(dst); err != nil || string(got) != text {
			t.Errorf("it holds %q, %v", got, err)
		}
	}
}

func TestCopy_FoldersGiveNoFileTheRightsOfAnotherOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const ordinary = 65534
	stranger, strangers := owned{special | 0o755, 1234, 1235}, owned{fs.ModeDir | fs.ModeSetgid | 0o755, 1234, 1235}
	for _, c := range []struct {
		name         string
		as           int
		args         []string
		merge        bool
		file, folder owned
	}{
		{"root", 0, []string{"-p"}, false, stranger, strangers},
		{"root, read back", 0, []string{"-p", "--verify"}, false, stranger, strangers},
		{"root, merged", 0, []string{"-p"}, true, stranger, strangers},
		{"root, in part", 0, []string{"-p", "--keep-partial"}, false, stranger, strangers},
		{"root without -p", 0, nil, false, owned{0o755, 0, 0}, owned{fs.ModeDir | 0o755, 0, 0}},
		{"ordinary user", ordinary, []string{"-p"}, false, owned{0o755, ordinary, ordinary}, owned{fs.ModeDir | 0o755, ordinary, ordinary}},
		{"ordinary user, merged", ordinary, []string{"-p"}, true, owned{0o755, ordinary, ordinary}, owned{fs.ModeDir | 0o755, ordinary, ordinary}},
		{"ordinary user without -p", ordinary, nil, true, owned{0o755, ordinary, ordinary}, owned{fs.ModeDir | 0o755, ordinary, ordinary}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := openFolder(t, 0o777)
			in := filepath.Join(dir, "src", "sub")
			if err := os.MkdirAll(in, 0o755); err != nil {
				t.Fatal(err)
			}
			putOwned(t, filepath.Join(in, "tool"), "what runs", stranger)
			if err := os.Chown(in, 1234, 1235); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(in, 0o755|fs.ModeSetgid); err != nil {
				t.Fatal(err)
			}
			dst := filepath.Join(dir, "dst")
			if c.merge {
				for _, d := range []string{dst, filepath.Join(dst, "src"), filepath.Join(dst, "src", "sub")} {
					if err := os.Mkdir(d, 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.Chown(d, c.as, c.as); err != nil {
						t.Fatal(err)
					}
				}
				putOwned(t, filepath.Join(dst, "src", "sub", "tool"), "old", owned{special | 0o755, c.as, c.as})
			}
			args := append([]string{"copy", filepath.Join(dir, "src"), dst, "-q"}, c.args...)
			if c.as == 0 {
				weirHere(t, args...)
			} else {
				weirAs(t, c.as, args...)
			}
			if c.merge {
				dst = filepath.Join(dst, "src")
			}
			if got := ownedBy(t, filepath.Join(dst, "sub", "tool")); got != c.file {
				t.Errorf("the file is %v, want %v", got, c.file)
			}
			if got := ownedBy(t, filepath.Join(dst, "sub")); got != c.folder {
				t.Errorf("the folder is %v, want %v", got, c.folder)
			}
		})
	}
}

// A device that is written to keeps its owner and its permissions.
func TestCopy_PreserveLeavesDevicesAlone(t *testing.T) {
	t.Parallel()
	needRoot(t)
	before := ownedBy(t, os.DevNull)
	src := filepath.Join(t.TempDir(), "src")
	putOwned(t, src, "x", owned{0o611, 1234, 1235})
	weirHere(t, "copy", "-p", src, os.DevNull, "-q")
	if after := ownedBy(t, os.DevNull); after != before {
		defer os.Chmod(os.DevNull, before.mode)
		defer os.Chown(os.DevNull, before.uid, before.gid)
		t.Errorf("%s was %v and is %v", os.DevNull, before, after)
	}
}

// The words of weir pipe and the codecs carry permissions and no more.
func TestPipeAndGzip_MakeNoSpecialFiles(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	putOwned(t, src, "what runs", owned{special | 0o755, 1234, 1235})
	weirHere(t, "pipe", src, "gzip", filepath.Join(dir, "piped.gz"), "-q")
	weirHere(t, "gzip", "--force", src, "-q")
	for _, name := range []string{"piped.gz", "src.gz"} {
		if got := ownedBy(t, filepath.Join(dir, name)); got.mode&special != 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
}
