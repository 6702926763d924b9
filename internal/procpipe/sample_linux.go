package procpipe

import (
	"maps"
	"slices"
	"time"
)

// Sampler adds up the activity of processes. The zero value is ready. It is for
// one goroutine at a time.
type Sampler struct {
	totals Totals
	marks  map[ID]mark
}

// mark is the last look at a process.
type mark struct {
	at    time.Time
	cpu   time.Duration
	queue time.Duration // that it waited for a processor; -1: unknown
	waits state         // the last state of waiting that was seen; busy: none
}

// Sample looks once at the pipes and processes of the pipelines. It forgets
// processes that are in none of them any more.
func (s *Sampler) Sample(pipelines []*Pipeline) error {
	if s.marks == nil {
		s.marks = map[ID]mark{}
		s.totals = Totals{Processes: map[ID]Times{}, Pipes: map[uint64]Level{}}
	}
	s.totals.Samples++
	processes, pipes := map[ID]bool{}, map[uint64]bool{}
	for _, line := range pipelines {
		s.line(line)
		for _, p := range line.Processes {
			processes[p.ID()] = true
		}
		for _, p := range line.Pipes {
			pipes[p.Inode] = true
		}
	}
	maps.DeleteFunc(s.totals.Processes, func(id ID, _ Times) bool { return !processes[id] })
	maps.DeleteFunc(s.marks, func(id ID, _ mark) bool { return !processes[id] })
	maps.DeleteFunc(s.totals.Pipes, func(inode uint64, _ Level) bool { return !pipes[inode] })
	s.totals.At = time.Now()
	return nil
}

// Totals returns a copy of the sums.
func (s *Sampler) Totals() Totals {
	t := s.totals
	t.Processes, t.Pipes = maps.Clone(t.Processes), maps.Clone(t.Pipes)
	return t
}

func (s *Sampler) line(line *Pipeline) {
	stats := make([]*stat, len(line.Processes)) // nil: ended
	for i, p := range line.Processes {
		st, err := readStat(p.PID)
		if err == nil && st.started == p.Started && !st.ended() {
			stats[i] = &st
		}
	}
	alive := func(list []int) bool {
		return slices.ContainsFunc(list, func(i int) bool { return stats[i] != nil })
	}
	in, out := make([][]Fill, len(stats)), make([][]Fill, len(stats))
	for i := range line.Pipes {
		pipe := &line.Pipes[i]
		f := pipe.fill()
		if f.Known {
			l := s.totals.Pipes[pipe.Inode]
			l.Looks++
			l.Sum += f.share()
			l.Last = f
			s.totals.Pipes[pipe.Inode] = l
		}
		for _, to := range pipe.To {
			if alive(pipe.From) || f.Known && f.Bytes > 0 { // else this input has ended
				in[to] = append(in[to], f)
			}
		}
		for _, from := range pipe.From {
			if alive(pipe.To) {
				out[from] = append(out[from], f)
			}
		}
	}
	for i, p := range line.Processes {
		s.process(p, stats[i], in[i], out[i])
	}
}

// process adds the time since the last look: the time that the process ran, or
// waited for a processor, is busy, and the rest counts for its current state.
//
// The sampler itself can make a process look busy: it wakes on an idle processor, and
// the process that would have woken there is runnable but does not run. Where the
// kernel counts the time that a process is runnable, the rest of the time was spent
// waiting for something else, so it counts for the last wait that the sampler saw.
func (s *Sampler) process(p *Process, st *stat, in, out []Fill) {
	id := p.ID()
	t := s.totals.Processes[id]
	defer func() { s.totals.Processes[id] = t }()
	if t.Ended = st == nil; t.Ended {
		t.Stopped = false
		return
	}
	t.Stopped = st.state == 'T' || st.state == 't'
	now := mark{at: time.Now(), cpu: p.cpu(st), queue: p.queue(st)}
	last, known := s.marks[id]
	now.waits = last.waits
	defer func() { s.marks[id] = now }()
	if !known {
		now.waits = busy
		return
	}
	passed := now.at.Sub(last.at)
	cpu := max(0, now.cpu-last.cpu)
	ran := min(cpu, passed)
	t.Wall += passed
	t.CPU += cpu
	counted := now.queue >= 0 && last.queue >= 0
	if counted {
		ran += max(0, min(now.queue-last.queue, passed-ran))
	}
	t.Busy += ran
	running := false
	does := classify(in, out, func() tasks {
		ts := p.tasks(st)
		running = ts.running
		return ts
	})
	switch {
	case does == busy && running && counted:
		does = last.waits
	case does == blocked, does == starved, does == outside:
		now.waits = does
	}
	t.add(does, passed-ran)
}
