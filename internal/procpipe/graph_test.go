package procpipe

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// one is a process of a test: "12<10 gzip -9: 0r7 1w8" has the number 12, the
// parent 10, two arguments, and the pipes 7 and 8 as descriptors 0 and 1.
func one(t *testing.T, text string) *holder {
	t.Helper()
	before, after, _ := strings.Cut(text, ":")
	ids, args, _ := strings.Cut(before, " ")
	h := &holder{Process: &Process{}, age: 10}
	if _, err := fmt.Sscanf(ids, "%d<%d", &h.PID, &h.Parent); err != nil {
		t.Fatal(text, err)
	}
	h.Args, h.Started, h.Group = strings.Fields(args), uint64(h.PID), 1
	for _, f := range strings.Fields(after) {
		var e end
		var how rune
		switch {
		case f == "young":
			h.age = 0.1
		case f == "hidden":
			h.Hidden = true
		default:
			if _, err := fmt.Sscanf(f, "%d%c%d", &e.fd, &how, &e.inode); err != nil {
				t.Fatal(text, err)
			}
			e.read, e.write = how != 'w', how != 'r'
			h.ends = append(h.ends, e)
		}
	}
	return h
}

// chains describes the pipelines of a world: "11-12" is a pipe from 11 to 12.
func chains(t *testing.T, self int, processes ...string) (list []string) {
	t.Helper()
	w := &world{self: self, holders: map[int]*holder{}, parents: map[int]int{}, written: func(inode uint64, _ look) bool { return inode < 100 }}
	for _, text := range processes {
		h := one(t, text)
		w.parents[h.PID] = h.Parent
		if h.Hidden {
			w.hidden = append(w.hidden, h.Process)
		} else {
			w.holders[h.PID] = h
		}
	}
	for _, p := range w.pipelines() {
		var edges []string
		for _, pipe := range p.Pipes {
			for _, from := range pipe.From {
				for _, to := range pipe.To {
					edges = append(edges, fmt.Sprintf("%d-%d", p.Processes[from].PID, p.Processes[to].PID))
				}
			}
		}
		text := strings.Join(edges, " ")
		if p.Collected {
			text += " collected"
		}
		list = append(list, text)
	}
	return list
}

