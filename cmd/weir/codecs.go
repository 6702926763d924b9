package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/carry"
)

// codecCommand describes weir gzip, gunzip, zstd or unzstd. They behave like
// gzip(1) and zstd(1), with one difference: they keep the source unless --rm is
// given.
type codecCommand struct {
	name     string
	short    string
	stage    string // the stage that does the work
	back     string // the stage that does the opposite
	suffixes []suffix
	gzip     bool // the format is gzip, not zstd
	expands  bool // it decompresses
	levels   int  // the highest of --best
	usual    int  // the level without --level
	most     int  // the highest of all
}

var (
	gzipCodec   = codecCommand{"gzip", "Compress files to .gz", "gzip", "gunzip", gzipSuffixes, true, false, 9, 6, 9}
	gunzipCodec = codecCommand{"gunzip", "Decompress .gz files", "gunzip", "gzip", gzipSuffixes, true, true, 9, 6, 9}
	zstdCodec   = codecCommand{"zstd", "Compress files to .zst", "zstd", "unzstd", zstdSuffixes, false, false, 19, 3, 22}
	unzstdCodec = codecCommand{"unzstd", "Decompress .zst files", "unzstd", "zstd", zstdSuffixes, false, true, 19, 3, 22}
)

type codecRun struct {
	settings
	codecCommand
	results                         map[string]string // results of the run → their sources
	typed                           string            // the command as the user typed it: gzip -d
	level                           int
	digits                          string // of a level that was given as -19
	toStdout, remove, test, reverse bool
	list, recursive, durable        bool
	names                           int // 1: --name, -1: --no-name, 0: neither
	ownSuffix                       string
	suffixGiven, keepGiven          func() bool
	removeIsDefault                 func() bool // --rm comes from the environment
	listQuiet                       bool
	workers                         int
	window                          string
}

