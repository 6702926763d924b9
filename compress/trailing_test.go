package compress_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/weir-go/weir/compress"
)

func TestMembersAreReadOneAfterTheOther(t *testing.T) {
	a, b := mustRun(t, []byte("hello "), compress.Gzip()), mustRun(t, []byte("world"), compress.Gzip(compress.Workers(1)))
	empty := mustRun(t, nil, compress.Gzip())
	if got := mustRun(t, bytes.Join([][]byte{empty, a, empty, b, empty}, nil), compress.Gunzip()); string(got) != "hello world" {
		t.Errorf("%q", got)
	}
}

// What may follow a gzip member, and what gzip(1) makes of it.
const (
	whole   = 0 // as if it were not there
	broken  = 1 // an error
	garbage = 2 // ignored, with a warning
)

var trailers = []struct {
	behind string
	want   int
}{
	{"\x00", whole},
	{"\x00\x00\x00", whole},
	{strings.Repeat("\x00", 100_000), whole},
	{"garbage", garbage},
	{"ga", garbage},
	{"\x00g", garbage},
	{"\x00\x00garbage", garbage},
	{strings.Repeat("\x00", 70_000) + "x", garbage},
	{"\x1fz", garbage},
	{"\x00\x1f\x8b\x08", garbage},
	{"PK\x03\x04", garbage},
	{"\x1f", broken},
	{"\x1f\x8b", broken},
	{"\x1f\x8b\x08", broken},
	{"\x1f\x8b\x09\x00\x00\x00\x00\x00\x00\x00", broken},
	{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff", broken},
}

func TestWhatFollowsAMemberIsTreatedAsGzipDoes(t *testing.T) {
	gzip, err := exec.LookPath("gzip")
	if err != nil {
		t.Log("gzip is not installed: what it does is not compared")
	}
	member := mustRun(t, []byte("hello"), compress.Gzip())
	for i, c := range trailers {
		in := append(bytes.Clone(member), c.behind...)
		got, at, err := gunzipTelling(in, 1)
		if got3, at3, err3 := gunzipTelling(in, 3); err == nil && got3 != got || at3 != at || fmt.Sprint(err3) != fmt.Sprint(err) {
			t.Errorf("case %d: with three workers %q, at %d, %v; with one %q, at %d, %v", i, got3, at3, err3, got, at, err)
		}
		status := whole
		switch {
		case err != nil:
			status = broken
		case at >= 0:
			status = garbage
		}
		if status != c.want || status != broken && got != "hello" {
			t.Errorf("%.10q behind: %q, at %d, %v; want %d", c.behind, got, at, err, c.want)
		}
		if status == garbage {
			if want := int64(len(member) + strings.IndexFunc(c.behind, func(r rune) bool { return r != 0 })); at != want {
				t.Errorf("%.10q behind: told of offset %d, want %d", c.behind, at, want)
			}
			if plain, err := run(bytes.NewReader(in), compress.Gunzip()); string(plain) != "hello" || err != nil {
				t.Errorf("%.10q behind, nobody to tell: %q, %v", c.behind, plain, err)
			}
		}
		if gzip != "" {
			cmd := exec.Command(gzip, "-dc")
			cmd.Stdin = bytes.NewReader(in)
			out, _ := cmd.Output()
			if status != broken && string(out) != got || cmd.ProcessState.ExitCode() != status {
				t.Errorf("%.10q behind: gzip says %q, status %d; we %q, status %d", c.behind, out, cmd.ProcessState.ExitCode(), got, status)
			}
		}
	}
}

func gunzipTelling(in []byte, workers int) (out string, at int64, err error) {
	at = -1
	got, err := run(bytes.NewReader(in), compress.Gunzip(compress.Workers(workers), compress.OnTrailing(func(o int64) error { at = o; return nil })))
	return string(got), at, err
}

func TestGarbageCanBeRefused(t *testing.T) {
	refuse := compress.OnTrailing(func(int64) error { return compress.ErrTrailing })
	for _, c := range codecs[:3] {
		packed := mustRun(t, []byte("hello"), c.encode())
		if got := mustRun(t, append(bytes.Clone(packed), 0, 0), c.decode(refuse)); string(got) != "hello" {
			t.Errorf("%s, zeros behind: %q", c.name, got)
		}
		_, err := run(bytes.NewReader(append(bytes.Clone(packed), "\x00garbage"...)), c.decode(refuse))
		var ce *compress.CorruptError
		if !errors.Is(err, compress.ErrTrailing) || !errors.As(err, &ce) || ce.Offset != int64(len(packed)+1) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// endless never ends, and counts what was taken.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n += int64(len(p))
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestGarbageWithoutEndIsNotRead(t *testing.T) {
	for _, c := range codecs[:3] {
		more := new(endless)
		got, err := run(io.MultiReader(bytes.NewReader(mustRun(t, []byte("hello"), c.encode())), more), c.decode())
		if string(got) != "hello" || err != nil || more.n > 1<<20 {
			t.Errorf("%s: %q, %v, %d bytes of garbage read", c.name, got, err, more.n)
		}
	}
}

func TestGarbageBehindZstdIsAnError(t *testing.T) {
	packed := mustRun(t, []byte("hello"), compress.Zstd())
	_, err := run(bytes.NewReader(append(packed, "garbage"...)), compress.Unzstd())
	if want := "no zstd header"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: want %q in it", err, want)
	}
}
