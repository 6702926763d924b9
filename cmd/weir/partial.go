package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/stamp"
)

const partSuffix = ".weir-part"

// partNote is the note beside an unfinished copy: it records the source of the
// copy.
type partNote struct {
	Source    string     `json:"source"`
	Validator string     `json:"validator"`        // of the version that was being copied
	Left      *partState `json:"left,omitempty"`   // the state of the part, if weir ended regularly
	Folder    bool       `json:"folder,omitempty"` // the copy of a folder, in the folder beside the note
}

// partState identifies the contents of a part without reading them.
type partState struct {
	Size    int64     `json:"size"`
	Written time.Time `json:"written"`
	Changed time.Time `json:"changed"`
	Inode   uint64    `json:"inode"`
}

func stateOf(info fs.FileInfo) partState {
	s := stamp.Of(info)
	return partState{info.Size(), info.ModTime().UTC(), s.Changed.UTC(), s.Inode}
}

// noteFile is the note of an unfinished copy, locked while a run works on it.
type noteFile struct{ f *os.File }

// openNote locks and reads the note called name, and creates it if necessary.
// It belongs to part, an unfinished copy to dst. note is nil if the file has no
// valid note.
func openNote(ctx context.Context, name, part, dst string) (n *noteFile, note *partNote, err error) {
	f, err := lock.Open(ctx, name)
	if errors.Is(err, lock.ErrHeld) {
		return nil, nil, &failure{
			code: exitDestination, text: fmt.Sprintf("%s is in use by another run of weir", part),
			try: "wait until it has ended",
		}
	}
	if err != nil {
		f := &failure{code: exitDestination, text: fmt.Sprintf("cannot write %s: %v", dst, innermost(err))}
		f.try = advice(&step{dst: dst}, f.code, dst, err)
		return nil, nil, f
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err == nil && json.Unmarshal(text, &note) != nil {
		note = nil
	}
	return &noteFile{f}, note, nil
}

func (n *noteFile) write(note partNote) error {
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if err := n.f.Truncate(0); err != nil {
		return err
	}
	_, err = n.f.WriteAt(append(text, '\n'), 0)
	return err
}

// remove removes the note and ends the lock. On some systems an open file
// cannot be removed.
func (n *noteFile) remove() error {
	err := os.Remove(n.f.Name())
	cerr := n.f.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(n.f.Name())
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, cerr)
}

func (n *noteFile) close() error { return n.f.Close() }

// partial is an unfinished copy beside its destination, with its note.
type partial struct {
	partNote
	c      *copying
	src    string
	path   string
	shown  string // path as the user would write it
	dst    string // behind symbolic links
	offset int64  // how many bytes of it can be used
	in     endpoint.Input
	note   *noteFile
	there  bool // dst is a copy already
}

// openPartial prepares an unfinished copy. It returns nil if weir writes
// directly to dst, or if dst cannot be written: the error of the run is better.
func openPartial(c *copying, src, dst string) (*partial, error) {
	target, there, err := atomicfile.Target(dst)
	if err != nil || there != nil && !there.Mode().IsRegular() {
		return nil, nil
	}
	in, err := endpoint.Source(src, endpoint.SourceOptions{HTTP: c.remote.options})
	if err != nil {
		return nil, badName(err)
	}
	p := &partial{partNote: partNote{Source: withoutUser(src)}, c: c, src: src, path: target + partSuffix, shown: dst + partSuffix, dst: target, in: in}
	if filepath.Base(target) != filepath.Base(dst) { // dst is a symbolic link
		p.shown = p.path
	}
	if p.local() {
		name, _ := endpoint.Local(src)
		if p.Source, err = filepath.Abs(name); err != nil {
			return nil, badName(err)
		}
		// Where there is a part, state the plan and the ceiling of a run that continues:
		// it checks the version of the source, so the kernel does not copy. begin finds
		// out whether this run continues, and from where.
		if st, err := os.Lstat(p.path); err == nil && st.Mode().IsRegular() && c.resume {
			info, _ := in.Stat(context.Background()) // of a local file; the flow returns the error
			p.offset, p.Validator = st.Size(), info.Validator
		}
	}
	return p, nil
}

// withoutUser removes the user name and password from a URL, because they must
// not be stored in a note. It keeps the query, which can distinguish two
// sources.
func withoutUser(name string) string {
	if _, local := endpoint.Local(name); local {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return endpoint.Redact(name)
	}
	u.User = nil
	return u.String()
}

// local reports whether the source is a file of this machine.
func (p *partial) local() bool {
	name, local := endpoint.Local(p.src)
	return local && name != "-"
}

func (p *partial) noteName() string { return p.path + ".json" }

// begin locks the part and finds how much of it can be used.
func (p *partial) begin(ctx context.Context) error {
	var was *partNote
	var err error
	if p.note, was, err = openNote(ctx, p.noteName(), p.shown, strings.TrimSuffix(p.shown, partSuffix)); err != nil {
		return err
	}
	info, serr := p.in.Stat(ctx) // if it fails, the flow returns a better error
	p.offset, p.Validator = 0, info.Validator
	if p.c.resume && serr == nil {
		if p.there, err = p.isThere(ctx, info); p.there || err != nil {
			return errors.Join(err, p.note.remove())
		}
	}
	if p.c.resume {
		if err := p.find(ctx, was, info, serr == nil); err != nil {
			return errors.Join(err, p.note.close())
		}
	}
	p.Left = nil // until this run has ended regularly
	if p.offset == 0 {
		// The file can belong to somebody else: do not write to it.
		if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, p.note.close())
		}
	}
	if err := p.note.write(p.partNote); err != nil {
		return errors.Join(err, p.note.close())
	}
	return nil
}

