package weir_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
