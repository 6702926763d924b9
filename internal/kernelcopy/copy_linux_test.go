package kernelcopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestPath_IsNamedByType(t *testing.T) {
	file := sources["file"](t).(*os.File)
	appending, _ := fileSink(t, t.TempDir(), os.O_APPEND)
	defer appending.Close()
	pr, pw, err := os.Pipe()
	must(t, err)
	defer pr.Close()
	defer pw.Close()
	tcp, _ := tcpPair(t)
	unix, _ := unixPair(t)
	var noFile *os.File
	var noTCP *net.TCPConn
	var noUnix *net.UnixConn
	for _, c := range []struct {
		dst  io.Writer
		src  io.Reader
		want string
	}{
		{noFile, noFile, "copy_file_range"}, {noTCP, noFile, "sendfile"}, {noUnix, noFile, "sendfile"},
		{noTCP, noTCP, "splice"}, {noFile, noUnix, "splice"}, {noUnix, noTCP, ""},
		{file, file, "copy_file_range"}, {file, io.LimitReader(file, 1), "copy_file_range"},
		{appending.(*os.File), file, ""}, {tcp, file, "sendfile"}, {unix, file, "sendfile"},
		{tcp, tcp, "splice"}, {tcp, unix, "splice"}, {file, tcp, "splice"}, {pw, tcp, "splice"},
		{file, pr, ""}, {pw, file, "splice"}, {pw, pr, ""}, {tcp, pr, ""},
		{file, strings.NewReader(""), ""}, {io.Discard, file, ""},
	} {
		if got := Path(c.dst, c.src); got != c.want {
			t.Errorf("Path(%T, %T) = %q, want %q", c.dst, c.src, got, c.want)
		}
	}
	if m := Memory(file, file); m != largeBuffer {
		t.Errorf("Memory between files = %d", m)
	}
	if m := Memory(io.Discard, file); m != smallBuffer {
		t.Errorf("Memory = %d", m)
	}
}

// calls returns how many reads and writes this process has made so far. A
// splice is not among them; copy_file_range and sendfile count as one of each,
// however much they move.
func calls(t *testing.T) (n int64) {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var name string
		var v int64
		fmt.Sscan(s.Text(), &name, &v)
		if name == "syscr:" || name == "syscw:" {
			n += v
		}
	}
	return n
}

// drain takes all that comes out of r, by splice and so uncounted, and returns
// a function that waits for the end.
func drain(t *testing.T, r io.ReadCloser) func() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(t, err)
	done := make(chan error, 1)
	go func() {
		defer null.Close()
		defer r.Close()
		rc, err := r.(syscall.Conn).SyscallConn()
		for n := 1; n > 0 && err == nil; {
			var cerr error
			err = rc.Read(func(fd uintptr) bool {
				var m int64
				m, cerr = splice64(int(fd), int(null.Fd()), 1<<20)
				n = int(m)
				return cerr != syscall.EAGAIN
			})
			if err == nil {
				err = cerr
			}
			if err == syscall.EINVAL { // of a socket, which only a pipe takes
				_, err = io.Copy(null, r)
			}
		}
		done <- err
	}()
	return func() { must(t, <-done) }
}

// big returns a sparse file of size bytes.
func big(t *testing.T, size int64) *os.File {
	f := fileWith(t, t.TempDir(), nil)
	must(t, os.Truncate(f.Name(), size))
	return f
}

