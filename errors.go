package weir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"reflect"
	"slices"

	"github.com/weir-go/weir/internal/pipe"
)

var (
	// ErrClosed is returned by writes after the pipe was closed.
	ErrClosed = pipe.ErrClosed

	// ErrFull is returned by TryWrite and TrySend when there is no room.
	ErrFull = pipe.ErrFull

	// ErrEmpty is returned by TryRead and TryRecv when there is no value.
	ErrEmpty = pipe.ErrEmpty

	// ErrTooLarge is returned by TryWrite for a batch that can never fit.
	ErrTooLarge = pipe.ErrTooLarge

	// ErrUnread is returned by Unread for more values than the last read took.
	ErrUnread = pipe.ErrUnread

	// ErrStop is returned by a stage or a sink that needs no more input. It
	// ends everything upstream and is not a failure. Sources see it as the
	// cause of their context.
	ErrStop = errors.New("no more values wanted")

	// ErrPrematureClose is the cause of a failure when a source was closed
	// before its end.
	ErrPrematureClose = errors.New("source was closed before its end")

	// ErrLimit is returned if a maximum was exceeded, such as the limit of [Collect]
	// or [Flow.MaxValue].
	ErrLimit = errors.New("maximum exceeded")

	// ErrBudget is returned when a flow needs more memory than the total of
	// its budget.
	ErrBudget = errors.New("budget too small")

	// ErrStalled is the cause of a failure when a timeout has passed without
	// progress.
	ErrStalled = errors.New("no progress")

	// ErrRunning is returned by Run if the flow is already running.
	ErrRunning = errors.New("flow is running already")

	// ErrUsedUp is returned by Run when a source that can be used only once,
	// such as [FromReader], has been used before.
	ErrUsedUp = errors.New("source has been used up")

	// ErrDeadlock is returned by Run when every lane of the flow waits for
	// another one. The error names the stages that wait for each other.
	ErrDeadlock = errors.New("deadlock")

	// ErrLagging is the error of a branch that was detached because it fell
	// too far behind.
	ErrLagging = errors.New("branch fell too far behind")
)

// StageError says in which stage a flow failed. Use [errors.Is] and [errors.As]
// to find the cause.
type StageError struct {
	Stage string
	Err   error
}

func (e *StageError) Error() string { return "weir: stage " + e.Stage + ": " + trimPrefix(e.Err) }
func (e *StageError) Unwrap() error { return e.Err }

// PanicError is a panic in a stage, which Run returns as an error.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // the goroutine's stack at the panic
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// isStop reports whether err says that no more values are wanted, and nothing
// else: an error that is joined with ErrStop is a failure.
func isStop(err error) bool {
	for err != nil {
		if err == ErrStop {
			return true
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			errs := e.Unwrap()
			for _, err := range errs {
				if !isStop(err) {
					return false
				}
			}
			return len(errs) > 0
		default:
			return false
		}
	}
	return false
}

// also adds the errors that followed err to it. All are found by errors.Is and
// errors.As, err first. An error that only passes err on is left out.
func also(err error, more ...error) error {
	for _, m := range more {
		switch {
		case m == nil:
		case err == nil:
			err = m
		case adds(err, m):
			err = &errorList{err, m}
		}
	}
	return err
}

// adds reports whether m says anything that err does not: whether one of the
// errors at the ends of its tree is not in err.
func adds(err, m error) bool {
	switch e := m.(type) {
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			return adds(err, next)
		}
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(next error) bool { return adds(err, next) })
	}
	return !errors.Is(err, m)
}

// sameError returns a == b for errors of any type, also those that cannot be compared.
func sameError(a, b error) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && (t == nil || t.Comparable() && a == b)
}

// errorList is an error and one that followed it.
type errorList struct{ first, next error }

func (e *errorList) Error() string   { return e.first.Error() + "; then " + trimPrefix(e.next) }
func (e *errorList) Unwrap() []error { return []error{e.first, e.next} }

// wrapf adds the operation and the name of the package to an error, once.
func wrapf(doing string, err error) error {
	return &opError{doing, err}
}

type opError struct {
	doing string
	err   error
}

func (e *opError) Error() string { return "weir: " + e.doing + ": " + trimPrefix(e.err) }
func (e *opError) Unwrap() error { return e.err }

// trimPrefix keeps "weir: " from being said twice in one text.
func trimPrefix(err error) string {
	const prefix = "weir: "
	s := err.Error()
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return s
}

// LimitError is the error of input that exceeds a limit. The input may well be
// valid: it can be read with a higher limit. A higher limit does not change the
// values that a decoder delivers before the error.
//
// LimitError matches the error of its kind with [errors.Is]: [ErrLimit],
// or one of package text, record or compress.
type LimitError struct {
	Err    error  // the kind
	Detail string // names the part that is too large and the limit: "line 3 (at byte 100) is longer than 1 MiB"
	Option string // the Go option that sets the limit: "MaxLine"; empty if the limit is fixed
	Max    int64  // the limit
	Need   int64  // the smallest limit that allows this part of the input; 0 if it is not known
}

// Error names the part that is too large, the limit, and the option that raises
// it.
func (e *LimitError) Error() string {
	text := e.Err.Error() + ": " + e.Detail
	if e.Option != "" {
		text += "; raise " + e.Option
	}
	return text
}

// Unwrap returns the kind of the error.
func (e *LimitError) Unwrap() error { return e.Err }

func isClosed(err error) bool {
	return errors.Is(err, fs.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
