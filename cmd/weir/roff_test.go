package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestRoffText_Escapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{".SH NAME", `\&.SH NAME`},
		{"a\n.b\n..c", "a\n\\&.b\n\\&..c"},
		{"\n.a", "\n\\&.a"},
		{"'br", `\(aqbr`},
		{"a\n'b'", "a\n\\(aqb\\(aq"},
		{`C:\new`, `C:\enew`},
		{`\.a`, `\e.a`},
		{`say "so"`, `say "so"`},
		{"--no-color", `\-\-no\-color`},
		{"`~/a^b`", `\(ga\(ti/a\(hab\(ga`},
		{"*, _ and <SRC>", "*, _ and <SRC>"},
	} {
		if got := roffText(c.text); got != c.want {
			t.Errorf("roffText(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func FuzzRoffText_BeginsNoRequest(f *testing.F) {
	for _, s := range []string{".a", "'a", "\n.\n'", `\.`, "\n\n.a\\"} {
		f.Add(s)
	}
	back := strings.NewReplacer(`\&`, "", `\e`, `\`, `\-`, "-", `\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~")
	f.Fuzz(func(t *testing.T, text string) {
		got := roffText(text)
		for l := range strings.SplitSeq(got, "\n") {
			if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
				t.Errorf("roffText(%q) has a request: %q", text, l)
			}
		}
		if shown := back.Replace(got); shown != text {
			t.Errorf("roffText(%q) shows %q", text, shown)
		}
	})
}

func TestRoffProse_KeepsIndentedLinesAndListsAndFillsOthers(t *testing.T) {
	t.Parallel()
	p := &roff{}
	p.prose("One\ntwo:\n  a  b\n  c\n\nthree\n- d\n  e\n")
	want := ".PP\nOne\ntwo:\n.PP\n.nf\n  a  b\n  c\n.fi\n.PP\nthree\n.PP\n.nf\n\\- d\n  e\n.fi\n"
	if got := p.b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestManPages_HaveNoRequestsButTheWritersOwn(t *testing.T) {
	t.Parallel()
	own := regexp.MustCompile(`^\.(nh|TH "[^"]+" "[17]" "[^"]*" "weir" ""|SH [A-Z ]+|PP|TP|nf|fi)$`)
	for name, page := range allPages(t) {
		for l := range strings.Lines(page) {
			l = strings.TrimSuffix(l, "\n")
			if (strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'")) && !own.MatchString(l) {
				t.Errorf("%s has a line %q", name, l)
			}
		}
	}
}
