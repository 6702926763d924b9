package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

func TestUpperFile_HasUpperCaseAndNoTabs(t *testing.T) {
	dir := t.TempDir()
	input, output := filepath.Join(dir, "input.txt"), filepath.Join(dir, "output.txt")
	// Characters of two, three and four bytes lie across every chunk border.
	line := "\tñandú straße ά 日本 🚰\tend\n"
	text := "x" + strings.Repeat(line, 10_000)
	if err := os.WriteFile(input, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := upperFile(t.Context(), input, output); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(strings.ToUpper(text), "\t", "    ")
	if string(got) != want {
		t.Errorf("the output differs: %d bytes, valid text %v", len(got), utf8.Valid(got))
	}
}

func TestExpandTabs_KeepsCharactersWholeInAnyChunks(t *testing.T) {
	var got bytes.Buffer
	err := weir.FromReader(iotest.OneByteReader(strings.NewReader("ñ\t日本🚰"))).
		Through(text.Upper(), expandTabs(1)).
		To(weir.ToWriter(&got)).
		Run(t.Context())
	if err != nil || got.String() != "Ñ 日本🚰" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

func TestExpandTabs_WaitsWhenItEmitsMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[byte](weir.Bytes(1000))
		flow := weir.FromSlice(bytes.Repeat([]byte("\t"), 10_000)).Through(expandTabs(100)).To(weir.ToPipe(w))
		ended := make(chan error, 1)
		go func() { ended <- flow.Run(t.Context()) }()
		synctest.Wait() // until the flow can go no further
		if held := r.Stats().Bytes; held != 1000 {
			t.Errorf("%d bytes wait in a pipe of 1000", held)
		}
		r.Close()
		if err := <-ended; err != nil && !errors.Is(err, weir.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestUpperFile_MissingFileLeavesNoOutput(t *testing.T) {
	dir := t.TempDir()
	err := upperFile(t.Context(), filepath.Join(dir, "absent"), filepath.Join(dir, "output"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%d files are there, want none", len(files))
	}
}
