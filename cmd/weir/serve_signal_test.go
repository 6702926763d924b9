package main

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// terminates sends SIGTERM to this process when the server says that it serves,
// and lets it go on when the signal has come.
type terminates struct {
	t    *testing.T
	came <-chan os.Signal
	once sync.Once
}

func (w *terminates) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("serving ")) {
		w.once.Do(func() {
			raise(w.t)
			<-w.came
		})
	}
	return len(p), nil
}

func raise(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestServe_SignalThatComesWithTheFirstLineEndsTheServer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send itself a signal")
	}
	t.Setenv("GOGC", "100")         // or else the server sets it
	came := make(chan os.Signal, 1) // without which a signal that the server misses ends the test
	signal.Notify(came, syscall.SIGTERM)
	defer signal.Stop(came)
	args := []string{"serve", t.TempDir(), "--listen", "127.0.0.1:0"}
	code := make(chan int, 1)
	go func() { code <- run(args, io.Discard, &terminates{t: t, came: came}) }()
	select {
	case got := <-code:
		if got != exitTerminated {
			t.Errorf("exit code %d, want %d", got, exitTerminated)
		}
	case <-time.After(10 * time.Second):
		t.Error("it serves on")
		raise(t)
		<-code
	}
}
