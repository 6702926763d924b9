package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitSource      = 3
	exitDestination = 4
	exitMemory      = 5
	exitInterrupted = 130
	exitTerminated  = 143
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes of weir:

    0  done, or whoever read standard output has left
    1  a stage failed: a broken archive, a failed command
    2  the command line is wrong; nothing was opened
    3  the source could not be opened or read
    4  the destination could not be opened or written
    5  the memory ceiling cannot be met
  130  stopped by an interrupt (Ctrl-C)
  143  stopped by SIGTERM`,
	}
}

// failure is an error with what to do about it and how to exit.
type failure struct {
	code int
	text string
	try  string
	told bool // the user knows already
}

func (f *failure) Error() string { return f.text }

func usage(text string) *failure { return &failure{code: exitUsage, text: text, try: "weir --help"} }

// unknownFlag suggests the flag that was perhaps meant.
func unknownFlag(root *cobra.Command, args []string, name string) *failure {
	f := usage("unknown flag " + name)
	c, _, err := root.Find(args)
	if err != nil {
		return f
	}
	var names []string
	c.Flags().VisitAll(func(fl *pflag.Flag) { names = append(names, "--"+fl.Name) })
	if best := closest(name, names); best != "" {
		f.text += fmt.Sprintf(" (did you mean %s?)", best)
		f.try = ""
	}
	return f
}

// closest returns the name that differs least, if it is close enough to be a
// slip.
func closest(word string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if d := distance(word, n); d < least || d == least && strings.HasPrefix(n, word) {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, change)
		}
	}
	return row[len(b)]
}

// explain turns the error of a flow into what to tell the user.
func explain(j *job, r weir.Report, err error) *failure {
	f := &failure{code: exitFailed, text: strings.TrimPrefix(err.Error(), "weir: ")}
	var se *weir.StageError
	if !errors.As(err, &se) {
		return f
	}
	cause := innermost(se.Err)
	switch kind, moved := where(r, se.Stage); kind {
	case weir.KindSource:
		f.code = exitSource
		f.text = fmt.Sprintf("cannot read %s: %v%s", j.src, cause, progressed(moved, j.size))
	case weir.KindSink:
		f.code = exitDestination
		f.text = fmt.Sprintf("cannot write %s: %v%s", j.dst, cause, progressed(moved, j.size))
	default:
		f.text = fmt.Sprintf("%s of %s failed: %v", se.Stage, j.src, cause)
	}
	f.try = advice(j, f.code, err)
	return f
}

// where finds the kind of a stage, and how many bytes passed it.
func where(r weir.Report, name string) (weir.Kind, int64) {
	for _, s := range r.Stages {
		if s.Name == name {
			return s.Kind, max(s.In, s.Out)
		}
	}
	return weir.KindStage, 0
}

// innermost is the error without the path and operation that the sentence
// around it says already.
func innermost(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func progressed(n, size int64) string {
	switch {
	case n == 0:
		return ""
	case size > 0:
		return fmt.Sprintf(" (after %s of %s)", weir.FormatBytes(n), weir.FormatBytes(size))
	}
	return fmt.Sprintf(" (after %s)", weir.FormatBytes(n))
}

// advice is the way out, where there is a usual one.
func advice(j *job, code int, err error) string {
	var corrupt *compress.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return "another copy of " + j.src + "; nothing was written"
	case errors.Is(err, compress.ErrTooLarge):
		return "a higher limit, if you trust " + j.src
	case errors.Is(err, syscall.EISDIR) && code == exitSource:
		return fmt.Sprintf("tar -c %s | weir pipe - gzip %s.tar.gz", j.src, filepath.Base(j.src))
	case errors.Is(err, fs.ErrNotExist) && code == exitSource:
		return "ls " + filepath.Dir(j.src)
	case errors.Is(err, fs.ErrNotExist) && code == exitDestination:
		return "mkdir -p " + filepath.Dir(j.dst)
	case errors.Is(err, syscall.ENOSPC):
		return "free some space on " + filepath.Dir(j.dst) + "; the unfinished copy was removed"
	case errors.Is(err, fs.ErrPermission) && code == exitSource:
		return "ls -l " + j.src
	case errors.Is(err, fs.ErrPermission) && code == exitDestination:
		return "ls -ld " + filepath.Dir(j.dst)
	}
	return ""
}

// refuse finds what is wrong with the two names before anything opens.
func refuse(j *job) error {
	if j.src == "-" {
		return nil
	}
	from, err := os.Stat(j.src)
	if err != nil {
		return nil // the flow says it better
	}
	if from.Mode().IsRegular() {
		j.size = from.Size()
	}
	if to, err := os.Stat(j.dst); err == nil && j.dst != "-" && os.SameFile(from, to) {
		return &failure{code: exitUsage, text: fmt.Sprintf("%s and %s are the same file", j.src, j.dst), try: "another name for the destination"}
	}
	return nil
}
