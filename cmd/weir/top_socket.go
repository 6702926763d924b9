package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

// socketVariable turns the socket off, or chooses its folder.
const socketVariable = "WEIR_SOCKET"

const (
	socketSuffix = ".sock"

	// topIdle is the time without a request after which a command stops to
	// measure for weir top.
	topIdle = 30 * time.Second

	// topGrace is how long the end of a command waits until an answer to weir
	// top has been sent.
	topGrace = 100 * time.Millisecond
)

// topSocket is where a running command answers weir top and weir who. Until
// somebody asks, it is a socket in a folder and a goroutine that waits.
type topSocket struct {
	name   string // of the file
	srv    *http.Server
	served chan struct{}
	open   func() (show *monitor.Monitor, end func())

	mu     sync.Mutex
	asked  int // requests that are being answered
	show   http.Handler
	end    func()
	idle   *time.Timer
	closed bool
}

// openTopSocket makes the socket of this process. A command works without one,
// so there is no error: the result is nil then. open makes the monitor of the
// running flows when somebody looks, and end is called when nobody has for a
// while.
func openTopSocket(open func() (show *monitor.Monitor, end func())) *topSocket {
	dir := socketFolder()
	if dir == "" {
		return nil
	}
	l := listenIn(dir)
	if l == nil {
		return nil
	}
	s := &topSocket{name: l.Addr().String(), open: open, served: make(chan struct{})}
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: topIdle}
	openSockets.add(s.name)
	go func() {
		defer close(s.served)
		_ = s.srv.Serve(l) // ends with close
	}()
	return s
}

// listenIn listens on a socket in dir that has the number of this process for a
// name. It returns nil if that does not work.
func listenIn(dir string) *net.UnixListener {
	sweepSockets(dir)
	for i := range 100 { // several runs in one process, or processes of several containers
		name := filepath.Join(dir, strconv.Itoa(os.Getpid()))
		if i > 0 {
			name += "-" + strconv.Itoa(i)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name + socketSuffix, Net: "unix"})
		if err == nil {
			return l // its Close removes the file
		}
		if _, serr := os.Lstat(name + socketSuffix); serr != nil {
			return nil // no folder, no room, or a name that is too long
		}
	}
	return nil
}

// sweepSockets removes the sockets of processes that were killed. Each is asked
// whether somebody listens, since the number alone can be of another process, or
// of one in a container.
func sweepSockets(dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		pid, ok := socketOwner(f.Name())
		if !ok || alive(pid) {
			continue
		}
		_ = sweepSocket(filepath.Join(dir, f.Name())) // another process may have done it
	}
}

// isOld reports whether a socket that nobody listens on was left behind. The file is
// there a moment before its process listens.
func isOld(name string) bool {
	st, err := os.Lstat(name)
	return err == nil && time.Since(st.ModTime()) > 10*time.Second
}

// socketOwner returns the number of the process that a socket belongs to by its
// name.
func socketOwner(file string) (pid int, ok bool) {
	name, ok := strings.CutSuffix(file, socketSuffix)
	if !ok {
		return 0, false
	}
	name, _, _ = strings.Cut(name, "-")
	pid, err := strconv.Atoi(name)
	return pid, err == nil && pid > 0
}

// close ends the answers and removes the socket.
func (s *topSocket) close() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), topGrace)
	defer cancel()
	s.mu.Lock()
	s.closed = true
	end := s.leave()
	s.mu.Unlock()
	end()
	if s.srv.Shutdown(ctx) != nil {
		_ = s.srv.Close()
	}
	<-s.served
	openSockets.remove(s.name)
}

// leave forgets the monitor. The caller holds mu, and calls end without it.
func (s *topSocket) leave() (end func()) {
	if s.idle != nil {
		s.idle.Stop()
	}
	end = s.end
	s.show, s.end, s.idle = nil, nil, nil
	if end == nil {
		return func() {}
	}
	return end
}

func (s *topSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	show := s.enter()
	if show == nil {
		http.Error(w, "the run is over", http.StatusServiceUnavailable)
		return
	}
	defer s.exit()
	if filepath.Base(r.URL.Path) == "run.json" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(thisRun()) // a reader that has left needs no answer
		return
	}
	show.ServeHTTP(w, r)
}

// enter returns the handler that shows the run. The first call creates it.
func (s *topSocket) enter() http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if s.show == nil {
		m, end := s.open() // which calls no code of others
		s.show, s.end = m.Handler(monitor.HandlerOptions{}), end
	}
	s.asked++
	return s.show
}

// exit notes that a request is over, and forgets the monitor if none follows.
func (s *topSocket) exit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked--
	if s.closed {
		return
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	s.idle = time.AfterFunc(topIdle, func() {
		s.mu.Lock()
		end := func() {}
		if s.asked == 0 && !s.closed {
			end = s.leave()
		}
		s.mu.Unlock()
		end()
	})
}

// runInfo is the information about a process that its socket gives beside the
// snapshot.
type runInfo struct {
	Args []string `json:"args"` // without passwords
}

func thisRun() runInfo { return runInfo{Args: discreetArgs(os.Args)} }

// openSockets are the sockets of this process, for an end that closes none of
// them.
var openSockets socketNames

type socketNames struct {
	mu    sync.Mutex
	names map[string]bool
}

func (n *socketNames) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names == nil {
		n.names = map[string]bool{}
	}
	n.names[name] = true
}

func (n *socketNames) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.names, name)
}

// exitNow ends the process in the middle of a run, at a second signal.
func exitNow(code int) {
	openSockets.mu.Lock()
	for name := range openSockets.names {
		_ = os.Remove(name) // else weir top does it
	}
	os.Exit(code)
}

// watchSteps makes a monitor of the flows of steps.
func (s *settings) watchSteps(steps []*step) *monitor.Monitor {
	of := map[*weir.Flow]*step{}
	for _, st := range steps {
		if st.flow != nil {
			of[st.flow] = st
		}
	}
	m := &monitor.Monitor{
		// No name of a file may become a label of metrics.
		Label:     func(string) string { return s.command },
		LabelPart: withoutArguments,
		Edit: func(f *weir.Flow, r report.Report) report.Report {
			if st := of[f]; st != nil {
				r = st.named(r)
				r.Ceiling += st.holds
			}
			return r
		},
	}
	m.WatchAll() // until Close
	for f := range of {
		m.Watch(f) // the one that runs already
	}
	return m
}

// topOf makes the socket of a run. A page of the run that is open anyway shows
// the same.
func (s *settings) topOf(steps []*step, page *livePage) *topSocket {
	return openTopSocket(func() (*monitor.Monitor, func()) {
		if page != nil {
			return page.monitor, func() {}
		}
		m := s.watchSteps(steps)
		return m, m.Close
	})
}
