package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
)

// jsonPiece is about how much JSON of a record is passed on at a time.
const jsonPiece = 32 << 10

func csvJSON(b *builder, w word) (byteStage, error) {
	a, err := w.settings("comma", "max-record")
	if err != nil {
		return byteStage{}, err
	}
	c, comma, err := w.csv(a)
	if err != nil {
		return byteStage{}, err
	}
	if c.MaxRecord, err = b.recordLimit(w, comma, "max-record", a["max-record"], ""); err != nil {
		return byteStage{}, err
	}
	return weir.Compose("csvjson", func(s weir.Stream[byte]) weir.Stream[byte] {
		return weir.Via(record.DecodeCSV(s, c).Named("csvjson"), weir.Stage[[]string, byte]{
			Name:  "objects",
			Holds: 4*jsonPiece + 4*c.MaxRecord, // of the header
			Open: func(context.Context) (weir.Transform[[]string, byte], error) {
				return &objectWriter{}, nil
			},
		})
	}), nil
}

// csv reads how CSV is separated, and returns that as it was written, to begin
// other settings with.
func (w word) csv(a args) (c record.CSVOptions, written string, err error) {
	given, ok := a["comma"]
	if !ok {
		return c, "", nil
	}
	r, n := utf8.DecodeRuneInString(given)
	if n != len(given) {
		return c, "", w.wrong("needs one character for comma, not %q", given)
	}
	c.Comma = r
	return c, "comma=" + escapeSetting(given) + ",", nil
}

// objectWriter makes a JSON object of each record but the first, whose fields
// are the names. The members stand in the order of the columns.
type objectWriter struct {
	names [][]byte // as JSON strings, with the punctuation around them
	count int64    // records
	buf   []byte
}

func (o *objectWriter) Do(_ context.Context, in [][]string, emit func([]byte) error) error {
	o.buf = o.buf[:0]
	for _, record := range in {
		o.count++
		if err := o.check(record); err != nil {
			return errors.Join(emit(o.buf), err)
		}
		if o.names == nil {
			if err := o.header(record); err != nil {
				return err
			}
			continue
		}
		if err := o.object(record, emit); err != nil {
			return err
		}
	}
	return emit(o.buf)
}

func (o *objectWriter) Flush(context.Context, func([]byte) error) error { return nil }

// check refuses text that JSON cannot hold.
func (o *objectWriter) check(record []string) error {
	for i, field := range record {
		if !utf8.ValidString(field) {
			return fmt.Errorf("%w in record %d, column %d", text.ErrInvalidUTF8, o.count, i+1)
		}
	}
	return nil
}

// header keeps the names. Two columns of one name would be one member.
func (o *objectWriter) header(names []string) error {
	column := make(map[string]int, len(names))
	for i, name := range names {
		if first, ok := column[name]; ok {
			return fmt.Errorf("columns %d and %d have the same name %q; JSON objects cannot hold both", first, i+1, name)
		}
		column[name] = i + 1
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		text := appendJSONText([]byte{before, '"'}, name)
		o.names = append(o.names, append(text, `":"`...))
	}
	return nil
}

// object writes a record, in pieces if it is large. The decoder has checked that
// it has a field for each name.
func (o *objectWriter) object(record []string, emit func([]byte) error) error {
	for i, field := range record {
		o.buf = append(o.buf, o.names[i]...)
		for {
			n := len(field)
			if n > jsonPiece {
				for n = jsonPiece; !utf8.RuneStart(field[n]); n-- {
				}
			}
			o.buf = appendJSONText(o.buf, field[:n])
			if field = field[n:]; len(o.buf) >= jsonPiece {
				if err := emit(o.buf); err != nil {
					return err
				}
				o.buf = o.buf[:0]
			}
			if field == "" {
				break
			}
		}
		o.buf = append(o.buf, '"')
	}
	o.buf = append(o.buf, "}\n"...)
	return nil
}

