package weir_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weir-go/weir"
)

func TestFile_IsCopiedToFiles(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	data := bytes.Repeat([]byte("0123456789"), 1<<20)
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]weir.Stream[byte]{
		"kernel": weir.File(in), "lanes": weir.File(in).Async(weir.Limit{}), "range": weir.FileRange(in, 7, 1000),
	} {
		f := s.To(weir.Create(out))
		if err := f.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := data
		if name == "range" {
			want = data[7:1007]
		}
		got, _ := os.ReadFile(out)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes", name, len(got))
		}
		r := f.Report()
		if r.Stages[0].Out != int64(len(want)) || r.Stages[1].In != int64(len(want)) {
			t.Errorf("%s: counted %d out and %d in", name, r.Stages[0].Out, r.Stages[1].In)
		}
		t.Log(name, r)
	}
	if ents, _ := os.ReadDir(dir); len(ents) != 2 {
		t.Errorf("files left: %v", ents)
	}
}

func TestCreate_LeavesNoFileAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	boom := errors.New("boom")
	err := weir.FromReader(strings.NewReader("hello")).Through(weir.Do("fail", func(_ context.Context, in []byte, emit func([]byte) error) error {
		emit(in)
		return boom
	}, nil)).To(weir.Create(filepath.Join(dir, "out"))).Run(context.Background())
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "stage fail") {
		t.Error(err)
	}
	if ents, _ := os.ReadDir(dir); len(ents) != 0 {
		t.Errorf("files left: %v", ents)
	}
	err = weir.File(filepath.Join(dir, "none")).To(weir.Create(filepath.Join(dir, "out"))).Run(context.Background())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	t.Log(err)
	if ents, _ := os.ReadDir(dir); len(ents) != 0 {
		t.Errorf("files left: %v", ents)
	}
}

// Every way to write a file keeps its promise about what is there already, and about
// what remains after a failure, with each option.
func TestFiles_KeepWhatIsThereWithEveryOption(t *testing.T) {
	const old, fresh = "precious old data", "new"
	options := map[string][]weir.FileOption{
		"none": nil, "Durable": {weir.Durable()}, "Perm": {weir.Perm(0o600)},
		"KeepPartial": {weir.KeepPartial()}, "KeepPartial and Durable": {weir.KeepPartial(), weir.Durable()},
		"ReadBack": {weir.ReadBack(sha256.New)}, "KeepPartial and ReadBack": {weir.KeepPartial(), weir.ReadBack(sha256.New)},
	}
	for _, way := range []struct {
		name                 string
		sink                 func(path string, o ...weir.FileOption) weir.Sink[byte]
		over                 string // what it makes of the old file
		exists, absent       error
		broken, brokenAbsent string // what a failure leaves, with KeepPartial or always
		keeps                bool   // always
	}{
		{"Create", weir.Create, fresh, nil, nil, fresh, fresh, false},
		{"CreateNew", weir.CreateNew, old, fs.ErrExist, nil, old, fresh, false},
		{"Append", weir.Append, old + fresh, nil, nil, old + fresh, fresh, true},
		{
			"WriteAt", func(path string, o ...weir.FileOption) weir.Sink[byte] { return weir.WriteAt(path, 9, o...) },
			"precious new data", nil, fs.ErrNotExist, "precious new data", "", true,
		},
	} {
		for name, opts := range options {
			for _, there := range []bool{true, false} {
				for _, fails := range []bool{false, true} {
					path := filepath.Join(t.TempDir(), "f")
					if there {
						if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					s := weir.FromReader(strings.NewReader(fresh))
					if fails {
						s = weir.FromReader(io.MultiReader(strings.NewReader(fresh), iotest.ErrReader(errors.New("no more"))))
					}
					err := s.To(way.sink(path, opts...)).Run(t.Context())
					refusal := way.absent
					want := fresh
					if there {
						refusal, want = way.exists, way.over
					}
					if fails {
						switch kept := way.keeps || strings.Contains(name, "KeepPartial"); {
						case kept && there:
							want = way.broken
						case kept:
							want = way.brokenAbsent
						case there:
							want = old
						default:
							want = ""
						}
					}
					if !there && way.absent != nil {
						want = ""
					}
					if refusal != nil && !errors.Is(err, refusal) || refusal == nil && (err != nil) != fails {
						t.Errorf("%s with %s, file there %v, fails %v: %v", way.name, name, there, fails, err)
					}
					if got, _ := os.ReadFile(path); string(got) != want {
						t.Errorf("%s with %s, file there %v, fails %v: file has %q, want %q", way.name, name, there, fails, got, want)
					}
				}
			}
		}
	}
	if err := weir.FromReader(strings.NewReader(fresh)).To(weir.Create(filepath.Join(t.TempDir(), "f"), weir.ReadBack(nil))).Run(t.Context()); err == nil {
		t.Error("ReadBack without a hash verified nothing, and said nothing")
	}
}
