package procpipe

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Find looks at the processes of this user and returns the pipelines that they
// are in. A process of another user that has a place in such a pipeline is
// Hidden, even from root.
func Find() (*Scan, error) {
	self, err := Lookup(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("read /proc: %w", err)
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	dir.Close()
	if err != nil {
		return nil, fmt.Errorf("read /proc: %w", err)
	}
	w := &world{self: self.PID, holders: map[int]*holder{}, parents: map[int]int{}, written: written}
	now := sinceBoot()
	me := os.Geteuid()
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		st, err := readStat(pid)
		if err != nil {
			continue // it has ended
		}
		w.parents[pid] = st.parent
		if st.ended() || st.kernel {
			continue
		}
		var info syscall.Stat_t
		if syscall.Stat("/proc/"+name, &info) != nil {
			continue
		}
		p := describe(pid, int(info.Uid), st)
		ends, ok := []end(nil), false
		if p.UID == me {
			ends, ok = readEnds(pid)
		}
		switch {
		case !ok:
			p.Hidden = true
			w.hidden = append(w.hidden, p)
		case len(ends) > 0:
			p.Args = readArgs(pid)
			w.holders[pid] = &holder{p, ends, now - float64(st.started)/clockTicks}
		}
	}
	scan := &Scan{Pipelines: w.pipelines(), Self: self, parents: w.parents}
	for _, line := range scan.Pipelines {
		for _, p := range line.Processes {
			if p.Hidden {
				p.Args = readArgs(p.PID)
			}
		}
	}
	return scan, nil
}

// Lookup describes a process. The error matches [fs.ErrNotExist] if there is
// none with this number.
func Lookup(pid int) (Process, error) {
	st, err := readStat(pid)
	if err != nil {
		return Process{}, err
	}
	var info syscall.Stat_t
	if err := syscall.Stat("/proc/"+strconv.Itoa(pid), &info); err != nil {
		return Process{}, err
	}
	p := describe(pid, int(info.Uid), st)
	p.Args = readArgs(pid)
	return *p, nil
}

func describe(pid, uid int, st stat) *Process {
	return &Process{PID: pid, UID: uid, Parent: st.parent, Group: st.group, Session: st.session, Terminal: st.tty, Started: st.started, Command: st.command}
}

// clockTicks is how many of its ticks the kernel counts in a second, as all
// platforms of Go show them to programs.
const clockTicks = 100

func sinceBoot() float64 {
	const boottime = 7
	return clock(boottime).Seconds()
}

// stat is the part of /proc/PID/stat that is of use, for processes and threads.
type stat struct {
	command                     string
	state                       byte
	parent, group, session, tty int
	kernel                      bool
	ticks                       uint64 // of children that have ended
	threads                     int
	started                     uint64
}

func (s stat) ended() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

func readStat(pid int) (stat, error) { return statFile("/proc/" + strconv.Itoa(pid) + "/stat") }

func statFile(name string) (st stat, err error) {
	var buf [1024]byte
	text, err := readFile(name, buf[:])
	if err != nil {
		return st, err
	}
	// The command may hold anything, brackets and spaces too.
	from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if from < 0 || to < from {
		return st, &fs.PathError{Op: "parse", Path: name, Err: syscall.EINVAL}
	}
	f := strings.Fields(string(text[to+1:]))
	if len(f) < 20 {
		return st, &fs.PathError{Op: "parse", Path: name, Err: syscall.EINVAL}
	}
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	count := func(i int) uint64 { n, _ := strconv.ParseUint(f[i], 10, 64); return n }
	const kernelThread = 0x200000
	return stat{
		command: string(text[from+1 : to]), state: f[0][0],
		parent: number(1), group: number(2), session: number(3), tty: number(4),
		kernel: count(6)&kernelThread != 0, ticks: count(13) + count(14), threads: number(17), started: count(19),
	}, nil
}

// readFile reads the beginning of a file of /proc into buf. It is called some
// hundred times a second, and package os would ask the poller each time.
func readFile(name string, buf []byte) ([]byte, error) {
	fd, err := open(name, syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := syscall.Read(fd, buf[n:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ESRCH:
			return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		case m == 0:
			return buf[:n], nil
		}
		n += m
	}
	return buf[:n], nil
}

func open(name string, flags int) (int, error) {
	for {
		fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, 0)
		switch err {
		case nil:
			return fd, nil
		case syscall.EINTR:
		default:
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

func readArgs(pid int) []string {
	buf := make([]byte, 4096)
	text, err := readFile("/proc/"+strconv.Itoa(pid)+"/cmdline", buf)
	text = bytes.TrimRight(text, "\x00")
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// readEnds lists the ends of pipes that a process has. It reports false if they
// may not be read.
func readEnds(pid int) (ends []end, ok bool) {
	name := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(name)
	if err != nil {
		return nil, false
	}
	defer dir.Close()
	fds, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	var buf [64]byte
	for _, n := range fds {
		link := name + "/" + n
		size, err := syscall.Readlink(link, buf[:])
		if err != nil {
			continue
		}
		inode, isPipe := pipeInode(string(buf[:size]))
		var info syscall.Stat_t
		if !isPipe || syscall.Lstat(link, &info) != nil {
			continue
		}
		fd, _ := strconv.Atoi(n)
		// The link has the permissions that the descriptor was opened with.
		ends = append(ends, end{fd, inode, info.Mode&0o400 != 0, info.Mode&0o200 != 0})
	}
	slices.SortFunc(ends, func(a, b end) int { return a.fd - b.fd })
	return ends, true
}

func pipeInode(link string) (uint64, bool) {
	text, ok := strings.CutPrefix(link, "pipe:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	return inode, err == nil
}

// withPipe calls f with a read end of a pipe, which it closes at once. The
// descriptor of the process is looked up without opening its file: that may
// have become another one, and opening a tape rewinds it.
func withPipe(inode uint64, at look, f func(fd int)) error {
	const path = 0x200000 // O_PATH
	name := "/proc/" + strconv.Itoa(at.pid) + "/fd/" + strconv.Itoa(at.fd)
	handle, err := open(name, path)
	if err != nil {
		return err
	}
	defer syscall.Close(handle)
	var info syscall.Stat_t
	if err := syscall.Fstat(handle, &info); err != nil {
		return err
	}
	if info.Mode&syscall.S_IFMT != syscall.S_IFIFO || info.Ino != inode {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	fd, err := open("/proc/self/fd/"+strconv.Itoa(handle), syscall.O_RDONLY|syscall.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	f(fd)
	return nil
}
