package durable

import (
	"context"
	"io"

	"github.com/weir-go/weir"
)

// Position is a place in the bytes of a source.
type Position struct {
	// Version identifies the contents of the source: the Validator of an
	// endpoint, or the id of an edge.
	Version string `json:"version"`

	// Offset is the number of bytes before the position.
	Offset int64 `json:"offset"`
}

// Point is a place at which a stage can be continued.
type Point struct {
	Stage string `json:"stage,omitempty"` // the Name of the stage
	Out   int64  `json:"out,omitempty"`   // bytes of output that it made of the input before the position of the source
	State []byte `json:"state,omitempty"` // the state that the stage needs to continue
	Sum   uint64 `json:"sum,omitempty"`   // of the first Out bytes of its output, as in a Checkpoint
}

// Checkpoint says how far a flow has come, and from where it continues. The
// first Offset bytes of the output are made of the input before Source, and
// perhaps of a little more: a flow that continues repeats that part, compares
// its sum, and does not write it again.
//
// The zero Checkpoint is the beginning of a flow. A sink stores a Checkpoint as
// JSON and interprets only Offset, Sum and End.
type Checkpoint struct {
	// From is the name of the source, for messages.
	From string `json:"from"`

	// Source is where the source continues.
	Source Position `json:"source"`

	// Point is where the stage continues, if the flow has one.
	Point Point `json:"point,omitzero"`

	// Offset is the number of bytes of output.
	Offset int64 `json:"offset"`

	// Sum is the checksum of these bytes: their CRC-32C in the upper half, and
	// their CRC-32 (IEEE) in the lower one. The sum of the first bytes is all that
	// is needed to continue the calculation.
	Sum uint64 `json:"sum"`

	// End says that the stream has ended here, and that the sink has committed.
	End bool `json:"end,omitempty"`
}

// Source is a source that can begin where an earlier run stopped. One flow at a
// time uses it, from one goroutine at a time, except that Done can be called
// while its reader is being read.
type Source interface {
	// Name appears in errors and reports, and in checkpoints unless the source has
	// a method String. It contains no secrets.
	Name() string

	// Holds is the largest number of bytes that the source holds while it is
	// read.
	Holds() int64

	// Stat returns the version of the contents. If the source is an edge, it may
	// wait until there is one. If the source cannot resume, the error matches
	// [ErrCannotResume] and says why.
	Stat(ctx context.Context) (version string, err error)

	// Open begins at p. It returns an error that matches endpoint.ErrChanged if
	// the source has another version than p. Read returns io.EOF only at the end
	// of the whole source, and never bytes that a crash of the source could take
	// back. Closing the reader interrupts a Read.
	Open(ctx context.Context, p Position) (io.ReadCloser, error)

	// Done says that the part before offset will not be read again, because all
	// that was made of it is durable. An edge frees its space. Offsets never
	// decrease.
	Done(ctx context.Context, offset int64) error
}

// Sink stores bytes, and checkpoints together with them. One flow at a time uses
// it, and calls one method at a time, but not always from the same goroutine.
//
// A Sink that keeps a checkpoint with End only if a run was killed can have a
// method Forget(ctx context.Context) error, which is called after Open. A flow
// from another version of the source then begins anew, instead of failing.
//
// A Sink can have a method Pace() (bytes int64, age, idle time.Duration). The
// flow then saves whenever Offset is a multiple of bytes, instead of 8 MiB; when
// a byte has not been saved for age, instead of 250 ms; and when nothing was
// written for idle, instead of 250 ms.
type Sink interface {
	// Name appears in errors and reports. It contains no secrets.
	Name() string

	// Holds is the largest number of bytes that the sink holds while it is
	// written.
	Holds() int64

	// Open locks the sink and returns the last checkpoint, or the zero
	// Checkpoint if there is none. The next Write continues at its Offset. A sink
	// removes the bytes that it has stored behind that, or, if others can have
	// read them, compares them with the bytes written again, and does not store
	// them twice. ctx ends with the run.
	Open(ctx context.Context) (Checkpoint, error)

	// Write appends p, which it does not keep. It waits while an edge is full,
	// and returns when ctx ends.
	Write(ctx context.Context, p []byte) (int, error)

	// Save makes all bytes written so far durable, together with c, in one
	// step: after a crash, Open returns c or a later checkpoint.
	Save(ctx context.Context, c Checkpoint) error

	// Commit ends the stream: a file gets its name, an edge marks the end with
	// the length and the sum. c has End set. All bytes have been saved. A later
	// Open returns c, as long as the sink remembers it.
	Commit(ctx context.Context, c Checkpoint) error

	// Close ends the use of the sink. Without Commit everything that was saved
	// stays, to be continued.
	Close() error
}

// Stage is a stage that can be continued at some places.
//
// Its output must be the same bytes for the same input, no matter where it is
// continued.
type Stage struct {
	// Name identifies the stage and its arguments, such as "gzip:level=9". A flow
	// is not continued by one whose stages have other names.
	Name string

	// Resume returns the stage. When a run begins, the stage calls from to find
	// where: after in bytes of input and out bytes of output, with its state at
	// that place. All are zero at the beginning of the stream. From then on the
	// stage calls at for each place where it can be continued, in order, and
	// before it passes on output behind that place.
	Resume func(from func() (in, out int64, state []byte), at func(in, out int64, state []byte)) weir.Stage[byte, byte]
}
