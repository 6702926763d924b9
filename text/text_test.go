package text_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

func TestLines_DoWithLongLinesAsTheyAreTold(t *testing.T) {
	in := "short\n" + strings.Repeat("x", 20) + "\r\nten bytes!\r\n" + strings.Repeat("y", 11)
	for name, c := range map[string]struct {
		long text.LineOption
		want []string
	}{
		"cut":  {text.CutLong(), []string{"short", "xxxxxxxxxx", "ten bytes!", "yyyyyyyyyy"}},
		"skip": {text.SkipLong(), []string{"short", "ten bytes!"}},
	} {
		for seed := range uint64(50) {
			got, err := collect(text.Lines(cut([]byte(in), seed), text.MaxLine(10), c.long))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			_, err = collect(text.Lines(cut([]byte(in), seed), text.MaxLine(10)))
			if !errors.Is(err, text.ErrLineTooLong) || !strings.Contains(err.Error(), "line 2") {
				t.Error(err)
			}
		}
	}
}

func TestHead_EndsAnEndlessSource(t *testing.T) {
	got, err := collect(weir.FromReader(zeros{}).Through(text.Head(100_000)))
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
	got, err = collect(lines.Through(text.Upper(), text.HeadLines(3)))
	if err != nil || string(got) != "YES\nYES\nYES\n" {
		t.Errorf("%q %v", got, err)
	}
}

func TestGrep_RefusesALongLineHoweverItComes(t *testing.T) {
	line := append(bytes.Repeat([]byte("a"), 1<<20+1), '\n')
	whole := weir.Do("whole", func(_ context.Context, _ []byte, emit func([]byte) error) error {
		return errors.Join(emit(append([]byte("b\n"), line...)), weir.ErrStop)
	}, nil)
	grep := text.Grep(regexp.MustCompile("."))
	for name, s := range map[string]weir.Stream[byte]{
		"in chunks": weir.FromSlice(line).Through(grep),
		"as one":    weir.Values[byte]('x').Through(whole, grep),
	} {
		_, err := weir.Collect(t.Context(), s, 4<<20)
		if !errors.Is(err, text.ErrLineTooLong) || strings.Count(err.Error(), "too long") != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeadLines_OfNoneReadsNothing(t *testing.T) {
	r, w := weir.NewPipe[byte](weir.Items(1))
	if got, err := weir.Collect(t.Context(), weir.FromPipe(r).Through(text.HeadLines(0)), 10); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if err := w.TrySend(1); !errors.Is(err, weir.ErrClosed) {
		t.Errorf("TrySend = %v after the flow", err)
	}
}

func TestMap_NeverSplitsACharacter(t *testing.T) {
	const whole, broken = "ñandú – 日本語 🙂, straße", "ñ\xff\xfe\xf0\x9f\x99 \xe2\x82"
	for seed := range 20 {
		check := text.Map("check", func(piece []byte) []byte {
			if !utf8.Valid(piece) {
				t.Errorf("seed %d: the piece %q splits a character", seed, piece)
			}
			return bytes.ToUpper(piece)
		})
		got, err := collect(cut([]byte(whole), uint64(seed)).Through(check))
		if err != nil || string(got) != strings.ToUpper(whole) {
			t.Errorf("seed %d: %q, %v", seed, got, err)
		}
		same := text.Map("same", func(piece []byte) []byte { return piece })
		if got, err = collect(cut([]byte(broken), uint64(seed)).Through(same)); err != nil || string(got) != broken {
			t.Errorf("seed %d: %q, %v", seed, got, err)
		}
	}
	if text.Map("nil", nil).Err == nil {
		t.Error("a nil function is accepted")
	}
}

// lineOptions can be kept and passed on like any other values.
func TestLineOption_TheLastOneCounts(t *testing.T) {
	opts := []text.LineOption{text.MaxLine(3), text.MaxLine(2), text.CutLong()}
	got, err := collect(text.Lines(weir.FromSlice([]byte("abcd\nef\n")), opts...))
	if err != nil || !slices.Equal(got, []string{"ab", "ef"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// What a line without an end has at the end of a chunk may be half of "\r\n".
func TestLines_EndInCarriageReturnsToo(t *testing.T) {
	for name, chunks := range map[string][]string{
		"apart": {"a\r", "\nb\r", "c", "\r", "\r\n", "d"},
		"whole": {"a\r\nb\rc\r\r\nd"},
	} {
		s := weir.Generate("chunks", func(_ context.Context, emit func([]byte) error) error {
			for _, c := range chunks {
				if err := emit([]byte(c)); err != nil {
					return err
				}
			}
			return nil
		})
		if got, err := collect(text.Lines(s)); err != nil || !slices.Equal(got, []string{"a", "b", "c", "", "d"}) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func BenchmarkUpper(b *testing.B) {
	content := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		weir.FromSlice(content).Through(text.Upper()).To(weir.Discard[byte]()).Run(b.Context())
	}
}

func BenchmarkLines(b *testing.B) {
	content := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		text.Lines(weir.FromSlice(content)).To(weir.Discard[string]()).Run(b.Context())
	}
}

func BenchmarkGrep(b *testing.B) {
	content := bytes.Repeat([]byte("An ordinary line of text, in ASCII.\n"), 30_000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		weir.FromSlice(content).Through(text.Grep(regexp.MustCompile("nothing"))).To(weir.Discard[byte]()).Run(b.Context())
	}
}