// appendJSONText appends the text between the quotes of a JSON string.
func appendJSONText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for {
		i := 0
		for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[:i]...)
		if i == len(s) {
			return b
		}
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[i+1:]
	}
}

func jsonCSV(b *builder, w word) (byteStage, error) {
	a, err := w.settings("comma", "max-value")
	if err != nil {
		return byteStage{}, err
	}
	c, comma, err := w.csv(a)
	if err != nil {
		return byteStage{}, err
	}
	n, err := b.recordLimit(w, comma, "max-value", a["max-value"], "")
	if err != nil {
		return byteStage{}, err
	}
	return weir.Compose("jsoncsv", func(s weir.Stream[byte]) weir.Stream[byte] {
		objects := record.DecodeJSON[json.RawMessage](s, n).Named("jsoncsv")
		records := weir.Via(objects, weir.Stage[json.RawMessage, []string]{
			Name:  "records",
			Holds: 4 * n, // of the names, and of a record
			Open: func(context.Context) (weir.Transform[json.RawMessage, []string], error) {
				return &recordMaker{column: map[string]int{}}, nil
			},
		})
		return record.EncodeCSV(records, c)
	}), nil
}

// recordMaker makes a record of each JSON object. The names of the first one, in
// its order, are the columns of all.
type recordMaker struct {
	column map[string]int
	seen   []int64 // for each column, the last object that had it
	count  int64   // objects
}

func (m *recordMaker) Do(_ context.Context, in []json.RawMessage, emit func([][]string) error) error {
	for _, object := range in {
		m.count++
		record, err := m.record(object, emit)
		if err != nil {
			return fmt.Errorf("value %d: %w", m.count, err)
		}
		if err := emit([][]string{record}); err != nil {
			return err
		}
	}
	return nil
}

func (m *recordMaker) Flush(context.Context, func([][]string) error) error { return nil }

// record makes a record of an object, and of the first one the header too.
func (m *recordMaker) record(object json.RawMessage, emit func([][]string) error) ([]string, error) {
	record := make([]string, len(m.column))
	var header []string
	err := members(object, func(name, value string) error {
		at, ok := m.column[name]
		switch {
		case ok && m.seen[at] == m.count:
			return fmt.Errorf("duplicate member %q", name)
		case ok:
			record[at] = value
		case m.count > 1:
			return fmt.Errorf("member %q has no column; the columns are the members of the first value", name)
		default:
			at = len(header)
			m.column[name] = at
			m.seen = append(m.seen, 0)
			header, record = append(header, name), append(record, value)
		}
		m.seen[at] = m.count
		return nil
	})
	if err == nil && header != nil {
		err = emit([][]string{header})
	}
	return record, err
}

var errNoObject = errors.New("not a JSON object with members, so it cannot become a record")

// members calls f with the names and values of an object in their order.
func members(object json.RawMessage, f func(name, value string) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') || !dec.More() {
		return errNoObject
	}
	for dec.More() {
		start := dec.InputOffset()
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name := token.(string)
		if err := wholeText(object[start:dec.InputOffset()], name); err != nil {
			return err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		value, err := csvField(raw)
		if err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

// csvField returns a JSON value as a field: the text of a string, nothing for null,
// and JSON for all else, so that numbers keep their digits.
func csvField(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case 'n':
		return "", nil
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", err
		}
		return s, wholeText(raw, s)
	case '{', '[':
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.String(), err
	}
	return string(raw), nil
}

var errHalfPair = errors.New("an escape sequence for half of a surrogate pair, which is not a character")

// wholeText refuses half a surrogate pair, which no text can hold: package json
// has made U+FFFD of it.
func wholeText(raw []byte, s string) error {
	found := strings.Count(s, "\ufffd")
	meant := bytes.Count(raw, []byte("\ufffd")) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
	if found > meant {
		return errHalfPair
	}
	return nil
}
