package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

// word is one stage as it was written: a name, and what follows the first
// colon. help/stages.md has the grammar.
type word struct {
	kind stageKind
	text string // behind the colon
	has  bool   // there is a colon
	line []string
	at   int // its place in the line
}

// wrong is a usage error that points at the word.
func (w word) wrong(format string, args ...any) error {
	return &failure{
		code: exitUsage, line: w.line, word: w.at, try: w.kind.example,
		text: fmt.Sprintf("stage %q ", w.line[w.at]) + fmt.Sprintf(format, args...),
	}
}

func (w word) none() error {
	if w.has {
		return w.wrong("takes no argument")
	}
	return nil
}

// whole is an argument that is taken as it is, commas and all.
func (w word) whole(want string) (string, error) {
	if strings.TrimSpace(w.text) == "" {
		return "", w.wrong("needs %s", want)
	}
	return w.text, nil
}

// args are the settings key=value, separated by commas. A first one without a
// key is the value of the first of keys.
type args map[string]string

func (w word) settings(keys ...string) (args, error) {
	a := args{}
	if !w.has {
		return a, nil
	}
	for i, part := range strings.Split(w.text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok && i == 0 {
			key, value = keys[0], part
		}
		switch {
		case !slices.Contains(keys, key):
			text := fmt.Sprintf("has no setting %q", key)
			if best := closest(key, keys); best != "" {
				text += fmt.Sprintf(" (did you mean %s?)", best)
			}
			return nil, w.wrong("%s", text)
		case value == "":
			return nil, w.wrong("has nothing behind %q", key)
		}
		a[key] = value
	}
	return a, nil
}

// leading cuts a setting off a text that is taken as it is otherwise:
// grep:max-line=8MiB,PATTERN. The value is empty if the text does not begin
// with the setting.
func (w word) leading(key string) (value, rest string) {
	after, ok := strings.CutPrefix(w.text, key+"=")
	if !ok {
		return "", w.text
	}
	value, rest, _ = strings.Cut(after, ",")
	return value, rest
}

// sizeArgument writes a size as it is given on the command line, exactly.
func sizeArgument(n int64) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

// number reads value, which the setting key was given.
func (w word) number(key, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, w.wrong("needs a number for %s, not %q", key, value)
	}
	return n, nil
}

// size reads value, which the setting key was given.
func (w word) size(key, value string) (int64, error) {
	n, err := parseSize(value)
	if err != nil {
		return 0, w.wrong("needs a size for %s, as in 64MiB, not %q", key, value)
	}
	return n, nil
}

func (w word) duration(want string) (time.Duration, error) {
	d, err := time.ParseDuration(w.text)
	if err != nil || d <= 0 {
		return 0, w.wrong("needs %s", want)
	}
	return d, nil
}

// linesOrBytes reads 100, a number of lines, or 10MiB, a number of bytes. A
// number alone counts lines.
func (w word) linesOrBytes() (n int64, lines bool, err error) {
	if n, err := strconv.ParseInt(w.text, 10, 64); err == nil && n >= 0 {
		return n, true, nil
	}
	if n, err = parseSize(w.text); err != nil {
		return 0, false, w.wrong("needs a number of lines or a size")
	}
	return n, false, nil
}

// parseStage finds the kind of a stage and appends it to what is built.
func (b *builder) parseStage(line []string, at int) error {
	name, text, has := strings.Cut(line[at], ":")
	var names []string
	for _, k := range stageKinds {
		if k.name != name {
			names = append(names, k.name)
			continue
		}
		w := word{k, text, has, line, at}
		st, err := k.make(b, w)
		if err != nil {
			return err
		}
		if st.Err != nil {
			return &failure{
				code: exitUsage, line: line, word: at, try: k.example,
				text: fmt.Sprintf("stage %q: %s", line[at], strings.TrimPrefix(st.Err.Error(), "weir: ")),
			}
		}
		b.stream = b.stream.Through(st)
		b.binary = k.binary
		return nil
	}
	f := &failure{code: exitUsage, line: line, word: at, try: "weir stages", text: fmt.Sprintf("unknown stage %q", name)}
	if best := closest(name, names); best != "" {
		f.text += fmt.Sprintf(" (did you mean %s?)", best)
	}
	return f
}

// builder puts one flow together.
type builder struct {
	set    *settings
	step   *step
	frugal bool // one worker for each codec, to fit into the memory
	stream weir.Stream[byte]
	binary bool         // what comes out is nothing for a terminal
	flows  []*weir.Flow // of branches
}
