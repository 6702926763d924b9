package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPeak_IsNotThatOfTheParentProcess(t *testing.T) {
	if highWater() == 0 {
		t.Skip("the kernel does not tell")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	weir, file := filepath.Join(dir, "weir"), filepath.Join(dir, "a")
	if err := os.Symlink(exe, weir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 256<<20)
	for i := 0; i < len(large); i += os.Getpagesize() {
		large[i] = 1
	}
	out, err := exec.Command(weir, "copy", file, file+".copy", "--json").CombinedOutput()
	runtime.KeepAlive(large)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var summary struct{ Memory struct{ Process int64 } }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &summary); err != nil {
		t.Fatal(err)
	}
	if n := summary.Memory.Process; n <= 0 || n > 128<<20 {
		t.Errorf("a copy of 5 bytes had %d MiB at its peak", n>>20)
	}
}
