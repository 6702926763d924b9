package record_test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

// pieces makes a stream of data in pieces of random lengths, which the small
// pipe keeps apart.
func pieces(data []byte, seed uint64) weir.Stream[byte] {
	return weir.FromSlice(data).Through(weirtest.Rechunk[byte](seed)).Async(weir.Bytes(int64(1 + seed%17)))
}

// decodeBothWays decodes data as a whole and in pieces, and fails the test if
// that makes a difference.
func decodeBothWays[T any](t *testing.T, data []byte, seed uint64, decode func(weir.Stream[byte]) weir.Stream[T]) ([]T, error) {
	t.Helper()
	whole, wholeErr := collect(decode(weir.FromSlice(data)))
	got, err := collect(decode(pieces(data, seed)))
	if (err == nil) != (wholeErr == nil) || err != nil && err.Error() != wholeErr.Error() {
		t.Errorf("%q: the error is %v as a whole, %v in pieces", data, wholeErr, err)
	}
	// A failure may overtake values, so only complete results are the same.
	if err == nil && !reflect.DeepEqual(got, whole) {
		t.Errorf("%q: %v as a whole, %v in pieces", data, whole, got)
	}
	return whole, wholeErr
}

func FuzzJSON_DoesNotDependOnTheChunks(f *testing.F) {
	for i, s := range []string{
		"", "1\n2\n", `{"a":[1,2,{"b":null}]}` + "\n" + `"ñ\u00f1"`, "[1", "nul", `"\ud800"`, "1 2\t3\r\n4", `{"a":1}{"a":2}`,
		"\xff", `"<&>"`, "-", "1e999", "\ufeff1", "\ufeff\ufeff1", "\xef\xbb1", "1\xff", "\"\xc3\"", "\"\\ufffd\"", "12345678901234567890 1.10 -0 1e5", `[[[[[[[[[[]]]]]]]]]]`,
	} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		decodeBothWays(t, data, seed, func(s weir.Stream[byte]) weir.Stream[any] {
			return record.DecodeJSON[any](s, int64(1+seed%9))
		})
		decode := func(s weir.Stream[byte]) weir.Stream[any] { return record.DecodeJSON[any](s, 0) }
		values, err := decodeBothWays(t, data, seed, decode)

		content := bytes.TrimPrefix(data, []byte("\ufeff"))
		if !utf8.Valid(content) {
			// Behind a mistake it is not read.
			if err == nil || !errors.Is(err, text.ErrInvalidUTF8) && json.Valid(content) {
				t.Errorf("%q: %v, %v, want an error of its bytes that are not UTF-8", data, values, err)
			}
			return
		}
		var want []any
		var wantErr error
		dec := json.NewDecoder(bytes.NewReader(content))
		dec.UseNumber()
		for {
			var v any
			if wantErr = dec.Decode(&v); wantErr != nil {
				break
			}
			want = append(want, v)
		}
		if (wantErr == io.EOF) != (err == nil) || err == nil && !reflect.DeepEqual(values, want) {
			t.Errorf("%q: %v, %v, want %v, %v", data, values, err, want, wantErr)
		}
		if err != nil {
			return
		}
		content, err = collect(record.EncodeJSON(weir.FromSlice(values)))
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if n := bytes.Count(content, []byte("\n")); n != len(values) {
			t.Errorf("%d values in %d lines", len(values), n)
		}
		if again, err := decodeBothWays(t, content, seed+1, decode); err != nil || !reflect.DeepEqual(again, values) {
			t.Errorf("%q became %q and %v, %v", data, content, again, err)
		}
	})
}

