package kernelcopy

import (
	"io"
	"io/fs"
	"os"
)

// route is how bytes get from one end to the other.
type route struct {
	name   string
	move   mover  // nil for the way through memory
	close  func() // gives back the resources of move; may be nil
	opaque bool   // move reports nothing to the observer
	pace   pace
}

// Path returns the name of the system call that [Copy] would move bytes with,
// "copy_file_range", "sendfile" or "splice", and "" if they go through memory
// or Path cannot know. It reads and writes nothing. A nil *os.File means a
// regular file that has yet to be opened, a nil *net.TCPConn or *net.UnixConn a
// stream connection. The kernel can still decline, on some file systems for
// instance; Copy then goes through memory.
func Path(dst io.Writer, src io.Reader) string {
	d, s := ends(dst, src)
	return choose(d, s).name
}

// Memory returns the size in bytes of the buffer that Copy holds at most
// between the two, which is all the memory it needs. On a kernel path it
// holds none, unless the kernel declines.
func Memory(dst io.Writer, src io.Reader) int64 {
	if betweenFiles(ends(dst, src)) {
		return largeBuffer
	}
	return smallBuffer
}

// ends takes off the wrappers that Copy takes off.
func ends(dst io.Writer, src io.Reader) (io.Writer, io.Reader) {
	if w, ok := dst.(Wrapper); ok {
		dst = w.OSFile()
	}
	if lr, ok := src.(*io.LimitedReader); ok {
		src = lr.R
	}
	if w, ok := src.(fileSource); ok {
		src = w.OSFile()
	}
	return dst, src
}

// betweenFiles reports whether both ends are files or pipes, which take and give
// much at once.
func betweenFiles(dst io.Writer, src io.Reader) bool {
	return isFile(dst) && isFile(src)
}

func isFile(end any) bool { return isOf(end, fs.ModeType&^fs.ModeNamedPipe) }

// isOf reports whether end is a file that is none of the given kinds. One that
// has yet to be opened is a regular file.
func isOf(end any, none fs.FileMode) bool {
	f, ok := end.(*os.File)
	if !ok || f == nil {
		return ok
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&none == 0
}