func newCodec(k codecCommand, stdout, stderr io.Writer) *cobra.Command {
	r := &codecRun{codecCommand: k, typed: k.name, settings: settings{stdout: stdout, stderr: stderr, silent: true}}
	more := ""
	switch {
	case k.gzip && k.expands:
		more = `

If FILE does not exist, weir reads FILE.gz. Names may end in .gz, -gz, .z, -z,
_z, .tgz or .taz, in upper or lower case; the last two become .tar. With --name
the result gets the name and the time that are stored in the file. It always
lies in the folder of the file. weir does not read the .Z format of compress(1).`
	case k.gzip:
		more = `

The output is one gzip member, which every gzip, browser and library can read.
It consists of independent blocks of 1 MiB of input, compressed on all cores.
Files of level 5 and up are about as small as those of gzip -6, or smaller.
Level 4 is the fastest level whose files are at most 4% larger than that.

weir stores the name and the modification time of the source in the file,
unless --no-name is given. It skips a source whose name already has a gzip suffix.`
	}
	c := &cobra.Command{
		Use:   k.name + " [FILE]…",
		Short: k.short,
		Long: fmt.Sprintf(`%s, on all cores and in bounded memory.

Without a FILE, or with -, standard input goes to standard output. The result is
whole or absent, and has the permissions and the modification time of the
source. weir keeps the source unless --rm is given. If standard error is not a
terminal, weir prints nothing on success.

Unless --force is given, weir skips a file if its result exists already, if it
is a device, pipe or socket, if it has the set-user-ID or set-group-ID bit, or
if it is a symbolic link and --rm is given.%s
With --stdout weir reads all of them. After a file that fails or is skipped,
weir continues with the others. The exit code is that of the first error, or 2
if files were only skipped.%s

--list decompresses each file to count its bytes. That makes its sizes right for
files with several members and for files larger than 4 GiB, but it takes time,
and it fails if a file is damaged.`, k.short,
			map[bool]string{true: " It also skips a file with\nother hard links or with the sticky bit."}[k.gzip], more),
		Example: strings.ReplaceAll(map[bool]string{
			false: "  weir NAME access.log\n  weir NAME -9 old/*.log --rm\n  weir NAME -r logs\n  mysqldump shop | weir NAME > shop.sqlSUFFIX",
			true:  "  weir NAME access.logSUFFIX\n  weir NAME -t *SUFFIX\n  weir NAME -l *SUFFIX\n  weir NAME -c shop.sqlSUFFIX | mysql shop",
		}[k.expands], "NAME", k.name),
		RunE: func(_ *cobra.Command, args []string) error { return r.all(args) },
	}
	c.Example = strings.ReplaceAll(c.Example, "SUFFIX", k.suffixes[0].packed)
	r.flags(c)
	f := c.Flags()
	f.BoolVarP(&r.toStdout, "stdout", "c", false, "write to standard output")
	f.BoolVarP(&r.force, "force", "f", false, "replace existing files, accept any kind of file except devices, write binary data to a terminal;\nwith --stdout, pass on files in an unknown format when decompressing")
	f.BoolVar(&r.remove, "rm", false, "remove each source when its result is on stable storage; not with --stdout, --test, --list or --keep")
	f.BoolP("keep", "k", false, "keep the sources (the default)")
	if k.suffixes[0].packed == ".zst" {
		f.StringVar(&r.window, "window", defaultWindowText, "largest window to accept when decompressing, up to 2GiB, which files of\nzstd --long=31 need; it is part of the memory ceiling")
	}
	f.BoolVarP(&r.reverse, "decompress", "d", false, "decompress, as "+map[bool]string{true: k.stage, false: k.back}[k.expands]+" does")
	f.BoolVarP(&r.test, "test", "t", false, "check compressed files and write nothing")
	f.BoolVarP(&r.list, "list", "l", false, "print the sizes, the ratio and the name of compressed files")
	f.BoolVarP(&r.recursive, "recursive", "r", false, "also process the files in folders")
	addVersionFlag(c, "V")
	r.suffixGiven = func() bool { return f.Changed("suffix") }
	r.keepGiven = func() bool { keep, _ := f.GetBool("keep"); return keep }
	r.removeIsDefault = func() bool { return f.Lookup("rm").Annotations[setBy] != nil }
	if k.gzip {
		set := func(n int) func(string) error {
			return func(text string) error {
				yes, err := strconv.ParseBool(text)
				if yes {
					r.names = n
				}
				return err
			}
		}
		f.BoolFuncP("name", "N", "store the name and time of the source, which is the default; when decompressing, restore them", set(1))
		f.BoolFuncP("no-name", "n", "neither store nor restore the name and time", set(-1))
		f.StringVarP(&r.ownSuffix, "suffix", "S", "", "suffix of compressed files, in place of "+k.suffixes[0].packed)
		f.BoolVar(&r.durable, "synchronous", false, "write each result to stable storage before starting the next")
	}
	f.IntVar(&r.workers, "workers", 0, "maximum number of cores to use; 0 means all")
	stores := ""
	if k.gzip {
		stores = "; 0 stores without compression"
	}
	f.IntVar(&r.level, "level", usualLevel, fmt.Sprintf("compression level, 1 (fast) to %d (small), %d by default%s; -1 to -%[1]d mean the same", k.levels, k.usual, stores))
	f.Lookup("level").DefValue = "0" // which help does not show
	for n := 1; n <= 9; n++ {
		f.BoolFuncP(fmt.Sprint("level-", n), fmt.Sprint(n), "", func(string) error { r.level = n; return nil })
		_ = f.MarkHidden(fmt.Sprint("level-", n))
	}
	f.Func("digits", "", func(text string) error { // of -19, see wholeLevels
		r.digits = text
		n, err := strconv.Atoi(text)
		if err != nil {
			n = r.most + 1 // check refuses it
		}
		r.level = n
		return nil
	})
	_ = f.MarkHidden("digits")
	f.BoolFunc("fast", "level 1", func(string) error { r.level = 1; return nil })
	f.BoolFunc("best", "the highest level", func(string) error { r.level = k.levels; return nil })
	if !k.gzip {
		f.IntVarP(&r.workers, "threads", "T", 0, "the same as --workers")
	}
	if k.expands { // accepted but ignored, as gunzip(1) does
		for _, name := range []string{"decompress", "level", "fast", "best"} {
			_ = f.MarkHidden(name)
		}
	}
	return c
}

