package durable

import "errors"

var (
	// ErrCannotResume matches the error of a source that can be read only from
	// its beginning.
	ErrCannotResume = errors.New("cannot resume")

	// ErrInUse matches the error of a sink or an edge that another run uses.
	ErrInUse = errors.New("in use by another run")

	// ErrOther matches the error of a sink that has a part of another flow: of
	// another source, or with other stages.
	ErrOther = errors.New("part of another flow")
)
