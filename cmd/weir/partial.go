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

// partNote says, beside an unfinished copy, of what it is a part.
type partNote struct {
	Source    string     `json:"source"`
	Validator string     `json:"validator"`        // of the version that was being copied
	Left      *partState `json:"left,omitempty"`   // how the part was left, if weir ended in good order
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

// openNote locks the note called name, which it creates if need be, and reads it.
// It belongs to part, an unfinished copy to dst. note is nil if it says nothing.
func openNote(name, part, dst string) (n *noteFile, note *partNote, err error) {
	f, err := lock.Open(name)
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

// partial is an unfinished copy beside its destination, and the note beside it
// that says of what.
type partial struct {
	partNote
	c      *copying
	src    string
	path   string
	shown  string // path as the user would write it
	dst    string // behind symbolic links
	offset int64  // how much of it is there
	in     endpoint.Input
	note   *noteFile
	there  bool // dst is a copy already
}

// openPartial prepares an unfinished copy. It returns nil if dst is written to
// straight, or cannot be written, which the run says better.
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
	}
	return p, nil
}

// withoutUser is a URL without its user name and password, which nobody may find
// in a note. Its query stays: it can tell two sources apart.
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
	if p.note, was, err = openNote(p.noteName(), p.shown, strings.TrimSuffix(p.shown, partSuffix)); err != nil {
		return err
	}
	info, serr := p.in.Stat(ctx) // if it fails the flow says it better
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
	p.Left = nil // until this run has ended in good order
	if p.offset == 0 {
		// What somebody else may have left here is not written to.
		if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, p.note.close())
		}
	}
	if err := p.note.write(p.partNote); err != nil {
		return errors.Join(err, p.note.close())
	}
	return nil
}

// find decides from what it was left with whether the part can be continued.
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
		return nil // the flow says that the source has changed
	}
	if sameVersion && was.Left != nil && !touched && !p.c.checksum {
		return nil
	}
	// A run that was killed, or somebody who wrote to one of the two: only the
	// contents can tell.
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

// sameSizeAndTime reports whether two validators of a local file differ only in
// what also a change of its owner, its mode or its name changes.
func sameSizeAndTime(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && x[0] == y[0] && x[1] == y[1]
}

// isThere reports whether no part is left and dst is a copy of the source, as
// tree.Copy finds it of a file in a folder: by size and time, or by contents.
func (p *partial) isThere(ctx context.Context, info endpoint.Info) (bool, error) {
	if _, err := os.Lstat(p.path); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	there, err := os.Stat(p.dst)
	if err != nil || !there.Mode().IsRegular() || there.Size() != info.Size {
		return false, nil
	}
	var changed time.Time
	same := true // in what --preserve keeps
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
		return false, nil // the flow says it better
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

// finish gives the copy its name. What it has from the source stays if kept is
// true; or else it has the permissions of the file that it replaces, or perm as
// far as the umask lets it.
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

// leave ends a run that did not finish the copy: it notes how the part is left.
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
// new file, and takes set-user-ID and set-group-ID off. A part may have been
// begun with other options.
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
	if err == nil && old.Mode().IsRegular() { // if it is a folder, renaming says so
		return atomicfile.Inherit(f, old)
	}
	return f.Chmod(perm.Perm() &^ umask)
}
