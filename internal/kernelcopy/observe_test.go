package kernelcopy

import (
	"io"
	"os"
	"slices"
	"testing"
	"time"
)

// witness is an Observer that adds up.
type witness struct {
	now     Activity
	since   time.Time
	took    [3]time.Duration
	settled Spent
	paths   []string
}

func (w *witness) Enter(a Activity) {
	t := time.Now()
	if !w.since.IsZero() {
		w.took[w.now] += t.Sub(w.since)
	}
	w.now, w.since = a, t
}

func (w *witness) Settle(s Spent) {
	w.settled.Copy += s.Copy
	w.settled.Read += s.Read
	w.settled.Write += s.Write
	w.settled.MaybeRead += s.MaybeRead
	w.settled.MaybeWrite += s.MaybeWrite
}

func (w *witness) Path(name string) { w.paths = append(w.paths, name) }

func (w *witness) reads() time.Duration  { return w.took[Reading] + w.settled.Read }
func (w *witness) writes() time.Duration { return w.took[Writing] + w.settled.Write }

// TestObserver_IsToldWhichEndIsWaitedFor has one end wait between all pairs of
// ends whose waits can be told apart.
func TestObserver_IsToldWhichEndIsWaitedFor(t *testing.T) {
	const pause = 40 * time.Millisecond
	for _, from := range []string{"tcp", "unix", "pipe", "io.Pipe"} {
		for to, dst := range sinks {
			t.Run("slow "+from+" to "+to, func(t *testing.T) {
				t.Parallel()
				r, w := idle(t, from)
				go func() {
					for range 3 {
						time.Sleep(pause)
						w.Write(content[:1000])
					}
					w.Close()
				}()
				var seen witness
				sink, arrived := dst(t)
				n, err := Copy(t.Context(), sink, r, Options{Observer: &seen})
				seen.Enter(Reading)
				sink.Close()
				if arrived(); n != 3000 || err != nil {
					t.Fatalf("Copy = %d, %v", n, err)
				}
				if seen.reads() < 2*pause || seen.reads() < seen.writes() {
					t.Errorf("%v for the source, %v for the destination", seen.reads(), seen.writes())
				}
			})
		}
	}
	for _, from := range []string{"memory", "file", "tcp"} {
		for _, to := range []string{"tcp", "unix", "pipe", "pipe that blocks"} {
			t.Run(from+" to slow "+to, func(t *testing.T) {
				t.Parallel()
				kind := to
				if to == "pipe that blocks" {
					kind = "pipe"
				}
				r, w := idle(t, kind)
				if kind != to {
					w.(*os.File).Fd()
				}
				type buffered interface{ SetReadBuffer(int) error }
				if b, ok := r.(buffered); ok {
					b.SetReadBuffer(4 << 10)
				}
				go func() {
					for range 3 {
						time.Sleep(pause)
						io.CopyN(io.Discard, r, int64(len(content)/4))
					}
					io.Copy(io.Discard, r)
				}()
				var seen witness
				n, err := Copy(t.Context(), w, sources[from](t), Options{Observer: &seen})
				seen.Enter(Reading)
				w.Close()
				if n != int64(len(content)) || err != nil {
					t.Fatalf("Copy = %d, %v", n, err)
				}
				if kind == "pipe" && (seen.writes() < 2*pause || seen.writes() < seen.reads()) {
					t.Errorf("%v for the source, %v for the destination", seen.reads(), seen.writes())
				}
			})
		}
	}
}

// Path gets the name of a system call only if the call has moved bytes.
func TestObserver_IsToldThePathThatWasUsed(t *testing.T) {
	for from, src := range sources {
		for to, dst := range sinks {
			r := src(t)
			sink, arrived := dst(t)
			want := Path(sink, r)
			var seen witness
			_, err := Copy(t.Context(), sink, r, Options{Observer: &seen})
			sink.Close()
			arrived()
			if err != nil || len(seen.paths) != 1 || seen.paths[0] != want {
				t.Errorf("%s to %s: told %q, want %q; %v", from, to, seen.paths, want, err)
			}
		}
	}
	if f, err := os.Open("/proc/version"); err == nil {
		defer f.Close()
		sink, _ := sinks["file"](t)
		var seen witness
		Copy(t.Context(), sink, f, Options{Observer: &seen})
		if sink.Close(); len(slices.DeleteFunc(seen.paths, func(s string) bool { return s == "" })) > 0 {
			t.Errorf("of a file that the kernel makes up: %q", seen.paths)
		}
	}
}

func TestSamples_DivideTheTimeAsTheEndsTookIt(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name        string
		s           samples
		wait        time.Duration
		read, write time.Duration
	}{
		{"no sample", samples{}, time.Second, 0, 0},
		{"samples that never slept", samples{bytes: mib}, time.Second, 0, 0},
		{"a slow source", samples{bytes: mib, read: 100 * time.Millisecond}, time.Second, time.Second, 0},
		{"a slow destination", samples{bytes: mib, write: 100 * time.Millisecond}, time.Second, 0, time.Second},
		{"both", samples{bytes: mib, read: 60 * time.Millisecond, write: 20 * time.Millisecond}, time.Second, 750 * time.Millisecond, 250 * time.Millisecond},
		{"less than there is", samples{bytes: mib, read: 10 * time.Millisecond}, time.Second, 160 * time.Millisecond, 0},
	} {
		if r, w := c.s.divide(c.wait, 16*mib); r.Round(time.Microsecond) != c.read || w.Round(time.Microsecond) != c.write {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, r, w, c.read, c.write)
		}
	}
}

func TestSamples_AreFewUnlessTheKernelSleeps(t *testing.T) {
	const size = 16 << 20
	share := func(slept time.Duration) float64 {
		var s samples
		var sampled, moved int64
		for moved < 1<<30 {
			n := s.due(size)
			if n > 0 {
				s.moved = 0
				s.bytes += n
				s.run += n
				sampled += n
				moved += n
			}
			if rest := size - n; rest > 0 {
				s.call(100*time.Millisecond, slept)
				s.moved, s.run = s.moved+rest, 0
				moved += rest
			}
		}
		return float64(sampled) / float64(moved)
	}
	if got := share(10 * time.Millisecond); got > 0.005 {
		t.Errorf("%.1f%% of the bytes go through memory", 100*got)
	}
	if got := share(90 * time.Millisecond); got < 0.4 || got > 0.9 {
		t.Errorf("%.1f%% of the bytes go through memory where the kernel sleeps", 100*got)
	}
}
