package weir

import (
	"context"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/stdio"
)

// Stdin begins a stream at standard input, which stays open. A Read that waits
// is ended with the flow where the system allows it: for pipes and terminals on
// Linux.
func Stdin() Stream[byte] {
	return From(Source[byte]{
		Name: "stdin",
		Open: openStdin,
		Like: os.Stdin,
	})
}

// openStdin opens standard input. A file has a length, which its end is compared
// with.
func openStdin(ctx context.Context) (Reader[byte], error) {
	f, err := stdio.Stdin()
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		return &fileReader{ctx: ctx, f: f, path: "standard input", left: -1, info: st}, nil
	}
	return f, nil
}

// Stdout ends a stream at standard output, which stays open. When whoever reads
// it has left, as head(1) does, the flow ends well: nobody wants more.
func Stdout() Sink[byte] {
	return Sink[byte]{
		Name: "stdout",
		Open: func(context.Context) (Writer[byte], error) {
			f, err := stdio.Stdout()
			if err != nil {
				return nil, err
			}
			return &stdout{f}, nil
		},
		Like: os.Stdout,
	}
}

// stdout ends quietly when nobody reads it any more.
type stdout struct{ *os.File }

func (w *stdout) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	return n, w.Moved(int64(n), err)
}

// OSFile is the file underneath, for the kernel to write to.
func (w *stdout) OSFile() *os.File { return w.File }

// Moved is told how each write of the kernel ended.
func (w *stdout) Moved(_ int64, err error) error {
	if errno.Is(err, syscall.EPIPE) {
		return ErrStop
	}
	return err
}
