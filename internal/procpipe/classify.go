package procpipe

import "strings"

// full is the part of a pipe from which it certainly takes no more. A writer can
// be blocked from half of that on, since a pipe has room for pages and not all of
// them have to be full.
const (
	full = 0.9
	half = 0.45
)

// tasks says what the threads of a process wait for.
type tasks struct {
	known   bool
	running bool // one runs or waits for a processor
	reads   bool // one waits to read from a pipe
	writes  bool // one waits to write to a pipe
	pipe    bool // one waits for a pipe; an older kernel does not report for which end
	child   bool // one waits for a child to end
}

// see adds the activity of one thread: its state as in /proc/PID/stat, and the
// function of the kernel in which it waits.
func (t *tasks) see(st byte, wchan string) {
	t.known = true
	switch {
	case st == 'R':
		t.running = true
	case strings.Contains(wchan, "pipe_write"), strings.Contains(wchan, "pipe_wait_writable"), wchan == "wait_for_space", wchan == "opipe_prep":
		t.writes = true
	case strings.Contains(wchan, "pipe_read"), strings.Contains(wchan, "pipe_wait_readable"), strings.HasPrefix(wchan, "splice_from_pipe"), wchan == "ipipe_prep":
		t.reads = true
	case wchan == "pipe_wait":
		t.pipe = true
	case wchan == "do_wait", wchan == "kernel_wait4":
		t.child = true
	}
}

// classify returns the state of a process at this moment, apart from processor
// time, which is counted separately. It looks at the pipes before and after the
// process first. If these leave the state open, it calls look and examines the
// threads. For a program whose threads wait in epoll or futex, only its pipes
// help.
func classify(in, out []Fill, look func() tasks) state {
	known := len(in)+len(out) == 0
	empty, anyEmpty := len(in) > 0, false
	for _, f := range in {
		known = known || f.Known
		if !f.Known || f.Bytes > 0 {
			empty = false
		} else {
			anyEmpty = true
		}
	}
	anyOut, most := len(out) == 0, 0.0
	for _, f := range out {
		known = known || f.Known
		anyOut = anyOut || !f.Known || f.Bytes > 0
		most = max(most, f.share())
	}
	switch {
	case most >= full && !empty:
		return blocked
	case empty && most < half:
		return starved
	}
	t := look()
	switch {
	case t.writes && anyOut:
		return blocked
	case t.reads && (anyEmpty || len(in) == 0 || !known):
		return starved
	case t.pipe && (most >= half || len(out) == 0):
		return blocked
	case t.pipe && anyEmpty:
		return starved
	case t.running:
		return busy
	case empty: // and its output is full too: both ends wait
		return starved
	case most >= half:
		return blocked
	case t.child:
		return busy
	case t.known && known:
		return outside
	}
	return unknown
}
