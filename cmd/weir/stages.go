package main

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
)

type byteStage = weir.Stage[byte, byte]

// stageKind is a word that can stand between source and destination.
type stageKind struct {
	group   string
	name    string
	args    string
	short   string
	example string
	binary  bool // the output is not fit for a terminal
	make    func(b *builder, w word) (byteStage, error)
}

// stageKinds is filled in by init, since some stages list it.
var stageKinds []stageKind

func init() {
	const pack, texts, measure, control = "Compression", "Text, lines and JSON", "Digests and counts", "Flow"
	stageKinds = []stageKind{
		{pack, "gzip", "[:level=0…9,workers=N,members=yes]", "compress, on all cores, to one member", "gzip:level=9", true, codec(compress.Gzip, "workers", "members")},
		{pack, "gunzip", "[:max=SIZE,ratio=N,workers=N]", "decompress gzip, on all cores where possible", "gunzip", false, decoder(compress.Gunzip, "workers")},
		{pack, "zstd", "[:level=1…22,workers=N]", "compress, on all cores", "zstd:level=3", true, codec(compress.Zstd, "workers")},
		{pack, "unzstd", "[:max=SIZE,ratio=N,window=SIZE]", "decompress zstd", "unzstd:window=128MiB", false, decoder(compress.Unzstd, "window")},
		{pack, "s2", "[:level=1…3]", "compress fast", "s2", true, codec(compress.S2)},
		{pack, "uns2", "[:max=SIZE,ratio=N]", "decompress S2 and Snappy", "uns2", false, decoder(compress.UnS2)},
		{pack, "zlib", "[:level=0…9]", "compress", "zlib:level=9", true, codec(compress.Zlib)},
		{pack, "unzlib", "[:max=SIZE,ratio=N]", "decompress zlib", "unzlib", false, decoder(compress.Unzlib)},
		{pack, "deflate", "[:level=0…9]", "compress", "deflate:level=9", true, codec(compress.Deflate)},
		{pack, "inflate", "[:max=SIZE,ratio=N]", "decompress deflate", "inflate", false, decoder(compress.Inflate)},

		{texts, "upper", "", "convert to upper case (UTF-8)", "upper", false, plain(text.Upper)},
		{texts, "lower", "", "convert to lower case (UTF-8)", "lower", false, plain(text.Lower)},
		{texts, "utf8", "", "fail at the first byte that is not UTF-8", "utf8", false, plain(text.Valid)},
		{texts, "lines", "[:max-line=SIZE]", "end every line with \\n, including the last", "lines", false, ofLines(cleanLines)},
		{texts, "grep", ":[max-line=SIZE,]PATTERN", "only lines that match a regular expression", "grep:ERROR", false, grep(text.Grep)},
		{texts, "grepout", ":[max-line=SIZE,]PATTERN", "only lines that do not match", "grepout:DEBUG", false, grep(text.GrepOut)},
		{texts, "head", ":N or :SIZE", "the first N lines or bytes; then stop reading", "head:100, head:10MiB", false, head},
		{texts, "skip", ":N or :SIZE", "all but the first N lines or bytes", "skip:1, skip:512B", false, skip},
		{texts, "uniq", "[:max-line=SIZE]", "leave out lines equal to the one before", "uniq", false, ofLines(uniq)},
		{texts, "json", "[:max-value=SIZE]", "check JSON; write one compact value per line", "json", false, compactJSON},
		{texts, "csvjson", "[:comma=C,max-record=SIZE]", "CSV with a header to JSON lines", "csvjson:comma=\\t", false, csvJSON},
		{texts, "jsoncsv", "[:comma=C,max-value=SIZE]", "JSON objects to CSV with a header", "jsoncsv:comma=;", false, jsonCSV},

		digest(measure, "sha256", sha256.New),
		digest(measure, "sha512", sha512.New),
		digest(measure, "sha1", sha1.New),
		digest(measure, "md5", md5.New),
		digest(measure, "crc32", func() hash.Hash { return crc32.NewIEEE() }),
		{measure, "count", "", "count lines and bytes", "count", false, count},

		{control, "rate", ":SIZE/s", "limit the rate", "rate:10MiB/s", false, limitRate},
		{control, "buffer", ":SIZE", "a pipe of this size, to even out bursts", "buffer:64MiB", false, buffer},
		{control, "spool", ":DIR[,max=SIZE]", "a buffer on disk; it can survive a crash", "spool:/var/tmp/flow,max=10GiB", false, spoolStage},
		{control, "timeout", ":DURATION", "fail if no data arrives for this long", "timeout:30s", false, timeout},
		{control, "tee", ":FILE", "also write the data to a file or URL", "tee:raw.log", false, tee},
		{control, "exec", ":COMMAND", "pass the data through a shell command", "exec:'jq -c .'", false, execute},
	}
}