// wholeLevels turns -19 into one level. The flag parser would take it for -1
// and -9.
func wholeLevels(root *cobra.Command, args []string) []string {
	c, _, err := root.Find(args)
	if err != nil || c.Flags().Lookup("level-1") == nil {
		return args
	}
	var out []string
	value := false // the word is the value of the flag before it
	for i, word := range args {
		switch {
		case value:
			value = false
			out = append(out, word)
		case word == "--":
			return append(out, args[i:]...)
		case strings.HasPrefix(word, "--"):
			name, _, given := strings.Cut(word[2:], "=")
			f := c.Flags().Lookup(name)
			value = f != nil && !given && f.NoOptDefVal == ""
			out = append(out, word)
		case len(word) > 1 && word[0] == '-':
			var words []string
			words, value = splitLevels(c, word)
			out = append(out, words...)
		default:
			out = append(out, word)
		}
	}
	return out
}

// splitLevels takes levels of several digits out of a word of short flags. more
// reports whether the next word is the value of the last flag.
func splitLevels(c *cobra.Command, word string) (words []string, more bool) {
	isDigit := func(b byte) bool { return '0' <= b && b <= '9' }
	rest := ""
	for at := 1; at < len(word); {
		end := at
		for end < len(word) && isDigit(word[end]) {
			end++
		}
		if end-at > 1 {
			if rest != "" {
				words = append(words, "-"+rest)
			}
			words, rest, at = append(words, "--digits="+word[at:end]), "", end
			continue
		}
		f := c.Flags().ShorthandLookup(word[at : at+1])
		if word[at] == '=' || f != nil && f.NoOptDefVal == "" {
			rest, more = rest+word[at:], f != nil && at+1 == len(word)
			break
		}
		rest += word[at : at+1]
		at++
	}
	if rest != "" {
		words = append(words, "-"+rest)
	}
	return words, more
}

// usualLevel means the default level of the format.
const usualLevel = math.MinInt

// least returns the lowest level.
func (k codecCommand) least() int {
	if k.gzip {
		return 0 // stored
	}
	return 1
}

// check returns an error if a number is invalid. It names the flag.
func (r *codecRun) check() error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	switch {
	case r.level != usualLevel && (r.level < r.least() || r.level > r.most):
		if r.digits != "" {
			return refuse(fmt.Sprintf("invalid level -%s for %s; use -1 to -%d", r.digits, r.name, r.most), fmt.Sprintf("-%d", r.levels))
		}
		return invalid("level", r.level, "level", fmt.Sprintf("use %d to %d", r.least(), r.most), "6")
	case r.workers < 0 || r.workers > 1024:
		return invalid("number", r.workers, "workers", "use 1 to 1024, or 0 for all cores", "0")
	}
	if r.window != "" {
		if n, err := parseSize(r.window); err != nil || n < 1<<10 || n > 2<<30 {
			return invalid("size", r.window, "window", "use 1KiB to 2GiB", defaultWindowText)
		}
	}
	return r.checkSuffix()
}

// checkRemoval refuses --rm if no file would have the contents of the source.
// If --rm comes from the environment, it is ignored instead.
func (r *codecRun) checkRemoval(names []string) error {
	if !r.remove {
		return nil
	}
	var text, try string
	switch {
	case r.toStdout:
		text, try = "--rm cannot be used with --stdout; it removes sources whose results are in files", "leave out --rm"
	case r.test:
		text, try = "--rm cannot be used with --test; it removes sources whose results are in files", "leave out --rm"
	case r.list:
		text, try = "--rm cannot be used with --list; it removes sources whose results are in files", "leave out --rm"
	case r.keepGiven():
		text, try = "--rm cannot be used with --keep", "leave out one of them"
	case !slices.ContainsFunc(names, func(n string) bool { return n != "-" }):
		text, try = "--rm needs a FILE to remove", fmt.Sprintf("weir %s --rm FILE", r.name)
	default:
		return nil
	}
	if r.removeIsDefault() {
		r.remove = false
		return nil
	}
	return &failure{code: exitUsage, text: text, try: try}
}

