package weirhttp

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A form that fails withdraws its own files, and no file that has one of their names since.
func TestForm_WithdrawsOnlyItsOwnFile(t *testing.T) {
	for _, other := range []string{"", "another client's"} {
		dir := t.TempDir()
		d, err := openFolder(&settings{dir: dir, log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.receive(4)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write([]byte("mine")); err != nil {
			t.Fatal(err)
		}
		got, replaced, err := in.publish("x", rule{mode: replace})
		if err != nil || replaced || got.Name != "x" {
			t.Fatal(got, replaced, err)
		}
		path := filepath.Join(dir, "x")
		if other != "" {
			if err := os.WriteFile(path+".new", []byte(other), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		before, _, _ := d.ledger.Sums()
		if err := in.withdraw(got); err != nil {
			t.Error(err)
		}
		after, _, _ := d.ledger.Sums()
		if text, _ := os.ReadFile(path); string(text) != other {
			t.Errorf("the file has %q, want %q", text, other)
		}
		if removed := before - after; removed != 4 && other == "" || removed != 0 && other != "" {
			t.Errorf("the folder counts %d bytes less", removed)
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}
}
