package procpipe

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// end is a descriptor of a pipe.
type end struct {
	fd          int
	inode       uint64
	read, write bool
}

// holder is a process with the pipes that it has.
type holder struct {
	*Process
	ends []end
	age  float64 // in seconds
}

// world is all that Find knows of the processes of this machine.
type world struct {
	self    int
	holders map[int]*holder // those that can be read
	hidden  []*Process      // those that may not
	parents map[int]int     // of all processes
	relays  map[int]bool    // see findRelays

	// written reports whether a pipe that nobody visible writes to has a writer
	// nevertheless.
	written func(inode uint64, at look) bool
}

// ancestors lists the processes above pid, the nearest first.
func (w *world) ancestors(pid int) (list []int) {
	for p := w.parents[pid]; p > 0 && !slices.Contains(list, p); p = w.parents[p] {
		list = append(list, p)
	}
	return list
}

// descends reports whether a process is below another one.
func (w *world) descends(pid, from int) bool { return slices.Contains(w.ancestors(pid), from) }

// findRelays finds the processes by which zsh gives one output to several
// commands, or one command several inputs. Such a relay is a shell that only
// copies: it alone holds ends to read and ends to write, under any number.
func (w *world) findRelays(pipes []*pipeEnds) {
	w.relays = map[int]bool{}
	reads := map[int]bool{}
	for _, p := range pipes {
		if len(p.reads) == 1 && len(p.writers) > 0 && !w.meant(p.reads[0], false) {
			reads[p.reads[0].pid] = true
		}
	}
	for _, p := range pipes {
		if len(p.writers) == 1 && len(p.reads) > 0 && !w.meant(p.writers[0], true) && reads[p.writers[0].pid] {
			w.relays[p.writers[0].pid] = true
		}
	}
}

// hold is an end of a pipe in the hands of a process.
type hold struct {
	pid int
	fds []int
}

// pipeEnds are all that hold the two ends of a pipe.
type pipeEnds struct {
	inode          uint64
	writers, reads []hold
}

func (w *world) pipes() []*pipeEnds {
	byInode := map[uint64]*pipeEnds{}
	for pid, h := range w.holders {
		for _, e := range h.ends {
			p := byInode[e.inode]
			if p == nil {
				p = &pipeEnds{inode: e.inode}
				byInode[e.inode] = p
			}
			if e.write {
				p.writers = holds(p.writers, pid, e.fd)
			}
			if e.read {
				p.reads = holds(p.reads, pid, e.fd)
			}
		}
	}
	list := make([]*pipeEnds, 0, len(byInode))
	for _, p := range byInode {
		list = append(list, p)
		for _, side := range [][]hold{p.writers, p.reads} {
			slices.SortFunc(side, func(a, b hold) int { return cmp.Compare(a.pid, b.pid) })
		}
	}
	slices.SortFunc(list, func(a, b *pipeEnds) int { return cmp.Compare(a.inode, b.inode) })
	return list
}

func holds(list []hold, pid, fd int) []hold {
	for i := range list {
		if list[i].pid == pid {
			list[i].fds = append(list[i].fds, fd)
			return list
		}
	}
	return append(list, hold{pid, []int{fd}})
}

func find(list []hold, pid int) *hold {
	for i := range list {
		if list[i].pid == pid {
			return &list[i]
		}
	}
	return nil
}

// meant reports whether the process has the descriptor to use it: as a standard
// stream, or because its arguments name it, as with process substitution. Others
// may be left over from the shell.
func (w *world) meant(h hold, write bool) bool {
	for _, fd := range h.fds {
		if fd == 0 && !write || (fd == 1 || fd == 2) && write || w.named(h.pid, fd) {
			return true
		}
	}
	return false
}

func (w *world) named(pid, fd int) bool {
	p := w.holders[pid]
	return p != nil && slices.ContainsFunc(p.Args, func(a string) bool {
		n := strconv.Itoa(fd)
		return strings.HasSuffix(a, "/dev/fd/"+n) || strings.HasSuffix(a, "/proc/self/fd/"+n)
	})
}

// users returns the holders in side that use the end and did not just inherit
// it. A descriptor that a shell passes on belongs to the command that the shell
// runs. A descriptor that a command got by accident belongs to the process that
// it comes from.
func (w *world) users(side []hold, write bool) (list []hold) {
	for _, h := range side {
		if w.meant(h, write) {
			list = append(list, h)
		}
	}
	meant := len(list) > 0
	if !meant {
		list = side
	}
	return slices.DeleteFunc(slices.Clone(list), func(h hold) bool {
		return slices.ContainsFunc(list, func(o hold) bool {
			if meant {
				return w.descends(o.pid, h.pid) && !w.passing(o.pid, h.pid)
			}
			return w.descends(h.pid, o.pid)
		}) || meant && slices.ContainsFunc(list, func(o hold) bool { return w.descends(h.pid, o.pid) && w.passing(h.pid, o.pid) })
	})
}