// plain makes a stage that takes no arguments.
func plain(f func() byteStage) func(*builder, word) (byteStage, error) {
	return func(_ *builder, w word) (byteStage, error) { return f(), w.none() }
}

// codec makes an encoder with the setting level and the settings more.
func codec(f func(...compress.Option) byteStage, more ...string) func(*builder, word) (byteStage, error) {
	keys := append([]string{"level"}, more...)
	return func(b *builder, w word) (byteStage, error) {
		a, err := w.settings(keys...)
		if err != nil {
			return byteStage{}, err
		}
		var opts []compress.Option
		if level, ok := a["level"]; ok {
			n, err := w.number("level", level)
			if err != nil {
				return byteStage{}, err
			}
			opts = append(opts, compress.Level(n))
		}
		switch a["members"] {
		case "yes":
			opts = append(opts, compress.Members())
		case "", "no":
		default:
			return byteStage{}, w.wrong("needs yes or no for members, not %q", a["members"])
		}
		opts, err = w.workers(opts, a, keys, b.frugal)
		return f(b.resumeOption(opts)...), err
	}
}

// workers adds the option for the number of cores, if the codec has it.
func (w word) workers(opts []compress.Option, a args, keys []string, frugal bool) ([]compress.Option, error) {
	if !slices.Contains(keys, "workers") {
		return opts, nil
	}
	var n int
	if workers, ok := a["workers"]; ok {
		var err error
		if n, err = w.number("workers", workers); err != nil {
			return nil, err
		}
	}
	if frugal {
		n = 1
	}
	return append(opts, compress.Workers(n)), nil
}

// decoder makes a decoder with its limits against bombs and the settings more.
// The step records data that the decoder did not read.
func decoder(f func(...compress.Option) byteStage, more ...string) func(*builder, word) (byteStage, error) {
	keys := append([]string{"max", "ratio"}, more...)
	return func(b *builder, w word) (byteStage, error) {
		a, err := w.settings(keys...)
		if err != nil {
			return byteStage{}, err
		}
		var opts []compress.Option
		if w.kind.name != "uns2" { // its format does not mark the end
			opts = append(opts, compress.OnTrailing(func(at int64) error {
				b.step.leave(w.kind.name, at)
				return nil
			}))
		}
		for key, option := range map[string]func(int64) compress.Option{"max": compress.MaxOutput, "window": compress.MaxWindow} {
			value, ok := a[key]
			if !ok {
				continue
			}
			n, err := w.size(key, value)
			if err != nil {
				return byteStage{}, err
			}
			opts = append(opts, option(n))
		}
		if _, ok := a["window"]; !ok && slices.Contains(keys, "window") && !b.frugal {
			opts = append(opts, compress.MaxWindow(defaultWindow))
		}
		if ratio, ok := a["ratio"]; ok {
			n, err := w.number("ratio", ratio)
			if err != nil {
				return byteStage{}, err
			}
			opts = append(opts, compress.MaxRatio(float64(n)))
		}
		opts, err = w.workers(opts, a, keys, b.frugal)
		return f(opts...), err
	}
}

// defaultWindow is also the default of zstd(1). The decoder allocates it only
// when a frame needs it.
const defaultWindow = 128 << 20