func TestCopy_LeavesTheBytesToTheKernel(t *testing.T) {
	// Through memory that takes at least 512 calls between files and 2,048
	// elsewhere. A sendfile counts as two, and moves what the socket takes.
	const size = 64 << 20
	const few, some = 100, 1500
	file := func(t *testing.T) (io.WriteCloser, func()) {
		w, _ := fileSink(t, t.TempDir(), 0)
		return w, func() {}
	}
	fromFile := func(t *testing.T) io.Reader { return big(t, size) }
	for _, c := range []struct {
		name string
		src  func(t *testing.T) io.Reader
		dst  func(t *testing.T) (io.WriteCloser, func())
		most int64
	}{
		{"copy_file_range", fromFile, file, few},
		{"sendfile", fromFile, func(t *testing.T) (io.WriteCloser, func()) {
			r, w := tcpPair(t)
			return w, drain(t, r)
		}, some},
		{"sendfile", fromFile, func(t *testing.T) (io.WriteCloser, func()) {
			r, w := unixPair(t)
			return w, drain(t, r)
		}, some},
		{"splice", fromFile, func(t *testing.T) (io.WriteCloser, func()) {
			r, w, err := os.Pipe()
			must(t, err)
			return w, drain(t, r)
		}, some},
		{"splice", func(t *testing.T) io.Reader {
			r, w := tcpPair(t)
			f := big(t, size)
			go func() {
				w.ReadFrom(f)
				w.Close()
			}()
			return r
		}, file, some},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := c.src(t)
			dst, wait := c.dst(t)
			if p := Path(dst, src); p != c.name {
				t.Errorf("Path = %q, want %q", p, c.name)
			}
			before := calls(t)
			n, err := Copy(t.Context(), dst, src, Options{})
			dst.Close()
			wait()
			after := calls(t)
			if n != size || err != nil {
				t.Fatalf("Copy = %d, %v", n, err)
			}
			t.Logf("%d reads and writes for %d bytes", after-before, size)
			if after-before > c.most {
				t.Errorf("%d reads and writes: not the kernel's doing", after-before)
			}
		})
	}
}

func TestCopy_FullDiskIsENOSPC(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for from, src := range sources {
		if n, err := Copy(t.Context(), full, src(t), Options{}); n != 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("from %s: Copy = %d, %v", from, n, err)
		}
	}
}

func TestCopy_ReadsFilesOfProc(t *testing.T) {
	want, err := os.ReadFile("/proc/version")
	if err != nil {
		t.Skip(err)
	}
	for to, dst := range sinks {
		src, err := os.Open("/proc/version")
		must(t, err)
		w, arrived := dst(t)
		n, err := Copy(t.Context(), w, src, Options{})
		src.Close()
		w.Close()
		if got := arrived(); n != int64(len(want)) || err != nil || string(got) != string(want) {
			t.Errorf("to %s: Copy = %d, %v, %q", to, n, err, got)
		}
	}
}

func TestCopy_CrossesFileSystems(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "kernelcopy")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	src := sources["file"](t).(*os.File)
	dst, arrived := fileSink(t, dir, 0)
	if Path(dst, src) != "sendfile" {
		t.Skip("the same file system")
	}
	n, err := Copy(t.Context(), dst, src, Options{segment: 1_000_001})
	dst.Close()
	if n != int64(len(content)) || err != nil {
		t.Errorf("Copy = %d, %v", n, err)
	}
	same(t, arrived(), content)
}

func TestCopy_MovesWhatBlockingPipesCarry(t *testing.T) {
	for _, c := range []string{"in", "out"} {
		r, w, err := os.Pipe()
		must(t, err)
		if c == "in" {
			r.Fd() // makes it wait
			feed(t, r, w)
			dst, arrived := sinks["file"](t)
			if n, err := Copy(t.Context(), dst, r, Options{}); n != int64(len(content)) || err != nil {
				t.Errorf("from a pipe: Copy = %d, %v", n, err)
			}
			dst.Close()
			same(t, arrived(), content)
			continue
		}
		w.Fd()
		arrived := collect(r)
		if n, err := Copy(t.Context(), w, sources["file"](t), Options{}); n != int64(len(content)) || err != nil {
			t.Errorf("to a pipe: Copy = %d, %v", n, err)
		}
		w.Close()
		same(t, arrived(), content)
	}
}

func TestCopy_LeavesNothingBehind(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	src := sources["file"](t).(*os.File)
	dst, _ := fileSink(t, t.TempDir(), 0)
	defer dst.Close()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	fds, routines := descriptors(), runtime.NumGoroutine()
	for range 20 {
		src.Seek(0, io.SeekStart)
		Copy(t.Context(), dst, src, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		src.Seek(0, io.SeekStart)
		n, _ := Copy(ctx, w, src, Options{Progress: func(int64) { cancel() }})
		io.CopyN(io.Discard, r, n)
	}
	if n := descriptors(); n != fds {
		t.Errorf("%d descriptors before, %d after", fds, n)
	}
	// Copy waits for what it started to have done its work; the goroutine
	// itself may take a moment more to be gone.
	for runtime.NumGoroutine() > routines {
		runtime.Gosched()
	}
}
