package carry

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMetadata_GoesFromTheSourceToTheSinkOfOneRun(t *testing.T) {
	f, err := os.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	Opened(t.Context(), f, info) // nobody wants to know
	if Wanted(t.Context()) != nil || Wanted(Into(t.Context(), &Note{})) != nil {
		t.Error("metadata are wanted where nobody said so")
	}
	one, other := Into(t.Context(), &Note{Metadata: true}), Into(t.Context(), &Note{Metadata: true})
	like := Wanted(one) // a sink may open before its source
	if got := like(); got != nil {
		t.Errorf("before the source is open: %v", got)
	}
	Opened(one, f, info)
	if got := like(); !os.SameFile(got, info) {
		t.Errorf("%v, want %v", got, info)
	}
	if got := Wanted(other)(); got != nil {
		t.Errorf("another run has %v", got)
	}
}

func TestEnded_TellsWhatHappenedToTheFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *os.File) error
		shrank bool
		told   string
	}{
		{"nothing", func(*os.File) error { return nil }, false, ""},
		{"longer", func(f *os.File) error { _, err := f.Write([]byte("more")); return err }, false, "grew from 1000 to 1004 bytes"},
		{"shorter", func(f *os.File) error { return f.Truncate(10) }, true, ""},
		{"empty and longer again", func(f *os.File) error {
			return errors.Join(f.Truncate(0), f.Truncate(5000), os.Chtimes(f.Name(), time.Time{}, time.Unix(5, 0)))
		}, true, ""},
		{"touched", func(f *os.File) error { return os.Chtimes(f.Name(), time.Time{}, time.Unix(5, 0)) }, false, "was written to"},
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		n := &Note{}
		ctx := Into(t.Context(), n)
		Opened(ctx, f, info)
		at := int64(1000)
		if c.shrank {
			at = 10
		}
		f.Seek(at, io.SeekStart)
		w, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(w); err != nil {
			t.Fatal(err)
		}
		w.Close()
		err = Ended(ctx, f, info)
		var se *ShrankError
		if errors.As(err, &se) != c.shrank || c.shrank != errors.Is(err, io.ErrUnexpectedEOF) || err != nil && !c.shrank || n.Changed() != c.told {
			t.Errorf("%s: %v, %q", c.name, err, n.Changed())
		}
		f.Close()
	}
}
