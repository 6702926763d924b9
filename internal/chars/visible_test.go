package chars

import "testing"

func TestVisible_ShowsWhatWouldMislead(t *testing.T) {
	for text, want := range map[string]string{
		"report.pdf":            "report.pdf",
		"grüße 日本 שלום.txt":     "grüße 日本 שלום.txt",
		"👩\u200d💻.png":          "👩\u200d💻.png",
		"gpj.\u202eexe":         "gpj.‹U+202E›exe",
		"a\u2066b\u2069\u200f":  "a‹U+2066›b‹U+2069›‹U+200F›",
		"a\x1b[2J\n":            "a‹U+001B›[2J‹U+000A›",
		"a\xffb":                "a‹FF›b",
		"zero\u200bwidth\ufeff": "zero‹U+200B›width‹U+FEFF›",
		"line\u2028end":         "line‹U+2028›end",
		"\ufffd":                "‹U+FFFD›",
	} {
		if got := Visible(text); got != want {
			t.Errorf("Visible(%q) = %q, want %q", text, got, want)
		}
	}
}
