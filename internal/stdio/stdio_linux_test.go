package stdio

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/weir-go/weir/internal/fd"
)

// terminal returns the two ends of a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { m.Close() })
	var n, unlock int32
	err = fd.Control(m, func(fd uintptr) error {
		for req, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &n} {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, req, uintptr(unsafe.Pointer(arg))); errno != 0 {
				return errno
			}
		}
		return nil
	})
	if err != nil {
		t.Skip(err)
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Fd()
	return m, s
}

func TestReopen_DeadlineUnblocksAReadOfATerminal(t *testing.T) {
	master, slave := terminal(t)
	testDeadline(t, slave, master)
	if !isBlocking(t, slave) {
		t.Error("the flags of the terminal have changed for everybody")
	}
}

func TestReopen_DuplicatesDevicesThatNeverBlock(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	f, err := reopen(null, os.O_RDWR, "null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !isBlocking(t, f) {
		t.Error("a device that cannot be waited for is non-blocking")
	}
	if n, err := f.WriteString("x"); n != 1 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
}

func TestReopen_LeavesSocketsAsTheyAre(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	a, b := os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	defer a.Close()
	defer b.Close()
	f, err := reopen(a, os.O_RDONLY, "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.WriteString("x")
	if n, err := f.Read(make([]byte, 1)); n != 1 || err != nil || !isBlocking(t, a) {
		t.Errorf("read: %d, %v", n, err)
	}
}

func TestReopen_LeavesNoDescriptorOpen(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	r, w := blocking(t)
	before := count()
	for _, f := range []*os.File{r, w} {
		for range 10 {
			g, err := reopen(f, map[*os.File]int{r: os.O_RDONLY, w: os.O_WRONLY}[f], "pipe")
			if err != nil {
				t.Fatal(err)
			}
			g.Close()
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
