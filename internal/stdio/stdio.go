// Package stdio gives standard input and output as files of our own.
//
// os.Stdin and os.Stdout share their flags with other processes, such as the
// shell. So they cannot be made non-blocking, and a Read that waits for a
// terminal or a pipe cannot be interrupted. Also, a write to file descriptor 1
// after its reader has gone kills a Go program with SIGPIPE. The files returned
// here solve both problems:
//
//   - On Linux a pipe or a terminal is opened once more, so a blocked Read or
//     Write is ended by its deadline or by Close. Elsewhere, and for a socket,
//     the file is a duplicate: it blocks as the original does, unless the program that
//     opened that made it non-blocking, and SetDeadline returns
//     [os.ErrNoDeadline].
//   - On all Unix systems a write whose reader has gone fails with EPIPE, as
//     the descriptor is not number 1. Nothing has to be done about signals. It
//     is still deadly to write to os.Stdout itself.
//
// A regular file is always a duplicate, because it shares its position with the
// other processes of the same shell command.
//
// The original descriptors stay open. So the writer of our standard input and
// the reader of our standard output see the end only when the process ends or
// closes those too.
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
