package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/race"
)

func TestGzipList_CountsMoreThanFourGibibytes(t *testing.T) {
	if os.Getenv("WEIR_LONG") == "" || race.Enabled {
		t.Skip("it decompresses 4.25 GiB, which takes 15 s: WEIR_LONG=1 runs it")
	}
	t.Parallel()
	const member, members = 256 << 20, 17
	var one bytes.Buffer
	w, err := gzip.NewWriterLevel(&one, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for range member >> 20 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "big.gz")
	if err := os.WriteFile(name, bytes.Repeat(one.Bytes(), members), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"gzip", "-l", name}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	want := fmt.Sprintf("%19d %19d ", members*one.Len(), int64(members)*member)
	if !strings.Contains(stdout.String(), want) {
		t.Errorf("it printed\n%swithout %q", &stdout, want)
	}
}

func TestGzipHeader_StoredNamesLeadNowhere(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		"a.log": "a.log", "/etc/passwd": "passwd", "../../x": "x", "dir/": "", "..": "", ".": "", "": "", "a/..": "", "日本": "日本",
	} {
		if got := (gzipHeader{name: stored}).safeName(); got != want {
			t.Errorf("%q is stored as %q, want %q", stored, got, want)
		}
	}
}

// What nameStage writes is what compress/gzip and readGzipHeader read, however the
// data is cut.
func TestGzipHeader_IsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	sec, ok := gzipTime(when)
	if !ok {
		t.Fatal("no room for today")
	}
	var plain bytes.Buffer
	w := gzip.NewWriter(&plain)
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 3, 9, 10, 11, plain.Len()} {
		tr, err := nameStage("a.log", sec).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		emit := func(p []byte) error { out.Write(p); return nil }
		for rest := plain.Bytes(); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if err := tr.Do(t.Context(), rest[:min(size, len(rest))], emit); err != nil {
				t.Fatal(err)
			}
		}
		if err := tr.Flush(t.Context(), emit); err != nil {
			t.Fatal(err)
		}
		h, err := readGzipHeader(bytes.NewReader(out.Bytes()))
		if err != nil || h.name != "a.log" || !h.time.Equal(when) || h.size != gzipFixed+6 {
			t.Errorf("in pieces of %d: %+v, %v", size, h, err)
		}
		r, err := gzip.NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != "hello" || r.Name != "a.log" || !r.ModTime.Equal(when) {
			t.Errorf("in pieces of %d: %q, %+v, %v", size, text, r.Header, err)
		}
	}
	for _, out := range []time.Time{time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC)} {
		if _, ok := gzipTime(out); ok {
			t.Errorf("%v fits", out)
		}
	}
}

func TestGzipHeader_DamagedOnesAreNone(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"", "\x1f\x8b\x08", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03no end", "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\x03\xff\xffshort",
		"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03" + strings.Repeat("x", 2*longestName) + "\x00", "PK\x03\x04aaaaaaaaaaaaaa",
	} {
		if h, err := readGzipHeader(strings.NewReader(head)); err == nil {
			t.Errorf("%.20q is taken for a header: %+v", head, h)
		}
	}
}
