// Package markup writes HTML. The compiler tells markup from data: markup is a constant of
// the program, and data reaches a page only through methods that escape it.
//
// The methods do not look at the markup around a text, so the program must keep three rules.
// It quotes the values of attributes with ". It writes URLs with [Writer.Link]. It writes no
// data into scripts, styles, comments, and the names of elements and attributes.
package markup

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// constant is the type of markup. Other packages cannot name it, so the compiler lets them
// use only constants without a type: no variables, and nothing joined from them.
type constant string

// Writer writes a page, piece by piece. It collects small pieces. It keeps the first error,
// and writes nothing after it.
type Writer struct {
	out *bufio.Writer
	err error
}

// collected is how many bytes a Writer collects.
const collected = 4 << 10

// NewWriter returns a Writer that writes to out. If out collects enough bytes itself, the
// Writer uses the memory of out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(out, collected)} }

// HTML writes markup.
func (w *Writer) HTML(markup constant) *Writer { return w.Trusted(string(markup)) }

// Trusted writes markup that is not a constant: an embedded file, or a picture that the
// program has drawn. The caller is responsible for the markup.
func (w *Writer) Trusted(markup string) *Writer {
	if w.err == nil {
		_, w.err = w.out.WriteString(markup)
	}
	return w
}

// Text writes a text between tags, or within the quotes of an attribute.
func (w *Writer) Text(s string) *Writer {
	if w.err == nil {
		_, w.err = escaper.WriteString(w.out, s)
	}
	return w
}

// Int writes a number.
func (w *Writer) Int(n int64) *Writer {
	if w.err == nil {
		_, w.err = w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), n, 10))
	}
	return w
}

// Link writes the URL of an attribute: a relative reference, which can name another host
// behind //, http: or https:. It writes # instead of any other, since a javascript: would
// run in the page. Characters that a URL must not have are encoded.
func (w *Writer) Link(url string) *Writer {
	if scheme, _, ok := strings.Cut(url, ":"); ok && !strings.Contains(scheme, "/") &&
		!strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		url = "#"
	}
	return w.Text(encoded(url))
}

// Err returns the first error.
func (w *Writer) Err() error { return w.err }

// Flush writes the collected pieces. It returns the first error.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// Escape returns s as [Writer.Text] writes it.
func Escape(s string) string { return escaper.Replace(s) }

// escaper replaces the characters that have a meaning in HTML. It replaces NUL because
// browsers drop it in some places, and would join the texts around it.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "\x00", "\uFFFD")

// encoded returns url with a code in place of each byte that no URL has, and of each % that
// begins no code. It encodes ', ( and ) too, although URLs can have them.
func encoded(url string) string {
	var b strings.Builder
	from := 0
	for i := range len(url) {
		if inURL(url[i]) || url[i] == '%' && i+2 < len(url) && isHex(url[i+1]) && isHex(url[i+2]) {
			continue
		}
		const digits = "0123456789abcdef"
		b.WriteString(url[from:i])
		b.WriteByte('%')
		b.WriteByte(digits[url[i]>>4])
		b.WriteByte(digits[url[i]&15])
		from = i + 1
	}
	if from == 0 {
		return url
	}
	b.WriteString(url[from:])
	return b.String()
}

func inURL(c byte) bool {
	return isLetter(c) || isDigit(c) || strings.IndexByte("-._~!#$&*+,/:;=?@[]", c) >= 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
