package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
)

// codecCommand is weir gzip and its like: the habits of gzip(1) and zstd(1),
// but for one. The source stays unless --rm is given.
type codecCommand struct {
	name    string
	short   string
	stage   string // that does the work
	back    string // the stage that does the opposite
	suffix  string // of compressed files
	expands bool   // it decompresses
	levels  int
	also    map[string]string // suffixes that stand for others: tgz for tar
	more    string            // what its help adds
}

var (
	gzipCodec = codecCommand{"gzip", "Compress files to .gz", "gzip", "gunzip", ".gz", false, 9, nil, `

The output is one gzip member, which every gzip, browser and library can read.
It consists of independent blocks of 1 MiB of input, compressed on all cores.
Levels 5 and up give about the size of gzip -6 or less; level 4 is the fastest
that stays within 4%.`}
	gunzipCodec = codecCommand{"gunzip", "Decompress .gz files", "gunzip", "gzip", ".gz", true, 9, map[string]string{".tgz": ".tar"}, ""}
	zstdCodec   = codecCommand{"zstd", "Compress files to .zst", "zstd", "unzstd", ".zst", false, 19, nil, ""}
	unzstdCodec = codecCommand{"unzstd", "Decompress .zst files", "unzstd", "zstd", ".zst", true, 19, map[string]string{".tzst": ".tar"}, ""}
)

type codecRun struct {
	settings
	codecCommand
	level                           int
	toStdout, remove, test, reverse bool
	workers                         int
}

func newCodec(k codecCommand, stdout, stderr io.Writer) *cobra.Command {
	r := &codecRun{codecCommand: k, settings: settings{stdout: stdout, stderr: stderr}}
	c := &cobra.Command{
		Use:   k.name + " [FILE]…",
		Short: k.short,
		Long: fmt.Sprintf(`%s, on all cores and in bounded memory.

Without a FILE, or with -, standard input goes to standard output. The result is
whole or absent, and has the permissions and the modification time of the
source. The source stays, unless --rm is given; a file that is there already is
not replaced, unless --force is given. Where a file fails, the others go on, and
the exit code is that of the first error told.`+k.more, k.short),
		Example: strings.ReplaceAll(map[bool]string{
			false: "  weir NAME access.log\n  weir NAME -9 *.log --rm\n  mysqldump shop | weir NAME > shop.sqlSUFFIX",
			true:  "  weir NAME access.logSUFFIX\n  weir NAME -t *SUFFIX\n  weir NAME -c shop.sqlSUFFIX | mysql shop",
		}[k.expands], "NAME", k.name),
		RunE: func(_ *cobra.Command, args []string) error { return r.all(args) },
	}
	c.Example = strings.ReplaceAll(c.Example, "SUFFIX", k.suffix)
	r.flags(c)
	f := c.Flags()
	f.BoolVarP(&r.toStdout, "stdout", "c", false, "write to standard output")
	f.BoolVarP(&r.force, "force", "f", false, "replace files that are there, write binary data to a terminal")
	f.BoolVar(&r.remove, "rm", false, "remove each source when its result is on stable storage")
	f.BoolP("keep", "k", false, "keep the sources, which is what happens anyway")
	_ = f.MarkHidden("keep")
	if k.expands {
		f.BoolVarP(&r.test, "test", "t", false, "check the files and write nothing")
		return c
	}
	f.BoolVarP(&r.reverse, "decompress", "d", false, "decompress, as "+k.back+" does")
	f.BoolVarP(&r.test, "test", "t", false, "check compressed files and write nothing")
	f.IntVar(&r.workers, "workers", 0, "how many cores to use at most; 0: all")
	f.IntVar(&r.level, "level", 0, fmt.Sprintf("1 (fast) to %d (small); -1 to -9 do the same", k.levels))
	for n := 1; n <= 9; n++ {
		f.BoolFuncP(fmt.Sprint("level-", n), fmt.Sprint(n), "", func(string) error { r.level = n; return nil })
		_ = f.MarkHidden(fmt.Sprint("level-", n))
	}
	f.BoolFunc("fast", "level 1", func(string) error { r.level = 1; return nil })
	f.BoolFunc("best", "the highest level", func(string) error { r.level = k.levels; return nil })
	return c
}