func (r *codecRun) all(names []string) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := r.checkRemoval(names); err != nil {
		return err
	}
	if (r.reverse || r.test || r.list) && !r.expands {
		r.stage, r.back, r.expands = r.back, r.stage, true
		r.typed += map[bool]string{true: " -d", false: ""}[r.reverse]
	}
	switch {
	case r.list:
		r.typed = r.name + " -l"
	case r.test:
		r.typed = r.name + " -t"
	}
	if len(names) == 0 {
		names = []string{"-"}
	}
	verb := "compressed"
	switch {
	case r.list:
		verb = "listed"
		r.listQuiet, r.verbose = r.quiet, false // the rows say it
		r.quiet = true
	case r.test:
		verb = "checked"
	case r.expands:
		verb = "decompressed"
	}
	r.results = map[string]string{}
	inputs := r.inputs(names)
	if len(inputs) == 0 {
		return nil // empty folders
	}
	r.goOn = len(inputs) > 1
	list := &listing{run: r}
	var steps []*step
	for _, in := range inputs {
		st, err := r.one(in)
		if f := (*failure)(nil); r.goOn && errors.As(err, &f) {
			st, err = &step{src: in.name, refused: f}, nil
		}
		if err != nil {
			return err
		}
		if r.list && st.refused == nil {
			list.listed(st)
		}
		steps = append(steps, st)
	}
	err := r.execute(verb, steps...)
	if eerr := list.end(); err == nil && eerr != nil {
		err = eerr
	}
	return err
}

func (r *codecRun) one(in input) (*step, error) {
	name := in.name
	st := &step{src: name, dst: "-", command: r.typed, discards: r.test || r.list}
	if in.failed != nil {
		return nil, in.failed
	}
	var stored gzipHeader // to restore
	switch {
	case st.discards:
		st.dst = "nothing"
	case name != "-" && !r.toStdout:
		var f *failure
		if st.dst, f = r.target(name); f != nil {
			return nil, f
		}
		if stored = r.stored(in); stored.safeName() != "" {
			st.dst = filepath.Join(filepath.Dir(name), stored.safeName())
		}
		if first, taken := r.results[filepath.Clean(st.dst)]; taken {
			if filepath.Clean(first) == filepath.Clean(name) {
				return nil, skipped("", "%s is named twice and was %s once", name, map[bool]string{true: "decompressed", false: "compressed"}[r.expands])
			}
			return nil, skipped("use one of them only", "%s and %s would both become %s, so %s was skipped", first, name, st.dst, name)
		}
		r.results[filepath.Clean(st.dst)] = name
		there, err := os.Lstat(st.dst)
		switch {
		case err != nil:
		case !r.force && there.IsDir():
			return nil, skipped(fmt.Sprintf("weir pipe %s %s DST", quoted(name), r.stage), "%s is a folder, so %s was skipped", st.dst, name)
		case !r.force:
			return nil, skipped("--force, to replace it", "%s exists already, so %s was skipped", st.dst, name)
		case there.Mode()&fs.ModeSymlink != 0:
			// Anyone with write access to the folder could choose the file that is
			// overwritten.
			return nil, skipped("rm "+quoted(st.dst), "%s is a symbolic link, so %s was skipped", st.dst, name)
		}
	}
	toFile := !st.discards && st.dst != "-"
	st.build = func(frugal bool) (*weir.Flow, error) {
		s, size := weir.Stdin(), int64(-1)
		var perm fs.FileMode = 0o666
		if name != "-" {
			s = weir.File(name)
			if in.regular() {
				size, perm = in.info.Size(), in.info.Mode().Perm()
			}
		}
		st.size = func() int64 { return size }
		if r.stage == "unzstd" {
			st.window = "--window %s"
		}
		b := &builder{set: &r.settings, step: st, frugal: frugal, stream: s}
		if !r.passes(in) {
			if err := b.parseStage([]string{r.word(frugal)}, 0); err != nil {
				return nil, asFlag(err)
			}
		}
		if r.gzip && !r.expands && r.names >= 0 {
			b.stream = b.stream.Through(r.header(st, in))
		}
		var sink weir.Sink[byte]
		switch {
		case st.discards:
			sink = weir.Discard[byte]()
		case !toFile:
			if sink = weir.Stdout(); !r.expands {
				if err := r.binaryToTerminal(); err != nil {
					return nil, err
				}
			}
		case r.force:
			sink = weir.Create(st.dst, r.fileOptions(perm)...)
		default:
			sink = weir.CreateNew(st.dst, r.fileOptions(perm)...)
		}
		flow := b.stream.To(sink)
		flow.Name = r.name + " " + name
		b.nameSteps()
		return flow, nil
	}
	if toFile {
		st.prepare = func(context.Context) error { return st.sweep() }
	}
	st.run = func(ctx context.Context) error {
		st.kept = &carry.Note{Metadata: true, Plain: true} // as gzip(1) does
		err := st.flowRun(ctx, &r.settings)
		if errors.Is(err, fs.ErrExist) && toFile && !r.force {
			return skipped("--force, to replace it", "another run created %s in the meantime, so %s was skipped", st.dst, name)
		}
		if err != nil || !toFile {
			return err
		}
		if !stored.time.IsZero() {
			if err := os.Chtimes(st.dst, time.Time{}, stored.time); err != nil {
				return err
			}
		}
		if !r.remove || len(st.left()) > 0 {
			return nil
		}
		err = st.removable(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another run has removed it, and the result is there
		}
		if err != nil {
			return &failure{
				code: exitSource, text: fmt.Sprintf("%s was not removed: %v", name, err),
				try: fmt.Sprintf("weir %s -f --rm %s, when nothing writes to it any more", r.name, quoted(name)),
			}
		}
		return os.Remove(name)
	}
	return st, nil
}

