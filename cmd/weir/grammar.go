package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// word is one stage as it was written: a name, and the text after the first
// colon. help/stages.md has the grammar.
type word struct {
	kind stageKind
	text string // after the colon
	has  bool   // there is a colon
	line []string
	at   int // its place in the line
}

// wrong returns a usage error that points at the word.
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

// whole returns the argument unchanged, including commas.
func (w word) whole(want string) (string, error) {
	if strings.TrimSpace(w.text) == "" {
		return "", w.wrong("needs %s", want)
	}
	return w.text, nil
}

// args are settings of the form key=value, separated by commas. A first value
// without a key belongs to the first of keys.
type args map[string]string

func (w word) settings(keys ...string) (args, error) {
	a := args{}
	if !w.has {
		return a, nil
	}
	for i, part := range splitSettings(w.text) {
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
		value, ok = unescapeSetting(value)
		if !ok {
			return nil, w.wrong(`has an unknown escape in %q; use \t, \n, \r, \\, \, or \xHH`, part)
		}
		a[key] = value
	}
	return a, nil
}

// splitSettings splits text at its commas, except those after a backslash.
func splitSettings(text string) (parts []string) {
	begin := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}

// unescapeSetting resolves the escapes of a value: \t, \n, \r, \\, \, and \xHH. A
// backslash at the end means itself.
func unescapeSetting(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			break
		}
		if after == "" {
			b.WriteByte('\\')
			break
		}
		c, rest := after[0], after[1:]
		switch c {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case '\\', ',':
			b.WriteByte(c)
		case 'x':
			if len(rest) < 2 {
				return "", false
			}
			n, err := strconv.ParseUint(rest[:2], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			rest = rest[2:]
		default:
			return "", false
		}
		s = rest
	}
	return b.String(), true
}

// escapeSetting returns a value as it is written in a setting.
func escapeSetting(s string) string {
	return strings.NewReplacer("\t", `\t`, "\n", `\n`, "\r", `\r`, `\`, `\\`, ",", `\,`).Replace(s)
}

// leading cuts a setting off the beginning of the text and returns the rest
// unchanged: grep:max-line=8MiB,PATTERN. The value is empty if the text does
// not begin with the setting.
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

// parseStage appends the stage at a word to the stream.
func (b *builder) parseStage(line []string, at int) error {
	st, err := b.stage(line, at)
	if err == nil {
		b.stream = b.stream.Through(st)
	}
	return err
}

// stage returns the stage at a word.
func (b *builder) stage(line []string, at int) (byteStage, error) {
	name, text, has := strings.Cut(line[at], ":")
	if !isStage(name) {
		return byteStage{}, unknownStage(line, at, name)
	}
	k := kindOfStage(name)
	b.words = append(b.words, &typed{kind: k.name, text: endpoint.Redact(line[at])}) // unabridged; messages shorten it
	st, err := k.make(b, word{k, text, has, line, at})
	if err != nil {
		return st, err
	}
	if st.Err != nil {
		return st, &failure{
			code: exitUsage, line: line, word: at, try: k.example,
			text: fmt.Sprintf("stage %q: %s", line[at], strings.TrimPrefix(st.Err.Error(), "weir: ")),
		}
	}
	b.word().stages = stepsOf(st)
	b.binary = k.binary
	return st, nil
}

// unknownStage suggests a stage of a similar name, or the program of that name.
func unknownStage(line []string, at int, name string) error {
	f := &failure{code: exitUsage, line: line, word: at, try: "weir stages", text: fmt.Sprintf("unknown stage %q", name)}
	best := closest(name, stageNames())
	_, err := exec.LookPath(name)
	isProgram := name != "" && err == nil
	if isProgram {
		f.try = "exec:" + quoted(line[at])
	}
	// Names of two or three letters are close to each other by chance.
	if best != "" && (!isProgram || distance(name, best) == 1) {
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
	binary bool         // the output is not fit for a terminal
	resume *resumption  // of the stage that is built; nil: it begins at the beginning
	flows  []*weir.Flow // of branches
	words  []*typed     // the stages so far
}

// typed is a stage as the user wrote it. The library has other names for its
// steps; messages use the user's.
type typed struct {
	kind   string
	text   string   // the word
	name   string   // its name in messages
	raise  string   // the word with a higher limit for a record, if it has one
	stages []string // the library's names of its steps, source first, without numbers
}

// word returns the stage that is being built.
func (b *builder) word() *typed { return b.words[len(b.words)-1] }

// stepsOf returns the names of the steps of a stage.
func stepsOf(st byteStage) []string {
	names, err := weir.FromSlice([]byte(nil)).Through(st).To(weir.Discard[byte]()).StageNames()
	if err != nil {
		return nil // the whole flow has the same error
	}
	names = names[1 : len(names)-1]
	for i, name := range names {
		names[i], _, _ = strings.Cut(name, "#")
	}
	return names
}

// nameSteps records in the step which word each stage of its flow belongs to.
func (b *builder) nameSteps() {
	kinds, texts := map[string]int{}, map[string]int{}
	for _, w := range b.words {
		kinds[w.kind]++
		texts[w.text]++
	}
	b.step.words = map[string]*typed{}
	numbers := map[string]int{}
	for i, w := range slices.Backward(b.words) {
		w.name = w.kind
		if w.kind == "exec" || kinds[w.kind] > 1 {
			w.name = runewidth.Truncate(w.text, 40, "…")
		}
		if texts[w.text] > 1 {
			w.name += fmt.Sprintf(" (stage %d)", i+1)
		}
		// The library numbers stages of one name from the sink on.
		for _, name := range slices.Backward(w.stages) {
			numbers[name]++
			if n := numbers[name]; n > 1 {
				name += fmt.Sprintf("#%d", n)
			}
			b.step.words[name] = w
		}
	}
}
