package gzipfile

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func member(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOneMember_ComparesTheSizeOfTheLastMember(t *testing.T) {
	for _, c := range []struct {
		name, gz string
		plain    int64
		want     bool
	}{
		{"one member", member(t, "text"), 4, true},
		{"another size", member(t, "text"), 5, false},
		{"two members", member(t, "te") + member(t, "xt"), 4, false},
		{"no gzip", strings.Repeat("x", 100), 4, false},
		{"too short", "\x1f\x8b\x08", 0, false},
	} {
		if got := OneMember(strings.NewReader(c.gz), int64(len(c.gz)), c.plain); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
