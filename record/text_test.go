package record_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
)

// textReaders are the stages that read text, as functions that return what they
// make of it.
var textReaders = map[string]func(weir.Stream[byte]) (string, error){
	"lines": func(s weir.Stream[byte]) (string, error) {
		got, err := collect(text.Lines(s))
		return fmt.Sprintf("%q", got), err
	},
	"grep": func(s weir.Stream[byte]) (string, error) {
		got, err := collect(s.Through(text.Grep(regexp.MustCompile("^[0-9]"))))
		return string(got), err
	},
	"grep out": func(s weir.Stream[byte]) (string, error) {
		got, err := collect(s.Through(text.GrepOut(regexp.MustCompile("^x"))))
		return string(got), err
	},
	"csv": func(s weir.Stream[byte]) (string, error) {
		got, err := collect(record.DecodeCSV(s, record.CSVOptions{}))
		return fmt.Sprintf("%q", got), err
	},
	"json": func(s weir.Stream[byte]) (string, error) {
		got, err := collect(record.DecodeJSON[json.RawMessage](s, 0))
		return fmt.Sprintf("%q", got), err
	},
}

func TestText_AByteOrderMarkIsNotData(t *testing.T) {
	for name, read := range textReaders {
		const content = "1\n2\n"
		want, err := read(weir.FromSlice([]byte(content)))
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(20) {
			if got, err := read(cut([]byte("\ufeff"+content), seed)); err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", name, got, err, want)
			}
			for _, utf16 := range []string{"\xff\xfe1\x00\n\x00", "\xfe\xff\x001\x00\n"} {
				if got, err := read(cut([]byte(utf16), seed)); !errors.Is(err, text.ErrInvalidUTF8) {
					t.Errorf("%s of UTF-16: %s, %v", name, got, err)
				}
			}
		}
		if got, err := read(weir.FromSlice([]byte("\ufeff"))); err != nil || got != "[]" && got != "" {
			t.Errorf("%s of a mark alone: %s, %v", name, got, err)
		}
	}
}