// ofLines makes a stage of a function that works on lines.
func ofLines(f func(weir.Stream[string]) weir.Stream[string]) func(*builder, word) (byteStage, error) {
	return func(b *builder, w word) (byteStage, error) {
		a, err := w.settings("max-line")
		if err != nil {
			return byteStage{}, err
		}
		n, err := b.recordLimit(w, "", "max-line", a["max-line"], "")
		return weir.Compose(w.kind.name, func(s weir.Stream[byte]) weir.Stream[byte] {
			return text.Join(f(text.Lines(s, maxLine(n)).Named(w.kind.name)))
		}), err
	}
}

func cleanLines(s weir.Stream[string]) weir.Stream[string] { return s }

func uniq(s weir.Stream[string]) weir.Stream[string] { return weir.Dedupe(s) }

func maxLine(n int64) text.LineOption {
	return text.MaxLine(int(min(n, math.MaxInt)))
}

// defaultRecord is the largest line, JSON value or CSV record that a stage
// accepts by default.
const defaultRecord = 1 << 20

// recordLimit reads the setting key, the size of the largest record that a
// stage accepts. It records how to raise the limit: before and behind are the
// rest of the word around the setting.
func (b *builder) recordLimit(w word, before, key, value, behind string) (int64, error) {
	n := int64(defaultRecord)
	if value != "" {
		var err error
		if n, err = w.size(key, value); err != nil {
			return 0, err
		}
		if n < 1 {
			return 0, w.wrong("needs a size of 1 B or more for %s", key)
		}
	}
	b.word().raise = w.kind.name + ":" + before + key + "=" + sizeArgument(8*min(n, 1<<50)) + behind
	return n, nil
}

func compactJSON(b *builder, w word) (byteStage, error) {
	a, err := w.settings("max-value")
	if err != nil {
		return byteStage{}, err
	}
	n, err := b.recordLimit(w, "", "max-value", a["max-value"], "")
	return weir.Compose("json", func(s weir.Stream[byte]) weir.Stream[byte] {
		return record.EncodeJSON(record.DecodeJSON[json.RawMessage](s, n).Named("json"))
	}), err
}

// grep makes a stage of a pattern. The pattern can contain colons and commas:
// only max-line= at its beginning is a setting.
func grep(f func(*regexp.Regexp, ...text.LineOption) byteStage) func(*builder, word) (byteStage, error) {
	return func(b *builder, w word) (byteStage, error) {
		limit, pattern := w.leading("max-line")
		n, err := b.recordLimit(w, "", "max-line", limit, ","+pattern)
		if err != nil {
			return byteStage{}, err
		}
		if pattern == "" {
			return byteStage{}, w.wrong("needs a pattern")
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return byteStage{}, w.wrong("needs a valid pattern (%v)", err)
		}
		st := f(re, maxLine(n))
		st.Name = w.kind.name
		return st, nil
	}
}

func head(_ *builder, w word) (byteStage, error) {
	n, lines, err := w.linesOrBytes()
	if lines {
		return text.HeadLines(n), err
	}
	return text.Head(n), err
}

func skip(_ *builder, w word) (byteStage, error) {
	n, lines, err := w.linesOrBytes()
	return weir.Compose("skip", func(s weir.Stream[byte]) weir.Stream[byte] {
		if lines {
			return s.Through(text.SkipLines(n))
		}
		return weir.Drop(s, n)
	}), err
}

func digest(group, name string, newHash func() hash.Hash) stageKind {
	return stageKind{group, name, "", "print the digest of the data", name, false, func(b *builder, w word) (byteStage, error) {
		return weir.Hash(newHash, func(sum []byte) {
			b.step.sums = append(b.step.sums, fmt.Sprintf("%s %x", name, sum))
		}), w.none()
	}}
}

func count(b *builder, w word) (byteStage, error) {
	var lines, bytes atomic.Int64
	cr := false // the last byte was a "\r", which ends a line with or without a "\n"
	st := weir.Do("count", func(_ context.Context, in []byte, emit func([]byte) error) error {
		n := int64(0)
		for _, c := range in {
			if c == '\r' || c == '\n' && !cr {
				n++
			}
			cr = c == '\r'
		}
		lines.Add(n)
		bytes.Add(int64(len(in)))
		return emit(in)
	}, func(context.Context, func([]byte) error) error {
		b.step.sums = append(b.step.sums, units.Count(lines.Load(), "line")+", "+units.Count(bytes.Load(), "byte"))
		return nil
	})
	return st, w.none()
}

