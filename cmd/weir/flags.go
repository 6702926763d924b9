package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// settings are the flags of every command that moves data.
type settings struct {
	memory   string
	progress string
	quiet    bool
	verbose  bool
	json     bool
	dryRun   bool
	force    bool
	noColor  bool
	ui       string      // where to serve a page of the run; empty: nowhere
	command  string      // what runs: copy, pipe, gzip, …
	goOn     bool        // with the next step when one fails
	silent   bool        // success says nothing where talks is false
	remote   remoteFlags // how to talk to servers

	limit          int64 // --memory in bytes; 0: none
	stdout, stderr io.Writer
}

func (s *settings) flags(c *cobra.Command) {
	s.command = c.Name()
	f := c.Flags()
	f.StringVar(&s.memory, "memory", "", "maximum memory for pipes and stages, as in 64MiB (default: what the stages need)")
	f.StringVar(&s.progress, "progress", "auto", "live, plain (a line every 10 s), none, or auto: live on a terminal, else none")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "print nothing unless something fails")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "print the plan before the run, and the times of every stage and pipe after it")
	f.BoolVar(&s.json, "json", false, "print lines of JSON on standard error; the last one is a summary")
	f.BoolVar(&s.dryRun, "dry-run", false, "print lanes, pipes and ceiling on stderr; run nothing")
	f.BoolVar(&s.dryRun, "explain", false, "the same as --dry-run")
	f.BoolVar(&s.noColor, "no-color", false, "no colours; NO_COLOR does the same")
	for name, values := range map[string][]string{
		"progress": {"auto", "live", "plain", "none"}, "memory": {"64MiB", "256MiB", "1GiB"},
	} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// check returns an error if a flag is invalid.
func (s *settings) check() error {
	switch s.progress {
	case "auto", "live", "plain", "none":
	default:
		return invalid("value", s.progress, "progress", "use auto, live, plain or none", "plain")
	}
	if s.memory == "" {
		return nil
	}
	n, err := parseSize(s.memory)
	if err != nil || n <= 0 {
		return invalid("size", s.memory, "memory", "", "64MiB")
	}
	s.limit = n
	return nil
}

func (s *settings) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.json {
		emitLine(s.stderr, "warning", map[string]any{"text": text})
		return
	}
	fmt.Fprintf(s.stderr, "weir: %s\n", text)
}

// talks reports whether to print more than one line on success: on a terminal,
// or if the user asked for it. Elsewhere, such as in mail from cron, more would
// be noise.
func (s *settings) talks() bool {
	return s.verbose || isTerminal(s.stderr) || s.progress == "plain" || s.progress == "live"
}

// binaryToTerminal refuses to write binary data to a terminal.
func (s *settings) binaryToTerminal() error {
	if s.force || !isTerminal(s.stdout) {
		return nil
	}
	return &failure{code: exitUsage, text: "refusing to write binary data to the terminal", try: "redirect it to a file, or use --force"}
}

func isTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// parseSize reads 64MiB, 64M (the same), 10kB or a plain number of bytes.
func parseSize(s string) (int64, error) {
	if n := len(s); n > 1 && strings.ContainsRune("kKmMgGtT", rune(s[n-1])) {
		s += "iB" // one letter means the binary unit
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("invalid size %q", s)
	}
	return int64(n), nil
}

// parseRate reads a size for each second: 10MiB/s or 10MiB.
func parseRate(s string) (int64, error) {
	n, err := parseSize(strings.TrimSuffix(s, "/s"))
	if err == nil && n < 1 {
		err = fmt.Errorf("invalid rate %q", s)
	}
	return n, err
}
