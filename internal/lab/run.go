package lab

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sampleEvery = 50 * time.Millisecond
	readyIn     = 20 * time.Second // how long a side may take to begin
	settleIn    = 3 * time.Second  // how long after the last client descriptors are waited for
	settleLooks = 20               // end the wait after this many looks without a closed file
	endIn       = 10 * time.Second // how long to wait for a side to end

	fileName = "huge-file.mp4"
)

// Options say how experiments run.
type Options struct {
	// Command makes the command of a process that calls [RunSide]. The process is
	// killed when ctx ends.
	Command func(ctx context.Context) *exec.Cmd

	Guard    int64           // resident memory, in bytes, at which a side is ended
	Node     string          // path of node; "" leaves its sides out
	Override Settings        // a setting other than zero replaces the experiment's own
	Watch    func(*Progress) // if not nil, is called about ten times a second
}

// A Progress is how far a round is. It is valid during the call of Watch.
type Progress struct {
	Result  *Result
	Now     *Side         // the side that runs, also the last one of Result.Sides
	Elapsed time.Duration // since its load began
}

// A run is one side of a round while it runs.
type run struct {
	e    Experiment
	o    Options
	r    *Result
	side *Side
	spec spec

	cmd     *exec.Cmd
	stdin   io.WriteCloser
	ready   chan message  // gets one
	end     chan struct{} // closed when the side says that its data has ended
	gone    chan struct{} // closed when the process has ended
	traffic traffic
	port    int
	began   time.Time
	before  state // when the load began

	stderr firstLines

	mu   sync.Mutex
	last message // guarded by mu

	guarded atomic.Bool
}

// run starts the side, puts the load on it, measures, and ends it.
func (u *run) run(ctx context.Context, p program) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := u.start(ctx, p); err != nil {
		return err
	}
	defer func() {
		cancel() // kills it if it still runs
		<-u.gone
	}()
	var ready message
	select {
	case ready = <-u.ready:
	case <-u.end: // before it was ready
		return errors.New("the side ended before it was ready" + u.complaint())
	case <-u.gone:
		return errors.New("the process ended before it was ready" + u.complaint())
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(readyIn):
		return fmt.Errorf("the process was not ready within %v", readyIn)
	}
	u.side.Ceiling = ready.Ceiling
	u.port = portOf(ready.Addr)
	u.r.Sides = append(u.r.Sides, u.side)
	u.measure(ctx, ready.Addr)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u.finish()
	return u.judge()
}

// start starts the process and the reader of its messages.
func (u *run) start(ctx context.Context, p program) (err error) {
	if p.script != nil {
		u.cmd, err = p.script.command(ctx, u.o.Node, u.spec)
		if err != nil {
			return err
		}
	} else {
		u.cmd = u.o.Command(ctx)
	}
	u.cmd.Stderr = &u.stderr
	u.ready, u.end, u.gone = make(chan message, 1), make(chan struct{}), make(chan struct{})
	u.stdin, err = u.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := u.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := u.cmd.Start(); err != nil {
		return fmt.Errorf("start the side's process: %w", err)
	}
	go func() { // run waits for it
		defer close(u.gone)
		u.listen(stdout)
		_, _ = io.Copy(io.Discard, stdout) // if a line was too long
		_ = u.cmd.Wait()                   // its messages show how it ended
	}()
	if p.script == nil {
		text, err := json.Marshal(u.spec)
		if err == nil {
			_, err = u.stdin.Write(append(text, '\n'))
		}
		if err != nil {
			_ = u.cmd.Cancel() // unless it has ended by itself
			<-u.gone
			return fmt.Errorf("tell the process its side: %w%s", err, u.complaint())
		}
	}
	return nil
}

// listen reads the messages of the side until its output ends.
func (u *run) listen(stdout io.Reader) {
	ended := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue // a line that Node itself prints
		}
		u.mu.Lock()
		m.Error = cmp.Or(m.Error, u.last.Error)
		u.last = m
		u.mu.Unlock()
		switch m.Kind {
		case messageReady:
			select {
			case u.ready <- m:
			default:
			}
		case messageEnd, messageError:
			if !ended {
				ended = true
				close(u.end)
			}
		}
	}
}

// portOf returns the port of an address, or 0.
func portOf(addr string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port) // 0 if it is none
	return n
}

// told returns the latest counts of the side.
func (u *run) told() message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// complaint returns the error message of the process, for the end of a
// sentence.
func (u *run) complaint() string {
	if text := cmp.Or(u.told().Error, u.stderr.problem()); text != "" {
		return ": " + text
	}
	return ""
}

// firstLines keeps the beginning of a process's standard error.
type firstLines struct {
	mu   sync.Mutex
	text []byte
}

func (f *firstLines) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, p[:min(len(p), 8<<10-len(f.text))]...)
	return len(p), nil
}

// problem returns the line that names the error, or the first.
func (f *firstLines) problem() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(f.text)), "\n")
	for _, line := range lines {
		if strings.Contains(line, "rror: ") || strings.Contains(line, "panic: ") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(lines[0])
}

