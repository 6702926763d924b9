package procpipe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell starts a command line in a new process group, which ends with the test.
func shell(t testing.TB, text string) *exec.Cmd {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.Command(bash, "-c", text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

// lineOf waits for the pipeline of n processes that a shell has started.
func lineOf(t testing.TB, cmd *exec.Cmd, n int) *Pipeline {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		scan, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range scan.Pipelines {
			if len(l.Processes) == n && scan.Below(l.Processes[0].PID, cmd.Process.Pid) {
				return l
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no pipeline was found")
	return nil
}

// held lists the pipes of l that this process has open.
func held(t *testing.T, l *Pipeline) (list []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		t.Fatal("cannot list the descriptors", err)
	}
	for _, name := range links {
		link, _ := os.Readlink(name) // the descriptor of the listing itself is gone
		for _, p := range l.Pipes {
			if link == fmt.Sprintf("pipe:[%d]", p.Inode) {
				list = append(list, name)
			}
		}
	}
	return list
}

// The end of data and a broken pipe must arrive while the pipe is looked at as
// often as possible.
func TestSample_HoldsBackNeitherEndOfFileNorBrokenPipes(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		// The first pipeline ends when its reader leaves, which the writer learns by
		// a broken pipe. In the second one the writer leaves.
		for _, text := range []string{
			`yes | head -c 3000000 >/dev/null; echo ended >&3`,
			`head -c 3000000 /dev/zero | cat >/dev/null; echo ended >&3`,
			// The reader is stopped with a full pipe before it, so that the writer is
			// inside its write when the reader is killed.
			`yes | sh -c 'kill -STOP $$' & wait %1; echo ended >&3`,
		} {
			ended, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", "-c", text)
			cmd.ExtraFiles = []*os.File{w}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Skip("bash is not installed", err)
			}
			w.Close()
			over := make(chan string, 1)
			go func() {
				line, _ := bufio.NewReader(ended).ReadString('\n') // empty if it failed
				over <- line
			}()
			samples, seen := sampleUntil(t, cmd, strings.Contains(text, "STOP"), over)
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
			ended.Close()
			if round == 0 && strings.Contains(text, "STOP") && (samples == 0 || !seen) {
				t.Errorf("%s: the pipe was never looked at", text)
			}
		}
	}
}

// sampleUntil samples the pipelines below cmd without a break until over has a
// value. It kills a stopped reader once it has seen the pipe before it full.
func sampleUntil(t *testing.T, cmd *exec.Cmd, stopped bool, over <-chan string) (samples int, seen bool) {
	t.Helper()
	var s Sampler
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		scan, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		var lines []*Pipeline
		for _, l := range scan.Pipelines {
			if scan.Below(l.Processes[0].PID, cmd.Process.Pid) {
				lines = append(lines, l)
			}
		}
		for range 20 {
			if err := s.Sample(lines); err != nil {
				t.Fatal(err)
			}
			samples++
		}
		for _, l := range lines {
			if open := held(t, l); len(open) > 0 {
				t.Fatalf("%q are open between samples", open)
			}
			for _, p := range l.Pipes {
				level := s.Totals().Pipes[p.Inode]
				seen = seen || level.Looks > 0
				reader := l.Processes[p.To[0]].PID
				if stopped && level.Last.share() >= full && reader != cmd.Process.Pid { // bash has the pipe while it starts both
					_ = syscall.Kill(reader, syscall.SIGKILL) // it may have gone
				}
			}
		}
		select {
		case line := <-over:
			if line != "ended\n" {
				t.Fatalf("the shell said %q", line)
			}
			return samples, seen
		case <-ctx.Done():
			all, _ := exec.Command("ps", "-o", "pid,ppid,stat,wchan:20,args", "-g", strconv.Itoa(cmd.Process.Pid)).Output()
			t.Fatalf("the pipeline does not end while it is watched, after %d samples:\n%s", samples, all)
		default:
		}
	}
}

