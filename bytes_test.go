package weir_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/weir-go/weir"
)

// cut makes a stream of data that arrives in pieces of random lengths.
func cut(data []byte, seed uint64) weir.Stream[byte] {
	return weir.Generate("cut", func(_ context.Context, emit func([]byte) error) error {
		r := rand.New(rand.NewPCG(seed, 7))
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1+r.IntN(40)))
			if err := emit(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

func collect[T any](s weir.Stream[T]) (out []T, err error) {
	err = s.To(weir.EachBatch(func(_ context.Context, batch []T) error {
		out = append(out, batch...)
		return nil
	})).Run(context.Background())
	return out, err
}

// linesWithEnds cuts a text behind each "\n", "\r\n" and "\r" alone.
func linesWithEnds(s string) (lines []string) {
	begin := 0
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' && (i+1 == len(s) || s[i+1] != '\n') {
			lines = append(lines, s[begin:i+1])
			begin = i + 1
		}
	}
	if begin < len(s) {
		lines = append(lines, s[begin:])
	}
	return lines
}

// bareLine is a line without its end.
func bareLine(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// splitLines is what Lines makes of a text.
func splitLines(s string) []string {
	lines := linesWithEnds(strings.TrimPrefix(s, "\ufeff"))
	for i, l := range lines {
		lines[i] = bareLine(l)
	}
	return lines
}

// isUTF16 reports whether a text begins with a byte order mark of UTF-16.
func isUTF16(s string) bool {
	return strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff")
}

var texts = []string{
	"", "\n", "\r\n", "a", "a\n", "a\r\n", "a\nb", "a\r\nb\r\n", "\n\n\n", "a\r\rb\r\n\n",
	"ñandú\nüber\r\nstraße\n", strings.Repeat("a long line of text ", 50) + "\nend", "日本語\n\xff\xfe broken \xc3\n\xe2\x82",
	"a\rb\r", "\r", "\r\r", "\n\r", "a\r\r\n\rb", "a\rb\nc\r\nd\r", "\ufeffa\n\ufeffb\n", "\ufeff", "\xef", "\xef\xbb", "\xef\xbba\n", "\xffa\n", "\xfe",
	"\xff\xfea\x00\n\x00", "\xfe\xff\x00a\x00\n", "\ufeff\r\n\ufeff",
}

func FuzzLinesDoNotDependOnTheChunks(f *testing.F) {
	for i, s := range texts {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		got, err := collect(weir.Lines(cut([]byte(s), seed)))
		if isUTF16(s) {
			if !errors.Is(err, weir.ErrInvalidUTF8) {
				t.Errorf("%q: %v, want an error", s, err)
			}
			return
		}
		if want := splitLines(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", s, got, err, want)
		}
	})
}

func FuzzTextDoesNotDependOnTheChunks(f *testing.F) {
	for i, s := range texts {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		whole := func(st weir.Stage[byte, byte]) string {
			out, err := collect(weir.FromSlice([]byte(s)).Through(st))
			if err != nil {
				t.Error(err)
			}
			return string(out)
		}
		for name, make := range map[string]func() weir.Stage[byte, byte]{"upper": weir.Upper, "lower": weir.Lower} {
			got, err := collect(cut([]byte(s), seed).Through(make()))
			if err != nil || string(got) != whole(make()) {
				t.Errorf("%s of %q: got %q, %v", name, s, got, err)
			}
		}
		if utf8.ValidString(s) && whole(weir.Upper()) != strings.ToUpper(s) {
			t.Errorf("upper of %q: %q, want %q", s, whole(weir.Upper()), strings.ToUpper(s))
		}
		_, err := collect(cut([]byte(s), seed).Through(weir.ValidText()))
		if utf8.ValidString(s) != (err == nil) || err != nil && !errors.Is(err, weir.ErrInvalidUTF8) {
			t.Errorf("valid text %q: %v", s, err)
		}
		if err != nil {
			at := 0
			for at < len(s) {
				r, n := utf8.DecodeRuneInString(s[at:])
				if r == utf8.RuneError && n == 1 {
					break
				}
				at += n
			}
			if want := fmt.Sprintf("at byte %d", at); !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%q: %v, want %s", s, err, want)
			}
		}
	})
}

