package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/weirtest"
)

func TestFormats_RoundTrip(t *testing.T) {
	type rec struct {
		Item  string `json:"item"`
		Total int    `json:"total"`
	}
	recs := []rec{{"a<b>", 1}, {"ñ\n", 2}, {"", 3}}
	rows := [][]string{{"a", "b,c"}, {"d\ne", `"f"`}, {"", "g"}}
	frames := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300)}
	for seed := range uint64(30) {
		text, err := collect(record.EncodeJSON(each(recs)))
		if err != nil || !bytes.Contains(text, []byte("a<b>")) {
			t.Fatal(err, string(text))
		}
		if got, err := collect(record.DecodeJSON[rec](cut(text, seed), 0)); err != nil || !slices.Equal(got, recs) {
			t.Error("json", got, err)
		}
		text, err = collect(record.EncodeCSV(each(rows), record.CSVOptions{Comma: ';'}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(record.DecodeCSV(cut(text, seed), record.CSVOptions{Comma: ';'}))
		if err != nil || !slices.EqualFunc(got, rows, slices.Equal[[]string]) {
			t.Error("csv", got, err)
		}
		for _, framing := range []record.Framing{record.Frame32, record.FrameVarint} {
			data, err := collect(record.EncodeFrames(each(frames), framing))
			if err != nil {
				t.Fatal(err)
			}
			got, err := collect(record.DecodeFrames(cut(data, seed), framing, 300))
			if err != nil || !slices.EqualFunc(got, frames, bytes.Equal) {
				t.Error("frames", len(got), err)
			}
			if _, err := collect(record.DecodeFrames(cut(data, seed), framing, 299)); !errors.Is(err, record.ErrFrameTooLarge) {
				t.Error("large frame:", err)
			}
			if _, err := collect(record.DecodeFrames(cut(data[:len(data)-1], seed), framing, 300)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error("cut frame:", err)
			}
		}
	}
	if _, err := collect(record.DecodeJSON[rec](cut([]byte(`{"item":"a"} {"item":`), 1), 0)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := collect(record.DecodeJSON[rec](cut([]byte(`{"Name":"a"} {]`), 1), 0)); err == nil || !strings.Contains(err.Error(), "byte 1") {
		t.Error(err)
	}
	if _, err := collect(record.DecodeJSON[string](weir.Concat(weir.FromSlice([]byte(`"`)), weir.FromReader(zerosAs('a'))), 1000)); !errors.Is(err, weir.ErrLimit) {
		t.Error(err)
	}
}

func TestCSV_KeepsEveryRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		c       record.CSVOptions
		records [][]string
		text    string
	}{
		"a single empty field":      {record.CSVOptions{}, [][]string{{""}, {"a"}}, "\"\"\na\n"},
		"what looks like a comment": {record.CSVOptions{Comment: '#'}, [][]string{{"#a", "#b"}}, "\"#a\",#b\n"},
		"a lone \\r":                {record.CSVOptions{UseCRLF: true}, [][]string{{"a\rb"}}, "\"a\rb\"\r\n"},
		"a lone \\n":                {record.CSVOptions{UseCRLF: true}, [][]string{{"a\nb"}}, "\"a\nb\"\r\n"},
		"quotes and separators":     {record.CSVOptions{Comma: 'é'}, [][]string{{`"`, "é,", " a"}}, "\"\"\"\"é\"é,\"é\" a\"\n"},
		"an end of data":            {record.CSVOptions{}, [][]string{{`\.`}}, "\"\\.\"\n"},
	} {
		text, err := collect(record.EncodeCSV(weir.FromSlice(tc.records), tc.c))
		if err != nil || string(text) != tc.text {
			t.Errorf("%s: %q, %v, want %q", name, text, err, tc.text)
		}
		again, err := collect(record.DecodeCSV(weir.FromSlice(text), tc.c))
		if err != nil || !slices.EqualFunc(again, tc.records, slices.Equal[[]string]) {
			t.Errorf("%s: read back as %q, %v", name, again, err)
		}
	}
	if text, err := collect(record.EncodeCSV(weir.FromSlice([][]string{{}}), record.CSVOptions{})); err == nil {
		t.Errorf("a record without fields became %q", text)
	}
	for _, c := range []record.CSVOptions{{Comma: '"'}, {Comma: 'a', Comment: 'a'}, {Comment: '\n'}, {Comma: -1}, {Comment: 0xfffd}} {
		if err := record.EncodeCSV(weir.FromSlice([][]string{{"a"}}), c).To(weir.Discard[byte]()).Check(); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestDecodeJSON_LargestValueDoesNotDependOnTheChunks(t *testing.T) {
	const most = 10
	decode := func(text string, n int) ([]any, error) {
		s := weir.FromSlice([]byte(text)).Through(weirtest.Rechunk[byte](uint64(n))).Async(weir.Bytes(int64(n)))
		return collect(record.DecodeJSON[any](s, most))
	}
	for _, n := range []int{1, 2, 9, 10, 11, 100, 10_000} {
		for _, text := range []string{
			strings.Repeat(`"0123456789abc" `, 20), `"01234567" "012345678"`, `[1,[2,3],4]`, `12345678901`, `"12345678]x`, `  "0123456789`,
		} {
			if got, err := decode(text, n); !errors.Is(err, weir.ErrLimit) {
				t.Errorf("%s in pieces of up to %d: %v, %v", text, n, got, err)
			}
		}
		space := strings.Repeat(" \t\r\n", 1000)
		for _, text := range []string{`"01234567"`, `1234567890`, `[1,[2,34]]`} {
			got, err := decode(space+text+space+text, n)
			if err != nil || len(got) != 2 {
				t.Errorf("%s in pieces of up to %d: %v, %v", text, n, got, err)
			}
		}
		if _, err := decode(space+"1"+space+"]", n); err == nil || !strings.Contains(err.Error(), "near byte 8001:") {
			t.Errorf("in pieces of up to %d: %v", n, err)
		}
	}
}

func TestDecodeFrames_LengthOfMoreThan64BitsIsTooLarge(t *testing.T) {
	for _, text := range []string{
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", strings.Repeat("\x80", 10), strings.Repeat("\x80", 11),
	} {
		if _, err := collect(record.DecodeFrames(weir.FromSlice([]byte(text)), record.FrameVarint, 10)); !errors.Is(err, record.ErrFrameTooLarge) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func BenchmarkDecodeCSV(b *testing.B) {
	for name, row := range map[string]string{
		"plain":  "12345,some text here,2024-01-01,3.14159,another field,x\n",
		"quoted": "12345,\"some text, here\",2024-01-01,\"3.14 \"\"x\"\"\",another field,x\n",
	} {
		text := bytes.Repeat([]byte(row), 20_000)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				record.DecodeCSV(weir.FromSlice(text), record.CSVOptions{}).To(weir.Discard[[]string]()).Run(b.Context())
			}
		})
	}
}

func TestEncodeJSON_HandsOnWhatWasEncodedBeforeAFailure(t *testing.T) {
	var out bytes.Buffer
	flow := record.EncodeJSON(weir.Values[any](1, 2, func() {})).To(weir.EachBatch(func(_ context.Context, text []byte) error {
		out.Write(text)
		return nil
	}))
	if err := flow.Run(t.Context()); err == nil || out.String() != "1\n2\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

type zerosAs byte

func (z zerosAs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(z)
	}
	return len(p), nil
}

// each makes a stream of xs in batches of one to five.
func each[T any](xs []T) weir.Stream[T] {
	return weir.Generate("each", func(_ context.Context, emit func([]T) error) error {
		for i, rest := 0, xs; len(rest) > 0; i++ {
			n := min(1+i%5, len(rest))
			if err := emit(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}