// measure puts the load on the side and takes samples until the load has ended,
// its time is over, or the process has gone.
func (u *run) measure(ctx context.Context, addr string) {
	u.before = look(u.cmd.Process.Pid)
	u.side.Idle = u.resident(u.before)
	u.side.Peak, u.side.Kernel, u.side.FilesPeak, u.side.FilesLeft = unmeasured, unmeasured, unmeasured, unmeasured
	u.side.FilesIdle = u.before.files
	u.began = time.Now()
	load, stop := context.WithTimeout(ctx, u.spec.Settings.For)
	defer stop()
	var sampling sync.WaitGroup
	defer sampling.Wait()
	over := make(chan struct{})
	defer close(over)
	sampling.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for i := 0; ; i++ {
			s := u.sample()
			if s.Resident > u.o.Guard && u.o.Guard > 0 && !u.guarded.Swap(true) {
				_ = u.cmd.Process.Kill() // unless it has ended by itself
				stop()
			}
			if u.o.Watch != nil && i%2 == 0 {
				u.o.Watch(&Progress{u.r, u.side, time.Since(u.began)})
			}
			select {
			case <-over:
				return
			case <-u.gone:
				stop()
				return
			case <-ticker.C:
			}
		}
	})
	if addr != "" {
		u.traffic.run(load, u.e.load, u.spec.Settings, addr)
		u.settle(load)
		return
	}
	select {
	case <-u.end:
	case <-load.Done():
	}
}

// resident returns the memory of the process: as the system has it, or else as the
// process itself does.
func (u *run) resident(s state) int64 {
	if s.resident != unmeasured {
		return s.resident
	}
	if n := u.told().Memory; n > 0 {
		return n
	}
	return unmeasured
}

// sample measures once and keeps the result.
func (u *run) sample() Sample {
	now, told := look(u.cmd.Process.Pid), u.told()
	s := Sample{Seconds: time.Since(u.began).Seconds(), Resident: u.resident(now), Kernel: unmeasured, Files: now.files, Read: unmeasured}
	if u.port != 0 {
		s.Kernel = kernelMemory(u.port)
		if now.read != unmeasured {
			s.Read = now.read - u.before.read
		}
		s.Sent = u.traffic.moved.Load()
		if u.e.load == loadUpload {
			s.Sent = told.Taken
		}
	} else {
		s.Read, s.Sent = told.Made, told.Taken
	}
	side := u.side
	if now.resident == unmeasured && u.before.resident != unmeasured {
		return s // the process has gone
	}
	side.Samples = append(side.Samples, s)
	side.Peak = max(side.Peak, s.Resident, now.peak)
	side.Kernel = max(side.Kernel, s.Kernel)
	side.FilesPeak = max(side.FilesPeak, s.Files)
	side.FilesLeft = s.Files
	if s.Read != unmeasured {
		side.Read = max(side.Read, s.Read)
		side.Wait = max(side.Wait, s.Read-s.Sent)
	} else {
		side.Read, side.Wait = unmeasured, unmeasured
	}
	side.Sent = max(side.Sent, s.Sent)
	side.Seconds = s.Seconds
	return s
}

// settle waits, in an experiment about aborts, until the server has closed the
// files of the clients that left, or closes no more.
func (u *run) settle(ctx context.Context) {
	if u.e.load != loadAbort || u.before.files == unmeasured {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleIn)
	defer cancel()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	least, same := int64(math.MaxInt64), 0
	for same < settleLooks {
		select {
		case <-ticker.C:
		case <-u.gone:
			return
		case <-ctx.Done():
			return
		}
		files := look(u.cmd.Process.Pid).files
		if files <= u.before.files {
			return
		}
		if same++; files < least {
			least, same = files, 0
		}
	}
}

// finish measures for the last time and tells the process to end.
func (u *run) finish() {
	u.sample()
	if _, err := io.WriteString(u.stdin, stopWord+"\n"); err == nil {
		select {
		case <-u.end:
		case <-u.gone:
		case <-time.After(endIn):
		}
	}
	told := u.told()
	side := u.side
	side.Held = told.Held
	side.Guarded = u.guarded.Load()
	median, longest, n := u.traffic.firsts()
	side.First, side.FirstLongest, side.Served = median.Seconds(), longest.Seconds(), n
	side.Whole = u.traffic.whole.Load()
}

// judge finds out why a side ended before the parent stopped it. For a side of
// weir that is an error.
func (u *run) judge() error {
	u.traffic.mu.Lock()
	failed := u.traffic.err
	u.traffic.mu.Unlock()
	ended := false
	select {
	case <-u.gone:
		ended = true
	default:
	}
	switch told := u.told().Error; {
	case u.guarded.Load():
		u.side.Trouble = fmt.Sprintf("ended by the guard of %s", bytes(u.o.Guard))
	case told != "":
		u.side.Trouble = told
	case ended && u.told().Kind != messageEnd:
		u.side.Trouble = "the process ended by itself" + u.complaint()
	case failed != nil:
		u.side.Trouble = "a client failed: " + failed.Error()
	}
	if u.side.Trouble != "" && u.side.Letter == "B" && !u.side.Guarded {
		return errors.New(u.side.Trouble)
	}
	return nil
}
