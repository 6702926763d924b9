package text_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

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

func FuzzLines_DoNotDependOnTheChunks(f *testing.F) {
	for i, s := range texts {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		got, err := collect(text.Lines(cut([]byte(s), seed)))
		if isUTF16(s) {
			if !errors.Is(err, text.ErrInvalidUTF8) {
				t.Errorf("%q: %v, want an error", s, err)
			}
			return
		}
		if want := splitLines(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", s, got, err, want)
		}
	})
}

func FuzzText_DoesNotDependOnTheChunks(f *testing.F) {
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
		for name, make := range map[string]func() weir.Stage[byte, byte]{"upper": text.Upper, "lower": text.Lower} {
			got, err := collect(cut([]byte(s), seed).Through(make()))
			if err != nil || string(got) != whole(make()) {
				t.Errorf("%s of %q: got %q, %v", name, s, got, err)
			}
		}
		if utf8.ValidString(s) && whole(text.Upper()) != strings.ToUpper(s) {
			t.Errorf("upper of %q: %q, want %q", s, whole(text.Upper()), strings.ToUpper(s))
		}
		_, err := collect(cut([]byte(s), seed).Through(text.Valid()))
		if utf8.ValidString(s) != (err == nil) || err != nil && !errors.Is(err, text.ErrInvalidUTF8) {
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

func FuzzGrepAndHead_DoNotDependOnTheChunks(f *testing.F) {
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
			"grep":     {text.Grep(re), keep.String()},
			"grep out": {text.GrepOut(re), leave.String()},
			"lines":    {text.HeadLines(int64(n % 4)), head.String()},
			"skip":     {text.SkipLines(int64(n % 4)), tail.String()},
			"bytes":    {text.Head(int64(n)), s[:min(len(s), int(n))]},
		} {
			got, err := collect(cut([]byte(s), seed).Through(c.st))
			if isUTF16(s) && strings.HasPrefix(name, "grep") {
				if !errors.Is(err, text.ErrInvalidUTF8) {
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