func FuzzCSV_DoesNotDependOnTheChunks(f *testing.F) {
	for i, s := range []string{
		"", "a,b\nc,d\n", "a;b\r\n\"c\r\n;\"\"\";d\r\n", "\n\n,\n", "\"", "a\"b,c", "#no\nyes\n", "\"a\rb\"", "a,b\nc\n", "\"\"\n", "\xff,\xfe", "\ufeffa", " ,\" \"",
		"#x\x01#\x00#", "\"\r\r\n\",\"\r\"", "\r\x01\n\x00\r\n\x01\r\r\n", "\\.", "\x00\x00", "\u00a0a\x01\u00e9;",
	} {
		f.Add([]byte(s), uint64(i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, kind uint8) {
		c := record.CSVOptions{Fields: -1, Lazy: kind&1 != 0, UseCRLF: kind&2 != 0}
		if kind&4 != 0 {
			c.Comma, c.Comment = ';', '#'
		}
		if kind&8 != 0 {
			c.Fields = 0
		}
		decode := func(s weir.Stream[byte]) weir.Stream[[]string] { return record.DecodeCSV(s, c) }
		records, err := decodeBothWays(t, data, seed, decode)

		if isUTF16(string(data)) || errors.Is(err, record.ErrCarriageReturn) {
			if !bytes.Contains(bytes.ReplaceAll(data, []byte("\r\n"), nil), []byte("\r")) && !errors.Is(err, text.ErrInvalidUTF8) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
		r.Comma, r.Comment, r.LazyQuotes, r.FieldsPerRecord = c.Comma, c.Comment, c.Lazy, c.Fields
		if c.Comma == 0 {
			r.Comma = ','
		}
		want, wantErr := r.ReadAll()
		var parseErr *csv.ParseError
		if (wantErr == nil) != (err == nil) || err == nil && !reflect.DeepEqual(plainEnds(records), plainEnds(want)) ||
			err != nil && (!errors.As(err, &parseErr) || !reflect.DeepEqual(parseErr, wantErr)) {
			t.Errorf("%q: %q, %v, want %q, %v", data, records, err, want, wantErr)
		}
		for i, record := range records {
			for _, field := range record {
				if strings.Contains(field, "\r") && !bytes.Contains(data, []byte(`"`)) {
					t.Errorf("%q: record %d has a carriage return, without quotes", data, i)
				}
			}
		}
		limited := c
		limited.MaxRecord = int64(1 + seed%9)
		checkCSVLimit(t, data, seed, limited)
		if err != nil {
			return
		}
		// Whatever the data, it can be made records of, beside those it has.
		if c.Fields < 0 {
			for line := range strings.SplitSeq(string(data), "\x00") {
				records = append(records, strings.Split(line, "\x01"))
			}
		}
		text, err := collect(record.EncodeCSV(weir.FromSlice(records), c))
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if again, err := decodeBothWays(t, text, seed+1, decode); err != nil || !reflect.DeepEqual(again, records) {
			t.Errorf("%q became %q and %q, %v", records, text, again, err)
		}
	})
}

// plainEnds makes "\n" of the ends of lines within fields, as package csv does.
func plainEnds(records [][]string) (plain [][]string) {
	for _, record := range records {
		var fields []string
		for _, field := range record {
			for strings.Contains(field, "\r\n") {
				field = strings.ReplaceAll(field, "\r\n", "\n")
			}
			fields = append(fields, field)
		}
		plain = append(plain, fields)
	}
	return plain
}

// checkCSVLimit compares what a decoder with a limit makes of data with what
// [csv.Reader] says: it ends at the first record whose text is too large, if
// that comes before the first mistake.
func checkCSVLimit(t *testing.T, data []byte, seed uint64, c record.CSVOptions) {
	t.Helper()
	c.Fields = -1
	got, err := decodeBothWays(t, data, seed, func(s weir.Stream[byte]) weir.Stream[[]string] { return record.DecodeCSV(s, c) })
	if errors.Is(err, record.ErrCarriageReturn) {
		return
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment, r.LazyQuotes, r.FieldsPerRecord = c.Comment, c.Lazy, -1
	if c.Comma != 0 {
		r.Comma = c.Comma
	}
	end := int64(0)
	for {
		record, rerr := r.Read()
		begin := end
		end = r.InputOffset()
		if rerr != nil {
			if (rerr == io.EOF) != (err == nil) {
				t.Errorf("%q with at most %d bytes: %v, want %v", data, c.MaxRecord, err, rerr)
			}
			return
		}
		// Before the record there may be empty lines and comments; they have no
		// limit.
		text := data[begin:end]
		for {
			line, rest, found := bytes.Cut(text, []byte("\n"))
			bare := bytes.TrimSuffix(line, []byte("\r"))
			if !found || len(bare) > 0 && (c.Comment == 0 || !bytes.HasPrefix(bare, []byte(string(c.Comment)))) {
				break
			}
			text = rest
		}
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		if int64(len(text)) > c.MaxRecord {
			if !errors.Is(err, weir.ErrLimit) {
				t.Errorf("%q with at most %d bytes: %q, %v, want ErrLimit at %q", data, c.MaxRecord, got, err, record)
			}
			return
		}
	}
}

func FuzzFrames_DoNotDependOnTheChunks(f *testing.F) {
	for i, s := range []string{
		"", "\x00\x00\x00\x00", "\x00\x00\x00\x03abc\x00\x00\x00\x01d", "\x03abc\x01d", "\x00", "\xff\xff\xff\xff", "\x80\x00", "\x00\x00\x00\x05abc",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
	} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		const most = 64
		for _, framing := range []record.Framing{record.Frame32, record.FrameVarint} {
			decode := func(s weir.Stream[byte]) weir.Stream[[]byte] { return record.DecodeFrames(s, framing, most) }
			frames, err := decodeBothWays(t, data, seed, decode)

			want, wantErr := cutFrames(data, framing, most)
			if !errors.Is(err, wantErr) || wantErr == nil && (err != nil || !reflect.DeepEqual(frames, want)) {
				t.Errorf("%q: %q, %v, want %q, %v", data, frames, err, want, wantErr)
			}

			// Whatever the data, it can be made frames of.
			var given [][]byte
			for _, p := range bytes.Split(data, []byte{0}) {
				given = append(given, p[:min(len(p), most)])
			}
			text, err := collect(record.EncodeFrames(weir.FromSlice(given), framing))
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeBothWays(t, text, seed+1, decode)
			if err != nil || len(again) != len(given) {
				t.Fatalf("%q became %q, %v", given, again, err)
			}
			for i := range given {
				if !bytes.Equal(again[i], given[i]) {
					t.Errorf("frame %d: %q became %q", i, given[i], again[i])
				}
			}
		}
	})
}

// cutFrames is DecodeFrames for data that is there as a whole.
func cutFrames(data []byte, framing record.Framing, most uint64) (frames [][]byte, err error) {
	for len(data) > 0 {
		var n uint64
		size := 4
		if framing == record.FrameVarint {
			n, size = binary.Uvarint(data)
			if size <= 0 && len(data) >= binary.MaxVarintLen64 {
				return frames, record.ErrFrameTooLarge
			}
			if size <= 0 {
				return frames, io.ErrUnexpectedEOF
			}
		} else {
			if len(data) < size {
				return frames, io.ErrUnexpectedEOF
			}
			n = uint64(binary.BigEndian.Uint32(data))
		}
		data = data[size:]
		if n > most {
			return frames, record.ErrFrameTooLarge
		}
		if uint64(len(data)) < n {
			return frames, io.ErrUnexpectedEOF
		}
		frames = append(frames, bytes.Clone(data[:n]))
		data = data[n:]
	}
	return frames, nil
}

// isUTF16 reports whether a text begins with a byte order mark of UTF-16.
func isUTF16(s string) bool {
	return strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff")
}
