package main

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// region is the part of a terminal that is drawn anew.
type region struct {
	out   io.Writer
	tty   *os.File // out, if it is a terminal
	paint painter
	shown []int // how wide the rows are that are on the screen
}

func (r *region) width() int {
	if r.tty != nil {
		if w, _, err := term.GetSize(int(r.tty.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// draw replaces the contents of the region.
func (r *region) draw(rows []string) {
	if r.tty != nil && !foreground(r.tty) {
		r.shown = nil // another program has the screen now
		return
	}
	width := r.width()
	var b strings.Builder
	r.up(&b, width)
	for _, row := range rows {
		row = fit(row, width-1)
		r.shown = append(r.shown, columns(row))
		b.WriteString(row + "\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(r.out, b.String()) // a terminal that is gone shows nothing
}

// up moves to the first row. Rows that were drawn when the terminal was wider
// take several lines now.
func (r *region) up(b *strings.Builder, width int) {
	lines := 0
	for _, n := range r.shown {
		lines += 1 + max(0, n-1)/width
	}
	r.shown = r.shown[:0]
	if lines > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(lines) + "A\r")
	}
}

func (r *region) erase() {
	if len(r.shown) == 0 {
		return
	}
	var b strings.Builder
	r.up(&b, r.width())
	_, _ = io.WriteString(r.out, b.String()+"\x1b[J")
}

// columns is how wide a row is on the screen; a sequence that sets a colour has
// no width.
func columns(row string) int {
	n := 0
	for row != "" {
		text, rest, found := strings.Cut(row, "\x1b[")
		n += runewidth.StringWidth(text)
		if !found {
			break
		}
		_, row, _ = strings.Cut(rest, "m")
	}
	return n
}

// fit cuts a row to a number of columns, and keeps its colours whole.
func fit(row string, width int) string {
	if columns(row) <= width {
		return row
	}
	var b strings.Builder
	for row != "" && width > 0 {
		text, rest, found := strings.Cut(row, "\x1b[")
		tail := ""
		if runewidth.StringWidth(text) >= width {
			tail = "…"
		}
		cut := runewidth.Truncate(text, width, tail)
		b.WriteString(cut)
		width -= runewidth.StringWidth(cut)
		if !found {
			break
		}
		var code string
		code, row, _ = strings.Cut(rest, "m")
		b.WriteString("\x1b[" + code + "m")
	}
	if strings.Contains(b.String(), "\x1b[") {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}
