package main

import (
	"fmt"
	"strings"
)

// roff is a manual page in the macros of man(7). Its methods escape what they
// are given, so the only requests in a page are the ones written here.
type roff struct{ b strings.Builder }

// newRoff begins a page. date may be empty.
func newRoff(title, section, date string) *roff {
	p := &roff{}
	// Without hyphenation, a reader can search for every word. TH turns it on.
	fmt.Fprintf(&p.b, ".TH \"%s\" \"%s\" \"%s\" \"weir\" \"\"\n.nh\n", roffText(title), section, date)
	return p
}

// section begins a section.
func (p *roff) section(name string) { p.b.WriteString(".SH " + name + "\n") }

// line adds a line that already is roff, such as a result of roffBold.
func (p *roff) line(markup string) { p.b.WriteString(markup + "\n") }

// paragraph adds text that is filled to the width of the page.
func (p *roff) paragraph(text string) { p.line(".PP\n" + roffText(text)) }

// literal adds text whose lines and spaces are kept.
func (p *roff) literal(text string) { p.line(".PP\n.nf\n" + roffText(text) + "\n.fi") }

// item adds text under a tag that already is roff.
func (p *roff) item(tag, text string) { p.line(".TP\n" + tag + "\n" + roffText(text)) }

// prose adds plain text as the help prints it: indented lines and lists are kept
// as they are, and other lines are filled. Blank lines separate paragraphs.
func (p *roff) prose(text string) {
	var block []string
	indented := false
	end := func() {
		if len(block) == 0 {
			return
		}
		if s := strings.Join(block, "\n"); indented {
			p.literal(s)
		} else {
			p.paragraph(s)
		}
		block = nil
	}
	for l := range strings.SplitSeq(text, "\n") {
		l = strings.TrimRight(l, " \t\r")
		in := strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "- ")
		if l == "" || in != indented {
			end()
		}
		if l != "" {
			block, indented = append(block, l), in
		}
	}
	end()
}

// roffBold returns text in bold.
func roffBold(text string) string { return `\fB` + roffText(text) + `\fP` }

// roffItalic returns text in italics.
func roffItalic(text string) string { return `\fI` + roffText(text) + `\fP` }

// roffEscapes keeps ASCII as it is. Without it, a UTF-8 terminal shows
// typographic characters for some, which a reader cannot paste into a shell.
var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "\n.", "\n\\&.")

// roffText returns roff that shows text as it is. A line that begins with a dot
// or an apostrophe would otherwise be a request.
func roffText(text string) string {
	return strings.TrimPrefix(roffEscapes.Replace("\n"+text), "\n")
}
