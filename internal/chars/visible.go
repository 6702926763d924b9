package chars

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns text for display, with characters that show nothing or show others in
// another order written as their codes: control characters, marks of direction such as
// U+202E, and bytes that are not UTF-8. Otherwise "gpj.<U+202E>exe" could be shown as a
// picture. Joiners stay, which many scripts and emoji need.
func Visible(text string) string {
	if !strings.ContainsFunc(text, isInvisible) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "‹%02X›", text[i])
		case isInvisible(r):
			fmt.Fprintf(&b, "‹%U›", r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func isInvisible(r rune) bool {
	switch r {
	case '\u200c', '\u200d': // joiners
		return false
	case '\u00ad', '\u2028', '\u2029', utf8.RuneError:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf)
}
