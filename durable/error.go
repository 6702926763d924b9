package durable

import "errors"

var (
	// ErrCannotResume matches the error of a source that can be read only from
	// its beginning.
	ErrCannotResume = errors.New("cannot resume")

	// ErrInUse matches the error of a sink or an edge that another run uses.
	ErrInUse = errors.New("in use by another run")

	// ErrOther matches the error of a flow whose sink has a part of the output of
	// another stage.
	ErrOther = errors.New("part of another flow")

	// ErrStopped is returned by Run if the flow was stopped before its source had
	// ended. The bytes that it has written are saved, and the next run continues
	// there.
	ErrStopped = errors.New("stopped before the end of the source")
)
