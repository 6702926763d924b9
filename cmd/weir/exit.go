package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/tree"
)

// The exit codes, documented in help/exit-codes.md.
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

// failure is an error with what to do about it and how to exit.
type failure struct {
	code int
	text string
	try  string
	line []string // the words of the command line, if one of them is wrong
	word int      // which one
	told bool     // the user knows already
}

func (f *failure) Error() string { return f.text }

// print tells the user. Where one word is wrong, it is pointed at.
func (f *failure) print(w io.Writer) {
	if f.told {
		return
	}
	fmt.Fprintf(w, "weir: %s\n", f.text)
	if f.line != nil {
		before := "  weir " + strings.Join(append(f.line[:f.word:f.word], ""), " ")
		fmt.Fprintf(w, "%s%s\n%s%s\n", before, strings.Join(f.line[f.word:], " "),
			strings.Repeat(" ", runewidth.StringWidth(before)), strings.Repeat("^", runewidth.StringWidth(f.line[f.word])))
	}
	if f.try != "" {
		fmt.Fprintf(w, "  try: %s\n", f.try)
	}
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

// distance is the number of letters to insert, delete, change or swap with
// their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// explain turns the error of a step into what to tell the user.
func explain(s *step, r weir.Report, err error) *failure {
	f := &failure{code: exitFailed, text: strings.TrimPrefix(err.Error(), "weir: ")}
	cause, kind, name := err, weir.KindSource, s.dst
	var se *weir.StageError
	var we *tree.WriteError
	switch {
	case errors.As(err, &we):
		kind, cause = weir.KindSink, we.Err
		f.code = exitDestination
		name = we.Path
		f.text = fmt.Sprintf("cannot write %s: %v", name, cause)
	case s.isTree:
		f.code = exitSource
		var pe *fs.PathError
		if errors.As(err, &pe) {
			f.text = fmt.Sprintf("cannot copy %s: %v", pe.Path, pe.Err)
		}
	case errors.As(err, &se):
		cause = innermost(se.Err)
		text := strings.TrimPrefix(cause.Error(), "weir: ") // it is said before
		var moved int64
		kind, moved = where(r, se.Stage)
		if other, ok := s.branches[se.Stage]; ok {
			name = other
		}
		switch kind {
		case weir.KindSource:
			f.code = exitSource
			f.text = fmt.Sprintf("cannot read %s: %s%s", s.src, text, progressed(moved, s.total()))
		case weir.KindSink:
			f.code = exitDestination
			f.text = fmt.Sprintf("cannot write %s: %s%s", name, text, progressed(moved, s.total()))
		default:
			f.text = fmt.Sprintf("%s of %s failed: %s", se.Stage, s.src, text)
		}
	default:
		return f
	}
	f.try = advice(s, f.code, name, err)
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
	var st *endpoint.StatusError
	if errors.As(err, &st) {
		return errors.New(strings.TrimPrefix(st.Error(), st.Method+" "+st.URL+": "))
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
func advice(s *step, code int, dst string, err error) string {
	var corrupt *compress.CorruptError
	var status *endpoint.StatusError
	switch {
	case errors.As(err, &corrupt):
		return "another copy of " + s.src + "; nothing was written"
	case errors.Is(err, compress.ErrTooLarge):
		return stageOf(err) + ":max=SIZE, if you trust " + s.src
	case errors.Is(err, weir.ErrLimit) || errors.Is(err, weir.ErrLineTooLong):
		return cmp.Or(s.raise[stageOf(err)], "weir help stages")
	case errors.Is(err, compress.ErrWindow):
		return "unzstd:window=1GiB, if you trust " + s.src
	case errors.Is(err, endpoint.ErrChanged):
		return "the same without --resume"
	case errors.As(err, &status) && (status.StatusCode == 401 || status.StatusCode == 403):
		return "https://user:password@host/…"
	case errors.As(err, &status) && status.StatusCode == 404:
		return "curl -I " + status.URL
	case errors.Is(err, tree.ErrInside):
		return "a destination beside " + s.src
	case errors.Is(err, fs.ErrExist) && code == exitDestination && !s.isTree:
		return "--force, to replace what is there"
	case errors.Is(err, syscall.EISDIR) && code == exitSource:
		return fmt.Sprintf("tar -c %s | weir pipe - gzip %s.tar.gz", s.src, filepath.Base(s.src))
	case errors.Is(err, syscall.EISDIR) && code == exitDestination:
		return filepath.Join(s.dst, filepath.Base(s.src))
	case errors.Is(err, fs.ErrNotExist) && code == exitSource:
		return "ls " + filepath.Dir(s.src)
	case errors.Is(err, fs.ErrNotExist) && code == exitDestination:
		return "mkdir -p " + filepath.Dir(dst)
	case errno.Is(err, syscall.ENOSPC) && s.partial != "":
		return "free some space, then the same with --resume"
	case errno.Is(err, syscall.ENOSPC):
		return "free some space on " + filepath.Dir(dst) + "; the unfinished copy was removed, --keep-partial keeps it"
	case errors.Is(err, fs.ErrPermission) && code == exitSource:
		return "ls -l " + s.src
	case errors.Is(err, fs.ErrPermission) && code == exitDestination:
		return "ls -ld " + filepath.Dir(dst)
	case code == exitSource:
		return usual(s.src, err)
	case code == exitDestination:
		return usual(dst, err)
	case code == exitFailed:
		return "weir help stages"
	}
	return ""
}

// stageOf is the word for the stage that failed, without the number that tells
// several of the same kind apart.
func stageOf(err error) string {
	var se *weir.StageError
	if !errors.As(err, &se) {
		return ""
	}
	name, _, _ := strings.Cut(se.Stage, "#")
	return name
}

// usual is where to look when there is no better advice about name.
func usual(name string, err error) string {
	if name == "-" {
		return ""
	}
	if _, local := endpoint.Local(name); local {
		return "ls -l " + name
	}
	var host *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.As(err, &host) && host.IsNotFound:
		return "another host; nobody knows " + host.Name
	case errors.As(err, &addr):
		return "a port from 1 to 65535"
	case errno.Is(err, syscall.ECONNREFUSED):
		return "another port; nothing listens at that one"
	}
	return "curl -I " + name
}