// passing reports whether a process is one of the many that a loop of the shell
// above it runs: the shell then stays in the pipeline instead.
func (w *world) passing(pid, shell int) bool {
	p, s := w.holders[pid], w.holders[shell]
	return p != nil && s != nil && p.age < 1 && s.age > 1
}

// joined reports whether data flows over the pipe from a process to another, as
// far as descriptors tell. A descriptor that an ancestor of both holds too was
// inherited and means nothing, with one exception: in a process substitution,
// the shell keeps its end until the command that names it has ended.
func (w *world) joined(p *pipeEnds, from, to hold) bool {
	if from.pid == to.pid || find(p.reads, from.pid) != nil || find(p.writers, to.pid) != nil {
		return false // a process with both ends has them for itself, or for its children
	}
	// A program can have any descriptor for a pipe to its own child. Between
	// others only those count that they were given to use: the rest are inherited
	// by accident.
	if !w.meant(from, true) && !w.descends(to.pid, from.pid) && !w.relays[from.pid] ||
		!w.meant(to, false) && !w.descends(from.pid, to.pid) && !w.relays[to.pid] {
		return false
	}
	above := w.ancestors(from.pid)
	for i, c := range above {
		cw, cr := find(p.writers, c), find(p.reads, c)
		switch {
		case c == to.pid:
			// The pipe that a shell between the two holds is standard output of
			// all that it runs, and to collects it.
			return !slices.ContainsFunc(above[:i], func(c int) bool { return find(p.writers, c) != nil })
		case cw == nil && cr == nil, !w.descends(to.pid, c):
		case cw != nil && cr != nil:
			return false
		case cw != nil && !w.substituted(*cw, from), cr != nil && !w.substituted(*cr, to):
			return false
		}
	}
	above = w.ancestors(to.pid)
	if i := slices.Index(above, from.pid); i > 0 {
		return !slices.ContainsFunc(above[:i], func(c int) bool { return find(p.reads, c) != nil })
	}
	return true
}

// substituted reports whether the shell has the end for an argument of the
// command.
func (w *world) substituted(shell, command hold) bool {
	return slices.ContainsFunc(command.fds, func(fd int) bool {
		return w.named(command.pid, fd) && slices.Contains(shell.fds, fd)
	})
}

// edge is a pipe from one process to another.
type edge struct {
	inode    uint64
	from, to int // pid
	looks    []look
}

// edges finds all pipes between two processes, in the order of their inodes.
func (w *world) edges() (list []edge) {
	pipes := w.pipes()
	w.findRelays(pipes)
	for _, p := range pipes {
		writers, reads := w.users(p.writers, true), w.users(p.reads, false)
		var looks []look
		for _, side := range [][]hold{reads, writers} {
			for _, h := range side {
				looks = append(looks, look{h.pid, h.fds[0]})
			}
		}
		for _, from := range writers {
			for _, to := range reads {
				if from.pid != w.self && to.pid != w.self && w.joined(p, from, to) {
					list = append(list, edge{p.inode, from.pid, to.pid, looks})
				}
			}
		}
	}
	// Two processes with pipes both ways talk to each other, as an editor does
	// with its language server: that is no pipeline.
	all := slices.Clone(list)
	return slices.DeleteFunc(list, func(e edge) bool {
		return slices.ContainsFunc(all, func(o edge) bool { return o.from == e.to && o.to == e.from })
	})
}

