package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/tree"
)

// copying is weir copy.
type copying struct {
	settings
	preserve, verify, sync, keep, resume, checksum, delete, noClobber bool
	exclude                                                           []string
	rate                                                              string
	perSecond                                                         int64
}

func newCopy(stdout, stderr io.Writer) *cobra.Command {
	c := &copying{settings: settings{stdout: stdout, stderr: stderr}}
	cmd := &cobra.Command{
		Use:   "copy SRC… DST",
		Short: "Copy files and folders, from and to URLs too",
		Long: `Copy files and folders, in bounded memory.

SRC and DST are files, folders, URLs (http://, https://, s3://bucket/key), or -
for standard input and output. With several sources, DST must be a folder, and
no two sources may have the same name. A folder is copied with everything in it;
SRC/. means the contents of SRC. An http:// or https:// URL as DST gets a PUT
request.

Every file is whole or absent: it gets its name when all of it has been copied,
and after a failure DST is as it was before. A new folder gets its name at the
end. If a source, or a file in a folder, cannot be read, weir reports it and
copies the others; the exit code is that of the first error. If the connection
of a download breaks, weir resumes the download. It checks length and digest.

--resume continues an interrupted copy: it copies the rest of a file, or the
files that a folder does not have yet. It skips files that have the size and the
time of the source or, without --preserve, the size and a newer time. With
--checksum it skips files with the same contents. If DST is a folder, and
everything in it is also in the folder SRC, --resume copies into DST itself, not
into DST/SRC.

--delete removes from the copy of a folder what SRC does not have, after
everything else has succeeded. It keeps what --exclude matches.

A pattern of --exclude without a slash is matched against every name in a
folder, and a pattern with a slash against the path below SRC. A pattern that
ends in a slash matches only folders. In a pattern, * stands for any characters
of a name, ? for one character, [a-z] for one of a range, and ** for any number
of folders.

"weir help keep" lists which permissions, owners and times a copy keeps. "weir
help stores" explains object stores.`,
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir copy photos music /mnt/usb/ --preserve
  weir copy site/. /srv/www --resume --delete --exclude '*.tmp' --dry-run
  weir copy https://example.org/big.iso . --resume
  weir copy s3://photos/2026/ ./2026
  weir copy backup.img /mnt/usb/ --verify --sync
  weir copy - backup.img < /dev/sdb`,
		RunE: func(_ *cobra.Command, args []string) error { return c.copy(args) },
	}
	c.flags(cmd)
	c.uiFlag(cmd)
	c.remote.flags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&c.preserve, "preserve", "p", false, "keep permissions, times, hard links, attributes, and owners where allowed")
	f.BoolVar(&c.verify, "verify", false, "read back what was written and compare its SHA-256")
	f.BoolVar(&c.sync, "sync", false, "return only when everything is on stable storage")
	f.StringVar(&c.rate, "rate", "", "maximum rate, as in 10MiB/s")
	f.BoolVar(&c.keep, "keep-partial", false, "keep an unfinished copy, as DST"+partSuffix)
	f.BoolVar(&c.resume, "resume", false, "continue an unfinished copy; implies --keep-partial")
	f.BoolVarP(&c.noClobber, "no-clobber", "n", false, "fail if a file or object exists, instead of replacing it")
	f.BoolVar(&c.checksum, "checksum", false, "with --resume, compare contents instead of sizes and times")
	f.BoolVar(&c.delete, "delete", false, "remove from DST the files that a folder SRC does not have")
	f.StringArrayVar(&c.exclude, "exclude", nil, "leave out files and folders that match this pattern; repeatable")
	f.BoolP("recursive", "r", true, "")
	_ = f.MarkHidden("recursive") // accepted because cp has it
	return cmd
}

func (c *copying) copy(names []string) error {
	if len(names) < 2 {
		return &failure{code: exitUsage, text: "copy needs at least one source and a destination", try: "weir copy SRC… DST"}
	}
	if err := c.remote.parse(names); err != nil {
		return err
	}
	if c.rate != "" {
		n, err := parseRate(c.rate)
		if err != nil {
			return invalid("rate", c.rate, "rate", "", "10MiB/s")
		}
		c.perSecond = n
	}
	if c.verify && c.resume {
		return &failure{code: exitUsage, text: "--verify checks a whole copy, and --resume makes the rest of one", try: "leave out one of them"}
	}
	if err := c.unverifiable(names[len(names)-1]); err != nil {
		return err
	}
	if c.noClobber && (c.keep || c.resume) {
		return &failure{code: exitUsage, text: "--no-clobber creates files, and --resume and --keep-partial change what is there", try: "leave out one of them"}
	}
	if c.checksum && !c.resume && !slices.ContainsFunc(names, s3.IsFolder) {
		return &failure{code: exitUsage, text: "--checksum requires --resume", try: "add --resume"}
	}
	for _, pattern := range c.exclude {
		if err := tree.ParsePattern(pattern); err != nil {
			return &failure{code: exitUsage, text: "--exclude: " + err.Error(), try: "--exclude '*.tmp'"}
		}
	}
	sources, dst := names[:len(names)-1], names[len(names)-1]
	if err := slashes(sources, []string{dst}); err != nil {
		return err
	}
	switch {
	case slices.Contains(sources, ""):
		return &failure{code: exitUsage, text: "empty source name", try: "weir copy SRC… DST"}
	case dst == "":
		return &failure{code: exitUsage, text: "empty destination name", try: "weir copy SRC… DST"}
	case dst == "-" && len(sources) > 1:
		return &failure{
			code: exitUsage, text: fmt.Sprintf("standard output takes one source, not %d", len(sources)),
			try: "cat FILE… | weir copy - -, or use a folder as destination",
		}
	}
	if st, err := os.Stat(strings.TrimSuffix(dst, "/")); len(sources) > 1 && isLocal(dst) && (err != nil || !st.IsDir()) {
		f := &failure{code: exitUsage, text: fmt.Sprintf("%s is not a folder, so it cannot take %s", dst, units.Count(int64(len(sources)), "source")), try: "mkdir -p " + quoted(dst)}
		if err == nil {
			f.try = fmt.Sprintf("use another destination; %s is a file", dst)
		}
		return f
	}
	c.goOn = len(sources) > 1
	var steps []*step
	folders := 0
	for _, src := range sources {
		st, err := c.step(src, dst)
		if f := (*failure)(nil); c.goOn && errors.As(err, &f) {
			st, err = &step{src: src, refused: f}, nil
		}
		if err != nil {
			return err
		}
		if st.isTree {
			folders++
		}
		steps = append(steps, st)
	}
	if c.delete && folders == 0 {
		return &failure{code: exitUsage, text: "--delete is about folders, and no source is one", try: "weir copy SRC/. DST --delete"}
	}
	if err := collision(steps); err != nil {
		return err
	}
	return c.execute("copied", steps...)
}

// unverifiable refuses --verify if the destination cannot be read back.
func (c *copying) unverifiable(dst string) error {
	if !c.verify || s3.IsFolder(dst) { // storeFolder says more
		return nil
	}
	file, local := endpoint.Local(dst)
	st, err := os.Stat(file)
	if local && file != "-" && (err != nil || st.Mode().IsRegular() || st.IsDir()) {
		return nil
	}
	return &failure{code: exitUsage, text: fmt.Sprintf("--verify reads back files, and %s cannot be read back", stream(dst, "output")), try: "leave out --verify"}
}

// collision refuses two sources if the copy of one would replace the copy of
// the other.
func collision(steps []*step) error {
	for i, a := range steps {
		for _, b := range steps[i+1:] {
			at := ""
			switch {
			case a.target == "" || b.target == "":
			case a.target == b.target:
				at = a.target
			case b.isIn(a):
				at = b.target
			case a.isIn(b):
				at = a.target
			}
			if at != "" && filepath.Clean(a.src) == filepath.Clean(b.src) {
				return &failure{code: exitUsage, text: b.src + " is named twice", try: "leave out one of them"}
			}
			if at != "" {
				return &failure{
					code: exitUsage, text: fmt.Sprintf("%s and %s would both be copied to %s", a.src, b.src, at),
					try: "use another name for one of them",
				}
			}
		}
	}
	return nil
}

// isIn reports whether the target of s is also part of the copy of the folder
// other.
func (s *step) isIn(other *step) bool {
	rel, ok := strings.CutPrefix(s.target, strings.TrimSuffix(other.target, string(filepath.Separator))+string(filepath.Separator))
	if !ok || !other.isTree {
		return false
	}
	_, err := os.Lstat(filepath.Join(other.src, rel))
	return err == nil
}

func isLocal(name string) bool {
	_, local := endpoint.Local(name)
	return local
}

// step prepares the copy of one source.
func (c *copying) step(src, dst string) (*step, error) {
	local, isLocal := endpoint.Local(src)
	if isLocal && local != "-" {
		src = local
		if st, err := os.Stat(src); err == nil && st.IsDir() {
			if s3.IsFolder(dst) {
				return c.storeFolder(src, dst)
			}
			return c.folder(src, dst)
		}
	}
	if s3.IsFolder(src) {
		return c.storeFolder(src, dst)
	}
	in, err := endpoint.Source(src, endpoint.SourceOptions{HTTP: c.remote.options})
	if err != nil {
		return nil, badName(err)
	}
	if dst, err = into(dst, in.Info().Name, src); err != nil {
		return nil, err
	}
	if sameFile(src, dst) {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("%s and %s are the same file", src, dst), try: "use another name for the destination"}
	}
	return c.file(src, dst)
}

// into returns the path of the copy: dst/name if dst is a folder, otherwise
// dst.
func into(dst, name, src string) (string, error) {
	isFolder := strings.HasSuffix(dst, "/") || s3.IsFolder(dst)
	file, local := endpoint.Local(dst)
	if local && file != "-" {
		dst = file
		st, err := os.Stat(dst)
		isFolder = isFolder || err == nil && st.IsDir()
	}
	switch {
	case !isFolder:
		return dst, nil
	case name == "":
		return "", &failure{code: exitUsage, text: fmt.Sprintf("%s is a folder, and %s has no name to use in it", dst, src), try: "weir copy " + src + " " + filepath.Join(dst, "NAME")}
	case local:
		return filepath.Join(dst, name), nil
	}
	u, err := url.Parse(dst)
	if err != nil {
		return "", badName(err)
	}
	u.Path = path.Join(u.Path, name)
	return u.String(), nil
}

// badName explains an error about a name that no source or sink can have.
func badName(err error) error {
	return advised(err, "use a file, -, or a URL such as https://example.org/big.iso")
}

// shown returns a name that is safe to print: a URL without its password and
// its query, which often contains a secret.
func shown(name string) string {
	if _, local := endpoint.Local(name); local {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return "the URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func sameFile(a, b string) bool {
	if a == "-" || b == "-" {
		return false
	}
	x, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// file prepares the copy of one file.
func (c *copying) file(src, dst string) (*step, error) {
	st := &step{src: shown(src), dst: shown(dst)}
	if name, local := endpoint.Local(dst); !local {
		st.target = dst
	} else if name != "-" {
		st.target = filepath.Clean(name)
	}
	var part *partial
	if name, local := endpoint.Local(dst); (c.keep || c.resume) && local && name != "-" {
		var err error
		if part, err = openPartial(c, src, name); err != nil {
			return nil, err
		}
		if part != nil {
			st.partial = part.shown
		}
	}
	st.verifies = c.verify
	var verified string
	st.build = func(frugal bool) (*weir.Flow, error) {
		src, dst := thrifty(src, frugal, "1"), thrifty(dst, frugal, "2")
		so := endpoint.SourceOptions{HTTP: c.remote.options}
		if part != nil && part.offset > 0 {
			so.Offset, so.Validator = part.offset, part.Validator
		}
		in, err := endpoint.Source(src, so)
		if err != nil {
			return nil, badName(err)
		}
		st.size, st.perm = sizeOf(src, in), permOf(src)
		s := in.Stream()
		if c.perSecond > 0 {
			s = s.Through(pace.RateLimit[byte](c.perSecond, time.Second))
		}
		sink, err := c.sink(src, dst, st.perm, part, func(sum []byte) {
			verified = fmt.Sprintf("%x", sum)
			st.sums = []string{"sha256 " + verified}
		}, st.size())
		if err != nil {
			return nil, err
		}
		flow := s.To(sink)
		flow.Name = "copy " + st.src
		return flow, nil
	}
	st.kept = &carry.Note{Metadata: c.preserve && isFile(src)}
	if part == nil {
		st.prepare = func(context.Context) error { return st.sweep() }
		st.run = func(ctx context.Context) error { return st.flowRun(ctx, &c.settings) }
	} else {
		st.prepare = func(ctx context.Context) error {
			planned := part.offset > 0
			err := part.begin(ctx)
			st.equal = part.there
			if err != nil || part.offset == 0 && !planned {
				return err
			}
			return st.fit(c.memory, c.limit) // from the offset on, and of that version only
		}
		st.run = func(ctx context.Context) error {
			if part.there {
				return nil
			}
			err := st.flowRun(ctx, &c.settings)
			if err != nil {
				return errors.Join(err, part.leave())
			}
			return part.finish(c.sync, st.kept.Metadata, st.perm)
		}
	}
	st.note = func() string {
		switch {
		case st.equal:
			return fmt.Sprintf("; %s is already there", st.dst)
		case part != nil && part.offset > 0:
			return fmt.Sprintf(", on top of the %s that were there", weir.FormatBytes(part.offset))
		case verified != "":
			if c.goOn { // the summary lists the sums with the names
				return ", verified by reading back"
			}
			return ", verified by reading back, sha256 " + verified
		}
		return ""
	}
	return st, nil
}

// permOf returns the permissions of a new copy of src, before umask.
func permOf(src string) fs.FileMode {
	if name, local := endpoint.Local(src); local && isFile(src) {
		if st, err := os.Stat(name); err == nil {
			return st.Mode().Perm()
		}
	}
	return 0o666
}

// isFile reports whether src is a local regular file, so that its metadata can
// be kept. The metadata of a pipe or device do not describe its bytes.
func isFile(src string) bool {
	name, local := endpoint.Local(src)
	if !local || name == "-" {
		return false
	}
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// sizeOf returns a function for the size of a source. A server reports the size
// only with the download.
func sizeOf(src string, in endpoint.Input) func() int64 {
	if name, local := endpoint.Local(src); local {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			return func() int64 { return st.Size() }
		}
		return func() int64 { return -1 }
	}
	return func() int64 { return in.Info().Size }
}

func (c *copying) sink(src, dst string, perm fs.FileMode, part *partial, verified func([]byte), size int64) (weir.Sink[byte], error) {
	o := endpoint.SinkOptions{Size: max(size, 0), Exclusive: c.noClobber, HTTP: c.remote.options}
	if name, local := endpoint.Local(dst); local && name != "-" {
		o.Size = 0
		if c.sync {
			o.File = append(o.File, weir.Durable())
		}
		o.File = append(o.File, weir.Perm(perm))
		if c.verify {
			o.File = append(o.File, weir.ReadBack(func() hash.Hash { return &told{sha256.New(), verified} }))
		}
		if part != nil {
			dst, o.Offset = part.path, part.offset
			if part.offset == 0 {
				o.File = append(o.File, weir.KeepPartial(), weir.Perm(0o600)) // finish sets the real permissions
			}
		}
	} else if isFile(src) {
		path, _ := endpoint.Local(src)
		o.Reopen = func() (endpoint.ReaderAtCloser, error) { return os.Open(path) }
	}
	sink, err := endpoint.Sink(dst, o)
	if err != nil {
		return sink, badName(err)
	}
	return sink, nil
}

// told is a hash that passes its sum to a function.
type told struct {
	hash.Hash
	tell func([]byte)
}

func (h *told) Sum(b []byte) []byte {
	sum := h.Hash.Sum(nil)
	h.tell(sum)
	return append(b, sum...)
}

// folder prepares the copy of a folder.
func (c *copying) folder(src, dst string) (*step, error) {
	if name, local := endpoint.Local(dst); !local || name == "-" {
		return nil, &failure{
			code: exitUsage, text: fmt.Sprintf("%s is a folder and %s can hold one file only", src, dst),
			try: fmt.Sprintf("tar -c %s | weir copy - %s", src, dst),
		}
	}
	dst, _ = endpoint.Local(dst)
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, badName(err)
	}
	dst = filepath.Clean(dst)
	st := &step{src: src, dst: dst, isTree: true, deletes: c.delete, verifies: c.verify}
	noteName := ""
	if there, err := os.Stat(dst); err == nil && there.IsDir() {
		if c.unfinished(dst, abs) {
			noteName = dst + partSuffix + ".json"
		} else if inner := filepath.Join(dst, filepath.Base(abs)); c.resume && !exists(inner) && isCopyOf(dst, src) {
			noteName = dst + partSuffix + ".json"
		} else if !isContents(src, abs) {
			st.dst = filepath.Join(dst, filepath.Base(abs))
		}
	} else if c.keep || c.resume {
		noteName = dst + partSuffix + ".json"
	}
	for _, name := range []string{dst, st.dst} {
		if sameFile(src, name) {
			return nil, &failure{code: exitUsage, text: fmt.Sprintf("%s and %s are the same folder", src, name), try: "use another name for the destination"}
		}
	}
	st.target = st.dst
	var cp *tree.Copy
	var changes []string
	st.build = func(frugal bool) (*weir.Flow, error) {
		cp = &tree.Copy{
			From: src, To: st.dst, Metadata: c.preserve, Durable: c.sync, Rate: c.perSecond, Verify: c.verify,
			KeepPartial: c.keep || c.resume, Resume: c.resume, Checksum: c.checksum, Exclude: c.exclude, Delete: c.delete,
			NoClobber: c.noClobber,
			Skip: func(path string, mode fs.FileMode) {
				st.warned = true
				c.warn("%s is %s and is not copied", path, kindOf(mode))
			},
			Changed: func(path, how string) { changes = append(changes, path+" "+how) },
			Failed:  func(err error) { st.failed(explain(st, report.Report{}, err)) },
		}
		if c.verbose {
			cp.Deleted = func(path string) { c.warn("deleted %s", path) }
		}
		if frugal {
			cp.Workers = 1
		}
		st.holds = cp.Memory()
		return cp.Flow(), nil
	}
	st.preview = func() (tree.Plan, error) { return cp.Plan(context.Background()) }
	var note *noteFile
	st.prepare = func(ctx context.Context) error {
		if noteName == "" {
			return st.sweep()
		}
		var err error
		if note, _, err = openNote(ctx, noteName, st.dst, st.dst); err != nil {
			return err
		}
		return note.write(partNote{Source: abs, Folder: true})
	}
	st.run = func(ctx context.Context) error {
		err := cp.Run(ctx)
		st.over = true
		for _, change := range changes {
			c.warn("%s while it was copied", change)
		}
		if note == nil {
			return err
		}
		if _, serr := os.Stat(st.dst); err == nil || serr != nil {
			return errors.Join(err, note.remove())
		}
		return errors.Join(err, note.close())
	}
	st.moved = func() (in, out int64) {
		p := cp.Progress()
		n := p.Bytes - p.EqualBytes
		return n, n
	}
	st.tree = func() (tree.Progress, string) { return cp.Progress(), cp.Current() }
	st.merges = func() bool { return cp.Merges() }
	st.note = func() string {
		var text string
		p := cp.Progress()
		if c.verify {
			text = ", verified by reading back"
		}
		if p.Equal > 0 {
			text += thereAlready(p.Equal)
		}
		if p.Deleted > 0 {
			text += fmt.Sprintf(", %d deleted", p.Deleted)
		}
		return text
	}
	if c.keep || c.resume {
		st.partial = st.dst
	}
	return st, nil
}

// thereAlready tells of n files that were not copied.
func thereAlready(n int64) string {
	if n == 1 {
		return "; 1 was there already"
	}
	return fmt.Sprintf("; %d were there already", n)
}

// isContents reports whether src means the contents of a folder: it ends in "."
// or "..", or it is the root. abs is its absolute path.
func isContents(src, abs string) bool {
	switch src[strings.LastIndexFunc(src, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(byte(r)) })+1:] {
	case ".", "..":
		return true
	}
	return filepath.Dir(abs) == abs
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// isCopyOf reports whether the folder dst looks like an earlier copy of the
// folder src: it is not empty, and everything in it is in src too. --resume
// then copies into dst itself.
func isCopyOf(dst, src string) bool {
	list, err := os.ReadDir(dst)
	if err != nil || len(list) == 0 {
		return false
	}
	for _, d := range list {
		st, err := os.Lstat(filepath.Join(src, d.Name()))
		if err != nil || st.Mode().Type() != d.Type() {
			return false
		}
	}
	return true
}

// unfinished reports whether the folder dst is an interrupted copy of the
// folder abs. Another run then continues in dst itself.
func (c *copying) unfinished(dst, abs string) bool {
	if !c.keep && !c.resume {
		return false
	}
	text, err := os.ReadFile(dst + partSuffix + ".json")
	var note partNote
	return err == nil && json.Unmarshal(text, &note) == nil && note.Folder && note.Source == abs
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no file"
}
