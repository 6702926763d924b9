package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDetect_NamesTheSlowStage(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	data := bytes.Repeat([]byte("line\n"), 200_000)
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	report, err := detect(t.Context(), in, out, 2<<20, &text)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(out); !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived", len(got))
	}
	if v := report.Verdict; v.Stage != "rate" || !v.Limit || v.Waiting != "read" {
		t.Errorf("%+v", v)
	}
	if !strings.Contains(text.String(), "the rate limit (rate) is the bottleneck") {
		t.Error(text.String())
	}
	for _, s := range report.Stages {
		if s.Busy+s.Blocked+s.Starved+s.Outside != s.Wall {
			t.Errorf("%s: the states do not add up", s.Name)
		}
	}
}

func TestDetect_MissingFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := detect(t.Context(), filepath.Join(dir, "none"), filepath.Join(dir, "out"), 1, io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Error(list)
	}
}