func limitRate(_ *builder, w word) (byteStage, error) {
	n, err := parseRate(w.text)
	if err != nil {
		return byteStage{}, w.wrong("needs a size for each second")
	}
	return pace.RateLimit[byte](n, time.Second), nil
}

func buffer(_ *builder, w word) (byteStage, error) {
	n, err := parseSize(w.text)
	if err != nil || n < 1 {
		return byteStage{}, w.wrong("needs a size")
	}
	return weir.Compose("buffer", func(s weir.Stream[byte]) weir.Stream[byte] { return s.Async(weir.Bytes(n)) }), nil
}

func timeout(_ *builder, w word) (byteStage, error) {
	d, err := w.duration("how long to wait")
	return weir.Compose("timeout", func(s weir.Stream[byte]) weir.Stream[byte] { return weir.Timeout(s, d) }), err
}

// tee adds a branch for the file, which is part of the same run.
func tee(b *builder, w word) (byteStage, error) {
	file, err := w.whole("a file")
	if err != nil {
		return byteStage{}, err
	}
	if file == "-" || sameFile(file, b.step.src) || sameFile(file, b.step.dst) {
		return byteStage{}, w.wrong("needs a file that is neither the source nor the destination")
	}
	branches := weir.Tee(b.stream, weir.Branch{}, weir.Branch{})
	sink, err := endpoint.Sink(file, endpoint.SinkOptions{File: []weir.FileOption{weir.Perm(b.step.perm)}, HTTP: b.set.remote.options})
	if err != nil {
		return byteStage{}, badName(err)
	}
	sink.Name = "tee " + shown(file)
	b.flows = append(b.flows, branches[1].To(sink))
	if b.step.branches == nil {
		b.step.branches = map[string]string{}
	}
	b.step.branches[sink.Name] = file
	b.stream = branches[0]
	return weir.Compose("tee", func(s weir.Stream[byte]) weir.Stream[byte] { return s }), nil
}

func execute(_ *builder, w word) (byteStage, error) {
	command, err := w.whole("a command")
	return weir.Exec("sh", "-c", command), err
}

func newStages(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "stages [NAME…]",
		Short: "List the stages of weir pipe",
		Long:  helpText("stages"),
		Example: `  weir stages
  weir stages gzip csvjson`,
		Annotations: map[string]string{asTopic: "How to write the stages of weir pipe"},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return stageNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, names []string) error { return listStages(stdout, names) },
	}
}

// listStages prints the stages with these names, in their order, or all of them by groups.
func listStages(w io.Writer, names []string) error {
	line := func(k stageKind) {
		fmt.Fprintf(w, "  %-40s %-46s %s\n", k.name+k.args, k.short, k.example)
	}
	var named []stageKind
	for _, name := range names {
		name, _, _ = strings.Cut(name, ":") // with its arguments
		if !isStage(name) {
			f := &failure{code: exitUsage, text: fmt.Sprintf("unknown stage %q", name), try: "weir stages"}
			if best := closest(name, stageNames()); best != "" {
				f.text, f.try = f.text+fmt.Sprintf(" (did you mean %s?)", best), "weir stages "+best
			}
			return f
		}
		named = append(named, kindOfStage(name))
	}
	for _, k := range named {
		line(k)
	}
	if len(named) > 0 {
		return nil
	}
	group := ""
	for _, k := range stageKinds {
		if k.group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = k.group
			fmt.Fprintf(w, "%s\n", group)
		}
		line(k)
	}
	fmt.Fprintln(w, "\nweir help stages explains how to write them.")
	return nil
}

// stageNames returns the names of all stages.
func stageNames() (names []string) {
	for _, k := range stageKinds {
		names = append(names, k.name)
	}
	return names
}
