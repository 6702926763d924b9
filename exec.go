package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/report"
)

// execError is the failure of an external command.
type execError struct {
	name   string
	stderr string // the last bytes that it wrote there
	err    error  // usually an *exec.ExitError
}

func (e *execError) Error() string {
	s := fmt.Sprintf("%s: %v", e.name, e.err)
	if tail := strings.TrimSpace(e.stderr); tail != "" {
		s += ": " + tail
	}
	return s
}

func (e *execError) Unwrap() error { return e.err }

// Exec passes bytes through an external command: the stream is its standard
// input, and its standard output is the output of the stage. Backpressure works on
// both sides as in any pipe. If the command does not exist, the flow fails when it
// opens. If the command exits with a status other than 0, the flow fails with an
// error that matches [*exec.ExitError]; its field Stderr has the last 4 KiB that the
// command wrote to standard error. If the command exits with status 0 before it has
// read all its input, the upstream ends without an error. If the flow
// ends first, it kills the command and, on Unix, the processes that the command started,
// unless these have left its process group. What a command leaves running when it exits
// stays.
//
// A command cannot learn that its input has failed: it only sees the end of its
// input. Its output for the input before the failure arrives, and then the flow
// fails.
func Exec(name string, args ...string) Stage[byte, byte] {
	st := Command(func(ctx context.Context) *exec.Cmd { return exec.Command(name, args...) })
	st.Name = "exec " + name
	if name == "" {
		st.Err = errors.New("empty command")
	}
	return st
}

// Command is like [Exec], for a command with further settings, such as its
// environment, its folder or a writer for its standard error. The flow calls make
// for each run. It overwrites Stdin and Stdout and, on Unix, sets Setpgid and Pgid in
// SysProcAttr.
func Command(make func(ctx context.Context) *exec.Cmd) Stage[byte, byte] {
	if make == nil {
		return Stage[byte, byte]{Name: "exec", Err: errNilFunc}
	}
	st := Stage[byte, byte]{Name: "exec"}
	st.node = func(s Stream[byte], st Stage[byte, byte]) node[byte] {
		return node[byte]{
			name: st.Name, err: st.Err, work: true, roots: rootsOf(s),
			build: func(n *node[byte], b *plan, ln *lane, out link[byte]) { buildExec(n, b, ln, out, s, make) },
		}
	}
	return st
}

// buildExec builds two lanes: one writes to the command, one reads from it.
func buildExec(n *node[byte], b *plan, ln *lane, out link[byte], s Stream[byte], make func(context.Context) *exec.Cmd) {
	sg := addStage[byte, byte](b, n.name, report.KindStage, out.to)
	sg.workers = 2
	sg.holds = stderrTail
	reads := ln.place(sg)
	feed := b.newLane()
	writes := feed.place(sg)
	p := &process{feed: feed}
	ln.ins = append(ln.ins, p)
	feed.outs = append(feed.outs, p)
	b.open(reads, func() (func(error) error, error) {
		if err := p.start(make(ln.ctx)); err != nil {
			return nil, err
		}
		// The feeding lane learns first that its output is not wanted, or else its
		// interrupted write would be a failure.
		stop := interruptOn(ln.ctx, func() { p.CloseRead(context.Cause(ln.ctx)) })
		return func(cause error) error {
			stop()
			if cause == nil {
				cause = ErrStop
			}
			p.CloseRead(cause)
			p.wait()
			return nil
		}, nil
	})
	ln.main = func() error {
		err := pump(reads, p.stdout, out, reads.outside(), func(int) {})
		if in := p.inputError(); in != nil && ln.broken == nil && ln.ctx.Err() == nil {
			ln.Enter(reads.outside())
			ln.r.note(protect(sg.name, p.wait))
			return in
		}
		if err != io.EOF {
			return reads.fail(err)
		}
		ln.Enter(reads.outside())
		if err := reads.fail(p.wait()); err != nil {
			return err
		}
		return reads.enoughFrom(out.end)
	}
	s.n.attach(b, feed, link[byte]{
		to:    sg,
		fused: true,
		push: func(batch []byte) error {
			feed.Enter(writes.outside())
			sg.in.Add(int64(len(batch)))
			_, err := p.stdin.Write(batch)
			feed.Enter(writes.busy)
			if isEPIPE(err) || errors.Is(err, os.ErrClosed) {
				err = ErrStop // the command wants no more
			}
			return writes.fail(err)
		},
		end: func() error { return writes.finish(p.closeInput) },
	}, true)
}

// process is a running command, with the state that its two lanes share.
type process struct {
	feed   *lane
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr tail

	waiting sync.Once
	err     error
	closing sync.Once
	leaving sync.Once
	failed  atomic.Pointer[error] // of the input
	reaped  atomic.Bool           // its number may belong to another process by now
}

func (p *process) start(cmd *exec.Cmd) error {
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return err
	}
	p.cmd, p.stdin, p.stdout = cmd, inW, outR
	cmd.Stdin, cmd.Stdout = inR, outW
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	} else {
		cmd.Stderr = io.MultiWriter(cmd.Stderr, &p.stderr)
	}
	cmd.WaitDelay = 2 * time.Second // for processes that hold standard error open after the end
	ownGroup(cmd)
	err = cmd.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		inW.Close()
		outR.Close()
		p.waiting.Do(func() {})
		return &execError{name: cmd.Path, err: err}
	}
	return nil
}

// wait waits for the end of the command and returns how it ended.
func (p *process) wait() error {
	p.waiting.Do(func() {
		err := p.cmd.Wait()
		p.reaped.Store(true)
		p.closeInput()
		p.stdout.Close()
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			end := p.stderr.String()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				exit.Stderr = []byte(end)
			}
			p.err = &execError{name: p.cmd.Path, stderr: end, err: err}
		}
	})
	return p.err
}

func (p *process) closeInput() error {
	var err error
	p.closing.Do(func() { err = p.stdin.Close() })
	return err
}

// kill ends the command and unblocks both lanes.
func (p *process) kill() {
	if !p.reaped.Load() {
		killGroup(p.cmd)
	}
	p.stdout.SetReadDeadline(time.Unix(1, 0))
	p.stdin.SetWriteDeadline(time.Unix(1, 0))
}

// CloseRead is called when nobody reads the command's output any more.
func (p *process) CloseRead(cause error) {
	p.leaving.Do(func() { p.feed.leave(cause) })
	p.kill()
}

// CloseWrite is called when the input has ended. After an error the command
// also gets the end of its input, so that its output for the input before the
// error arrives. Then the flow fails.
func (p *process) CloseWrite(cause error) {
	if cause != ErrStop {
		p.failed.CompareAndSwap(nil, &cause)
	}
	p.closeInput()
}

// inputError returns the error that ended the input, or nil.
func (p *process) inputError() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

const stderrTail = 4 << 10

// tail is a writer that keeps the last stderrTail bytes.
type tail struct {
	mu sync.Mutex
	p  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p = append(t.p, p[max(0, len(p)-stderrTail):]...)
	if extra := len(t.p) - stderrTail; extra > 0 {
		t.p = append(t.p[:0], t.p[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.p)
}