// guess places processes that may not be read: where a standard stream leads to
// nobody visible, and one of the same process group could be there. A shell
// starts the processes of a pipeline from left to right.
func (w *world) guess(known []edge) (list []edge) {
	groups := map[int][]*Process{}
	ours := map[int]bool{}
	for _, h := range w.holders {
		ours[h.Group] = true
	}
	w.hidden = slices.DeleteFunc(w.hidden, func(p *Process) bool { return !ours[p.Group] })
	for _, p := range w.hidden {
		p.below = nil
		for _, o := range w.hidden {
			if w.descends(o.PID, p.PID) {
				p.below = append(p.below, o.PID)
			}
		}
		if !slices.ContainsFunc(w.hidden, func(o *Process) bool { return o.Group == p.Group && w.descends(p.PID, o.PID) }) {
			groups[p.Group] = append(groups[p.Group], p)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	for _, h := range w.holders {
		if len(groups[h.Group]) > 0 && h.PID != w.self {
			groups[h.Group] = append(groups[h.Group], h.Process)
		}
	}
	ends := map[uint64]*pipeEnds{}
	for _, p := range w.pipes() {
		ends[p.inode] = p
	}
	linked := func(pid, fd int) bool {
		return slices.ContainsFunc(known, func(e edge) bool { return fd == 1 && e.from == pid || fd == 0 && e.to == pid })
	}
	for _, members := range groups {
		slices.SortFunc(members, func(a, b *Process) int {
			return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.PID, b.PID))
		})
		in, out := map[int]bool{}, map[int]bool{} // hidden ones that have an edge
		for i, p := range members {
			if p.Hidden {
				continue
			}
			for _, e := range w.holders[p.PID].ends {
				switch {
				case e.fd == 1 && e.write && len(ends[e.inode].reads) == 0 && !linked(p.PID, 1):
					if o := nextHidden(members[i+1:]); o != nil {
						list = append(list, edge{e.inode, p.PID, o.PID, []look{{p.PID, 1}}})
						in[o.PID] = true
					}
				case e.fd == 0 && e.read && len(ends[e.inode].writers) == 0 && !linked(p.PID, 0) && w.written(e.inode, look{p.PID, 0}):
					before := slices.Clone(members[:i])
					slices.Reverse(before)
					if o := nextHidden(before); o != nil {
						list = append(list, edge{e.inode, o.PID, p.PID, []look{{p.PID, 0}}})
						out[o.PID] = true
					}
				}
			}
		}
		for i := range len(members) - 1 {
			a, b := members[i], members[i+1]
			if a.Hidden && b.Hidden && !out[a.PID] && !in[b.PID] && (in[a.PID] || out[b.PID]) {
				list = append(list, edge{from: a.PID, to: b.PID})
				out[a.PID], in[b.PID] = true, true
			}
		}
	}
	slices.SortFunc(list, func(a, b edge) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return list
}

func nextHidden(list []*Process) *Process {
	for _, p := range list {
		if p.Hidden {
			return p
		}
	}
	return nil
}

// pipelines joins the edges.
func (w *world) pipelines() []*Pipeline {
	edges := w.edges()
	edges = append(edges, w.guess(edges)...)
	byPID := map[int]*Process{}
	for pid, h := range w.holders {
		byPID[pid] = h.Process
	}
	for _, p := range w.hidden {
		byPID[p.PID] = p
	}
	root := map[int]int{}
	var top func(int) int
	top = func(pid int) int {
		if r, ok := root[pid]; ok && r != pid {
			return top(r)
		}
		root[pid] = pid
		return pid
	}
	for _, e := range edges {
		root[top(e.from)] = top(e.to)
	}
	groups := map[int][]edge{}
	for _, e := range edges {
		groups[top(e.from)] = append(groups[top(e.from)], e)
	}
	var list []*Pipeline
	for _, es := range groups {
		p := pipeline(es, byPID)
		p.Collected = !slices.ContainsFunc(es, func(e edge) bool { return !w.descends(e.from, e.to) })
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Pipeline) int { // the youngest first
		return cmp.Or(cmp.Compare(b.started(), a.started()), cmp.Compare(b.Processes[0].PID, a.Processes[0].PID))
	})
	return list
}

// pipeline makes one of connected edges.
func pipeline(edges []edge, byPID map[int]*Process) *Pipeline {
	p := &Pipeline{}
	place := map[int]int{}
	for _, pid := range inOrder(edges, byPID) {
		place[pid] = len(p.Processes)
		p.Processes = append(p.Processes, byPID[pid])
	}
	for _, e := range edges {
		i := slices.IndexFunc(p.Pipes, func(o Pipe) bool { return o.Inode == e.inode && e.inode != 0 })
		if i < 0 {
			i = len(p.Pipes)
			p.Pipes = append(p.Pipes, Pipe{Inode: e.inode, looks: e.looks})
		}
		pipe := &p.Pipes[i]
		if from := place[e.from]; !slices.Contains(pipe.From, from) {
			pipe.From = append(pipe.From, from)
		}
		if to := place[e.to]; !slices.Contains(pipe.To, to) {
			pipe.To = append(pipe.To, to)
		}
	}
	slices.SortStableFunc(p.Pipes, func(a, b Pipe) int {
		return cmp.Or(cmp.Compare(slices.Min(a.From), slices.Min(b.From)), cmp.Compare(slices.Min(a.To), slices.Min(b.To)))
	})
	return p
}

// inOrder lists the processes so that writers come before their readers, where
// there is no circle, and older ones first.
func inOrder(edges []edge, byPID map[int]*Process) (order []int) {
	var left []int
	for _, e := range edges {
		for _, pid := range []int{e.from, e.to} {
			if !slices.Contains(left, pid) {
				left = append(left, pid)
			}
		}
	}
	slices.SortFunc(left, func(a, b int) int {
		return cmp.Or(cmp.Compare(byPID[a].Started, byPID[b].Started), cmp.Compare(a, b))
	})
	for len(left) > 0 {
		ready := slices.IndexFunc(left, func(pid int) bool {
			return !slices.ContainsFunc(edges, func(e edge) bool { return e.to == pid && slices.Contains(left, e.from) })
		})
		ready = max(0, ready)
		order = append(order, left[ready])
		left = slices.Delete(left, ready, ready+1)
	}
	return order
}