// find decides whether the part can be continued, from the note of the run that
// left it.
func (p *partial) find(ctx context.Context, was *partNote, info endpoint.Info, known bool) error {
	st, err := os.Lstat(p.path)
	if err != nil || !st.Mode().IsRegular() {
		return nil
	}
	switch {
	case was == nil || was.Folder:
		p.c.warn("nothing records the source of %s; starting again", p.shown)
		return nil
	case withoutUser(was.Source) != p.Source:
		return &failure{
			code: exitUsage, text: fmt.Sprintf("%s is a part of %s, not of %s", p.shown, was.Source, p.src),
			try: "rm " + quoted(p.shown),
		}
	case was.Validator == "":
		p.c.warn("cannot tell whether %s has changed; starting again", p.src)
		return nil
	}
	p.offset, p.Validator = st.Size(), was.Validator
	touched := was.Left != nil && *was.Left != stateOf(st)
	if !p.local() {
		if touched {
			p.c.warn("%s has changed since weir wrote it; starting again", p.shown)
			p.offset, p.Validator = 0, info.Validator
		}
		return nil
	}
	sameVersion := known && was.Validator == info.Validator
	if !sameVersion && !(known && sameSizeAndTime(was.Validator, info.Validator)) {
		return nil // the flow will return ErrChanged
	}
	if sameVersion && was.Left != nil && !touched && !p.c.checksum {
		return nil
	}
	// Either a run was killed, or another program wrote to the source or the part.
	// Only a comparison of the contents can decide.
	same, err := p.compare(ctx, p.path, p.offset)
	if err != nil {
		return err
	}
	p.Validator = info.Validator
	if !same {
		p.c.warn("%s does not hold the beginning of %s; starting again", p.shown, p.src)
		p.offset = 0
	}
	return nil
}

// sameSizeAndTime reports whether two validators of a local file have the same
// size and modification time. The rest also changes with the owner, the mode or
// the name of the file.
func sameSizeAndTime(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && x[0] == y[0] && x[1] == y[1]
}

// isThere reports whether there is no part and dst is already a copy of the
// source. It compares size and time, or contents, as tree.Copy does for files
// in a folder.
func (p *partial) isThere(ctx context.Context, info endpoint.Info) (bool, error) {
	if _, err := os.Lstat(p.path); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	there, err := os.Stat(p.dst)
	if err != nil || !there.Mode().IsRegular() || there.Size() != info.Size {
		return false, nil
	}
	var changed time.Time
	same := true // in the metadata that --preserve keeps
	if name, local := endpoint.Local(p.src); local {
		st, err := os.Stat(name)
		if err != nil {
			return false, nil
		}
		changed, same = stamp.Of(st).Changed, st.Mode() == there.Mode()
	}
	switch at := there.ModTime(); {
	case p.c.preserve && !same, info.Modified.IsZero():
		return false, nil
	case p.c.checksum:
		if !p.local() || p.c.preserve && !at.Equal(info.Modified) {
			return false, nil
		}
		return p.compare(ctx, p.dst, info.Size)
	case at.Equal(info.Modified):
		return true, nil
	default:
		return !p.c.preserve && at.After(info.Modified) && !at.Before(changed), nil
	}
}

// compare reports whether the source begins with the first n bytes of a file.
func (p *partial) compare(ctx context.Context, path string, n int64) (bool, error) {
	name, _ := endpoint.Local(p.src)
	a, err := os.Open(name)
	if err != nil {
		return false, nil // the flow returns a better error
	}
	defer a.Close()
	b, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer b.Close()
	x, y := make([]byte, 256<<10), make([]byte, 256<<10)
	for left := n; left > 0; {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		n := min(left, int64(len(x)))
		_, aerr := io.ReadFull(a, x[:n])
		_, berr := io.ReadFull(b, y[:n])
		if aerr != nil || berr != nil || !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
		left -= n
	}
	return true, nil
}

// finish gives the copy its name. If kept is true, the copy keeps the metadata
// of the source. Otherwise it gets the permissions of the file that it
// replaces, or perm restricted by the umask.
func (p *partial) finish(durable, kept bool, perm fs.FileMode) error {
	if !kept {
		if err := p.inherit(perm); err != nil {
			return err
		}
	}
	if err := os.Rename(p.path, p.dst); err != nil {
		return err
	}
	if err := p.note.remove(); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	return atomicfile.SyncDir(filepath.Dir(p.dst))
}

// leave ends a run that did not finish the copy: it records the state of the
// part in the note.
func (p *partial) leave() error {
	st, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p.note.remove()
	}
	if err == nil {
		left := stateOf(st)
		p.Left = &left
		err = p.note.write(p.partNote)
	}
	return errors.Join(err, p.note.close())
}

// inherit gives the copy the permissions of the file that it replaces, or of a
// new file, without set-user-ID and set-group-ID. The part can come from a run
// with other options.
func (p *partial) inherit(perm fs.FileMode) error {
	old, err := os.Stat(p.dst)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, oerr := os.Open(p.path)
	if oerr != nil {
		return oerr
	}
	defer f.Close()
	if err == nil && old.Mode().IsRegular() { // if it is a folder, Rename fails
		return atomicfile.Inherit(f, old)
	}
	return f.Chmod(perm.Perm() &^ umask)
}
