package weir

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
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
	if c.comma() == c.Comment || c.comma() == '"' || c.comma() == '\n' || c.comma() == '\r' {
		return errors.New("its separator cannot be a quote, the end of a line, or the comment character")
	}
	return nil
}

// DecodeCSV reads records. Each is memory of its own. Errors name the line and
// column ([csv.ParseError]).
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

// EncodeCSV writes records.
func EncodeCSV(s Stream[[]string], c CSV) Stream[byte] {
	if err := c.check(); err != nil {
		return failed[byte]("encode csv", err)
	}
	return encode(s, "encode csv", func() func([]byte, []string) ([]byte, error) {
		var a appender
		w := csv.NewWriter(&a)
		w.Comma, w.UseCRLF = c.comma(), c.UseCRLF
		return func(buf []byte, record []string) ([]byte, error) {
			a.p = buf
			err := w.Write(record)
			w.Flush()
			return a.p, errors.Join(err, w.Error())
		}
	})
}
