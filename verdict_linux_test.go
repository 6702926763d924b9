package weir_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// TestVerdict_IsTrueOfTheKernelsCopies takes real time, so each end is slow by far.
func TestVerdict_IsTrueOfTheKernelsCopies(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "in")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const pause = 10 * time.Millisecond
	slowReader := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer r.Close()
			for buf := make([]byte, 32<<10); ; time.Sleep(pause) {
				if _, err := r.Read(buf); err != nil {
					return
				}
			}
		}()
		return w
	}
	slowWriter := func(w io.WriteCloser) {
		defer w.Close()
		for range 30 {
			time.Sleep(pause)
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}
	fifo := func(t *testing.T) string {
		name := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Skip(err)
		}
		go func() {
			if w, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
				slowWriter(w)
			}
		}()
		return name
	}
	create := func(t *testing.T) weir.Sink[byte] { return weir.Create(filepath.Join(t.TempDir(), "out")) }
	for _, c := range []struct {
		name, want, kernel string
		flow               func(t *testing.T) *weir.Flow
	}{
		{"a file to a slow pipe", "write", "splice", func(t *testing.T) *weir.Flow {
			return weir.File(file).To(weir.ToWriter(slowReader(t)))
		}},
		{"a file to a slow pipe that blocks", "write", "splice", func(t *testing.T) *weir.Flow {
			w := slowReader(t)
			w.Fd()
			return weir.File(file).To(weir.ToWriter(w))
		}},
		{"a slow named pipe to a file", "read", "", func(t *testing.T) *weir.Flow {
			return weir.File(fifo(t)).To(create(t))
		}},
		{"a slow pipe to a file", "read", "", func(t *testing.T) *weir.Flow {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go slowWriter(w)
			return weir.FromReader(r).To(create(t))
		}},
		{"a slow pipe to a slow pipe", "read", "", func(t *testing.T) *weir.Flow {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go slowWriter(w)
			return weir.FromReader(r).To(weir.ToWriter(slowReader(t)))
		}},
		{"a source of one's own that is slow to open", "slow", "", func(t *testing.T) *weir.Flow {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, r)
			return weir.From(weir.Source[byte]{Name: "slow", Open: func(context.Context) (weir.Reader[byte], error) {
				time.Sleep(300 * time.Millisecond)
				return os.Open(file)
			}}).To(weir.ToWriter(w))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := c.flow(t)
			if err := f.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := f.Report()
			if answer(r.Verdict) != c.want {
				t.Errorf("want %s: %v\n%v", c.want, r.Verdict, r)
			}
			if r.Kernel != c.kernel {
				t.Errorf("moved by %q, want %q", r.Kernel, c.kernel)
			}
			for _, s := range r.Stages {
				if sum := s.Busy + s.Blocked + s.Starved + s.Outside + s.Unknown; sum != s.Wall {
					t.Errorf("%s: the states add up to %v of %v", s.Name, sum, s.Wall)
				}
			}
		})
	}
}

// A copy that the kernel makes within memory is its own bottleneck, or nobody can
// tell; no share of it is given to reading or to writing.
func TestVerdict_InventsNoSharesOfACopy(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f := weir.File(in).To(weir.Create(filepath.Join(dir, "out")))
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := f.Report()
	if r.Kernel == "" {
		t.Skip("this file system copies through memory")
	}
	if v := r.Verdict; v.Stage == "read" {
		t.Errorf("%v\n%v", v, r)
	}
	from, to := r.Stages[0], r.Stages[1]
	if from.Unknown != to.Unknown || from.Busy != to.Busy || from.Busy == 0 {
		t.Errorf("the ends of one copy differ:\n%v", r)
	}
}
