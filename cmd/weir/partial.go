package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/atomicfile"
)

const partSuffix = ".weir-part"

// partial is an unfinished copy beside its destination, and the note beside it
// that says of what.
type partial struct {
	Source    string `json:"source"`
	Validator string `json:"validator"` // of the version that was being copied

	path   string
	dst    string
	offset int64 // how much is there
	in     endpoint.Input
}

// openPartial finds what is there already, if that is wanted.
func openPartial(c *copying, src, dst string) (*partial, error) {
	in, err := endpoint.Source(src, endpoint.SourceOptions{})
	if err != nil {
		return nil, badName(err)
	}
	p := &partial{Source: src, path: dst + partSuffix, dst: dst, in: in}
	if name, local := endpoint.Local(src); local && name != "-" {
		if p.Source, err = filepath.Abs(name); err != nil {
			return nil, badName(err)
		}
	}
	st, err := os.Stat(p.path)
	if err != nil || !c.resume {
		return p, nil
	}
	var was partial
	note, err := os.ReadFile(p.note())
	if err == nil {
		err = json.Unmarshal(note, &was)
	}
	switch {
	case err != nil:
		c.warn("%s has no note of what it is a part of; starting again", p.path)
	case was.Source != p.Source:
		return nil, &failure{
			code: exitUsage, text: fmt.Sprintf("%s is a part of %s, not of %s", p.path, was.Source, src),
			try: "rm " + p.path,
		}
	case was.Validator == "":
		c.warn("%s cannot tell its versions apart; starting again", src)
	default:
		p.offset, p.Validator = st.Size(), was.Validator
	}
	return p, nil
}

func (p *partial) note() string { return p.path + ".json" }

// begin asks which version of the source this is, and writes the note.
func (p *partial) begin(ctx context.Context) error {
	if p.offset > 0 {
		return nil
	}
	info, err := p.in.Stat(ctx)
	if err != nil {
		return nil // the flow says it better
	}
	p.Validator = info.Validator
	// What somebody else may have left here is not written to.
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(p.note(), append(text, '\n'), 0o600)
}

// finish gives the copy its name. What it has from the source stays if that is
// kept; or else it has the permissions of the file that it replaces.
func (p *partial) finish(durable, kept bool) error {
	if !kept {
		if err := p.inherit(); err != nil {
			return err
		}
	}
	if err := os.Rename(p.path, p.dst); err != nil {
		return err
	}
	if err := os.Remove(p.note()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !durable {
		return nil
	}
	return atomicfile.SyncDir(filepath.Dir(p.dst))
}

// inherit gives the copy the permissions of the file that it replaces, if there
// is one, and takes set-user-ID and set-group-ID off.
func (p *partial) inherit() error {
	const special = fs.ModeSetuid | fs.ModeSetgid
	st, err := os.Lstat(p.path)
	if err != nil {
		return err
	}
	old, err := os.Stat(p.dst)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	replaces := err == nil && old.Mode().IsRegular() // if it is a folder, renaming says so
	if !replaces && st.Mode()&special == 0 {
		return nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Mode()&special != 0 {
		if err := f.Chmod(st.Mode().Perm()); err != nil {
			return err
		}
	}
	if !replaces {
		return nil
	}
	return atomicfile.Inherit(f, old)
}