func TestSample_TimesAddUpAndAnExitedProcessIsSaidToHaveEnded(t *testing.T) {
	cmd := shell(t, `cat /dev/zero | cat | cat >/dev/null; true`)
	l := lineOf(t, cmd, 3)
	var s Sampler
	for range 10 {
		if err := s.Sample([]*Pipeline{l}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range l.Processes {
		times := s.Totals().Processes[p.ID()]
		if sum := times.Busy + times.Blocked + times.Starved + times.Outside + times.Unknown; sum != times.Wall || sum <= 0 || times.Ended {
			t.Errorf("%s: %+v", p.Command, times)
		}
	}
	if err := syscall.Kill(l.Processes[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		if err := s.Sample([]*Pipeline{l}); err != nil {
			t.Fatal(err)
		}
		now := s.Totals()
		if now.Processes[l.Processes[0].ID()].Ended && now.Processes[l.Processes[1].ID()].Ended && now.Processes[l.Processes[2].ID()].Ended {
			break // the others see a broken pipe and the end of data
		}
		if time.Now().After(end) {
			t.Fatalf("they have not ended: %+v", now.Processes)
		}
	}
	before := s.Totals().Processes[l.Processes[1].ID()]
	if err := s.Sample([]*Pipeline{l}); err != nil {
		t.Fatal(err)
	}
	if after := s.Totals().Processes[l.Processes[1].ID()]; after != before {
		t.Errorf("the time of a process that has ended went on: %+v, then %+v", before, after)
	}
	if err := s.Sample(nil); err != nil || len(s.Totals().Processes) != 0 || len(s.marks) != 0 || len(s.Totals().Pipes) != 0 {
		t.Errorf("what is not watched any more is kept: %+v", s.Totals())
	}
}

func TestSample_DoesNotTakeAnotherProcessWithTheSameNumber(t *testing.T) {
	self, err := Lookup(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self.Started-- // an earlier one
	var s Sampler
	if err := s.Sample([]*Pipeline{{Processes: []*Process{&self}}}); err != nil {
		t.Fatal(err)
	}
	if !s.Totals().Processes[self.ID()].Ended {
		t.Error("it is said to run")
	}
}

func TestFill_DoesNotOpenAnotherFileThatHasTheDescriptorNow(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	var info syscall.Stat_t
	if err := syscall.Fstat(int(r.Fd()), &info); err != nil {
		t.Fatal(err)
	}
	at := []look{{os.Getpid(), int(r.Fd())}}
	right, wrong := Pipe{Inode: info.Ino, looks: at}, Pipe{Inode: info.Ino + 1, looks: at}
	if f := right.fill(); !f.Known || f.Bytes != 1000 || f.Size < 4096 {
		t.Errorf("%+v", f)
	}
	if f := wrong.fill(); f.Known {
		t.Errorf("another pipe was opened: %+v", f)
	}
	if err := withPipe(info.Ino, at[0], func(fd int) {
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		if e != 0 || flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v: want reading only, without waiting", flags, e)
		}
	}); err != nil {
		t.Error(err)
	}
	if !written(info.Ino, at[0]) {
		t.Error("the pipe is said to have no writer")
	}
	w.Close()
	if written(info.Ino, at[0]) {
		t.Error("the pipe is said to have a writer")
	}
}

func TestLookup_KnowsWhatIsThere(t *testing.T) {
	p, err := Lookup(os.Getpid())
	if err != nil || p.PID != os.Getpid() || p.Parent != os.Getppid() || p.UID != os.Geteuid() || p.Started == 0 || len(p.Args) == 0 || p.Args[0] != os.Args[0] {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Lookup(math.MaxInt32); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestFind_ReadsCommandsWithBracketsAndSpaces(t *testing.T) {
	dir := t.TempDir()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("cat is not installed")
	}
	name := filepath.Join(dir, ") R 1 (")
	if err := os.Symlink(cat, name); err != nil {
		t.Fatal(err)
	}
	cmd := shell(t, `cat /dev/zero | "`+name+`" | sleep 60; true`)
	l := lineOf(t, cmd, 3)
	if c := l.Processes[1].Command; c != ") R 1 (" {
		t.Errorf("the command is %q", c)
	}
}

// The numbers are in docs/who.md.
func BenchmarkSample(b *testing.B) {
	cmd := shell(b, `cat /dev/zero | cat | sleep 600; true`)
	l := lineOf(b, cmd, 3)
	var s Sampler
	for b.Loop() {
		if err := s.Sample([]*Pipeline{l}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	n := 0
	for _, d := range dirs {
		if _, err := strconv.Atoi(filepath.Base(d)); err == nil {
			n++
		}
	}
	for b.Loop() {
		if _, err := Find(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "processes")
}