func FuzzGrepAndHeadDoNotDependOnTheChunks(f *testing.F) {
	for i, s := range texts {
		f.Add(s, uint64(i), uint8(i))
	}
	re := regexp.MustCompile("a|^$")
	f.Fuzz(func(t *testing.T, s string, seed uint64, n uint8) {
		var keep, leave, head, tail strings.Builder
		for _, l := range linesWithEnds(strings.TrimPrefix(s, "\ufeff")) {
			if re.MatchString(bareLine(l)) {
				keep.WriteString(l)
			} else {
				leave.WriteString(l)
			}
		}
		for i, l := range linesWithEnds(s) {
			if i < int(n%4) {
				head.WriteString(l)
			} else {
				tail.WriteString(l)
			}
		}
		for name, c := range map[string]struct {
			st   weir.Stage[byte, byte]
			want string
		}{
			"grep":     {weir.Grep(re), keep.String()},
			"grep out": {weir.GrepOut(re), leave.String()},
			"lines":    {weir.HeadLines(int64(n % 4)), head.String()},
			"skip":     {weir.SkipLines(int64(n % 4)), tail.String()},
			"bytes":    {weir.Head(int64(n)), s[:min(len(s), int(n))]},
		} {
			got, err := collect(cut([]byte(s), seed).Through(c.st))
			if isUTF16(s) && strings.HasPrefix(name, "grep") {
				if !errors.Is(err, weir.ErrInvalidUTF8) {
					t.Errorf("%s of %q: %v, want an error", name, s, err)
				}
				continue
			}
			if err != nil || string(got) != c.want {
				t.Errorf("%s of %q: got %q, %v, want %q", name, s, got, err, c.want)
			}
		}
	})
}

func TestLongLines(t *testing.T) {
	in := "short\n" + strings.Repeat("x", 20) + "\r\nten bytes!\r\n" + strings.Repeat("y", 11)
	for policy, want := range map[weir.LongLine][]string{
		weir.CutLong:  {"short", "xxxxxxxxxx", "ten bytes!", "yyyyyyyyyy"},
		weir.SkipLong: {"short", "ten bytes!"},
	} {
		for seed := range uint64(50) {
			got, err := collect(weir.Lines(cut([]byte(in), seed), weir.MaxLine(10, policy)))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("policy %d: %q, %v", policy, got, err)
			}
			_, err = collect(weir.Lines(cut([]byte(in), seed), weir.MaxLine(10, weir.FailLong)))
			if !errors.Is(err, weir.ErrLineTooLong) || !strings.Contains(err.Error(), "line 2") {
				t.Error(err)
			}
		}
	}
}

func TestHashAndTallySeeEverything(t *testing.T) {
	data := bytes.Repeat([]byte("some bytes "), 10_000)
	var sum []byte
	var n atomic.Int64
	s := cut(data, 1).Through(weir.Hash(sha256.New, func(b []byte) { sum = b }))
	got, err := collect(weir.Tally(s, &n))
	want := sha256.Sum256(data)
	if err != nil || !bytes.Equal(got, data) || !bytes.Equal(sum, want[:]) || n.Load() != int64(len(data)) {
		t.Error(err, len(got), n.Load())
	}
	sum = nil
	_, err = collect(weir.FromReader(io.MultiReader(bytes.NewReader(data), errReader{})).Through(weir.Hash(sha256.New, func(b []byte) { sum = b })))
	if !errors.Is(err, errPart) || sum != nil {
		t.Error(err, sum)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errPart }

func TestHeadEndsAnEndlessSource(t *testing.T) {
	got, err := collect(weir.FromReader(zeros{}).Through(weir.Head(100_000)))
	if err != nil || len(got) != 100_000 {
		t.Error(len(got), err)
	}
	lines := weir.Generate("endless", func(_ context.Context, emit func([]byte) error) error {
		for {
			if err := emit([]byte("yes\n")); err != nil {
				return err
			}
		}
	})
	got, err = collect(lines.Through(weir.Upper(), weir.HeadLines(3)))
	if err != nil || string(got) != "YES\nYES\nYES\n" {
		t.Errorf("%q %v", got, err)
	}
}

func BenchmarkUpper(b *testing.B) {
	text := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		weir.FromSlice(text).Through(weir.Upper()).To(weir.Discard[byte]()).Run(b.Context())
	}
}

func BenchmarkLines(b *testing.B) {
	text := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		weir.Lines(weir.FromSlice(text)).To(weir.Discard[string]()).Run(b.Context())
	}
}

func BenchmarkGrep(b *testing.B) {
	text := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		weir.FromSlice(text).Through(weir.Grep(regexp.MustCompile("nothing"))).To(weir.Discard[byte]()).Run(b.Context())
	}
}
