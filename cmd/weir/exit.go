package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/text"
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
	exitCheck       = 6
	exitHungUp      = 129
	exitInterrupted = 130
	exitQuit        = 131
	exitTerminated  = 143
)

// failure is an error with advice and an exit code.
type failure struct {
	code int
	text string
	try  string
	line []string // the words of the command line, if one of them is wrong
	word int      // the index of the wrong word
	told bool     // it has been printed already

	partly  bool // everything else succeeded
	skipped bool // the file was left alone, which is no error
}

func (f *failure) Error() string { return f.text }

// tell prints f for people, or as a line of JSON, unless that was done already.
func (f *failure) tell(w io.Writer, asJSON bool) {
	switch {
	case f.told:
	case asJSON:
		emitLine(w, "error", f.fields())
	default:
		f.print(w)
	}
}

// fields are f in JSON.
func (f *failure) fields() map[string]any {
	m := map[string]any{"text": f.text, "try": f.try, "code": f.code}
	if f.line != nil {
		m["word"] = f.line[f.word]
	}
	return m
}

// print prints f for people, and marks the word that is wrong.
func (f *failure) print(w io.Writer) {
	fmt.Fprintf(w, "weir: %s\n", f.text)
	if f.line != nil {
		line := slices.Clone(f.line)
		for i, word := range line { // redact here, so that the mark is below the word
			line[i] = endpoint.Redact(word)
		}
		before := "  weir " + strings.Join(append(line[:f.word:f.word], ""), " ")
		fmt.Fprintf(w, "%s%s\n%s%s\n", before, strings.Join(line[f.word:], " "),
			strings.Repeat(" ", runewidth.StringWidth(before)), strings.Repeat("^", runewidth.StringWidth(line[f.word])))
	}
	if f.try != "" {
		fmt.Fprintf(w, "  try: %s\n", f.try)
	}
}

// advised returns a failure for an error about a name or URL. Errors of libraries say what
// to write after their last semicolon; those that do not get the usual advice.
func advised(err error, usual string) *failure {
	text := endpoint.Redact(err.Error())
	for _, operation := range []string{"endpoint: ", "filestore: ", "nats: ", "s3: "} {
		text = strings.TrimPrefix(text, operation)
	}
	f := &failure{code: exitUsage, text: text, try: usual}
	if at := strings.LastIndex(text, "; "); at >= 0 {
		f.text, f.try = text[:at], text[at+2:]
	}
	return f
}

// closest returns the most similar name, if it is similar enough for a typo.
func closest(word string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		d := distance(word, n)
		half := max(len(word), len(n)) / 2 // more changes would leave too little of a short name
		if d <= half && (d < least || d == least && strings.HasPrefix(n, word)) {
			best, least = n, d
		}
	}
	return best
}

// distance returns the number of letters to insert, delete, change or swap with
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

