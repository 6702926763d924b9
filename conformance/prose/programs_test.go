package prose

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A compiled program that was committed once remains in every clone.
func TestPrograms_AreNotInTheRepository(t *testing.T) {
	list, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skip("not a clone, or no git: ", err)
	}
	for _, name := range bytes.Split(bytes.TrimRight(list, "\x00"), []byte{0}) {
		f, err := os.Open(filepath.Join(root, string(name)))
		if err != nil {
			continue // removed, and not committed yet
		}
		var magic [4]byte
		_, _ = io.ReadFull(f, magic[:])
		f.Close()
		for _, m := range []string{"\x7fELF", "MZ", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"} {
			if bytes.HasPrefix(magic[:], []byte(m)) {
				t.Errorf("%s is a program", name)
			}
		}
	}
}
