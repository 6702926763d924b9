package lab

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// How the quantities are measured here.
const (
	residentFrom = "VmRSS and VmHWM in /proc/PID/status"
	readFrom     = "rchar in /proc/PID/io"
	filesFrom    = "/proc/PID/fd"
	kernelFrom   = "rmem, wmem queued and forward of the server's sockets (sock_diag, as in ss -tm)"
)

// look reads the state of the process pid.
func look(pid int) state {
	s := nothing
	dir := fmt.Sprintf("/proc/%d/", pid)
	status := fields(dir+"status", "VmRSS:", "VmHWM:")
	if n, ok := status["VmRSS:"]; ok {
		s.resident = n << 10
	}
	if n, ok := status["VmHWM:"]; ok {
		s.peak = n << 10
	}
	if n, ok := fields(dir+"io", "rchar:")["rchar:"]; ok {
		s.read = n
	}
	if d, err := os.Open(dir + "fd"); err == nil {
		if names, err := d.Readdirnames(-1); err == nil {
			s.files = int64(len(names))
		}
		d.Close()
	}
	return s
}

// fields returns the numbers of those lines of a file that begin with one of the
// names.
func fields(path string, names ...string) map[string]int64 {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	found := make(map[string]int64)
	for lines := bufio.NewScanner(f); lines.Scan() && len(found) < len(names); {
		for _, name := range names {
			text, ok := strings.CutPrefix(lines.Text(), name)
			if !ok {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64); err == nil {
				found[name] = n
			}
		}
	}
	return found
}

const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagSkmeminfo    = 7  // INET_DIAG_SKMEMINFO
	diagRequestSize  = 56 // struct inet_diag_req_v2
	diagAnswerSize   = 72 // struct inet_diag_msg
)

// kernelMemory is how much memory the kernel holds for the TCP sockets of IPv4
// that have the local port, in bytes.
func kernelMemory(port int) int64 {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return unmeasured
	}
	defer syscall.Close(fd)
	wait := syscall.Timeval{Sec: 1}
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wait); err != nil {
		return unmeasured
	}
	req := make([]byte, syscall.NLMSG_HDRLEN+diagRequestSize)
	native := binary.NativeEndian
	native.PutUint32(req, uint32(len(req)))
	native.PutUint16(req[4:], sockDiagByFamily)
	native.PutUint16(req[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	body := req[syscall.NLMSG_HDRLEN:]
	body[0], body[1], body[2] = syscall.AF_INET, syscall.IPPROTO_TCP, 1<<(diagSkmeminfo-1)
	native.PutUint32(body[4:], ^uint32(0)) // sockets in any state
	binary.BigEndian.PutUint16(body[8:], uint16(port))
	if err := syscall.Sendto(fd, req, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return unmeasured
	}
	sum := int64(0)
	buf := make([]byte, 64<<10)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			return unmeasured
		}
		list, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return unmeasured
		}
		for _, m := range list {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return sum
			case syscall.NLMSG_ERROR:
				return unmeasured
			}
			if len(m.Data) > diagAnswerSize {
				sum += socketMemory(m.Data[diagAnswerSize:])
			}
		}
	}
}

// socketMemory adds up the memory of one socket from the attributes of its answer.
func socketMemory(attrs []byte) (sum int64) {
	native := binary.NativeEndian
	for len(attrs) >= syscall.SizeofRtAttr {
		size, kind := int(native.Uint16(attrs)), native.Uint16(attrs[2:])
		if size < syscall.SizeofRtAttr || size > len(attrs) {
			return sum
		}
		if value := attrs[syscall.SizeofRtAttr:size]; kind == diagSkmeminfo && len(value) >= 24 {
			// struct meminfo: received, its limit, written, its limit, forward, queued
			for _, i := range []int{0, 4, 5} {
				sum += int64(native.Uint32(value[4*i:]))
			}
		}
		attrs = attrs[min(len(attrs), (size+3)&^3):]
	}
	return sum
}
