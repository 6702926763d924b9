package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirtest"
)

// through passes text through stages as the command line has them, in pieces.
func throughFlow(text string, seed uint64, words ...string) (string, error) {
	b := &builder{set: &settings{}, step: &step{}, stream: weir.FromSlice([]byte(text)).Through(weirtest.Rechunk[byte](seed)).Async(weir.Bytes(int64(1 + seed%17)))}
	for i := range words {
		if err := b.parseStage(words, i); err != nil {
			return "", err
		}
	}
	var out bytes.Buffer
	err := b.stream.To(weir.ToWriter(&out)).Run(context.Background())
	return out.String(), err
}

// Whatever CSV package csv reads, csvjson makes objects with the same values of
// it, in order, or fails; and jsoncsv makes the same records of those.
func FuzzCSVJSON_AgreesWithPackageCSV(f *testing.F) {
	for i, s := range []string{
		"", "a,b\n1,2\n", "b,a\r\n\"x\r\ny\",\"\"\"\"\r\n", "\ufeffa\n\ufeffb\n", "a,a\n1,2\n", "a,b\n1\n", "a\n\xff\n", ",\n,\n", "\"a\nb\"\n\"\x00\x1f\\/<&>\u2028\"\n",
		"a\n" + strings.Repeat("é", 40_000) + "\n", "a,b\r1,2\r", "é,ü\n🙂,\ufffd\n", "a\n\"\"\n",
	} {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		got, err := throughFlow(text, seed, "csvjson")
		records, wantErr := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
		if wantErr != nil || err != nil {
			valid := utf8.ValidString(text) && !strings.Contains(text, "\r")
			if valid && wantErr == nil && !twice(records[0]) {
				t.Errorf("%q: %v", text, err)
			}
			if err == nil {
				t.Errorf("%q: no error, want %v", text, wantErr)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(got))
		for i, record := range records {
			if i == 0 {
				continue
			}
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				t.Fatalf("%q became %q: %v", text, got, err)
			}
			var names, values []string
			err := members(raw, func(name, value string) error {
				names, values = append(names, name), append(values, value)
				return nil
			})
			if err != nil || !sameFields(names, records[0]) || !sameFields(values, record) {
				t.Errorf("%q became %q, %q, %v", text, names, values, err)
			}
		}
		if _, err := dec.Token(); err != io.EOF || strings.Count(got, "\n") != max(0, len(records)-1) {
			t.Errorf("%q became %q, with more behind it", text, got)
		}
		if len(records) < 2 {
			return
		}
		back, err := throughFlow(got, seed+1, "jsoncsv")
		again, cerr := throughFlow(back, seed+2, "csvjson")
		if err != nil || cerr != nil || again != got {
			t.Errorf("%q became %q, %q and %q, %v, %v", text, got, back, again, err, cerr)
		}
	})
}

// sameFields compares fields without carriage returns, because package csv
// drops some at the ends of lines.
func sameFields(a, b []string) bool {
	return slices.EqualFunc(a, b, func(a, b string) bool {
		return strings.ReplaceAll(a, "\r", "") == strings.ReplaceAll(b, "\r", "")
	})
}

func twice(names []string) bool {
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// Whatever objects package json reads, jsoncsv makes records with the same
// values of them, or fails.
func FuzzJSONCSV_AgreesWithPackageJSON(f *testing.F) {
	for i, s := range []string{
		`{"a":1,"b":"x"}{"b":2}`, `{"a":null,"b":""}`, `{"a":1}{"c":1}`, `{"a":1,"a":2}`, `{}`, `[]`, `{"a":{"b":[1, 2]},"c":[ ]}`, `{"\ud800":1}`,
		`{"a":"\ud83d\ude00","é":12345678901234567890}`, `{"":true}`, "\ufeff{\"a\":\"\ufeff\"}", `{"a":"x","A":"y"}`, "{\"a\":\"\xff\"}",
	} {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		got, err := throughFlow(text, seed, "jsoncsv")
		if err != nil {
			return
		}
		records, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if err != nil {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
		dec := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
		dec.UseNumber()
		n := 0
		for {
			var object map[string]any
			if err := dec.Decode(&object); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%q became %q, and is wrong: %v", text, got, err)
			}
			n++
			found := 0
			for i, name := range records[0] {
				value, ok := object[name]
				if !ok {
					continue
				}
				found++
				field := records[n][i]
				switch v := value.(type) {
				case nil:
					ok = field == ""
				case string:
					ok = strings.ReplaceAll(field, "\r", "") == strings.ReplaceAll(v, "\r", "") // package csv changes ends of lines
				default:
					again := json.NewDecoder(strings.NewReader(field))
					again.UseNumber()
					var w any
					ok = again.Decode(&w) == nil && reflect.DeepEqual(v, w)
				}
				if !ok {
					t.Errorf("%q: member %q of value %d became %q", text, name, n, field)
				}
			}
			if found != len(object) {
				t.Errorf("%q became %q: %d of %d members of value %d", text, got, found, len(object), n)
			}
		}
		if n != max(0, len(records)-1) {
			t.Errorf("%q: %d values became %d records", text, n, len(records)-1)
		}
	})
}

func TestSettings_HaveEscapes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]args{
		`a=\t`:            {"a": "\t"},
		`\t`:              {"a": "\t"},
		`a=\,,b=\\`:       {"a": ",", "b": `\`},
		`a=\`:             {"a": `\`},
		`b=\x41\xc3\xa9x`: {"b": "Aéx"},
		`a=x\ny\r,b=1MiB`: {"a": "x\ny\r", "b": "1MiB"},
		`a=\q`:            nil,
		`a=\x4`:           nil,
		`a=\xzz`:          nil,
	} {
		w := word{kind: stageKind{name: "stage"}, text: text, has: true, line: []string{"stage:" + text}}
		got, err := w.settings("a", "b")
		var f *failure
		if want == nil && !errors.As(err, &f) || want != nil && (err != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
		for _, value := range want {
			if back, ok := unescapeSetting(escapeSetting(value)); !ok || back != value {
				t.Errorf("%q comes back as %q", value, back)
			}
		}
	}
}
