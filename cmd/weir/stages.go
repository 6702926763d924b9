package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// stageKind is a word that may stand between source and destination.
type stageKind struct {
	name    string
	args    string
	short   string
	example string
	binary  bool // what comes out is nothing for a terminal
	make    func(j *job, a words) (weir.Stage[byte, byte], error)
}

var stageKinds = []stageKind{
	{"gzip", "[:level=1…9][,workers=N]", "compress; on all cores", "gzip:level=9", true, func(j *job, a words) (weir.Stage[byte, byte], error) {
		opts, err := a.codec(j, "level", "workers")
		return compress.Gzip(opts...), err
	}},
	{"gunzip", "", "decompress gzip", "gunzip", false, func(j *job, a words) (weir.Stage[byte, byte], error) {
		return compress.Gunzip(compress.OnTrailing(func(at int64) error {
			j.warn("%s: trailing garbage ignored, from byte %d", j.src, at)
			return nil
		})), a.none()
	}},
	{"zstd", "[:level=1…22][,workers=N]", "compress; on all cores", "zstd:level=3", true, func(j *job, a words) (weir.Stage[byte, byte], error) {
		opts, err := a.codec(j, "level", "workers")
		return compress.Zstd(opts...), err
	}},
	{"unzstd", "", "decompress zstd", "unzstd", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		return compress.Unzstd(), a.none()
	}},
	{"upper", "", "to upper case, as UTF-8", "upper", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		return weir.Upper(), a.none()
	}},
	{"lower", "", "to lower case, as UTF-8", "lower", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		return weir.Lower(), a.none()
	}},
	{"lines", "", "end every line with \\n, the last one too", "lines", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		return weir.Compose("lines", func(s weir.Stream[byte]) weir.Stream[byte] {
			return weir.JoinLines(weir.Lines(s))
		}), a.none()
	}},
	{"grep", ":PATTERN", "only lines that match a regular expression", "grep:ERROR", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		re, err := a.pattern()
		return weir.Grep(re), err
	}},
	{"grepout", ":PATTERN", "only lines that do not match", "grepout:DEBUG", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		re, err := a.pattern()
		return weir.GrepOut(re), err
	}},
	{"head", ":N or :SIZE", "the first N lines, or the first bytes, and stop reading", "head:100, head:10MiB", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		if n, err := strconv.ParseInt(a.text, 10, 64); err == nil {
			return weir.HeadLines(n), nil
		}
		n, err := parseSize(a.text)
		if err != nil {
			return weir.Stage[byte, byte]{}, a.wrong("a number of lines or a size")
		}
		return weir.Head(n), nil
	}},
	{"sha256", "", "print the SHA-256 of what passes", "sha256", false, func(j *job, a words) (weir.Stage[byte, byte], error) {
		return weir.Hash(sha256.New, func(sum []byte) { j.sums = append(j.sums, fmt.Sprintf("sha256 %x", sum)) }), a.none()
	}},
	{"rate", ":SIZE/s", "no faster than this", "rate:10MiB/s", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		n, err := parseSize(strings.TrimSuffix(a.text, "/s"))
		if err != nil || n < 1 {
			return weir.Stage[byte, byte]{}, a.wrong("a size for each second")
		}
		return weir.RateLimit[byte](n, time.Second), nil
	}},
	{"exec", ":'COMMAND'", "through a shell command", "exec:'jq -c .'", false, func(_ *job, a words) (weir.Stage[byte, byte], error) {
		if strings.TrimSpace(a.text) == "" {
			return weir.Stage[byte, byte]{}, a.wrong("a command")
		}
		return weir.Exec("sh", "-c", a.text), nil
	}},
}

// words is one stage as it was written: name, or name:text.
type words struct {
	word string
	text string
	kind stageKind
}

func (a words) wrong(want string) error {
	f := usage(fmt.Sprintf("stage %q needs %s", a.word, want))
	f.try = a.kind.example
	return f
}

func (a words) none() error {
	if a.text != "" {
		f := usage(fmt.Sprintf("stage %q takes no argument", a.word))
		f.try = a.kind.example
		return f
	}
	return nil
}

func (a words) pattern() (*regexp.Regexp, error) {
	if a.text == "" {
		return nil, a.wrong("a pattern")
	}
	re, err := regexp.Compile(a.text)
	if err != nil {
		return nil, a.wrong("a valid pattern (" + err.Error() + ")")
	}
	return re, nil
}

// codec reads level=9,workers=2; a bare number is the level.
func (a words) codec(j *job, keys ...string) (opts []compress.Option, err error) {
	workers := 0
	if a.text != "" {
		for _, part := range strings.Split(a.text, ",") {
			key, value, ok := strings.Cut(part, "=")
			if !ok {
				key, value = "level", part
			}
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return nil, a.wrong("numbers, as in " + a.kind.name + a.kind.args)
			}
			switch key {
			case "level":
				opts = append(opts, compress.Level(n))
			case "workers":
				workers = n
			default:
				f := usage(fmt.Sprintf("stage %q has no setting %q", a.word, key))
				f.try = a.kind.name + a.kind.args
				return nil, f
			}
		}
	}
	if j.frugal {
		workers = 1
	}
	return append(opts, compress.Workers(workers)), nil
}

// parseStage reads one stage word.
func parseStage(j *job, word string) (weir.Stage[byte, byte], stageKind, error) {
	name, text, _ := strings.Cut(word, ":")
	var names []string
	for _, k := range stageKinds {
		if k.name == name {
			st, err := k.make(j, words{word, text, k})
			if err == nil && st.Err != nil {
				f := usage(fmt.Sprintf("stage %q: %v", word, st.Err))
				f.try = k.example
				err = f
			}
			return st, k, err
		}
		names = append(names, k.name)
	}
	f := usage(fmt.Sprintf("unknown stage %q", name))
	f.try = "weir stages"
	if best := closest(name, names); best != "" {
		f.text += fmt.Sprintf(" (did you mean %s?)", best)
	}
	return weir.Stage[byte, byte]{}, stageKind{}, f
}

// parseSize reads 64MiB, 64M (the same), 10kB or a plain number of bytes.
func parseSize(s string) (int64, error) {
	if n := len(s); n > 1 && strings.ContainsRune("kKmMgGtT", rune(s[n-1])) {
		s += "iB" // one letter stands for the binary unit
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%q is no size", s)
	}
	return int64(n), nil
}

func newStages(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "stages",
		Short: "List the stages of weir pipe",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			for _, k := range stageKinds {
				fmt.Fprintf(stdout, "%-34s %s\n%-34s   %s\n", k.name+k.args, k.short, "", k.example)
			}
		},
	}
}
