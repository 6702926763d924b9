package main

import (
	"strings"
	"unicode/utf8"
)

// keySequences are the sequences that terminals send for keys that are no
// characters.
var keySequences = []struct{ sent, key string }{
	{"\x1b[A", "up"}, {"\x1bOA", "up"}, {"\x1b[B", "down"}, {"\x1bOB", "down"},
	{"\x1b[C", "right"}, {"\x1bOC", "right"}, {"\x1b[D", "left"}, {"\x1bOD", "left"},
	{"\x1b[5~", "page up"}, {"\x1b[6~", "page down"}, {"\x1b[H", "home"}, {"\x1b[F", "end"},
	{"\r", "enter"}, {"\n", "enter"}, {"\x7f", "backspace"}, {"\b", "backspace"},
}

// keyNames splits the input from a terminal into keys: characters, and the
// names of others. Sequences that mean no key here are left out.
func keyNames(sent string) (keys []string) {
next:
	for sent != "" {
		for _, s := range keySequences {
			if rest, ok := strings.CutPrefix(sent, s.sent); ok {
				keys, sent = append(keys, s.key), rest
				continue next
			}
		}
		if sent[0] != '\x1b' {
			_, n := utf8.DecodeRuneInString(sent)
			keys, sent = append(keys, sent[:n]), sent[n:]
			continue
		}
		if len(sent) == 1 {
			return append(keys, "esc")
		}
		// ESC [ … letter is a sequence; anything else is ESC and a key.
		if sent[1] != '[' && sent[1] != 'O' {
			keys, sent = append(keys, "esc"), sent[1:]
			continue
		}
		end := strings.IndexFunc(sent[2:], func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			return keys
		}
		sent = sent[2+end+1:]
	}
	return keys
}