func TestText_BytesThatAreNotUTF8ArePassedOnOrAnError(t *testing.T) {
	const latin = "1,caf\xe9\n2,\xff\xfe\n"
	for name, read := range textReaders {
		if name == "json" {
			continue
		}
		got, err := read(weir.FromSlice([]byte(latin)))
		if unquoted := strings.NewReplacer(`\xe9`, "\xe9", `\xff`, "\xff", `\xfe`, "\xfe").Replace(got); err != nil || !strings.Contains(unquoted, "caf\xe9") || !strings.Contains(unquoted, "\xff\xfe") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, st := range []weir.Stage[byte, byte]{text.Upper(), text.Lower(), text.HeadLines(9), text.SkipLines(0)} {
		if got, err := collect(weir.FromSlice([]byte("\xe9\xff\n")).Through(st)); err != nil || string(got) != "\xe9\xff\n" {
			t.Errorf("%s: %q, %v", st.Name, got, err)
		}
	}
	records := [][]string{{"caf\xe9", "\xff"}}
	content, err := collect(record.EncodeCSV(weir.FromSlice(records), record.CSVOptions{}))
	if err != nil || string(content) != "caf\xe9,\xff\n" {
		t.Errorf("csv: %q, %v", content, err)
	}

	// JSON is UTF-8. What comes before is delivered, however it is cut.
	for seed := range uint64(30) {
		got, err := collect(record.DecodeJSON[any](cut([]byte("\ufeff{\"a\":\"\u00e9\"}\n{\"b\":\"caf\xe9\"}\n3"), seed), 0))
		if !errors.Is(err, text.ErrInvalidUTF8) || !strings.Contains(err.Error(), "at byte 23") || len(got) != 1 {
			t.Errorf("json: %v, %v", got, err)
		}
		if got, err := collect(record.DecodeJSON[any](cut([]byte("1 \"\xe2\x82"), seed), 0)); !errors.Is(err, text.ErrInvalidUTF8) || len(got) != 1 {
			t.Errorf("json that ends within a character: %v, %v", got, err)
		}
		if got, err := collect(cut([]byte("\u00e9\u20acx\xe2\x82y"), seed).Through(text.Valid())); !strings.HasPrefix(string(got), "\u00e9\u20acx") || err == nil || !strings.Contains(err.Error(), "at byte 6") {
			t.Errorf("valid text: %q, %v", got, err)
		}
	}
}

func TestEncodeJSON_NeverReplacesBytes(t *testing.T) {
	type inner struct{ Text string }
	type embedded struct {
		inner
		Skipped string `json:"-"`
		P       *inner
		List    []any
		Map     map[string]string
		Raw     json.RawMessage
		Bytes   []byte
	}
	good := embedded{
		inner: inner{"\ufffd"}, Skipped: "\xff", P: &inner{"x"}, List: []any{nil, "a", 1}, Map: map[string]string{"k": "v"},
		Raw: json.RawMessage(`"\ufffd"`), Bytes: []byte{0xff},
	}
	if text, err := collect(record.EncodeJSON(weir.FromSlice([]any{good, json.RawMessage(`"\ufffd"`), "\ufffd"}))); err != nil {
		t.Errorf("%s, %v", text, err)
	}
	bad := "caf\xe9"
	for _, v := range []any{
		bad, []string{"a", bad}, map[string]int{bad: 1}, map[string]string{"a": bad}, inner{bad}, &inner{bad}, [1]any{bad},
		embedded{inner: inner{bad}}, embedded{P: &inner{bad}}, embedded{List: []any{map[string]any{"x": bad}}},
		embedded{Raw: json.RawMessage("\"\xe9\"")},
	} {
		content, err := collect(record.EncodeJSON(weir.FromSlice([]any{"before", v})))
		if !errors.Is(err, text.ErrInvalidUTF8) || !strings.Contains(err.Error(), "value 2") || string(content) != "\"before\"\n" {
			t.Errorf("%+v: %q, %v", v, content, err)
		}
	}
}

func TestJSON_KeepsEveryValue(t *testing.T) {
	for _, text := range []string{
		`{"n":12345678901234567890,"f":1.10,"e":1e400,"z":-0,"m":9007199254740993}`, `{"b":null,"a":"","c":[],"d":{}}`, `null`, `"\ud800"`,
		`{"z":1,"a":2,"z":3}`, `"\u2028<>&"`, `0.1000000000000000055511151231257827`,
	} {
		got, err := collect(record.EncodeJSON(record.DecodeJSON[json.RawMessage](weir.FromSlice([]byte(text)), 0)))
		if err != nil || string(got) != text+"\n" {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
	const numbers = `{"e":1e400,"f":1.10,"n":[12345678901234567890,-0]}`
	if got, err := collect(record.EncodeJSON(record.DecodeJSON[any](weir.FromSlice([]byte(numbers)), 0))); err != nil || string(got) != numbers+"\n" {
		t.Errorf("%s became %s, %v", numbers, got, err)
	}
}

func TestDecodeCSV_ReportsLinesThatEndInACarriageReturnAlone(t *testing.T) {
	for text, want := range map[string]csv.ParseError{
		"a,b\r1,2\r":             {StartLine: 1, Line: 1, Column: 4},
		"a,b\n1,2\r3,4\n":        {StartLine: 2, Line: 2, Column: 4},
		"a,\"b\"\n\"1\",2\r3\n":  {StartLine: 2, Line: 2, Column: 6},
		"a,\"b\nc\",d\re\n":      {StartLine: 1, Line: 2, Column: 5},
		"a\r\r\n":                {StartLine: 1, Line: 1, Column: 2},
		"# one\ra,b\r1,2\r":      {StartLine: 1, Line: 1, Column: 1},
		"a\n# one\ra,b\r1,2\r\n": {StartLine: 2, Line: 2, Column: 1},
	} {
		want.Err = record.ErrCarriageReturn
		for seed := range uint64(30) {
			_, err := collect(record.DecodeCSV(cut([]byte(text), seed), record.CSVOptions{Comment: '#', Fields: -1}))
			var pe *csv.ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("%q: %v", text, err)
			}
			if *pe != want {
				t.Errorf("%q: %+v, want %+v", text, *pe, want)
			}
		}
	}
	for text, want := range map[string][][]string{
		"\"a\rb\",c\r\n": {{"a\rb", "c"}},
		"a\r\nb\r":       {{"a"}, {"b"}},
		"# c\r\na\r\n":   {{"a"}},
	} {
		for seed := range uint64(30) {
			if got, err := collect(record.DecodeCSV(cut([]byte(text), seed), record.CSVOptions{Comment: '#', Fields: -1})); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %q, %v", text, got, err)
			}
		}
	}
	// A file of such lines is one line, which can be too long.
	_, err := collect(record.DecodeCSV(cut([]byte(strings.Repeat("a,b\r", 100)), 1), record.CSVOptions{MaxRecord: 50}))
	if !errors.Is(err, record.ErrCarriageReturn) {
		t.Error(err)
	}
}
