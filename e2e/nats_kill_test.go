package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/nats"
)

// childEnv makes the test binary one of the processes that are killed.
const childEnv = "WEIR_E2E_CHILD"

// child runs what args say:
//
//	server FOLDER PORT
//	produce FILE URL
//	consume URL FILE
func child(args []string) error {
	switch args[0] {
	case "server":
		port, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: args[1], JetStreamMaxStore: 16 << 30, SyncAlways: true, NoLog: true})
		if err != nil {
			return err
		}
		s.Start()
		if !s.ReadyForConnections(30 * time.Second) { // another program has taken the port
			return errors.New("the server does not listen")
		}
		s.WaitForShutdown()
		return nil
	case "produce":
		src, err := durable.From(args[1], endpoint.HTTPOptions{})
		if err != nil {
			return err
		}
		e, err := nats.Parse(args[2])
		if err != nil {
			return err
		}
		return durable.Flow(src, e.Sink(), durable.Options{}).Run(context.Background())
	case "consume":
		e, err := nats.Parse(args[1])
		if err != nil {
			return err
		}
		return durable.Flow(e.Source(), durable.File(args[2], 0o666), durable.Options{}).Run(context.Background())
	}
	return errors.New("unknown child " + args[0])
}

// start starts a child.
func start(t testing.TB, args string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	var said bytes.Buffer
	c.Env, c.Stderr = append(os.Environ(), childEnv+"="+args), &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, &said
}

// mortal runs a child again and again until it ends by itself, or the test does.
type mortal struct {
	args string

	mu     sync.Mutex // guards the rest
	c      *exec.Cmd
	killed int
	fails  int
	done   chan error // gets the result of the last run
}

func (m *mortal) run(t testing.TB, ends bool) {
	m.done = make(chan error, 1)
	m.mu.Lock()
	var said *bytes.Buffer
	m.c, said = start(t, m.args)
	m.mu.Unlock()
	over := make(chan struct{})
	t.Cleanup(func() {
		m.mu.Lock()
		close(over)
		m.mu.Unlock()
		m.kill()
		<-m.done
	})
	go func() {
		for {
			err := m.c.Wait()
			var exit *exec.ExitError
			switch {
			case err == nil && ends:
				m.done <- nil
				return
			case errors.As(err, &exit) && exit.ExitCode() > 0: // it was not killed
				// The server can be away when it starts.
				if m.fails++; m.fails > 100 {
					m.done <- fmt.Errorf("%s: %w: %s", m.args, err, said)
					return
				}
				t.Logf("%.20s…: %s", m.args, bytes.TrimSpace(said.Bytes()))
				time.Sleep(50 * time.Millisecond)
			}
			m.mu.Lock()
			select {
			case <-over:
				m.mu.Unlock()
				m.done <- nil
				return
			default:
			}
			m.c, said = start(t, m.args)
			m.mu.Unlock()
		}
	}()
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed++
	m.c.Process.Kill()
}

// freePort returns a port that nobody uses.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func long() bool { return os.Getenv("WEIR_LONG") != "" }

// sumOf returns the length and a sum of a file.
func sumOf(t testing.TB, name string) (n int64, sum uint64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := crc64.New(crc64.MakeTable(crc64.ISO))
	if n, err = io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return n, h.Sum64()
}

func TestEdge_LosesAndRepeatsNothingWhenEverybodyIsKilled(t *testing.T) {
	size, deaths := int64(64<<20), 2
	if long() {
		size, deaths = 1<<30, 10
	}
	dir := t.TempDir()
	in, out := noiseFile(t, size), filepath.Join(dir, "out")
	port := freePort(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d/logs", port)
	all := []*mortal{
		{args: fmt.Sprintf("server %s %d", filepath.Join(dir, "store"), port)},
		{args: fmt.Sprintf("produce %s %s?max=64MiB", in, url)},
		{args: fmt.Sprintf("consume %s %s", url, out)},
	}
	for i, m := range all {
		m.run(t, i > 0)
	}
	// Kill somebody each time that a random amount more has arrived.
	var order []int
	for i := range all {
		for range deaths {
			order = append(order, i)
		}
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	arrived := func() int64 {
		list, _ := filepath.Glob(filepath.Join(dir, "*"))
		var n int64
		for _, name := range list {
			if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() && name != in {
				n = max(n, st.Size())
			}
		}
		return n
	}
	for n, i := range order {
		at := rand.Int64N(size/int64(len(order))) + size/int64(len(order))*int64(n)
		waitFor(t, func() bool { return arrived() >= at })
		all[i].kill()
	}
	for _, m := range all[1:] {
		select {
		case err := <-m.done:
			m.done <- nil
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Minute):
			t.Fatalf("%s does not end", m.args)
		}
	}
	n, sum := sumOf(t, out)
	want, wantSum := sumOf(t, in)
	if n != want || sum != wantSum {
		t.Errorf("%d bytes with sum %x arrived, want %d with %x", n, sum, want, wantSum)
	}
	i, err := edge(t, url).Info(t.Context())
	if err != nil || !i.Ended || i.Written != size || i.Consumed != size || i.Held > 4<<10 {
		t.Errorf("at the end the edge is %+v, %v", i, err)
	}
}

func canConnect(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}
