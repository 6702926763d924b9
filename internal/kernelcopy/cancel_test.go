package kernelcopy

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// idle returns ends that block: a reader without data, a writer that is full.
func idle(t *testing.T, name string) (r io.ReadCloser, w io.WriteCloser) {
	switch name {
	case "tcp":
		r, w = tcpPair(t)
	case "unix":
		r, w = unixPair(t)
	case "pipe":
		var err error
		r, w, err = os.Pipe()
		must(t, err)
	case "io.Pipe":
		r, w = io.Pipe()
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestCopy_CancelUnblocksARead(t *testing.T) {
	for _, from := range []string{"tcp", "unix", "pipe", "io.Pipe"} {
		for to, dst := range sinks {
			t.Run(from+" to "+to, func(t *testing.T) {
				r, w := idle(t, from)
				stop := errors.New("stop")
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					w.Write(content[:100]) // taken, so that Copy is waiting or about to
					cancel(stop)
				}()
				sink, arrived := dst(t)
				_, err := Copy(ctx, sink, r, Options{})
				if err != stop {
					t.Errorf("Copy = %v, want the cause of the context", err)
				}
				sink.Close()
				arrived()
				if from == "io.Pipe" {
					return
				}
				// The deadline that unblocked the reader is gone.
				go w.Write([]byte("more"))
				if _, err := r.Read(make([]byte, 1)); err != nil {
					t.Errorf("Read after the cancel = %v", err)
				}
			})
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestCopy_CancelUnblocksAWrite(t *testing.T) {
	for _, to := range []string{"tcp", "unix", "pipe", "io.Pipe"} {
		for _, from := range []string{"endless", "file", "tcp"} {
			t.Run(from+" to "+to, func(t *testing.T) {
				_, w := idle(t, to)
				var src io.Reader = endless{}
				switch from {
				case "file":
					f := fileWith(t, t.TempDir(), content)
					must(t, os.Truncate(f.Name(), 1<<30)) // more than any socket takes
					src = f
				case "tcp":
					r, w := tcpPair(t)
					go io.Copy(w, struct{ io.Reader }{endless{}})
					src = r
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				if _, err := Copy(ctx, w, src, Options{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Copy = %v", err)
				}
				if d, ok := w.(writeDeadliner); ok {
					must(t, d.SetWriteDeadline(time.Now().Add(time.Hour))) // still open
				}
			})
		}
	}
}

func TestCopy_CancelInAWriteLeavesTheSocketUsable(t *testing.T) {
	r, w := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	var n int64
	done := make(chan error)
	go func() {
		_, err := Copy(ctx, w, endless{}, Options{Progress: func(m int64) {
			if n += m; n > 1<<20 {
				w.SetWriteBuffer(1 << 10)
			}
		}})
		done <- err
	}()
	// The receiver takes a little and then nothing: the sender is stuck, or
	// about to be, when the cancel comes.
	if _, err := io.ReadFull(r, make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Copy = %v", err)
	}
	w.SetWriteDeadline(time.Now().Add(time.Minute))
	go io.Copy(io.Discard, r)
	if _, err := w.Write([]byte("more")); err != nil {
		t.Errorf("Write after the cancel = %v", err)
	}
}

func TestCopy_CancelSparesRegularFiles(t *testing.T) {
	src := sources["file"](t).(*os.File)
	dst, _ := fileSink(t, t.TempDir(), 0)
	defer dst.Close()
	ctx, cancel := context.WithCancel(t.Context())
	n, err := Copy(ctx, dst, src, Options{Progress: func(int64) { cancel() }, segment: 1 << 20})
	if n != 1<<20 || !errors.Is(err, context.Canceled) {
		t.Errorf("Copy = %d, %v; want one piece", n, err)
	}
	if _, err := src.Stat(); err != nil {
		t.Error(err)
	}
	if _, err := dst.(*os.File).Stat(); err != nil {
		t.Error(err)
	}
	if n, err := Copy(ctx, dst, src, Options{}); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Copy with a context that is over = %d, %v", n, err)
	}
}

// stuck is a reader that only Close or release ends.
type stuck struct {
	begun, release chan struct{}
	closed         bool
}

func (s *stuck) Read([]byte) (int, error) {
	close(s.begun)
	<-s.release
	return 0, io.EOF
}

func (s *stuck) Close() error {
	s.closed = true
	close(s.release)
	return nil
}

func TestCopy_CancelClosesAStuckEndUnlessItMustStayOpen(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s := &stuck{begun: make(chan struct{}), release: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-s.begun
			cancel()
			if keep {
				close(s.release)
			}
		}()
		// With KeepOpen the reader ends of itself, and the copy is complete.
		_, err := Copy(ctx, io.Discard, s, Options{KeepOpen: keep})
		if s.closed == keep || !keep && !errors.Is(err, context.Canceled) {
			t.Errorf("KeepOpen %v: Copy = %v, closed %v", keep, err, s.closed)
		}
	}
}
