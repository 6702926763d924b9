package pipe

// An operation on a pipe (a write, a reservation, a read, a view) is a sequence
// of steps. A step runs with mu held from beginning to end and never blocks. It
// says what the goroutine must do before the next step. [Gate.drive] does that
// for goroutines; a test does it for every order in which steps can follow one
// another.
//
// The rules that keep turns sound:
//
//   - s.taken means that exactly one operation has owned set on side s, or that
//     the turn has been sent to one that is still in its queue channel.
//   - Only the owner of a turn parks, so the token in s.park has one receiver.
//   - A writer without the turn adds its whole batch in one step, or nothing.
//   - A step that changes the state for which another party waits wakes that party.

// next is the action of an operation's goroutine after a step.
type next int8

const (
	finished next = iota // nothing: the operation is over
	queued               // waits for the turn
	parked               // waits until another goroutine makes room or adds values
	away                 // works without mu (copies, or calls the size function)
	adds                 // adds values; only between a writer and the gate
)

// turn is an operation's claim to the turn of its side.
type turn struct {
	owned bool
	ch    chan struct{} // where the turn arrives; nil unless the operation is queued
	err   error         // why the operation failed
}

// writing is the part of a write in progress that the gate knows: numbers.
type writing struct {
	of int // how many values the batch has
	n  int // how many of them were added

	// In a pipe with a size function: buf[at:to] are the running charges of the
	// next values of the batch.
	buf     []int64
	at, to  int
	largest int64
}

// charges returns the charges of the next values.
func (o *writing) charges() charges {
	c := charges{sums: o.buf[o.at:o.to], largest: o.largest}
	if o.at > 0 {
		c.base = o.buf[o.at-1]
	}
	return c
}

// weighed records that the charges of the next values are in buf.
func (o *writing) weighed(c charges) { o.at, o.to, o.largest = 0, len(c.sums), c.largest }

// wrote records that the next n values were added.
func (o *writing) wrote(n int) {
	o.n += n
	if o.to > 0 {
		o.at += n
	}
}

// writeOp is a write in progress, without its turn. Steps change only its
// numbers and keep no reference to its slices, so it stays on the writer's
// stack. The channel in turn would move it to the heap.
type writeOp[T any] struct {
	vs   []T // the batch
	view []T // free slots that are being filled without mu
	op   writing
}

// readOp is a read in progress.
type readOp struct {
	turn
	n     int  // how many values it waits for, if the pipe can hold as many
	most  int  // how many bytes it asks the writers of a rendezvous for
	view  bool // it needs the turn even if there are values
	asked int  // its share of the pipe's demand
}