func (r *codecRun) all(names []string) error {
	if (r.reverse || r.test) && !r.expands {
		r.stage, r.back, r.expands = r.back, r.stage, true
	}
	if len(names) == 0 {
		names = []string{"-"}
	}
	r.goOn = len(names) > 1
	var steps []*step
	for _, name := range names {
		st, err := r.one(name)
		if f := (*failure)(nil); r.goOn && errors.As(err, &f) {
			st, err = &step{src: name, refused: f}, nil
		}
		if err != nil {
			return err
		}
		steps = append(steps, st)
	}
	verb := "compressed"
	switch {
	case r.test:
		verb = "checked"
	case r.expands:
		verb = "decompressed"
	}
	return r.execute(verb, steps...)
}

// target is the name of the result.
func (r *codecRun) target(name string) (string, error) {
	if !r.expands {
		if strings.HasSuffix(name, r.suffix) && !r.force {
			return "", &failure{code: exitUsage, text: fmt.Sprintf("%s has the suffix %s already", name, r.suffix), try: "--force, to compress it once more"}
		}
		return name + r.suffix, nil
	}
	for suffix, stands := range r.also {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base + stands, nil
		}
	}
	if base, ok := strings.CutSuffix(name, r.suffix); ok && base != "" && !strings.HasSuffix(base, "/") {
		return base, nil
	}
	return "", &failure{code: exitUsage, text: fmt.Sprintf("%s does not end in %s, so there is no name for the result", name, r.suffix), try: fmt.Sprintf("weir pipe %s %s DST", name, r.stage)}
}

func (r *codecRun) one(name string) (*step, error) {
	st := &step{src: name, dst: "-"}
	switch {
	case r.test:
		st.dst = "nothing"
	case name != "-" && !r.toStdout:
		var err error
		if st.dst, err = r.target(name); err != nil {
			return nil, err
		}
	}
	toFile := !r.test && st.dst != "-"
	st.build = func(frugal bool) (*weir.Flow, error) {
		s, size := weir.Stdin(), int64(-1)
		var perm fs.FileMode = 0o666
		if name != "-" {
			s = weir.File(name)
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				size, perm = info.Size(), info.Mode().Perm()
			}
		}
		st.size = func() int64 { return size }
		word := r.stage
		if !r.expands {
			word += fmt.Sprintf(":workers=%d", r.workers)
			if r.level != 0 {
				word += fmt.Sprintf(",level=%d", r.level)
			}
		}
		b := &builder{set: &r.settings, step: st, frugal: frugal, stream: s}
		if err := b.parseStage([]string{word}, 0); err != nil {
			return nil, asFlag(err)
		}
		var sink weir.Sink[byte]
		switch {
		case r.test:
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
		return flow, nil
	}
	st.run = func(ctx context.Context) error {
		err := st.flow.Run(ctx)
		if err != nil || !toFile {
			return err
		}
		if info, err := os.Stat(name); err == nil {
			if err := os.Chtimes(st.dst, time.Time{}, info.ModTime()); err != nil {
				return err
			}
		}
		if r.remove {
			return os.Remove(name)
		}
		return nil
	}
	return st, nil
}

// fileOptions make the result outlive a power cut before its source is removed.
func (r *codecRun) fileOptions(perm fs.FileMode) []weir.FileOption {
	opts := []weir.FileOption{weir.Perm(perm)}
	if r.remove {
		opts = append(opts, weir.Durable())
	}
	return opts
}

// asFlag says in terms of flags what is wrong with a stage that they made.
func asFlag(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return &failure{code: f.code, text: f.text, try: "--level 6"}
	}
	return err
}
