package kernelcopy

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
)

// TestStop_WritesWhatWasTakenAndEndsWell stops a copy that waits for a source
// which has given a part and gives no more, between all pairs of ends.
func TestStop_WritesWhatWasTakenAndEndsWell(t *testing.T) {
	for _, from := range []string{"tcp", "unix", "pipe", "io.Pipe"} {
		for to, dst := range sinks {
			t.Run(from+" to "+to, func(t *testing.T) {
				r, w := idle(t, from)
				stop := make(chan struct{})
				var arrivedBytes int64
				part := content[:100_000]
				go w.Write(part)
				sink, arrived := dst(t)
				n, err := Copy(t.Context(), sink, r, Options{Stop: stop, Progress: func(n int64) {
					// The rest of the part comes, and then nothing.
					if arrivedBytes += n; arrivedBytes == int64(len(part)) {
						close(stop)
					}
				}, segment: 10_000})
				if n != int64(len(part)) || err != nil {
					t.Errorf("Copy = %d, %v; want %d", n, err, len(part))
				}
				sink.Close()
				same(t, arrived(), part)
				if from == "io.Pipe" {
					return
				}
				// The deadline that unblocked the reader is gone.
				go w.Write([]byte("more"))
				if _, err := r.Read(make([]byte, 1)); err != nil {
					t.Errorf("Read after the stop = %v", err)
				}
			})
		}
	}
}

// A source that is always ready is left where the copy was stopped.
func TestStop_TakesNoMoreFromASourceThatIsReady(t *testing.T) {
	for _, from := range []string{"memory", "file"} {
		for to, dst := range sinks {
			t.Run(from+" to "+to, func(t *testing.T) {
				src := sources[from](t)
				stop := make(chan struct{})
				told := false
				sink, arrived := dst(t)
				n, err := Copy(t.Context(), sink, src, Options{Stop: stop, Progress: func(int64) {
					if !told {
						told = true
						close(stop)
					}
				}, segment: 300_000})
				sink.Close()
				if n == 0 || n >= int64(len(content)) || err != nil {
					t.Errorf("Copy = %d, %v; want a part of it", n, err)
				}
				same(t, arrived(), content[:n])
				rest, err := io.ReadAll(src)
				must(t, err)
				same(t, rest, content[n:])
			})
		}
	}
}

// A destination that takes nothing does not hold up a stop if nothing that was
// taken from the source has to be written.
func TestStop_DoesNotWaitForADestinationThatIsOwedNothing(t *testing.T) {
	for _, to := range []string{"tcp", "unix", "pipe", "pipe that blocks"} {
		t.Run(to, func(t *testing.T) {
			kind := to
			if to == "pipe that blocks" {
				kind = "pipe"
			}
			r, w := idle(t, kind)
			if kind != to {
				w.(*os.File).Fd() // makes it block
			}
			f := fileWith(t, t.TempDir(), nil)
			must(t, os.Truncate(f.Name(), 1<<30)) // more than any of them takes
			if Path(w, f) == "" {
				t.Skip("through memory a part is always taken")
			}
			stop := make(chan struct{})
			var n int64
			done := make(chan error, 1)
			go func() {
				var err error
				n, err = Copy(t.Context(), w, f, Options{Stop: stop})
				done <- err
			}()
			if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			close(stop)
			if err := <-done; err != nil || n < 1000 {
				t.Errorf("Copy = %d, %v", n, err)
			}
			at, err := f.Seek(0, io.SeekCurrent)
			if must(t, err); at != n {
				t.Errorf("%d bytes taken, %d written", at, n)
			}
		})
	}
}

func TestStop_InTimeForNothing(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	for from, src := range sources {
		for to, dst := range sinks {
			sink, arrived := dst(t)
			n, err := Copy(t.Context(), sink, src(t), Options{Stop: stop})
			sink.Close()
			if got := arrived(); n != 0 || err != nil || len(got) != 0 {
				t.Errorf("%s to %s: Copy = %d, %v, %d bytes", from, to, n, err, len(got))
			}
		}
	}
}

// The end of the context is not taken for a graceful one, whichever comes first.
func TestStop_YieldsToTheContext(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := make(chan struct{})
	// The write blocks: it has to be finished after the stop, but not after
	// the end of the context.
	_, err = Copy(ctx, w, io.MultiReader(newEndless(1<<20)), Options{Stop: stop, Progress: func(int64) {
		select {
		case <-stop:
		default:
			close(stop)
			cancel(cause)
		}
	}})
	if err != cause {
		t.Errorf("Copy = %v", err)
	}
}

func newEndless(n int64) io.Reader { return io.LimitReader(endless{}, n) }

// A write error after a stop is an error: the bytes had been taken.
func TestStop_HidesNoErrorOfTheDestination(t *testing.T) {
	stop := make(chan struct{})
	failed := os.ErrDeadlineExceeded // the error that interrupts a source
	w := writerFunc(func(p []byte) (int, error) {
		close(stop)
		return 0, failed
	})
	if _, err := Copy(t.Context(), w, newEndless(10), Options{Stop: stop}); err != failed {
		t.Errorf("Copy = %v", err)
	}
}
