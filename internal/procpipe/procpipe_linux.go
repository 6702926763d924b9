package procpipe

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// queue returns how long the process was runnable and waited for a processor, the
// second field of /proc/PID/schedstat, or -1 if that is unknown. The file covers only
// the first thread of a process.
func (p *Process) queue(st *stat) time.Duration {
	if st.threads > 1 || p.Hidden {
		return -1
	}
	var buf [80]byte
	text, err := readFile("/proc/"+strconv.Itoa(p.PID)+"/schedstat", buf[:])
	if err != nil {
		return -1
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return -1
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return -1
	}
	return time.Duration(n)
}

// cpu returns the time that all threads of the process ran, and its children that
// have ended. Of a hidden process it includes those that it runs, as sudo does.
func (p *Process) cpu(st *stat) time.Duration {
	sum := time.Duration(st.ticks) * (time.Second / clockTicks)
	for _, pid := range append([]int{p.PID}, p.below...) {
		const all = 2 // the clock of scheduled time, to the nanosecond
		sum += clock(int32(^pid<<3 | all))
	}
	return sum
}

// tasks looks at the threads of the process.
func (p *Process) tasks(st *stat) (t tasks) {
	dir := "/proc/" + strconv.Itoa(p.PID)
	if p.Hidden {
		t.see(st.state, "")
		for _, pid := range p.below {
			if st, err := readStat(pid); err == nil {
				t.see(st.state, "")
			}
		}
		return t
	}
	if st.threads <= 1 {
		t.see(st.state, wchan(dir))
		return t
	}
	f, err := os.Open(dir + "/task")
	if err != nil {
		return t
	}
	names, _ := f.Readdirnames(manyThreads) // an error leaves the names that were read before it
	f.Close()
	for _, n := range names {
		thread := dir + "/task/" + n
		if st, err := statFile(thread + "/stat"); err == nil {
			t.see(st.state, wchan(thread))
		}
	}
	return t
}

// clock reads a clock, or returns 0 if there is none.
func clock(id int32) time.Duration {
	var t syscall.Timespec
	if _, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

// manyThreads is how many threads of a process one look reads.
const manyThreads = 64

// wchan returns the kernel function in which a thread waits, or "" if the
// kernel does not report it.
func wchan(dir string) string {
	var buf [64]byte
	name, err := readFile(dir+"/wchan", buf[:])
	if err != nil || string(name) == "0" {
		return ""
	}
	return string(name)
}

// fill looks at a pipe through the first descriptor that can be opened.
func (p *Pipe) fill() (level Fill) {
	const getPipeSize = 1032 // F_GETPIPE_SZ
	for _, at := range p.looks {
		_ = withPipe(p.Inode, at, func(fd int) { // the next one is tried
			var n int32
			if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); e != 0 {
				return
			}
			size, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), getPipeSize, 0)
			if e == 0 {
				level = Fill{Known: true, Bytes: int64(n), Size: int64(size)}
			}
		})
		if level.Known {
			break
		}
	}
	return level
}

// written reports whether a pipe has a writer. Its read end hangs up if not.
func written(inode uint64, at look) (yes bool) {
	const hangup = 0x10                    // POLLHUP
	_ = withPipe(inode, at, func(fd int) { // a pipe that is gone has none
		poll := struct {
			fd              int32
			events, revents int16
		}{fd: int32(fd)}
		var now syscall.Timespec
		_, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		yes = e == 0 && poll.revents&hangup == 0
	})
	return yes
}