// explain turns the error of a step into a failure for the user.
func explain(s *step, r report.Report, err error) *failure {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f
	}
	f := &failure{code: exitFailed, text: strings.TrimPrefix(err.Error(), "weir: ")}
	cause, kind, name, try := err, report.KindSource, s.dst, ""
	var se *weir.StageError
	var we *tree.WriteError
	var ie *tree.IncompleteError
	switch {
	case errors.As(err, &ie):
		first := explain(s, r, ie.First)
		f.code, f.partly = first.code, true
		p, _ := s.tree()
		files := units.Count(p.Files, "file")
		if p.Files < p.FilesFound {
			files = fmt.Sprintf("%d of %s", p.Files, units.Count(p.FilesFound, "file"))
		}
		f.text = fmt.Sprintf("%s is incomplete: %s copied, %s", s.dst, files, units.Count(p.Failed, "failure"))
		if s.deletes {
			f.text += "; nothing was deleted"
		}
		return f
	case errors.As(err, &we):
		kind, cause = report.KindSink, we.Err
		f.code = exitDestination
		name = we.Path
		f.text = fmt.Sprintf("cannot write %s: %v", name, errno.Bare(cause))
		if errors.As(cause, new(syscall.Errno)) { // not a name that is taken
			f.text += s.copied()
		}
		if s.isTree && s.merges() && !errors.Is(err, tree.ErrFolder) && s.over {
			f.text += "; " + s.state()
		}
	case errors.Is(err, tree.ErrInside):
		f.code, f.text = exitUsage, fmt.Sprintf("%s is inside %s, the folder to copy", s.dst, s.src)
	case s.isTree:
		f.code = exitSource
		var pe *fs.PathError
		if errors.As(err, &pe) {
			f.text = fmt.Sprintf("cannot read %s: %v", pe.Path, errno.Bare(pe))
			if errors.Is(err, fs.ErrPermission) {
				f.try = "ls -ld " + quoted(pe.Path)
			}
			return f
		}
		if so := (*s3.Error)(nil); errors.As(err, &so) {
			if errors.As(err, &se) {
				err = se.Err
			}
			f.text = fmt.Sprintf("cannot read %s: %v", so.URL, innermost(err))
		}
	case errors.As(err, &se):
		cause = innermost(se.Err)
		text := strings.TrimPrefix(reason(cause), "weir: ") // the message begins with it already
		var moved int64
		kind, moved = where(r, se.Stage)
		if w := s.word(err); w.kind == "spool" { // of a flow that does not survive
			return spoolFailure(w.text, se.Err)
		}
		if other, ok := s.branches[se.Stage]; ok {
			name = other
		}
		if end, ok := s.ends[se.Stage]; ok {
			if name = end; len(r.Stages) == 0 { // it was opened before the flow
				kind = report.KindSink
			}
			if isSpool(end) {
				text, try = ofSpool(end, se.Err)
			}
			if full(err) { // the error of a spool that cannot be written reaches its reader first
				kind, try = report.KindSink, "free some space, and run the same command again"
			}
		}
		switch kind {
		case report.KindSource:
			f.code = exitSource
			source := cmp.Or(s.ends[se.Stage], s.src)
			f.text = fmt.Sprintf("cannot read %s: %s%s", stream(source, "input"), withoutName(text, source), progressed(moved, s.total()))
		case report.KindSink:
			f.code = exitDestination
			if errors.Is(cause, fs.ErrNotExist) {
				text = syscall.ENOENT.Error() // without the whole path of the folder, which name begins with
			}
			if file := inTheWay(name); errors.Is(cause, syscall.ENOTDIR) && file != "" {
				text = file + " is a file"
			}
			f.text = fmt.Sprintf("cannot write %s: %s%s", stream(name, "output"), withoutName(text, name), progressed(moved, s.total()))
		default:
			f.text = fmt.Sprintf("%s of %s failed: %s", cmp.Or(s.command, s.word(err).name), stream(s.src, "input"), text)
		}
	default:
		return f
	}
	if s.survives != nil && s.survives.advice(err) != "" {
		try = "" // the other one names the command
	}
	f.try = cmp.Or(try, advice(s, f.code, name, err))
	return f
}

// withoutName returns the text of an error without an operation on the URL name, such as
// "GET http://host/x: " or "nats: connect nats://host/x: ". The message names it already.
func withoutName(text, name string) string {
	operation, rest, found := strings.Cut(text, " "+name+": ")
	if isLocal(name) || !found || strings.Count(operation, " ") > 1 {
		return text
	}
	return rest
}

// full reports whether err says that a disk is full, or the user's part of it.
func full(err error) bool { return errno.Is(err, syscall.ENOSPC) || errno.Is(err, syscall.EDQUOT) }

// stream returns a name for messages: "-" becomes standard input or output.
func stream(name, which string) string {
	if name == "-" {
		return "standard " + which
	}
	return name
}

