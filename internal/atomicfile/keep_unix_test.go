//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// described is a file as somebody else would have it.
type described struct {
	fs.FileInfo
	mode     fs.FileMode
	uid, gid int
	modified time.Time
}

func (d described) Mode() fs.FileMode  { return d.mode }
func (d described) ModTime() time.Time { return d.modified }
func (d described) Sys() any           { return &syscall.Stat_t{Uid: uint32(d.uid), Gid: uint32(d.gid)} }

// modeAndOwner is what the file called name has.
func modeAndOwner(t *testing.T, name string) (mode fs.FileMode, uid, gid int) {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return info.Mode() &^ fs.ModeDir, int(st.Uid), int(st.Gid)
}

// Systems that keep the owner, the group, both or none, also those that only say
// so. Whatever they do, no file is special while it has another owner.
func TestKeep_DropsSpecialBitsUnlessOwnerAndGroupAreKept(t *testing.T) {
	probe := filepath.Join(t.TempDir(), "probe") // some systems give a file the group of its folder
	put(t, probe, "")
	_, me, mine := modeAndOwner(t, probe)
	defer func() { chown = (*os.File).Chown }()
	const u, g, s = fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky
	for _, c := range []struct {
		name       string
		like       described
		file, fold fs.FileMode // what a file and a folder get
	}{
		{"ours", described{mode: u | g | s | 0o755, uid: me, gid: mine}, u | g | s | 0o755, u | g | s | 0o755},
		{"of another owner", described{mode: u | g | 0o755, uid: me + 1, gid: mine}, 0o755, g | 0o755},
		{"of another group", described{mode: u | g | 0o755, uid: me, gid: mine + 1}, 0o755, 0o755},
		{"of others", described{mode: u | g | 0o777, uid: me + 1, gid: mine + 1}, 0o777, 0o777},
		{"of others, not special", described{mode: 0o640, uid: me + 1, gid: mine + 1}, 0o640, 0o640},
	} {
		for how, answer := range map[string]error{"refuses": syscall.EPERM, "does not know it": syscall.EINVAL, "cannot": syscall.ENOTSUP, "pretends": nil} {
			chown = func(f *os.File, _, _ int) error {
				if info, err := f.Stat(); err != nil || info.Mode()&(u|g) != 0 {
					t.Errorf("%s: the owner is to be set while the mode is %v", c.name, info.Mode())
				}
				return answer
			}
			dir := t.TempDir()
			for _, was := range []fs.FileMode{0o600, u | g | 0o755} {
				file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
				put(t, file, "")
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				for name, want := range map[string]fs.FileMode{file: c.file, folder: c.fold} {
					if err := os.Chmod(name, was); err != nil {
						t.Fatal(err)
					}
					f, err := os.Open(name)
					if err != nil {
						t.Fatal(err)
					}
					if err := Keep(f, c.like); err != nil {
						t.Fatal(err)
					}
					f.Close()
					if got, _, _ := modeAndOwner(t, name); got != want {
						t.Errorf("%s %s, the system %s: mode %v, want %v", filepath.Base(name), c.name, how, got, want)
					}
				}
			}
		}
	}
	chown = func(*os.File, int, int) error { return syscall.EIO }
	f := openFile(t, filepath.Join(t.TempDir(), "out"), Options{Like: func() fs.FileInfo { return described{mode: u | 0o755, uid: me + 1} }})
	if err := f.Commit(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a disk that fails: %v", err)
	}
	wantOnly(t, filepath.Dir(f.Path()))
}

