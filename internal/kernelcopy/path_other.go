//go:build !linux

package kernelcopy

import (
	"io"
	"io/fs"
	"net"
	"runtime"
)

// choose returns the route that the standard library takes through the kernel,
// on the systems where it has one.
func choose(dst io.Writer, src io.Reader) route {
	if !isOf(src, fs.ModeType) {
		return route{}
	}
	if conn, ok := dst.(*net.TCPConn); ok {
		r := route{move: readFrom(conn, src), opaque: true, pace: streamPace}
		switch runtime.GOOS {
		case "darwin", "dragonfly", "freebsd", "solaris":
			r.name = "sendfile"
			return r
		case "windows":
			// TransmitFile, but on the server editions only.
			return r
		}
	}
	if f, ok := dst.(io.ReaderFrom); ok && runtime.GOOS == "freebsd" && isOf(dst, fs.ModeType) {
		return route{name: "copy_file_range", move: readFrom(f, src), opaque: true, pace: filePace}
	}
	return route{}
}
