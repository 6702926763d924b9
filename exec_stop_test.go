package weir_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/weir-go/weir"
)

// A command whose output is not wanted any more is ended, and a write to it that this
// interrupts is no failure.
func TestExec_IsNoFailureWhenItsOutputIsNotWanted(t *testing.T) {
	if _, err := exec.LookPath("cat"); err != nil {
		t.Skip("cat is not installed")
	}
	data := make([]byte, 1<<20)
	for range 50 {
		in := weir.FromFunc(func(context.Context) ([]byte, error) { return data, nil })
		bytes := weir.Via(in, weir.Do("bytes", func(_ context.Context, batch [][]byte, emit func([]byte) error) error {
			for _, b := range batch {
				if err := emit(b); err != nil {
					return err
				}
			}
			return nil
		}, nil))
		s := bytes.Through(weir.Exec("cat")).Async(weir.Bytes(4 << 10))
		if _, ok, err := weir.Find(t.Context(), s, func(byte) bool { return true }); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
}
