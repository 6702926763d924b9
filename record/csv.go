package record

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/units"
)

// CSVOptions describes comma-separated values. The zero CSVOptions is RFC 4180.
type CSVOptions struct {
	Comma   rune // the separator; 0 means ','
	Comment rune // lines that begin with it are left out; 0: none
	Fields  int  // fields in each record; 0: as many as in the first; -1: any number
	Lazy    bool // a quote may stand anywhere in a field
	UseCRLF bool // end written records with "\r\n"

	// MaxRecord is the maximum size of a record that DecodeCSV reads: its bytes in
	// the input, without the end of its last line. 0 means 1 MiB. Each field takes
	// 16 bytes of memory in addition to its text, so a record can have at most
	// MaxRecord/16 fields, or 4,096 if that is more.
	MaxRecord int64
}

func (c CSVOptions) comma() rune {
	if c.Comma == 0 {
		return ','
	}
	return c.Comma
}

func (c CSVOptions) check() error {
	comma := c.comma()
	switch {
	case !separates(comma):
		return errors.New("invalid separator; use a character that is neither a quote nor a line break")
	case c.Comment != 0 && !separates(c.Comment):
		return errors.New("invalid comment character; use a character that is neither a quote nor a line break")
	case comma == c.Comment:
		return errors.New("separator and comment character are the same")
	case c.MaxRecord < 0:
		return fmt.Errorf("negative maximum record of %d bytes; use 0 for 1 MiB", c.MaxRecord)
	}
	return nil
}

func separates(r rune) bool {
	return r != '"' && r != '\n' && r != '\r' && r != utf8.RuneError && utf8.ValidRune(r)
}

// DecodeCSV reads records. Each record has its own memory, which the receiver can
// keep. DecodeCSV leaves out empty lines, and keeps line ends within a field
// unchanged, "\n" or "\r\n". A UTF-8 byte order mark at the beginning is not part of
// the first field. A text that begins with the mark of UTF-16 ends the flow with
// [text.ErrInvalidUTF8]. All other bytes of a field stay unchanged.
//
// Errors in the text name the line and column ([csv.ParseError]). One of them is
// [ErrCarriageReturn], for a "\r" outside quotes without a following "\n". A record
// that exceeds [CSVOptions.MaxRecord] ends the flow with a [*weir.LimitError] that
// matches [weir.ErrLimit] and says where the record began. The records before an
// error are delivered.
func DecodeCSV(s weir.Stream[byte], c CSVOptions) weir.Stream[[]string] {
	most := c.MaxRecord
	if most == 0 {
		most = 1 << 20
	}
	fields := int(min(max(4096, most/16), math.MaxInt32))
	st := weir.Stage[byte, []string]{Name: "decode csv", Err: c.check(), Heavy: true, Holders: -1}
	// The buffer, the strings made of it, where the fields end and their
	// headers; a batch of small records.
	st.Holds = 2*grow.Countable(most) + 24*int64(fields) + 4*segment
	st.Open = func(context.Context) (weir.Transform[byte, []string], error) {
		return &csvDecoder{
			c: c, comma: utf8.AppendRune(nil, c.comma()), comment: c.comment(),
			most: int(min(most, math.MaxInt-2)), maxFields: fields, fields: c.Fields,
		}, nil
	}
	return weir.Via(s, st)
}

// ErrCarriageReturn is the cause if CSV has a "\r" outside quotes without a
// following "\n". The lines may end in "\r" alone, which this decoder does not read.
var ErrCarriageReturn = errors.New("carriage return without a newline")

func (c CSVOptions) comment() []byte {
	if c.Comment == 0 {
		return nil
	}
	return utf8.AppendRune(nil, c.Comment)
}

// csvDecoder reads the same records as [csv.Reader] and finds the same errors.
// Only line ends within fields differ: csv.Reader changes them to "\n". It is
// pushed chunk after chunk and never holds more than a record: csv.Reader has
// no limit, and a reader in front of it cannot find the beginning of a record
// without parsing quotes too.
type csvDecoder struct {
	c              CSVOptions
	comma, comment []byte
	most           int // bytes of a record
	maxFields      int
	fields         int // that the next record must have; 0: any number for now

	// buf has the text of the record's earlier fields, buf[:text], and behind
	// it the beginning of a line, as it came, that is not complete yet.
	buf  []byte
	text int
	ends []int // where the fields end in buf[:text]

	start    chars.Start
	quoted   bool // the lines before this one end within a quoted field
	skipping bool // this line is a comment
	cr       bool // of which "\r" came last

	offset int64 // of the next byte
	line   int   // lines that are complete
	lineAt int64 // offset of the current line
	from   int   // the line with which the record begins
	fromAt int64 // its offset
	column int   // behind the parsed part of the last line

	records int64 // that are complete
	out     [][]string
	held    int // memory of the records in out
}

