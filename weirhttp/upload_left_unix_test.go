//go:build unix

package weirhttp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/lock"
)

func TestUploads_RemoveWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	left, used := filepath.Join(dir, atomicfile.TempName("upload")), filepath.Join(dir, atomicfile.TempName("upload"))
	for _, name := range []string{left, used} {
		if err := os.WriteFile(name, make([]byte, 600), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other, err := os.Open(used) // by a process that is still running
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := lock.Try(other); err != nil {
		t.Skip("no locks here:", err)
	}
	in := newInbox(t, &Uploads{Dir: dir, Quota: 1000, Expire: -1})
	in.wantStatus(405, "GET", "/upload", nil) // opens the folder
	eventually(t, func() bool {
		_, err := os.Lstat(left)
		return err != nil
	}, "what a killed process left is still there")
	if _, err := os.Lstat(used); err != nil {
		t.Error("a file in use was removed:", err)
	}
	// It counts.
	in.wantStatus(507, "PUT", "/upload/a", strings.NewReader(content(500)))
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(content(300)))
}
