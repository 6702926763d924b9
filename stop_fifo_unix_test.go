//go:build unix

package weir_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

// The kernel copies from a file that is opened with the context of the source,
// too.
func TestStop_InterruptsTheOpeningOfANamedPipe(t *testing.T) {
	for name, through := range map[string]func(weir.Stream[byte]) weir.Stream[byte]{
		"copied by the kernel": func(s weir.Stream[byte]) weir.Stream[byte] { return s },
		"with a stage":         func(s weir.Stream[byte]) weir.Stream[byte] { return s.Through(text.Upper()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fifo := filepath.Join(dir, "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Skip(err)
			}
			f := through(weir.File(fifo)).To(weir.Create(filepath.Join(dir, "out")))
			done := make(chan error)
			go func() { done <- f.Run(t.Context()) }()
			for range time.Tick(time.Millisecond) { // Stop before Run has begun does nothing
				f.Stop()
				select {
				case err := <-done:
					if err != nil {
						t.Error(err)
					}
					if info, err := os.Stat(filepath.Join(dir, "out")); err != nil || info.Size() != 0 {
						t.Error(info, err)
					}
					return
				default:
				}
			}
		})
	}
}