// where returns the kind of a stage, and how many bytes passed it.
func where(r report.Report, name string) (report.Kind, int64) {
	for _, s := range r.Stages {
		if s.Name == name {
			return s.Kind, max(s.In, s.Out)
		}
	}
	return report.KindStage, 0
}

// innermost returns the error without its path and operation, which the message
// around it names already.
func innermost(err error) error {
	if _, call := err.(*os.SyscallError); call || errors.As(err, new(*fs.PathError)) {
		return errno.Bare(err)
	}
	var st *endpoint.StatusError
	if errors.As(err, &st) {
		return errors.New(strings.TrimPrefix(st.Error(), st.Method+" "+st.URL+": "))
	}
	var so *s3.Error
	if errors.As(err, &so) {
		return errors.New(strings.TrimPrefix(err.Error(), so.Op+" "+so.URL+": "))
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

// copied describes how far the copy of a folder came, once it has ended.
func (s *step) copied() string {
	if !s.isTree || !s.over {
		return ""
	}
	p, _ := s.tree()
	n, found := p.Bytes-p.EqualBytes, p.Found-p.EqualBytes
	switch {
	case n == 0 || n >= found:
		return progressed(n, 0)
	case p.Walked && p.Files == p.FilesFound-1: // every other file has been opened
		return progressed(n, found)
	}
	return fmt.Sprintf(" (after %s of at least %s)", weir.FormatBytes(n), weir.FormatBytes(found))
}

// advice returns a next step to try, or "" if there is no usual advice.
func advice(s *step, code int, dst string, err error) string {
	var corrupt *compress.CorruptError
	var status *endpoint.StatusError
	var limit *weir.LimitError
	var refused *s3.Error
	var exit *exec.ExitError
	if v := s.survives; v != nil {
		if text := v.advice(err); text != "" {
			return text
		}
	}
	switch {
	case errors.Is(err, durable.ErrOther):
		return "" // the message has it
	case errors.Is(err, durable.ErrInUse):
		return untilEnded
	case errors.As(err, &refused) && refused.Advice() != "":
		return refused.Advice()
	case errors.As(err, &refused) && !errno.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, endpoint.ErrChanged):
		return "" // the message of the store has to do
	case errors.As(err, &corrupt) && corrupt.Offset == 0 && errors.Is(err, io.ErrUnexpectedEOF):
		return "" // empty input
	case errors.Is(err, compress.ErrFormat):
		name, local := endpoint.Local(s.src)
		switch {
		case !local || name == "-":
			return ""
		case s.dst == "-":
			return "file " + quoted(s.src)
		}
		return "file " + quoted(s.src) + damage(s)
	case errors.As(err, &corrupt):
		return "get another copy of " + stream(s.src, "input") + damage(s)
	case errors.Is(err, chars.ErrUTF16):
		return "put 'exec:iconv -f UTF-16 -t UTF-8' in front"
	case errors.Is(err, text.ErrInvalidUTF8):
		return "put 'exec:iconv -f WINDOWS-1252 -t UTF-8' before the stage, with the encoding of the text"
	case errors.Is(err, record.ErrCarriageReturn):
		return `put 'exec:tr "\r" "\n"' before the stage, if lines end in carriage returns only`
	case errors.As(err, &limit):
		return raised(s, s.word(err), limit)
	case errors.Is(err, endpoint.ErrChanged):
		return "run the same command without --resume"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "add --cacert FILE, with the certificate of the server or of its authority"
	case errors.As(err, &status) && (status.StatusCode == 401 || status.StatusCode == 403):
		return inURL
	case errors.As(err, &status) && status.StatusCode == 405 && code == exitDestination:
		return "use the address that weir serve DIR --uploads INBOX prints for uploads"
	case errors.As(err, &status) && status.StatusCode == 404:
		return "curl -I " + status.URL
	case errors.Is(err, tree.ErrAppeared):
		return fmt.Sprintf("weir copy %s %s, to merge into it", quoted(strings.TrimSuffix(s.src, "/")+"/."), quoted(s.dst))
	case errors.Is(err, tree.ErrFile), errors.Is(err, tree.ErrLink), errors.Is(err, tree.ErrFolder):
		return "use another destination, or: mv " + quoted(dst) + " " + quoted(dst+".old")
	case errors.Is(err, tree.ErrInside):
		return "use a destination outside " + s.src
	case errors.Is(err, fs.ErrExist) && code == exitDestination && s.command == "":
		return "leave out --no-clobber to replace what is there"
	case errors.Is(err, syscall.EISDIR) && code == exitSource:
		return fmt.Sprintf("tar -c %s | weir pipe - gzip %s", quoted(s.src), quoted(filepath.Base(s.src)+".tar.gz"))
	case errors.Is(err, syscall.ENOTDIR) && code == exitDestination && inTheWay(dst) != "":
		file := quoted(inTheWay(dst))
		return "use another destination, or: mv " + file + " " + file + ".old"
	case errors.Is(err, syscall.EISDIR) && code == exitDestination && s.command != "":
		return "mv " + quoted(dst) + " " + quoted(dst+".old")
	case errors.Is(err, syscall.EISDIR) && code == exitDestination && dst != s.dst:
		return "tee:" + quoted(filepath.Join(dst, filepath.Base(s.src)))
	case errors.Is(err, syscall.EISDIR) && code == exitDestination:
		return filepath.Join(s.dst, filepath.Base(s.src))
	case errors.Is(err, fs.ErrNotExist) && code == exitSource:
		return instead(s.src)
	case errors.Is(err, fs.ErrNotExist) && code == exitDestination:
		if dir := filepath.Dir(dst); nearest(dst) != dir {
			return "mkdir -p " + quoted(dir)
		}
		return "ls -l " + quoted(dst)
	case errno.Is(err, syscall.EFBIG):
		return "use another file system, or raise ulimit -f; FAT32 takes files of up to 4 GiB"
	case full(err) && s.partial != "":
		return "free some space, then run the same command with --resume"
	case full(err):
		return space(s, dst)
	case errors.Is(err, fs.ErrPermission) && code == exitSource:
		return "ls -l " + quoted(s.src)
	case errors.Is(err, fs.ErrPermission) && code == exitDestination && dst != "-":
		return "ls -ld " + quoted(filepath.Dir(dst))
	case code == exitSource:
		return usual(s.src, err)
	case code == exitDestination:
		return usual(dst, err)
	case errors.As(err, &exit) && exit.ExitCode() == 127: // of the shell: there is no such command
		return "install the command, or give its path, as in exec:./name"
	case errors.As(err, &exit):
		return "" // the message has what the command said
	case code == exitFailed:
		return "weir help stages"
	}
	return ""
}

// damage describes the output of a damaged source.
func damage(s *step) string {
	switch {
	case s.discards:
		return ""
	case s.dst == "-":
		return "; standard output has what came before the damage"
	}
	return "; nothing was written"
}

// space returns the advice for a full destination.
func space(s *step, dst string) string {
	if dst == "-" {
		return "free some space where standard output goes"
	}
	file, local := endpoint.Local(dst)
	if !local {
		return "free some space on the server"
	}
	if st, err := os.Stat(file); err == nil && !st.Mode().IsRegular() {
		return "use another destination; " + dst + " is full"
	}
	advice := "free some space on " + nearest(dst) + "; the unfinished copy was removed"
	if s.command == "" && !s.piped {
		advice += ", --keep-partial keeps it"
	}
	return advice
}

// inTheWay returns a file in the path of name where a folder must be, or "".
func inTheWay(name string) string {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil {
			if st.IsDir() {
				return ""
			}
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// nearest returns the closest existing folder above name.
func nearest(name string) string {
	dir := filepath.Dir(name)
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// instead returns advice about a file that does not exist: a file beside it with a similar
// name, or the command that lists the closest folder.
func instead(name string) string {
	dir, base := filepath.Split(strings.TrimRight(name, string(filepath.Separator)))
	if f, err := os.Open(cmp.Or(dir, ".")); err == nil {
		defer f.Close()
		names, _ := f.Readdirnames(10_000) // in a folder with more, the user looks better
		slices.Sort(names)
		if similar := closest(base, names); similar != "" {
			return quoted(dir + similar)
		}
	}
	return "ls " + quoted(nearest(name))
}

// quoted returns name as one word of a shell, for commands that users can copy.
func quoted(name string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_./:@%+=,-", r)
	}
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// word returns the stage that failed, as the user wrote it.
func (s *step) word(err error) *typed {
	var se *weir.StageError
	if !errors.As(err, &se) {
		return &typed{}
	}
	if w, ok := s.words[se.Stage]; ok {
		return w
	}
	name, _, _ := strings.Cut(se.Stage, "#")
	return &typed{kind: name, name: se.Stage}
}

// reason returns the text of an error without the names of Go options.
func reason(err error) string {
	if limit, ok := err.(*weir.LimitError); ok {
		return fmt.Sprintf("%v: %s", limit.Err, limit.Detail)
	}
	return err.Error()
}

// raised returns the advice to raise a limit that the input exceeds.
func raised(s *step, w *typed, limit *weir.LimitError) string {
	trusted := ", if you trust " + stream(s.src, "input")
	switch {
	case limit.Option == "":
		return "" // nothing raises it
	case errors.Is(limit, compress.ErrWindow) && s.window != "":
		return fmt.Sprintf(s.window, windowArgument(limit.Need)) + trusted
	case errors.Is(limit, compress.ErrWindow):
		return s.withSetting(w.kind+":window="+windowArgument(limit.Need)) + trusted
	case errors.Is(limit, compress.ErrTooLarge) && limit.Option == "MaxRatio":
		return s.withSetting(w.kind+":ratio=N") + trusted
	case errors.Is(limit, compress.ErrTooLarge):
		return s.withSetting(w.kind+":max=SIZE") + trusted
	}
	return cmp.Or(w.raise, "weir help stages")
}

// windowArgument returns the smallest power of two that is at least n, in the
// form of the command line.
func windowArgument(n int64) string {
	size := int64(1) << 20
	for size < n {
		size *= 2
	}
	if size >= 1<<30 {
		return fmt.Sprintf("%dGiB", size>>30)
	}
	return sizeArgument(size)
}

// usual returns the advice about name if there is no better one.
func usual(name string, err error) string {
	if name == "-" {
		return ""
	}
	if _, local := endpoint.Local(name); local {
		return "ls -l " + quoted(name)
	}
	var host *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.As(err, &host) && host.IsNotFound:
		return "check the host name: " + host.Name + " does not resolve"
	case errors.As(err, &addr):
		return "use a port from 1 to 65535"
	case errno.Is(err, syscall.ECONNREFUSED):
		return nothingListens(name, err)
	case !strings.HasPrefix(strings.ToLower(name), "http"):
		return "" // curl cannot sign requests, and speaks no other protocol of weir
	}
	return "curl -I " + quoted(name)
}

// nothingListens returns the advice about a server of the URL name that refuses connections.
// It says the port, which the URL may leave to its scheme.
func nothingListens(name string, err error) string {
	at := "it"
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		at = op.Addr.String()
	}
	switch {
	case isEdge(name):
		return "check host and port: nothing listens on " + at + "; docs/scale.md says how to start a server"
	case strings.HasPrefix(strings.ToLower(name), "s3://"):
		return "check AWS_ENDPOINT_URL or ?endpoint=: nothing listens on " + at
	}
	return "check host and port: nothing listens on " + at
}