// What others could write to before may hold what they want.
func TestKeep_DropsSpecialBitsOfAFileOthersCouldWrite(t *testing.T) {
	like := described{mode: fs.ModeSetuid | 0o755, uid: os.Geteuid(), gid: os.Getegid()}
	name := filepath.Join(t.TempDir(), "part")
	for was, want := range map[fs.FileMode]fs.FileMode{0o644: like.mode, 0o664: 0o755, 0o646: 0o755} {
		put(t, name, "")
		if err := os.Chmod(name, was); err != nil {
			t.Fatal(err)
		}
		f := openFile(t, name, Options{Mode: Truncate, Like: func() fs.FileInfo { return like }})
		commit(t, f)
		if got, _, _ := modeAndOwner(t, name); got != want {
			t.Errorf("a file of mode %v: %v, want %v", was, got, want)
		}
	}
	if os.Geteuid() != 0 {
		t.Log("not root: a file of somebody else is not tried")
		return
	}
	if err := os.Chown(name, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	commit(t, openFile(t, name, Options{Mode: Truncate, Like: func() fs.FileInfo { return like }}))
	if got, uid, _ := modeAndOwner(t, name); got != 0o755 || uid != 0 {
		t.Errorf("a file of somebody else: %v of %d", got, uid)
	}
}

// The name that others see first, the temporary one, is nobody else's until the
// file is whole and has its owner.
func TestLike_IsTakenOnBeforeTheFileHasItsName(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := t.TempDir()
	then := time.Unix(1_000_000_000, 123_456_789)
	like := described{mode: fs.ModeSetuid | 0o755, uid: os.Geteuid(), gid: os.Getegid(), modified: then}
	if os.Geteuid() == 0 {
		like.uid, like.gid = 1234, 1235
	}
	for _, mode := range []Mode{Replace, Exclusive, Truncate} {
		for _, over := range []fs.FileMode{0, 0o644, 0o666, fs.ModeSetuid | 0o755} {
			if over != 0 && mode != Replace {
				continue
			}
			name := filepath.Join(dir, "out")
			os.Remove(name)
			if over != 0 {
				put(t, name, "old")
				if err := os.Chmod(name, over); err != nil {
					t.Fatal(err)
				}
			}
			f := openFile(t, name, Options{Mode: mode, Perm: fs.ModeSetuid | 0o777, Like: func() fs.FileInfo { return like }, Sync: true})
			write(t, f, "new")
			if got, uid, _ := modeAndOwner(t, f.OSFile().Name()); got != 0o600 || uid != os.Geteuid() {
				t.Errorf("mode %d over %v: %v of %d while it is written", mode, over, got, uid)
			}
			commit(t, f)
			got, uid, gid := modeAndOwner(t, name)
			if got != like.mode || uid != like.uid || gid != like.gid {
				t.Errorf("mode %d over %v: %v of %d:%d", mode, over, got, uid, gid)
			}
			if info, err := os.Stat(name); err != nil || !info.ModTime().Equal(then) {
				t.Errorf("mode %d over %v: modified %v, %v", mode, over, info.ModTime(), err)
			}
		}
	}
	wantOnly(t, dir, "out")
}

func TestLike_DoesNotTouchWhatIsNoFileOfItsOwn(t *testing.T) {
	before, _, _ := modeAndOwner(t, os.DevNull)
	like := func() fs.FileInfo { return described{mode: 0o611, uid: os.Geteuid(), gid: os.Getegid()} }
	commit(t, openFile(t, os.DevNull, Options{Like: like}))
	if after, _, _ := modeAndOwner(t, os.DevNull); after != before {
		defer os.Chmod(os.DevNull, 0o666)
		t.Errorf("%s had %v and has %v", os.DevNull, before, after)
	}
	name := filepath.Join(t.TempDir(), "out")
	commit(t, openFile(t, name, Options{Like: func() fs.FileInfo { return nil }}))
	if got, _, _ := modeAndOwner(t, name); got != 0o600 {
		t.Errorf("like nothing: %v", got)
	}
}

// Root may replace a set-user-ID file of anybody: what was special was the old
// contents.
func TestReplace_DoesNotKeepSpecialBits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tool")
	for _, over := range []bool{false, true} {
		if over {
			put(t, name, "old")
			if os.Geteuid() == 0 {
				if err := os.Chown(name, 1234, 1234); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(name, fs.ModeSetuid|fs.ModeSetgid|0o755); err != nil {
				t.Fatal(err)
			}
		}
		f := openFile(t, name, Options{Perm: fs.ModeSetuid | fs.ModeSetgid | 0o755})
		if got, _, _ := modeAndOwner(t, f.Temp()); got&^0o777 != 0 {
			t.Errorf("over a file: %v; while it is written %v", over, got)
		}
		commit(t, f)
		if got, _, _ := modeAndOwner(t, name); got&^0o777 != 0 {
			t.Errorf("over a file: %v; %v", over, got)
		}
	}
}
