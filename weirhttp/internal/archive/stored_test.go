package archive

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"
)

func TestStored_HasTheSizeThatSizerSays(t *testing.T) {
	files := fstest.MapFS{
		"d":            {Mode: fs.ModeDir | 0o755},
		"d/é.txt":      {Data: []byte("text"), Mode: 0o600, ModTime: time.Unix(1.7e9+1, 5e8)},
		"d/not\xffutf": {Data: make([]byte, 100_000), ModTime: time.Unix(1.7e9, 0)},
		"d/old":        {Data: []byte("x"), ModTime: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)},
		"d/empty":      {ModTime: time.Unix(1.7e9, 0)},
	}
	var b bytes.Buffer
	w, sizer := Stored.New(&b, nil), NewSizer()
	err := fs.WalkDir(files, "d", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := sizer.Add(name, info.Mode(), info.Size(), info.ModTime()); err != nil {
			return err
		}
		if d.IsDir() {
			return w.Folder(name, info)
		}
		out, err := w.File(name, info)
		if err == nil {
			_, err = out.Write(files[name].Data)
		}
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sizer.Size(); err != nil || n != int64(b.Len()) {
		t.Errorf("%d bytes, want %d: %v", n, b.Len(), err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || len(z.File) != len(files) {
		t.Fatalf("%d files: %v", len(z.File), err)
	}
	for _, f := range z.File {
		want := files[f.Name]
		if f.Name == "d/" {
			want = files["d"]
		}
		if want == nil {
			t.Errorf("a file %q", f.Name)
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r) // which checks the sum
		if err != nil || !bytes.Equal(got, want.Data) {
			t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
		}
		if f.Mode() != want.Mode || !want.ModTime.IsZero() && !f.Modified.Equal(want.ModTime.Truncate(time.Second)) {
			t.Errorf("%s: mode %v, time %v", f.Name, f.Mode(), f.Modified)
		}
	}
}

func TestSizer_KnowsLargeFiles(t *testing.T) {
	const large = 5 << 30
	s := NewSizer()
	for range 2 {
		if err := s.Add("f", 0o644, large, time.Unix(1.7e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	// Local header, extra field, content and a long descriptor; the same in the
	// directory, with a long size and offset; both records of the end.
	const each = 30 + 1 + 9 + large + 24 + 46 + 1 + 9 + 28
	if n, err := s.Size(); err != nil || n != 2*each+56+20+22 {
		t.Errorf("%d bytes, want %d: %v", n, int64(2*each+56+20+22), err)
	}
}
