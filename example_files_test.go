package weir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

// Part of a file is replaced, as in a download that is resumed.
func ExampleWriteAt() {
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "digits")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		log.Fatal(err)
	}
	err = weir.FromSlice([]byte("xy")).To(weir.WriteAt(name, 3)).Run(context.Background())
	text, _ := os.ReadFile(name)
	fmt.Println(string(text), err)
	// Output: 012xy56789 <nil>
}

func ExampleCopy() {
	n, err := weir.Copy(context.Background(), os.Stdout, strings.NewReader("a river\n"))
	fmt.Println(n, err)
	// Output:
	// a river
	// 8 <nil>
}

func TestCopy_CopiesFilesAndStopsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("some data "), 100_000)
	if err := os.WriteFile(filepath.Join(dir, "from"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if n, err := weir.Copy(t.Context(), to, from); err != nil || n != int64(len(data)) {
		t.Errorf("%d, %v", n, err)
	}
	if got, err := os.ReadFile(to.Name()); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		t.Error("the source was closed:", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errPart)
	if _, err := weir.Copy(ctx, to, from); !errors.Is(err, errPart) {
		t.Error(err)
	}
}

// halfDone yields four bytes and fails.
func halfDone() weir.Stream[byte] {
	return weir.Generate("half", func(_ context.Context, emit func([]byte) error) error {
		return errors.Join(emit([]byte("half")), errPart)
	})
}

func TestKeepPartial_LeavesWhatWasWrittenBeforeAFailure(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		opts []weir.FileOption
		want string
	}{
		"whole or absent": {nil, "old"},
		"kept":            {[]weir.FileOption{weir.KeepPartial()}, "half"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := halfDone().To(weir.Create(file, tc.opts...)).Run(t.Context()); !errors.Is(err, errPart) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestPerm_IsForNewFilesOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no permission bits")
	}
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(old, 0o640); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		sink weir.Sink[byte]
		want fs.FileMode
	}{
		"old":    {weir.Create(old, weir.Perm(0o600)), 0o640},
		"new":    {weir.Create(filepath.Join(dir, "new"), weir.Perm(0o600)), 0o600},
		"newest": {weir.CreateNew(filepath.Join(dir, "newest"), weir.Perm(0o400)), 0o400},
		"append": {weir.Append(filepath.Join(dir, "append"), weir.Perm(0o600)), 0o600},
	} {
		if err := weir.Values[byte]('x').To(tc.sink).Run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != tc.want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, tc.want)
		}
	}
}

func TestWriteAt_NeedsAFileAndAnOffset(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none")
	s := weir.Values[byte]('x')
	if err := s.To(weir.WriteAt(name, 0)).Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if s.To(weir.WriteAt(name, -1)).Check() == nil {
		t.Error("a negative offset is accepted")
	}
}

func TestCommand_IsMadeForEachRun(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	made := 0
	flow := weir.Values[byte]('x').Through(weir.Command(func(ctx context.Context) *exec.Cmd {
		made++
		return exec.CommandContext(ctx, "sh", "-c", "cat >/dev/null; exit 3")
	})).To(weir.Discard[byte]())
	for range 2 {
		var exit *exec.ExitError
		if err := flow.Run(t.Context()); !errors.As(err, &exit) {
			t.Error(err)
		}
	}
	if made != 2 {
		t.Errorf("the command was made %d times", made)
	}
	if weir.Command(nil).Err == nil {
		t.Error("a nil function is accepted")
	}
}

// The test runs itself as the process whose standard input and output are used.
func TestStdinAndStdout_AreThoseOfTheProcess(t *testing.T) {
	if os.Getenv("WEIR_TEST_STDIO") != "" {
		err := weir.Stdin().Through(text.Upper()).To(weir.Stdout()).Run(context.Background())
		fmt.Fprintln(os.Stderr, "ended:", err)
		// Both stay open.
		_, werr := os.Stdout.WriteString("!")
		_, rerr := os.Stdin.Read(make([]byte, 1))
		fmt.Fprintln(os.Stderr, "write:", werr, "read:", rerr)
		os.Exit(0) // before the test's own output
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "WEIR_TEST_STDIO=1")
	cmd.Stdin = strings.NewReader("from here ñ")
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, told.String())
	}
	if out.String() != "FROM HERE Ñ!" {
		t.Errorf("standard output is %q", out.String())
	}
	if want := "ended: <nil>\nwrite: <nil> read: EOF\n"; told.String() != want {
		t.Errorf("%q, want %q", told.String(), want)
	}
}
