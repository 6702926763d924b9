// Package stdio gives standard input and output as files of our own.
//
// os.Stdin and os.Stdout share their flags with whoever else holds them, the
// shell among others, so they cannot be switched to non-blocking, and a Read
// that waits for a terminal or a pipe cannot be ended. And a write to file
// descriptor 1 whose reader has gone kills a Go program with SIGPIPE. The
// files returned here do better on both counts:
//
//   - On Linux a pipe or a terminal is opened once more, so a blocked Read or
//     Write is ended by its deadline or by Close. Elsewhere, and for a socket,
//     the file is a duplicate: it blocks as the original does, unless whoever
//     opened that made it non-blocking, and SetDeadline returns
//     [os.ErrNoDeadline].
//   - On all Unix systems a write whose reader has gone fails with EPIPE, as
//     the descriptor is not number 1. Nothing has to be done about signals. It
//     is still deadly to write to os.Stdout itself.
//
// A regular file is always a duplicate, since its position is shared with the
// processes before and after in the same shell command.
//
// The original descriptors stay open. Whoever writes into our standard input
// sees it closed, and whoever reads our standard output sees its end, only
// when the process ends or closes those too.
package stdio

import (
	"fmt"
	"os"

	"github.com/weir-go/weir/internal/fd"
)

// Stdin returns standard input as a new file, which the caller closes. The
// error says that there is none.
func Stdin() (*os.File, error) { return reopen(os.Stdin, os.O_RDONLY, "standard input") }

// Stdout returns standard output as a new file, which the caller closes. The
// error says that there is none.
func Stdout() (*os.File, error) { return reopen(os.Stdout, os.O_WRONLY, "standard output") }

func reopen(f *os.File, flag int, what string) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var own *os.File
	err = fd.Control(f, func(fd uintptr) error {
		if g := openAgain(fd, flag, info.Mode(), f.Name()); g != nil {
			own = g
			return nil
		}
		var err error
		own, err = duplicate(fd, f.Name())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return own, nil
}
