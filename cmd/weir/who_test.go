package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir/internal/procpipe"
)

func TestTitle_IsTheCommandWithWhatMatters(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "kernel name"},
		{[]string{"/usr/bin/sort"}, "sort"},
		{[]string{"gzip", "-9"}, "gzip -9"},
		{[]string{"pv", "-L", "1m"}, "pv -L 1m"},
		{[]string{"-bash"}, "bash"},
		{[]string{"cat", "/etc/passwd"}, "cat /etc/passwd"},
		{[]string{"cat", "/var/lib/some/where/else/data.txt"}, "cat …/data.txt"},
		{[]string{"grep", "two words", ""}, "grep 'two words' ''"},
		{[]string{"grep", "\x1b[2J\n\u202e\xff"}, "grep '?[2J??\ufffd'"},
		{[]string{"evil\x1b]0;title\a"}, "evil?]0;title?"},
		{[]string{"sh", "-c", "a very long script with many words"}, "sh -c 'a very long script with …"},
	} {
		p := &procpipe.Process{Command: "kernel name", Args: c.args}
		if got := title(p); got != c.want {
			t.Errorf("%q: got %q, want %q", c.args, got, c.want)
		}
		if n := runewidth.StringWidth(title(p)); n > titleWidth {
			t.Errorf("%q has %d columns", title(p), n)
		}
	}
}

// looked makes a finding of a pipeline whose processes spent this many seconds
// busy, blocked, starved and outside.
func looked(spent ...[4]int) *finding {
	line := &procpipe.Pipeline{}
	now := procpipe.Totals{Samples: 9, Processes: map[procpipe.ID]procpipe.Times{}}
	for i, s := range spent {
		p := &procpipe.Process{PID: i + 1, Command: string(rune('a' + i))}
		line.Processes = append(line.Processes, p)
		if i > 0 {
			line.Pipes = append(line.Pipes, procpipe.Pipe{Inode: uint64(i), From: []int{i - 1}, To: []int{i}})
		}
		sec := func(n int) time.Duration { return time.Duration(n) * time.Second }
		wall := sec(s[0] + s[1] + s[2] + s[3])
		now.Processes[p.ID()] = procpipe.Times{Wall: wall, Busy: sec(s[0]), Blocked: sec(s[1]), Starved: sec(s[2]), Outside: sec(s[3])}
	}
	return judge(line, now, procpipe.Totals{}, nil)
}

func TestFinding_SaysWhatItFound(t *testing.T) {
	for _, c := range []struct {
		f    *finding
		want string
	}{
		{looked([4]int{27, 73, 0, 0}, [4]int{97, 0, 3, 0}, [4]int{1, 0, 99, 0}), "b is the bottleneck: busy 97% of the last 100 s; a waits for it 73%"},
		{looked([4]int{0, 98, 0, 2}, [4]int{1, 0, 0, 99}), "b is the bottleneck: outside 100% of the last 100 s (it waits for a disk, the network, a timer or the like); a waits for it 98%"},
		{looked([4]int{100, 0, 0, 0}, [4]int{1, 0, 99, 0}), "a is the bottleneck: busy 100% of the last 100 s"},
		{looked([4]int{50, 50, 0, 0}, [4]int{50, 0, 50, 0}), "no single bottleneck: a (50% of the last 100 s) and b (50%) take turns"},
		{looked([4]int{99, 1, 0, 0}, [4]int{99, 0, 1, 0}), "no single bottleneck: a (99% of the last 100 s) and b (99%) are equally slow"},
		{looked([4]int{34, 66, 0, 0}, [4]int{33, 33, 34, 0}, [4]int{33, 0, 67, 0}), "no single bottleneck: no process governed the pipeline for most of the last 100 s"},
		{looked([4]int{2, 98, 0, 0}, [4]int{3, 97, 0, 0}), "the reader of b is the bottleneck, but is not part of this pipeline: b waits for it 97% of the last 100 s"},
		{looked([4]int{2, 0, 98, 0}, [4]int{3, 0, 97, 0}), "the input of a is the bottleneck, but is not part of this pipeline: a waits for it 98% of the last 100 s"},
	} {
		if got := c.f.sentence(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A verdict that the view shows changes only when another one has held for two
// seconds.
func TestSteady_ShowsNoVerdictThatDoesNotHold(t *testing.T) {
	first, second := looked([4]int{27, 73, 0, 0}, [4]int{97, 0, 3, 0}), looked([4]int{100, 0, 0, 0}, [4]int{1, 0, 99, 0})
	var s steady
	start := time.Now()
	for i, c := range []struct {
		f    *finding
		want string
	}{
		{first, "measuring"}, {first, "measuring"}, {first, "since 2 s: b is"}, {second, "since 3 s: b is"}, {first, "since 4 s: b is"},
		{second, "since 5 s: b is"}, {second, "since 6 s: b is"}, {second, "since 2 s: a is"}, {second, "since 3 s: a is"},
	} {
		if got := s.sentence(c.f, start.Add(time.Duration(i)*time.Second)); !strings.HasPrefix(got, c.want) {
			t.Errorf("after %d s: %q, want %q", i, got, c.want)
		}
	}
}
