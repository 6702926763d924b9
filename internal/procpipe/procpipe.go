// Package procpipe finds the shell pipelines that run on this machine and
// measures where the time of their processes goes, from outside: none of the
// processes has to cooperate, and none of them notices.
//
// [Find] joins processes by the inodes of the pipes between them. A [Sampler]
// looks at these pipes and processes again and again and adds up for how long
// each process was busy, blocked, starved or waiting for something else. Only
// Linux has the interfaces that this needs; on other systems they return an
// error that matches [errors.ErrUnsupported].
//
// A pipe is looked at through a read end of our own, which is open for some
// microseconds. A write end is never opened, since it would hold back the end of
// the data, and a read end is never kept, since it would hold back EPIPE.
package procpipe

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnsupported is the error of Find and Sample on systems other than Linux.
var ErrUnsupported = fmt.Errorf("no way to look at the pipes of other processes on this system: %w", errors.ErrUnsupported)

// Process is a process of a pipeline.
type Process struct {
	PID      int
	Parent   int
	Group    int    // its process group
	Session  int    // its session
	Terminal int    // number of its controlling terminal, 0 if it has none
	UID      int    // its owner; 0 too if the system protects it from being read
	Started  uint64 // in clock ticks since boot; with PID it identifies one process
	Command  string // as the kernel knows it: at most 15 bytes
	Args     []string

	// Hidden means that the descriptors of the process may not be read. Its place
	// in the pipeline is then a guess from its process group and start time.
	Hidden bool

	below []int // processes that a hidden one has started
}

// Pipe is a pipe between processes of a pipeline.
type Pipe struct {
	Inode uint64 // 0 if neither end can be seen
	From  []int  // writers, as places in Pipeline.Processes
	To    []int  // readers, in the same way

	looks []look // the descriptors to look at it through, readers first
}

// look names a descriptor of a process.
type look struct{ pid, fd int }

// Pipeline is a set of processes that pipes connect.
type Pipeline struct {
	Processes []*Process // writers before their readers
	Pipes     []Pipe     // in the order of their writers

	// Collected means that every pipe leads from a process to one that has
	// started it, as when a program or a script collects the output of a command.
	// No shell has joined these processes.
	Collected bool
}

// Has reports whether the pipeline includes the process.
func (p *Pipeline) Has(pid int) bool {
	for _, m := range p.Processes {
		if m.PID == pid {
			return true
		}
	}
	return false
}

// Paths returns every way through the pipeline from a source to a sink, as
// places in Processes, and at most limit of them. A pipeline without branches
// has one.
func (p *Pipeline) Paths(limit int) (paths [][]int) {
	next := make([][]int, len(p.Processes))
	fed := make([]bool, len(p.Processes))
	for _, pipe := range p.Pipes {
		for _, from := range pipe.From {
			next[from] = append(next[from], pipe.To...)
		}
		for _, to := range pipe.To {
			fed[to] = true
		}
	}
	on := make([]bool, len(p.Processes))
	var path []int
	var walk func(int)
	walk = func(i int) {
		if len(paths) >= limit {
			return
		}
		on[i] = true
		path = append(path, i)
		end := true
		for _, n := range next[i] {
			if !on[n] { // a circle is walked once
				end = false
				walk(n)
			}
		}
		if end {
			paths = append(paths, append([]int(nil), path...))
		}
		path = path[:len(path)-1]
		on[i] = false
	}
	for i := range p.Processes {
		if !fed[i] {
			walk(i)
		}
	}
	if len(paths) == 0 && len(p.Processes) > 0 {
		walk(0) // all of it is a circle
	}
	return paths
}

func (p *Pipeline) started() (t uint64) {
	for _, m := range p.Processes {
		t = max(t, m.Started)
	}
	return t
}

// Times says where the time of a process went. The last five add up to Wall.
type Times struct {
	Wall time.Duration // for which it was watched, until it ended

	Busy    time.Duration // it ran, or waited for a processor or for its own children
	Blocked time.Duration // its output was full
	Starved time.Duration // its input was empty
	Outside time.Duration // it waited for something else: a disk, a network, a timer
	Unknown time.Duration // nothing readable shows the state

	CPU     time.Duration // processor time of all its threads; the part of it beyond one core is not in Busy
	Ended   bool
	Stopped bool // by a signal, when it was last looked at
}

func (t *Times) add(s state, d time.Duration) {
	switch s {
	case busy:
		t.Busy += d
	case blocked:
		t.Blocked += d
	case starved:
		t.Starved += d
	case outside:
		t.Outside += d
	default:
		t.Unknown += d
	}
}

// Sub returns the times since an earlier look.
func (t Times) Sub(earlier Times) Times {
	return Times{
		Wall: t.Wall - earlier.Wall, Busy: t.Busy - earlier.Busy, Blocked: t.Blocked - earlier.Blocked,
		Starved: t.Starved - earlier.Starved, Outside: t.Outside - earlier.Outside, Unknown: t.Unknown - earlier.Unknown,
		CPU: t.CPU - earlier.CPU, Ended: t.Ended, Stopped: t.Stopped,
	}
}

// Fill says how full a pipe is.
type Fill struct {
	Known bool
	Bytes int64 // that wait in it
	Size  int64 // that it can hold
}

// share returns the part of the pipe that is used.
func (f Fill) share() float64 {
	if f.Size <= 0 {
		return 0
	}
	return min(1, float64(f.Bytes)/float64(f.Size))
}

// Level has the observations of a pipe.
type Level struct {
	Looks int     // that succeeded
	Sum   float64 // of the used parts, 0 to 1 each
	Last  Fill
}

// Sub returns the observations since an earlier look.
func (l Level) Sub(earlier Level) Level {
	return Level{l.Looks - earlier.Looks, l.Sum - earlier.Sum, l.Last}
}

// Mean returns the part of the pipe that was used on average, 0 to 1.
func (l Level) Mean() float64 {
	if l.Looks == 0 {
		return 0
	}
	return l.Sum / float64(l.Looks)
}

// ID identifies one process, also after its PID is reused.
type ID struct {
	PID     int
	Started uint64
}

// ID returns the name of the process.
func (p *Process) ID() ID { return ID{p.PID, p.Started} }

// Totals are the sums of a Sampler since it began.
type Totals struct {
	At        time.Time
	Samples   int
	Processes map[ID]Times
	Pipes     map[uint64]Level
}

// state is the state of a process at one look.
type state int

const (
	unknown state = iota
	busy
	blocked
	starved
	outside
)

// Scan has the processes and pipes of this machine.
type Scan struct {
	Pipelines []*Pipeline // the youngest first
	Self      Process     // the process that asked; it is in none of the pipelines
	parents   map[int]int
}

// Below reports whether a process was started, directly or not, by another one.
func (s *Scan) Below(pid, above int) bool {
	w := world{parents: s.parents}
	return w.descends(pid, above)
}
