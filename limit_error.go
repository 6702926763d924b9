package weir

// LimitError is the error of input that exceeds a limit. The input may well be
// valid: it can be read with a higher limit. What decoders deliver before it
// is the same with any limit.
//
// LimitError matches the error of its kind with [errors.Is]: [ErrLimit],
// [ErrLineTooLong], [ErrFrameTooLarge], or one of package compress.
type LimitError struct {
	Err    error  // the kind
	Detail string // what is too large, where, and the limit: "line 3 (at byte 100) is longer than 1 MiB"
	Option string // the Go option that sets the limit: "MaxLine"; empty if the limit is fixed
	Max    int64  // the limit
	Need   int64  // the least limit with which this part of the input can be read; 0 if it is not known
}

// Error names what is too large, the limit, and the option that raises it.
func (e *LimitError) Error() string {
	text := e.Err.Error() + ": " + e.Detail
	if e.Option != "" {
		text += "; raise " + e.Option
	}
	return text
}

// Unwrap returns the kind of the error.
func (e *LimitError) Unwrap() error { return e.Err }
