//go:build unix

package stdio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/fd"
)

// What is tested here belongs to a process, so most tests run this binary
// again, with its name of the part to play in the environment. A child says on
// its standard error what became of it.
const child = "STDIO_TEST_CHILD"

func TestMain(m *testing.M) {
	parts := map[string]func() string{
		"deadline": deadlineChild, "copy": copyChild, "yes": yesChild, "full": fullChild, "closed": closedChild,
	}
	if part := parts[os.Getenv(child)]; part != nil {
		fmt.Fprintln(os.Stderr, part())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(t *testing.T, part string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), child+"="+part, "GORACE=atexit_sleep_ms=0")
	var said strings.Builder
	cmd.Stderr = &said
	return cmd, &said
}

// finish waits for the child, and fails if it died or said something else.
func finish(t *testing.T, cmd *exec.Cmd, said *strings.Builder, want string) {
	t.Helper()
	err := cmd.Wait()
	if got := strings.TrimSpace(said.String()); err != nil || got != want {
		t.Errorf("child said %q and ended with %v; want %q", got, err, want)
	}
}

// deadlineChild reads one line, says so on standard output, and reads on.
func deadlineChild() string {
	f, err := Stdin()
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		return "no deadline"
	}
	line := make([]byte, 64)
	n, err := f.Read(line)
	if string(line[:n]) != "hello\n" || err != nil {
		return fmt.Sprintf("read %q, %v", line[:n], err)
	}
	done := make(chan error)
	go func() {
		_, err := f.Read(line)
		done <- err
	}()
	f.SetReadDeadline(time.Now())
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("read after the deadline: %v", err)
	}
	f.SetReadDeadline(time.Time{})
	go func() {
		_, err := f.Read(line)
		done <- err
	}()
	f.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		return fmt.Sprintf("read after the close: %v", err)
	}
	return "unblocked"
}

func testDeadline(t *testing.T, stdin, writer *os.File) {
	t.Helper()
	cmd, said := command(t, "deadline")
	cmd.Stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	want := "unblocked"
	if runtime.GOOS != "linux" {
		want = "no deadline"
	}
	finish(t, cmd, said, want)
}

func blocking(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Fd() // as a shell makes them
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func isBlocking(t *testing.T, f *os.File) bool {
	var flags uintptr
	fd.Control(f, func(fd uintptr) error {
		flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		return nil
	})
	return flags&syscall.O_NONBLOCK == 0
}

func TestReopen_DeadlineUnblocksAReadOfAPipe(t *testing.T) {
	r, w := blocking(t)
	testDeadline(t, r, w)
	if !isBlocking(t, r) {
		t.Error("the flags of the pipe have changed for everybody")
	}
}

func TestReopen_DeadlineUnblocksAReadOfANamedPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	f.Fd()
	testDeadline(t, f, f)
}

// copyChild copies standard input to standard output.
func copyChild() string {
	in, err := Stdin()
	if err != nil {
		return err.Error()
	}
	defer in.Close()
	out, err := Stdout()
	if err != nil {
		return err.Error()
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return fmt.Sprint(err)
}

func TestStdinAndStdout_CarryEveryByteOfPipes(t *testing.T) {
	r, w := blocking(t)
	cmd, said := command(t, "copy")
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	sent := strings.Repeat("0123456789", 100_000)
	go func() {
		w.WriteString(sent)
		w.Close()
	}()
	got, err := io.ReadAll(out)
	if string(got) != sent || err != nil {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(sent))
	}
	finish(t, cmd, said, "<nil>")
}

func TestStdin_SharesThePositionOfARegularFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "in")
	if err := os.WriteFile(name, []byte("first\nrest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.Seek(6, io.SeekStart)
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	out.WriteString("before\n")
	cmd, said := command(t, "copy")
	cmd.Stdin, cmd.Stdout = in, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	finish(t, cmd, said, "<nil>")
	out.WriteString("after\n")
	if b, err := os.ReadFile(out.Name()); string(b) != "before\nrest\nafter\n" || err != nil {
		t.Errorf("output holds %q, %v", b, err)
	}
	if p, _ := in.Seek(0, io.SeekCurrent); p != 11 {
		t.Errorf("input stands at %d, want its end", p)
	}
}

// yesChild writes until it cannot.
func yesChild() string {
	f, err := Stdout()
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	for err == nil {
		_, err = f.WriteString("y\n")
	}
	if errors.Is(err, syscall.EPIPE) {
		return "EPIPE"
	}
	return err.Error()
}

func TestStdout_ReaderThatLeavesIsAnErrorAndNotDeath(t *testing.T) {
	r, w := blocking(t)
	cmd, said := command(t, "yes")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "y\n" || err != nil {
		t.Errorf("read %q, %v", line, err)
	}
	r.Close()
	finish(t, cmd, said, "EPIPE")
}

func TestStdout_ReaderThatLeftBeforeIsAnErrorAndNotDeath(t *testing.T) {
	r, w := blocking(t)
	cmd, said := command(t, "yes")
	cmd.Stdout = w
	r.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	finish(t, cmd, said, "EPIPE")
}

// fullChild writes to a pipe that nobody empties, until the deadline.
func fullChild() string {
	f, err := Stdout()
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if f.SetWriteDeadline(time.Now().Add(10*time.Millisecond)) != nil {
		return "no deadline"
	}
	if _, err := f.Write(make([]byte, 10<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprint(err)
	}
	return "unblocked"
}

func TestStdout_DeadlineUnblocksAWriteToAPipe(t *testing.T) {
	_, w := blocking(t)
	cmd, said := command(t, "full")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := "unblocked"
	if runtime.GOOS != "linux" {
		want = "no deadline"
		w.Close()
	}
	finish(t, cmd, said, want)
}

func closedChild() string {
	os.Stdin.Close()
	_, err := Stdin()
	if errors.Is(err, fs.ErrClosed) {
		return "closed"
	}
	return fmt.Sprint(err)
}

func TestStdin_ClosedIsAnError(t *testing.T) {
	cmd, said := command(t, "closed")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	finish(t, cmd, said, "closed")
}
