package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// slowConn is a client that reads at a steady rate.
type slowConn struct {
	fd     int
	rate   float64 // bytes a second; 0: it reads nothing, and does not see its end
	credit float64
	ended  bool
}

// slowSays is a message of the process of slow clients: one line for each
// phase.
type slowSays struct {
	Phase     string  `json:"phase"`     // "connected", "window", "end"
	Delivered float64 `json:"delivered"` // part of the requested bytes in the window
	Cut       int     `json:"cut"`       // connections that the server ended
}

// slowVisits is how often a slow client reads, in a second.
const slowVisits = 4

// slowClients runs many slow clients in one process and, except for connecting,
// one goroutine. Arguments: address, path, number of clients, smallest and
// largest rate in bytes a second, seconds to settle, seconds to measure, and
// whether to wait for the end of standard input. The rate of a client depends
// on its number.
func slowClients(args []string) error {
	var n [6]int
	for i, a := range args[2:] {
		var err error
		if n[i], err = strconv.Atoi(a); err != nil {
			return err
		}
	}
	count, least, most, settle, window, wait := n[0], n[1], n[2], n[3], n[4], n[5] != 0
	conns, err := connectSlow(args[0], args[1], count)
	if err != nil {
		return err
	}
	for i, c := range conns {
		c.rate = float64(least) + float64(most-least)*float64(i)/float64(count)
	}
	say := func(s slowSays) error { return json.NewEncoder(os.Stdout).Encode(s) }
	if err := say(slowSays{Phase: "connected"}); err != nil {
		return err
	}
	done := make(chan struct{})
	if wait {
		go func() { defer close(done); io.Copy(io.Discard, os.Stdin) }()
	} else {
		close(done)
	}
	l := &slowLoop{conns: conns, buf: make([]byte, 64<<10)}
	for g := range l.last {
		l.last[g] = time.Now()
	}
	l.run(time.Duration(settle)*time.Second, nil)
	before := l.read
	from := time.Now()
	l.run(time.Duration(window)*time.Second, nil)
	asked := 0.0
	for _, c := range conns {
		asked += c.rate * time.Since(from).Seconds()
	}
	s := slowSays{Phase: "window"}
	if asked > 0 {
		s.Delivered = float64(l.read-before) / asked
	}
	s.Cut = l.cut
	if err := say(s); err != nil {
		return err
	}
	l.run(time.Hour, done)
	s.Phase = "end"
	s.Cut = l.cut
	return say(s)
}

// slowLoop lets slow clients read.
type slowLoop struct {
	conns []*slowConn
	buf   []byte
	read  int64
	cut   int
	turn  int
	last  [slowGroups]time.Time // when each group of clients read
}

// slowGroups is how many groups of clients take turns.
const slowGroups = 10

// run runs the loop for d, or until done is closed.
func (l *slowLoop) run(d time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(time.Second / slowVisits / slowGroups)
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		g := l.turn % slowGroups
		l.turn++
		now := time.Now()
		for i := g; i < len(l.conns); i += slowGroups {
			l.visit(l.conns[i], now.Sub(l.last[g]))
		}
		l.last[g] = now
		select {
		case <-tick.C:
		case <-end.C:
			return
		case <-done:
			return
		}
	}
}

// visit lets a client read as much as its rate allows. A client that was held
// back catches up at most 32 KiB.
func (l *slowLoop) visit(c *slowConn, passed time.Duration) {
	if c.ended {
		return
	}
	c.credit = min(c.credit+c.rate*passed.Seconds(), 32<<10)
	for c.credit >= 1 {
		n, _, err := unix.Recvfrom(c.fd, l.buf[:min(int(c.credit), len(l.buf))], unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			l.end(c)
			return
		default:
			c.credit -= float64(n)
			l.read += int64(n)
		}
	}
}

func (l *slowLoop) end(c *slowConn) {
	c.ended = true
	l.cut++
	unix.Close(c.fd)
}

// connectSlow connects n clients with a small receive buffer, and asks for the
// file.
func connectSlow(addr, path string, n int) ([]*slowConn, error) {
	conns := make([]*slowConn, n)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				var fd int
				if fd, errs[w] = dialRaw(addr, 16<<10); errs[w] == nil {
					conns[i] = &slowConn{fd: fd}
					errs[w] = sendRaw(fd, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path))
				}
			}
		})
	}
	wg.Wait()
	return conns, errors.Join(errs...)
}

// slowLoad is a running process of slow clients.
type slowLoad struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
}

// slowWish has the settings of the slow clients.
type slowWish struct {
	clients, least, most, settle, window int
	wait                                 bool // until finish is called
}

func startSlow(ctx context.Context, addr, path string, w slowWish) (*slowLoad, error) {
	wait := "0"
	if w.wait {
		wait = "1"
	}
	n := strconv.Itoa
	argv := child("http-slow", addr, path, n(w.clients), n(w.least), n(w.most), n(w.settle), n(w.window), wait)
	l := &slowLoad{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	l.cmd.Stderr = os.Stderr
	in, err := l.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.in, l.out = in, bufio.NewScanner(out)
	return l, l.cmd.Start()
}

// phase waits until the process reports a phase.
func (l *slowLoad) phase(name string) (slowSays, error) {
	for l.out.Scan() {
		var s slowSays
		if err := json.Unmarshal(l.out.Bytes(), &s); err != nil {
			return s, err
		}
		if s.Phase == name {
			return s, nil
		}
	}
	return slowSays{}, errors.Join(fmt.Errorf("the slow clients ended before %q", name), l.out.Err())
}

// finish ends the clients and returns their last message.
func (l *slowLoad) finish() (slowSays, error) {
	l.in.Close()
	s, err := l.phase("end")
	return s, errors.Join(err, l.cmd.Wait())
}

func (l *slowLoad) kill() {
	l.cmd.Process.Kill()
	l.in.Close()
	l.cmd.Wait()
}
