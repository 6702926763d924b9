//go:build unix

package weir_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

// A file that becomes shorter while it is read fails the flow, whether the
// kernel or the flow moves its bytes.
func TestFile_ThatShrinksWhileItIsReadFailsTheFlow(t *testing.T) {
	for _, c := range []struct {
		name string
		via  func(weir.Stream[byte]) weir.Stream[byte]
	}{
		{"by the kernel", func(s weir.Stream[byte]) weir.Stream[byte] { return s }},
		{"through a stage", func(s weir.Stream[byte]) weir.Stream[byte] { return s.Through(text.Lower()) }},
	} {
		dir := t.TempDir()
		src, fifo := filepath.Join(dir, "src"), filepath.Join(dir, "fifo")
		if err := os.WriteFile(src, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			f, err := os.Open(fifo)
			if err == nil {
				if _, err = io.ReadFull(f, make([]byte, 1)); err == nil {
					err = os.Truncate(src, 1000)
				}
				_, cerr := io.Copy(io.Discard, f)
				err = errors.Join(err, cerr, f.Close())
			}
			read <- err
		}()
		err := c.via(weir.File(src)).To(weir.Create(fifo)).Run(context.Background())
		var se *weir.StageError
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &se) || se.Stage != "read" {
			t.Errorf("%s: Run = %v", c.name, err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
}

func TestFile_ThatGrowsWhileItIsReadIsReadOn(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(src, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	grown := false
	n := 0
	err := weir.File(src).To(weir.EachBatch(func(_ context.Context, b []byte) error {
		if n += len(b); !grown {
			grown = true
			f, err := os.OpenFile(src, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(make([]byte, 1000))
			return errors.Join(err, f.Close())
		}
		return nil
	})).Run(t.Context())
	if err != nil || n < 1000 {
		t.Errorf("Run = %v after %d bytes", err, n)
	}
}

// A flow that is told to stop has not read its file to the end, so it does not matter that
// the file has grown.
func TestStop_OfAFileThatGrowsIsNoFailure(t *testing.T) {
	for name, writer := range map[string]func(net.Conn) io.Writer{
		"kernel":     func(c net.Conn) io.Writer { return c },
		"user space": func(c net.Conn) io.Writer { return struct{ io.WriteCloser }{c} },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			long := time.Now().Add(-time.Hour)
			if err := errors.Join(f.Truncate(64<<20), os.Chtimes(path, long, long)); err != nil {
				t.Fatal(err)
			}
			c, reader := connected(t)
			flow := weir.File(path).To(weir.ToWriter(writer(c)))
			done := make(chan error, 1)
			go func() { done <- flow.Run(t.Context()) }()
			for r := flow.Report(); len(r.Stages) == 0 || r.Stages[0].Out == 0; r = flow.Report() {
				select {
				case err := <-done:
					t.Fatal(err)
				case <-time.After(time.Millisecond):
				}
			}
			if _, err := f.WriteAt([]byte("more"), 64<<20); err != nil {
				t.Fatal(err)
			}
			flow.Stop()
			n, err := io.Copy(io.Discard, reader)
			if err := errors.Join(err, <-done); err != nil || n >= 64<<20 {
				t.Errorf("after %d bytes: %v", n, err)
			}
		})
	}
}
