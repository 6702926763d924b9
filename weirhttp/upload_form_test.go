package weirhttp

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// formOf is a form of files, given as their names and contents.
func formOf(files ...string) *strings.Reader {
	var b strings.Builder
	for i := 0; i < len(files); i += 2 {
		b.WriteString("--B\r\nContent-Disposition: form-data; name=f; filename=" + files[i] + "\r\n\r\n" + files[i+1] + "\r\n")
	}
	b.WriteString("--B--\r\n")
	return strings.NewReader(b.String())
}

const formType = "multipart/form-data; boundary=B"

func TestForm_ThatOverwritesReplacesAllOrNone(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("old"))
	dir := filepath.Join(in.u.Dir, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(409, "POST", "/upload", formOf("a", "new", "dir", "x"), "Content-Type", formType)
	in.wantFiles(map[string]string{"a": "old"})
	in.wantStatus(201, "POST", "/upload", formOf("a", "new", "b", "x"), "Content-Type", formType)
	in.wantFiles(map[string]string{"a": "new", "b": "x"})
	in.wantNoRoom()
}

func TestForm_FilesOfOneFormDoNotReplaceEachOther(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		in := newInbox(t, &Uploads{Overwrite: overwrite})
		in.wantStatus(201, "POST", "/upload", formOf("a", "1", "a", "2", `"a (2)"`, "3"), "Content-Type", formType)
		in.wantFiles(map[string]string{"a": "1", "a (2)": "2", "a (2) (2)": "3"})
		in.wantNoRoom()
	}
}

func TestForm_WhoseNamesCannotBeSyncedLeavesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder cannot be flushed by itself")
	}
	in := newInbox(t, &Uploads{Sync: true, Quota: 1000})
	in.wantStatus(201, "PUT", "/upload/there", strings.NewReader("there"))
	d := in.u.opened
	was := d.dir
	closed, err := os.Open(in.u.Dir)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	d.dir = closed
	in.wantStatus(500, "POST", "/upload", formOf("a", "1", "b", "2"), "Content-Type", formType)
	in.wantNoRoom()
	d.dir = was
	in.wantFiles(map[string]string{"there": "there"})
	if stored, _, _ := d.ledger.Sums(); stored != 5 {
		t.Errorf("%d bytes are stored", stored)
	}
}

func TestUploads_HeadersOfPartsAreBounded(t *testing.T) {
	in := newInbox(t, &Uploads{})
	part := func(n int) *strings.Reader {
		return strings.NewReader("--B\r\nContent-Disposition: form-data; name=f; filename=a\r\nX: " + strings.Repeat("x", n) + "\r\n\r\na\r\n--B--\r\n")
	}
	in.wantStatus(201, "POST", "/upload", part(32<<10), "Content-Type", formType)
	in.wantStatus(413, "POST", "/upload", part(1<<20), "Content-Type", formType)
	in.wantFiles(map[string]string{"a": "a"})
	in.wantNoRoom()
}

func TestUploads_NegativeStallIsNoLimit(t *testing.T) {
	budget := weir.NewBudget(16 << 10)
	if err := budget.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	in := newInbox(t, &Uploads{Budget: budget, Stall: -1})
	loc := in.create(5, "tus")
	stored := make(chan bool)
	go func() {
		defer close(stored)
		in.wantStatus(201, "PUT", "/upload/waits", strings.NewReader("waits"))
		in.patch(204, loc, 0, strings.NewReader("12345"))
	}()
	in.waitMoved("waits", 0)
	budget.Release(1)
	<-stored
	in.wantNoRoom()
	if until := time.Now().Add(2 * in.u.stall()); until.Before(time.Now().Add(in.u.stall())) {
		t.Errorf("the longest time is over at %v", until)
	}
}
