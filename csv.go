package weir

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CSV describes comma-separated values. The zero CSV is RFC 4180.
type CSV struct {
	Comma   rune // the separator; 0 stands for ','
	Comment rune // lines that begin with it are left out; 0: none
	Fields  int  // fields in each record; 0: as many as in the first; -1: any number
	Lazy    bool // a quote may stand anywhere in a field
	UseCRLF bool // end written records with "\r\n"
}

func (c CSV) comma() rune {
	if c.Comma == 0 {
		return ','
	}
	return c.Comma
}

func (c CSV) check() error {
	comma := c.comma()
	switch {
	case !separates(comma):
		return errors.New("its separator must be a character, and not a quote or the end of a line")
	case c.Comment != 0 && !separates(c.Comment):
		return errors.New("its comment character must be a character, and not a quote or the end of a line")
	case comma == c.Comment:
		return errors.New("its separator cannot be its comment character")
	}
	return nil
}

func separates(r rune) bool {
	return r != '"' && r != '\n' && r != '\r' && r != utf8.RuneError && utf8.ValidRune(r)
}

// DecodeCSV reads records. Each is memory of its own. Empty lines are left out,
// and "\r\n" within a field is read as "\n". Errors name the line and column
// ([csv.ParseError]).
func DecodeCSV(s Stream[byte], c CSV) Stream[[]string] {
	return Via(s, Stage[byte, []string]{Name: "decode csv", Err: c.check(), Holds: 64 << 10,
		Run: func(_ context.Context, in Reader[byte], out Writer[[]string]) error {
			r := csv.NewReader(in.(io.Reader))
			r.Comma, r.Comment, r.FieldsPerRecord, r.LazyQuotes = c.comma(), c.Comment, c.Fields, c.Lazy
			var one [1][]string
			for {
				record, err := r.Read()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				one[0] = record
				if _, err := out.Write(one[:]); err != nil {
					return err
				}
			}
		}})
}

// EncodeCSV writes records. [DecodeCSV] reads back what was written, but for
// "\r\n" within a field, which it reads as "\n". A record without fields is an
// error: no line stands for it.
func EncodeCSV(s Stream[[]string], c CSV) Stream[byte] {
	if err := c.check(); err != nil {
		return failed[byte]("encode csv", err, s.roots())
	}
	return encode(s, "encode csv", func() func([]byte, []string) ([]byte, error) { return c.append })
}

var errNoFields = errors.New("a record without fields cannot be written")

// append is not [csv.Writer] because that writes records that a reader leaves
// out, and changes the ends of lines within fields.
func (c CSV) append(buf []byte, record []string) ([]byte, error) {
	if len(record) == 0 {
		return buf, errNoFields
	}
	for i, field := range record {
		if i > 0 {
			buf = utf8.AppendRune(buf, c.comma())
		}
		// Bare, it would be an empty line or a comment, which readers leave out.
		hidden := i == 0 && (field == "" && len(record) == 1 ||
			c.Comment != 0 && strings.HasPrefix(field, string(c.Comment)))
		if hidden || c.special(field) {
			buf = appendQuoted(buf, field)
		} else {
			buf = append(buf, field...)
		}
	}
	if c.UseCRLF {
		buf = append(buf, '\r')
	}
	return append(buf, '\n'), nil
}

// special reports whether a field must be quoted wherever it stands. Some
// readers trim leading space, and PostgreSQL takes \. for the end of the data.
func (c CSV) special(field string) bool {
	if field == `\.` || strings.ContainsAny(field, "\"\r\n") || strings.ContainsRune(field, c.comma()) {
		return true
	}
	r, _ := utf8.DecodeRuneInString(field)
	return unicode.IsSpace(r)
}

func appendQuoted(buf []byte, field string) []byte {
	buf = append(buf, '"')
	for {
		before, after, found := strings.Cut(field, `"`)
		buf = append(buf, before...)
		if !found {
			return append(buf, '"')
		}
		buf = append(buf, `""`...)
		field = after
	}
}