// defaultWindowText is defaultWindow as a flag has it.
const defaultWindowText = "128MiB"

// word returns the stage that does the work, with its settings.
func (r *codecRun) word(frugal bool) string {
	word := r.stage
	if r.expands {
		if r.stage == "unzstd" && !(frugal && r.window == defaultWindowText) {
			word += ":window=" + r.window
		}
		if r.workers > 0 && r.gzip {
			word += fmt.Sprintf(":workers=%d", r.workers)
		}
		return word
	}
	word += fmt.Sprintf(":workers=%d", r.workers)
	if r.level != usualLevel {
		word += fmt.Sprintf(",level=%d", r.level)
	}
	return word
}

// stored returns the name and the time in the file, which --name restores.
func (r *codecRun) stored(in input) gzipHeader {
	if !r.gzip || !r.expands || r.names <= 0 || !in.regular() {
		return gzipHeader{}
	}
	return headerOf(in.name)
}

// header stores the name and the time of a regular file. Other sources have
// neither, so that the same data gives the same file.
func (r *codecRun) header(st *step, in input) byteStage {
	if !in.regular() {
		return nameStage("", 0)
	}
	sec, ok := gzipTime(in.info.ModTime())
	if !ok && !st.warned {
		st.warned = true
		r.warn("the modification time of %s does not fit into a gzip file and is left out", in.name)
	}
	name := ""
	if in.name != "-" {
		name = filepath.Base(in.name)
	}
	return nameStage(name, sec)
}

// fileOptions make the result outlive a power cut before its source is removed.
func (r *codecRun) fileOptions(perm fs.FileMode) []weir.FileOption {
	opts := []weir.FileOption{weir.Perm(perm)}
	if r.remove || r.durable {
		opts = append(opts, weir.Durable())
	}
	return opts
}

// asFlag rewrites an error of a stage that was built from flags, so that it
// names the flags.
func asFlag(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return &failure{code: f.code, text: f.text, try: "--level 6"}
	}
	return err
}