func (d *csvDecoder) Do(_ context.Context, in []byte, emit func([][]string) error) error {
	in, err := d.begin(in)
	for len(in) > 0 && err == nil {
		i := bytes.IndexByte(in, '\n')
		if i < 0 {
			d.offset += int64(len(in))
			err = d.keep(in)
			break
		}
		line := in[:i]
		in = in[i+1:]
		d.offset += int64(i) + 1
		if d.skipping || len(d.buf) > d.text {
			if err = d.keep(line); err != nil {
				break
			}
			line = d.buf[d.text:]
		}
		if err = d.endLine(line, true); err == nil && (d.held >= segment || len(d.out) == chunk) {
			if err := d.hand(emit); err != nil {
				return err
			}
		}
	}
	if eerr := d.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// begin handles the first bytes of a text, which can be a byte order mark.
func (d *csvDecoder) begin(in []byte) ([]byte, error) {
	text, left, err := d.start.Take(in)
	if left > 0 {
		d.offset = int64(left)
		d.lineAt = d.offset
	}
	return text, err
}

// hand passes on the records that are complete.
func (d *csvDecoder) hand(emit func([][]string) error) error {
	err := emit(d.out)
	clear(d.out)
	d.out, d.held = d.out[:0], 0
	return err
}

// keep adds to the line that is not complete yet. Comments are not kept.
func (d *csvDecoder) keep(p []byte) error {
	if d.skipping {
		return d.skip(p)
	}
	if have := len(d.buf) - d.text; len(d.comment) > have && !d.quoted {
		k := min(len(d.comment)-have, len(p))
		d.buf = grow.Append(d.buf, p[:k], d.most+2)
		p = p[k:]
		if bytes.Equal(d.buf[d.text:], d.comment) {
			d.skipping = true
			d.buf = d.buf[:d.text]
			return d.skip(p)
		}
	}
	begin := d.lineAt
	if d.quoted {
		begin = d.fromAt
	}
	// One byte more may be a carriage return.
	if size := d.lineAt - begin + int64(len(d.buf)-d.text+len(p)); size > int64(d.most)+1 {
		if !d.quoted {
			d.from, d.fromAt = d.line+1, d.lineAt
		}
		kept := d.buf[d.text:]
		return d.tooLarge(append(kept[:len(kept):len(kept)], p[:min(len(p), d.most+1)]...))
	}
	d.buf = grow.Append(d.buf, p, d.most+2)
	return nil
}

// skip leaves out a part of a comment. In a text whose lines end in "\r" alone
// the comment would be all of it.
func (d *csvDecoder) skip(p []byte) error {
	i := bytes.IndexByte(p, '\r')
	if d.cr && len(p) > 0 || i >= 0 && i < len(p)-1 {
		return commentError(d.line + 1)
	}
	d.cr = i >= 0
	return nil
}

// commentError returns the error for a "\r" within a comment.
func commentError(line int) error {
	return &csv.ParseError{StartLine: line, Line: line, Column: 1, Err: ErrCarriageReturn}
}

// tooLarge returns the error for a record whose last line begins with line. A text
// whose lines end in "\r" alone looks like one record.
func (d *csvDecoder) tooLarge(line []byte) error {
	line = line[:min(len(line), d.most+1)]
	if i := bytes.IndexAny(line, "\"\r"); d.text == 0 && !d.quoted && i >= 0 && i < d.most && line[i] == '\r' {
		return d.parseError(d.from, i+1, ErrCarriageReturn)
	}
	return d.limitError("%s is larger than %s", d.where(), units.Exact(int64(d.most)))
}

func (d *csvDecoder) where() string {
	return fmt.Sprintf("record at line %d (byte %d)", d.from, d.fromAt)
}

// endLine takes a line that is complete, without its "\n". newline says that
// there was one; the last line may lack it. The line may lie in d.buf.
func (d *csvDecoder) endLine(line []byte, newline bool) error {
	line, crlf := bytes.CutSuffix(line, []byte("\r"))
	if d.quoted && len(line) == 0 && !newline {
		return nil
	}
	at := d.lineAt
	d.lineAt = d.offset
	if d.skipping {
		d.skipping, d.cr = false, false
		d.line++
		return nil
	}
	if !d.quoted && (len(line) == 0 || d.comment != nil && bytes.HasPrefix(line, d.comment)) {
		d.buf = d.buf[:d.text]
		d.line++
		if bytes.IndexByte(line, '\r') >= 0 {
			return commentError(d.line)
		}
		return nil
	}
	d.line++
	if !d.quoted {
		d.from, d.fromAt = d.line, at
	}
	if at-d.fromAt+int64(len(line)) > int64(d.most) {
		return d.tooLarge(line)
	}
	if !d.quoted && bytes.IndexByte(line, '"') < 0 {
		err := d.plain(line)
		d.buf = d.buf[:0]
		return err
	}
	end := ""
	switch {
	case newline && crlf:
		end = "\r\n"
	case newline:
		end = "\n"
	}
	if err := d.parse(line, end); err != nil || d.quoted {
		return err
	}
	return d.end()
}

// bareCR returns the error for a "\r" in field, a part of line, or nil.
func (d *csvDecoder) bareCR(line, field []byte) error {
	i := bytes.IndexByte(field, '\r')
	if i < 0 {
		return nil
	}
	return d.parseError(d.line, cap(line)-cap(field)+i+1, ErrCarriageReturn)
}

// plain makes a record of a line without quotes.
func (d *csvDecoder) plain(line []byte) error {
	if err := d.bareCR(line, line); err != nil {
		return err
	}
	n := bytes.Count(line, d.comma) + 1
	if n > d.maxFields {
		return d.tooMany()
	}
	record := make([]string, n)
	rest := string(line)
	comma := string(d.comma)
	for i := range record {
		record[i], rest, _ = strings.Cut(rest, comma)
	}
	return d.add(record, len(line))
}

// parse moves the fields of a line into d.buf[:d.text], and leaves nothing
// after them. Its writes never overtake its reads, because no field is longer
// than its encoding.
func (d *csvDecoder) parse(line []byte, end string) error {
	d.buf = grow.For(d.buf, d.text+len(line)+len(end), d.most+2)
	text, rest := d.buf[:d.text], line
	inside := d.quoted
	d.quoted = false
	var err error
	for {
		if !inside && (len(rest) == 0 || rest[0] != '"') {
			i := bytes.Index(rest, d.comma)
			field := rest
			if i >= 0 {
				field = rest[:i]
			}
			if j := bytes.IndexByte(field, '"'); j >= 0 && !d.c.Lazy {
				return d.parseError(d.line, len(line)-len(rest)+j+1, csv.ErrBareQuote)
			}
			if err := d.bareCR(line, field); err != nil {
				return err
			}
			text = append(text, field...)
			if err = d.endField(len(text)); err != nil || i < 0 {
				break
			}
			rest = rest[i+len(d.comma):]
			continue
		}
		if !inside {
			rest = rest[1:]
		}
		if text, rest, inside, err = d.parseQuoted(text, line, rest, end); err != nil || inside || rest == nil {
			break
		}
	}
	d.buf, d.text, d.quoted = text, len(text), inside
	return err
}

// parseQuoted takes the rest of a line from within a quoted field to the next
// field. It returns no rest where the line ends, and inside if the field
// continues behind it.
func (d *csvDecoder) parseQuoted(text, line, rest []byte, end string) (_, next []byte, inside bool, err error) {
	for {
		i := bytes.IndexByte(rest, '"')
		if i < 0 {
			text = append(text, rest...)
			text = append(text, end...)
			d.column = len(line) + 1
			if end != "" {
				d.column++
			}
			return text, nil, true, nil
		}
		text = append(text, rest[:i]...)
		rest = rest[i+1:]
		switch {
		case len(rest) == 0:
			return text, nil, false, d.endField(len(text))
		case bytes.HasPrefix(rest, d.comma):
			return text, rest[len(d.comma):], false, d.endField(len(text))
		case rest[0] == '"':
			text = append(text, '"')
			rest = rest[1:]
		case d.c.Lazy:
			text = append(text, '"')
		default:
			return text, nil, false, d.parseError(d.line, len(line)-len(rest), csv.ErrQuote)
		}
	}
}

func (d *csvDecoder) parseError(line, column int, err error) error {
	return &csv.ParseError{StartLine: d.from, Line: line, Column: column, Err: err}
}

func (d *csvDecoder) endField(at int) error {
	if len(d.ends) == d.maxFields {
		return d.tooMany()
	}
	d.ends = append(grow.For(d.ends, len(d.ends)+1, d.maxFields), at)
	return nil
}

func (d *csvDecoder) tooMany() error {
	return d.limitError("%s has more than %d fields, the most for a maximum record of %s",
		d.where(), d.maxFields, units.Exact(int64(d.most)))
}

func (d *csvDecoder) limitError(format string, args ...any) error {
	return &weir.LimitError{Err: weir.ErrLimit, Option: "CSVOptions.MaxRecord", Max: int64(d.most), Detail: fmt.Sprintf(format, args...)}
}

// end makes a record of the parsed fields.
func (d *csvDecoder) end() error {
	all := string(d.buf[:d.text])
	record := make([]string, len(d.ends))
	from := 0
	for i, end := range d.ends {
		record[i] = all[from:end]
		from = end
	}
	d.buf, d.text, d.ends = d.buf[:0], 0, d.ends[:0]
	return d.add(record, len(all))
}

// fieldCountError is a [csv.ParseError] that says how many fields a record has.
type fieldCountError struct {
	at        error // the ParseError
	record    int64 // from 1
	line      int
	got, want int
}

func (e *fieldCountError) Error() string {
	return fmt.Sprintf("record %d on line %d has %s, want %d", e.record, e.line, units.Count(int64(e.got), "field"), e.want)
}

func (e *fieldCountError) Unwrap() error { return e.at }

func (d *csvDecoder) add(record []string, size int) error {
	d.records++
	switch {
	case d.fields == 0:
		d.fields = len(record)
	case d.fields > 0 && len(record) != d.fields:
		return &fieldCountError{d.parseError(d.from, 1, csv.ErrFieldCount), d.records, d.from, len(record), d.fields}
	}
	d.out = append(grow.For(d.out, len(d.out)+1, chunk), record)
	d.held += size + len(record)*16 + 24
	return nil
}

func (d *csvDecoder) Flush(_ context.Context, emit func([][]string) error) error {
	var err error
	if rest := d.start.Rest(); len(rest) > 0 {
		d.offset = int64(len(rest))
		err = d.keep(rest)
	}
	if d.skipping {
		return err
	}
	if err == nil && len(d.buf) > d.text {
		err = d.endLine(d.buf[d.text:], false)
	}
	if err == nil && d.quoted {
		if d.c.Lazy {
			if err = d.endField(d.text); err == nil {
				err = d.end()
			}
		} else {
			err = d.parseError(d.line, d.column, csv.ErrQuote)
		}
	}
	if eerr := d.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// EncodeCSV writes records in the form that [DecodeCSV] reads. A record without
// fields is an error, because CSV cannot represent it.
func EncodeCSV(s weir.Stream[[]string], c CSVOptions) weir.Stream[byte] {
	if err := c.check(); err != nil {
		return weir.Via(s, weir.Stage[[]string, byte]{Name: "encode csv", Err: err})
	}
	return encode(s, "encode csv", func() func([]byte, []string) ([]byte, error) { return c.append })
}

var errNoFields = errors.New("record without fields")

// append is not [csv.Writer] because that writes records that a reader leaves
// out, and changes the ends of lines within fields.
func (c CSVOptions) append(buf []byte, record []string) ([]byte, error) {
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
// readers trim leading space, PostgreSQL takes \. for the end of the data, and
// U+FEFF at the beginning of a file is a byte order mark.
func (c CSVOptions) special(field string) bool {
	if field == `\.` || strings.HasPrefix(field, "\ufeff") || strings.ContainsAny(field, "\"\r\n") || strings.ContainsRune(field, c.comma()) {
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