func TestPipelines_AreWhatPipesJoin(t *testing.T) {
	for _, c := range []struct {
		name      string
		processes []string
		want      []string
	}{
		{"a pipeline of three", []string{"10<1 bash:", "11<10 tar: 1w7", "12<10 gzip: 0r7 1w8", "13<10 ssh: 0r8"}, []string{"11-12 12-13"}},
		{"two pipelines, the younger first", []string{"11<10 a: 1w7", "12<10 b: 0r7", "21<10 c: 1w8", "22<10 d: 0r8"}, []string{"21-22", "11-12"}},
		{"no pipes", []string{"11<10 a:", "12<10 b:"}, nil},
		{"a pipe of its own", []string{"11<10 a: 5r7 6w7"}, nil},
		{"the process that asks", []string{"11<10 weir: 1w7", "12<10 less: 0r7"}, nil},
		{"standard error leads on too", []string{"12<10 a: 1w7 2w7", "13<10 b: 0r7"}, []string{"12-13"}},
		{"a subshell passes its output on", []string{"20<10 bash: 1w7", "21<20 tar: 1w7", "22<10 gzip: 0r7"}, []string{"21-22"}},
		{"a loop stays when its commands pass", []string{"20<10 bash: 0r7", "21<20 gzip: 0r7 young", "22<10 tar: 1w7"}, []string{"22-20"}},
		{"a pipeline in a subshell", []string{"20<10 bash: 1w7", "21<20 a: 1w8", "22<20 b: 0r8 1w7", "23<10 c: 0r7"}, []string{"21-22 22-23"}},
		{"tee with two substitutions, one of which inherits the other's pipe", []string{
			"20<10 tee /dev/fd/63 /dev/fd/62: 0r6 63w7 62w8", "21<20 gzip: 0r7", "22<20 xz: 0r8 63w7", "19<10 cat: 1w6",
		}, []string{"19-20 20-21 20-22"}},
		{"substitution of which the shell keeps its end", []string{"10<1 bash: 63w7", "20<10 tee /dev/fd/63: 63w7", "21<10 gzip: 0r7"}, []string{"20-21"}},
		{"substitutions that are read", []string{
			"10<1 bash: 63r7 62r8", "20<10 zcat: 1w7", "21<10 zcat: 1w8 63r7", "22<10 diff /dev/fd/63 /dev/fd/62: 63r7 62r8",
		}, []string{"20-22 21-22"}},
		{"a parent that keeps an end", []string{"10<1 python: 4r7", "11<10 a: 1w7", "12<10 b: 0r7"}, nil},
		{"a grandparent that keeps both ends", []string{"9<1 make: 3r7 4w7", "10<9 sh:", "11<10 a: 1w7", "12<10 b: 0r7"}, nil},
		{"the tokens of make", []string{"10<1 make: 3r7 4w7", "11<10 cc: 3r7 4w7", "12<10 cc: 3r7 4w7"}, nil},
		{"output that a program collects from all that a shell runs", []string{
			"9<1 ci: 5r7", "10<9 bash: 1w7 2w7", "11<10 tar: 1w8 2w7", "12<10 gzip: 0r8 1w7 2w7",
		}, []string{"11-12"}},
		{"output that a program collects from a command", []string{"9<1 go: 5r7", "11<9 compile: 1w7"}, []string{"11-9 collected"}},
		{"a program that feeds a command", []string{"9<1 tar: 4w7", "11<9 gzip: 0r7"}, []string{"9-11"}},
		{"a program that talks to a server", []string{"9<1 editor: 4w7 5r8", "11<9 gopls: 0r7 1w8"}, nil},
		{"a descriptor that every process inherits", []string{"9<1 ci: 5r7", "10<9 bash: 251w7", "11<10 a: 1w8 251w7", "12<10 b: 0r8 251w7"}, []string{"11-12"}},
		{"a descriptor that a process has inherited from one that has ended", []string{"9<1 ci: 5r7", "20<1 sleep: 251w7"}, nil},
		{"a relay of zsh", []string{"20<10 cat: 1w5 251w4", "21<20 gzip: 0r7 251w4", "22<20 xz: 0r8 251w4", "23<20 zsh: 12w7 13r5 14w8 251w4", "9<1 ci: 3r4"}, []string{"20-23 23-21 23-22"}},
		{"a descriptor of the shell for its command", []string{"9<1 bash: 3w7", "20<9 gzip: 0r7"}, []string{"9-20"}},
		{"two that write to one", []string{"11<10 a: 1w7", "12<10 b: 1w7", "13<10 c: 0r7"}, []string{"11-13 12-13"}},
		{"a circle", []string{"11<10 a: 0r9 1w7", "12<10 b: 0r7 1w8", "13<10 c: 0r8 1w9"}, []string{"11-12 12-13 13-11"}},
		{"one in the middle that may not be read", []string{"11<10 a: 1w7", "12<10 sudo: hidden", "13<10 c: 0r8"}, []string{"11-12 12-13"}},
		{"two in the middle that may not be read", []string{"11<10 a: 1w7", "12<10 sudo: hidden", "13<10 sudo: hidden", "14<10 c: 0r8"}, []string{"11-12 12-13 13-14"}},
		{"one at the end that may not be read, with its child", []string{"11<10 a: 1w7", "12<10 sudo: hidden", "13<12 gzip: hidden"}, []string{"11-12"}},
		{"one that may not be read beside an input that has ended", []string{"11<10 sudo: hidden", "12<10 sort: 0r107"}, nil},
		{"one that may not be read and has nothing to do with it", []string{"11<10 a: 1w7", "12<10 b: 0r7", "13<10 sudo: hidden"}, []string{"11-12"}},
	} {
		self := 0
		if c.name == "the process that asks" {
			self = 11
		}
		if got := chains(t, self, c.processes...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPaths_GoFromEverySourceToEverySink(t *testing.T) {
	three := []*Process{{PID: 1}, {PID: 2}, {PID: 3}}
	for _, c := range []struct {
		pipes []Pipe
		want  [][]int
	}{
		{[]Pipe{{From: []int{0}, To: []int{1}}, {From: []int{1}, To: []int{2}}}, [][]int{{0, 1, 2}}},
		{[]Pipe{{From: []int{0}, To: []int{1}}, {From: []int{0}, To: []int{2}}}, [][]int{{0, 1}, {0, 2}}},
		{[]Pipe{{From: []int{0, 1}, To: []int{2}}}, [][]int{{0, 2}, {1, 2}}},
		{[]Pipe{{From: []int{0}, To: []int{1}}, {From: []int{1}, To: []int{2}}, {From: []int{2}, To: []int{0}}}, [][]int{{0, 1, 2}}},
	} {
		p := Pipeline{Processes: three, Pipes: c.pipes}
		if got := p.Paths(9); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.pipes, got, c.want)
		}
	}
	wide := Pipeline{Processes: make([]*Process, 40)}
	for i := 0; i+2 < 40; i += 2 { // each pair of pipes doubles the ways
		wide.Pipes = append(wide.Pipes, Pipe{From: []int{i}, To: []int{i + 1, i + 2}}, Pipe{From: []int{i + 1}, To: []int{i + 2}})
	}
	if n := len(wide.Paths(64)); n != 64 {
		t.Errorf("%d ways, want as many as asked for", n)
	}
}

func TestClassify_TakesPipesFirstThenThreads(t *testing.T) {
	p := func(percent int64) Fill { return Fill{Known: true, Bytes: percent, Size: 100} }
	dark := Fill{}
	list := func(f ...Fill) []Fill { return f }
	poll := tasks{known: true}
	for _, c := range []struct {
		name    string
		in, out []Fill
		tasks   tasks
		want    state
	}{
		{"input full and output not, running", list(p(100)), list(p(0)), tasks{known: true, running: true}, busy},
		{"input full and output not, waiting for a timer", list(p(100)), list(p(0)), poll, outside},
		{"both full", list(p(100)), list(p(100)), tasks{known: true, running: true}, blocked},
		{"input empty", list(p(0)), list(p(0)), poll, starved},
		{"input empty, though a thread is at a lock", list(p(0)), nil, tasks{known: true}, starved},
		{"a source with a full output", nil, list(p(95)), poll, blocked},
		{"a source with room", nil, list(p(10)), poll, outside},
		{"a sink with input", list(p(50)), nil, poll, outside},
		{"a pipe of pages that are not full", list(p(70)), list(p(60)), tasks{known: true, writes: true}, blocked},
		{"the same where threads tell nothing", list(p(70)), list(p(60)), poll, blocked},
		{"a pipe of tiny pages", list(p(70)), list(p(1)), tasks{known: true, writes: true}, blocked},
		{"a thread that writes to another pipe", list(p(70)), list(p(0)), tasks{known: true, writes: true}, outside},
		{"a thread that reads another pipe", list(p(70)), list(p(0)), tasks{known: true, reads: true}, outside},
		{"two inputs, one empty", list(p(0), p(100)), list(p(0)), tasks{known: true, reads: true}, starved},
		{"two outputs, one full", list(p(10)), list(p(0), p(100)), poll, blocked},
		{"input empty and output full, writing", list(p(0)), list(p(100)), tasks{known: true, writes: true}, blocked},
		{"input empty and output full, reading", list(p(0)), list(p(100)), tasks{known: true, reads: true}, starved},
		{"input empty and output full, in a poll", list(p(0)), list(p(100)), poll, starved},
		{"an old kernel, output full", list(p(0)), list(p(100)), tasks{known: true, pipe: true}, blocked},
		{"an old kernel, output inherited", list(p(50)), nil, tasks{known: true, pipe: true}, blocked},
		{"output inherited, writing", list(p(50)), nil, tasks{known: true, writes: true}, blocked},
		{"a shell that waits for its command", list(p(100)), nil, tasks{known: true, child: true}, busy},
		{"pipes that cannot be opened, reading", list(dark), list(dark), tasks{known: true, reads: true}, starved},
		{"pipes that cannot be opened, writing", list(dark), list(dark), tasks{known: true, writes: true}, blocked},
		{"pipes that cannot be opened, in a poll", list(dark), list(dark), poll, unknown},
		{"nothing known", list(dark), list(dark), tasks{}, unknown},
		{"threads that may not be read", list(p(100)), list(p(0)), tasks{}, unknown},
	} {
		if got := classify(c.in, c.out, func() tasks { return c.tasks }); got != c.want {
			t.Errorf("%s: state %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTasks_KnowTheNamesOfOldAndNewKernels(t *testing.T) {
	for _, c := range []struct {
		state byte
		wchan string
		want  tasks
	}{
		{'R', "", tasks{known: true, running: true}},
		{'S', "anon_pipe_write", tasks{known: true, writes: true}},
		{'S', "pipe_write", tasks{known: true, writes: true}},
		{'S', "wait_for_space", tasks{known: true, writes: true}},
		{'S', "anon_pipe_read", tasks{known: true, reads: true}},
		{'S', "pipe_read", tasks{known: true, reads: true}},
		{'S', "pipe_wait", tasks{known: true, pipe: true}},
		{'S', "do_wait", tasks{known: true, child: true}},
		{'S', "ep_poll", tasks{known: true}},
		{'S', "futex_do_wait", tasks{known: true}},
		{'D', "folio_wait_bit_common", tasks{known: true}},
	} {
		var got tasks
		if got.see(c.state, c.wchan); got != c.want {
			t.Errorf("%c %s: %+v", c.state, c.wchan, got)
		}
	}
}
