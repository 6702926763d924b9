package tree

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCopy_FailedReadOfAFileOfNoSizeIsAnError(t *testing.T) {
	src, err := os.Open("/proc/self/mem") // its first page cannot be read
	if err != nil {
		t.Skip(err)
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	var re *readError
	if n, err := newJob(&Copy{}).move(t.Context(), dst, src, 0, false); !errors.As(err, &re) {
		t.Errorf("move = %d, %v", n, err)
	}
}

func TestCopy_NamesAFolderThatCannotBeFinished(t *testing.T) {
	c := &Copy{From: t.TempDir(), To: filepath.Join(t.TempDir(), "to"), Metadata: true}
	j := newJob(c)
	if err := j.begin(); err != nil {
		t.Fatal(err)
	}
	j.top.dst.Close()
	j.top.release()
	var we *WriteError
	if err := j.end(t.Context(), nil); !errors.As(err, &we) || we.Path != c.To {
		t.Errorf("end = %v", err)
	}
	if _, err := os.Lstat(c.To); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is there: %v", err)
	}
}
