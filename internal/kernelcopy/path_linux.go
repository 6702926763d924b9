package kernelcopy

import (
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// choose picks a system call by the kinds of the two ends. The calls are made
// here, and not by the standard library, because it hides for which end they
// wait.
func choose(dst io.Writer, src io.Reader) route {
	d, s := inspect(dst), inspect(src)
	socket := s.kind == tcp || s.kind == unix
	switch {
	case d.appends: // no system call moves to the end of a file
	case d.kind == regular && s.kind == regular:
		if sameFileSystem(d, s) {
			return route{name: "copy_file_range", move: keepHoles(d.file, s.file, sampled(d, s, copyFileRange(d, s))), pace: filePace}
		}
		return route{name: "sendfile", move: keepHoles(d.file, s.file, sampled(d, s, sendfile(d, s))), pace: filePace}
	case (d.kind == tcp || d.kind == unix) && s.kind == regular:
		return route{name: "sendfile", move: sendfile(d, s), pace: streamPace}
	case (d.kind == tcp || d.kind == regular || d.kind == pipe && !d.waits) && socket:
		r := &relay{d: d, s: s}
		return route{name: "splice", move: r.move, close: r.close, pace: streamPace}
	case d.kind == pipe && s.kind == regular:
		// The other way splice(2) writes page by page, and takes twice the
		// time of a copy through memory.
		return route{name: "splice", move: splice(d, s), pace: streamPace}
	}
	return route{}
}

type kind int

const (
	other kind = iota
	regular
	pipe
	tcp
	unix // stream-oriented only
)

// end describes one end of a copy.
type end struct {
	kind    kind
	file    *os.File // if regular or pipe; may be nil
	conn    syscall.Conn
	appends bool // opened with O_APPEND
	waits   bool // not O_NONBLOCK
	device  uint64
}

func inspect(v any) end {
	switch v := v.(type) {
	case *os.File:
		return inspectFile(v)
	case *net.TCPConn:
		return end{kind: tcp, conn: v}
	case *net.UnixConn:
		if v != nil {
			if a := v.LocalAddr(); a == nil || a.Network() != "unix" {
				return end{}
			}
		}
		return end{kind: unix, conn: v}
	}
	return end{}
}

func inspectFile(f *os.File) end {
	if f == nil {
		return end{kind: regular}
	}
	e := end{file: f, conn: f}
	info, err := f.Stat()
	if err != nil {
		return end{}
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		e.kind = regular
	case mode&os.ModeNamedPipe != 0:
		e.kind = pipe
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.device = uint64(st.Dev)
	}
	control(f, func(fd uintptr) {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		e.appends = errno == 0 && flags&syscall.O_APPEND != 0
		e.waits = errno == 0 && flags&syscall.O_NONBLOCK == 0
	})
	return e
}

func control(c syscall.Conn, f func(fd uintptr)) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(f)
}

// sameFileSystem reports whether copy_file_range can work between two files.
// The kernel requires one file system. A few types of file systems can copy
// between any two of the same type, or show different devices for files of one
// file system.
func sameFileSystem(d, s end) bool {
	if d.file == nil || s.file == nil || d.device == s.device {
		return true
	}
	t := fileSystem(d.file)
	return t == fileSystem(s.file) && slices.Contains(copiesAcross[:], t)
}

var copiesAcross = [...]uint32{
	0x9123683e, // btrfs, where each subvolume is a device
	0x794c7630, // overlayfs
	0x00006969, // nfs
	0xff534d42, // cifs
	0xfe534d42, // smb2
	0x00c36400, // ceph
	0x65735546, // fuse
}

func fileSystem(f *os.File) (t uint32) {
	if f == nil {
		return 0
	}
	control(f, func(fd uintptr) {
		var st syscall.Statfs_t
		if syscall.Fstatfs(int(fd), &st) == nil {
			t = uint32(st.Type)
		}
	})
	return t
}

// cloning says what copy_file_range may do beside copying.
type cloning int

const (
	never  cloning = iota
	maybe          // it may let the files share blocks
	remote         // a server may copy, or the bytes may cross a network
)

// mayClone reports whether the kernel may do more than copy between two files.
func mayClone(d, s end) cloning {
	switch fileSystem(d.file) {
	case 0x9123683e, 0x58465342, 0xca451a4e, 0x2fc12fc1, 0x794c7630, 0x7461636f: // btrfs, xfs, bcachefs, zfs, overlayfs, ocfs2
		return maybe
	case 0x00006969, 0xff534d42, 0xfe534d42, 0x00c36400, 0x65735546: // nfs, cifs, smb2, ceph, fuse
		return remote
	}
	return never
}
