package tree_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/weir-go/weir/tree"
)

// BenchmarkManySmallFiles copies 20,000 files of 4 KiB, beside cp -r.
func BenchmarkManySmallFiles(b *testing.B) {
	src := filepath.Join(b.TempDir(), "src")
	block := bytes.Repeat([]byte("x"), 4<<10)
	for i := range 20_000 {
		dir := filepath.Join(src, fmt.Sprint(i/200))
		if i%200 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), block, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	copies := map[string]func(dst string) error{
		"weir": func(dst string) error { c := tree.Copy{From: src, To: dst}; return c.Run(b.Context()) },
	}
	if _, err := exec.LookPath("cp"); err == nil {
		copies["cp"] = func(dst string) error { return exec.Command("cp", "-r", src, dst).Run() }
	}
	for name, do := range copies {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				dst := filepath.Join(b.TempDir(), "dst")
				if err := do(dst); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				os.RemoveAll(dst)
				b.StartTimer()
			}
		})
	}
}
