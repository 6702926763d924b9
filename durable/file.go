package durable

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/crcpair"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/units"
)

// Suffixes of the files beside a file that is being written.
const (
	partSuffix  = ".weir-flow"
	stateSuffix = ".weir-flow.json"
)

// File is a sink that writes the file called path, with the permissions perm,
// before umask, if it does not exist. The file gets its name when the flow ends,
// as with [weir.Create]. Until then the data is in a file beside it whose name
// ends in .weir-flow, and the checkpoint in one that ends in .weir-flow.json.
// Both stay when the flow fails, for the next run to continue. A second run to
// the same path waits up to five seconds, because a process that was killed can take
// some time to end, and then fails with [ErrInUse].
func File(path string, perm fs.FileMode) Sink {
	return &file{path: path, perm: perm.Perm()}
}

type file struct {
	path string
	perm fs.FileMode

	target string   // behind symbolic links
	part   *os.File // locked
	n      int64    // its length
	done   bool     // it has its name
	saved  []byte   // the last checkpoint
}

func (f *file) Name() string   { return "write" }
func (f *file) String() string { return f.path }
func (f *file) Holds() int64   { return 0 }

func (f *file) partName() string  { return f.target + partSuffix }
func (f *file) stateName() string { return f.target + stateSuffix }

func (f *file) Open(ctx context.Context) (Checkpoint, error) {
	c, err := f.open(ctx)
	if err != nil {
		return Checkpoint{}, errors.Join(err, f.Close())
	}
	return c, nil
}

func (f *file) open(ctx context.Context) (c Checkpoint, err error) {
	f.part, f.n, f.done = nil, 0, false
	target, there, err := atomicfile.Target(f.path)
	if err != nil {
		return c, &fs.PathError{Op: "write", Path: f.path, Err: err}
	}
	f.target = target
	perm := f.perm
	if there != nil {
		if !there.Mode().IsRegular() {
			return c, fmt.Errorf("%s %w: it is not a regular file", f.path, ErrCannotResume)
		}
		w, err := os.OpenFile(target, os.O_WRONLY, 0) // see atomicfile.Open
		if errors.Is(err, fs.ErrPermission) {
			return c, err
		}
		if err == nil {
			w.Close()
		}
		perm = 0o600
	}
	f.part, err = lock.OpenPerm(ctx, f.partName(), perm)
	if errors.Is(err, lock.ErrHeld) {
		return c, fmt.Errorf("%s: %w", f.path+partSuffix, ErrInUse)
	}
	if err != nil {
		return c, err
	}
	if _, there, err = atomicfile.Target(f.path); err != nil { // another run can have ended since
		return c, &fs.PathError{Op: "write", Path: f.path, Err: err}
	}
	st, err := f.part.Stat()
	if err != nil {
		return c, err
	}
	if !st.Mode().IsRegular() {
		return c, fmt.Errorf("%s is not a regular file", f.path+partSuffix)
	}
	if st, err := os.Lstat(f.stateName()); err == nil && !st.Mode().IsRegular() {
		return c, fmt.Errorf("%s is not a regular file", f.path+stateSuffix)
	}
	text, err := os.ReadFile(f.stateName())
	if errors.Is(err, fs.ErrNotExist) {
		if st.Size() == 0 {
			return c, nil
		}
		// It was never saved, and it can belong to somebody else.
		return c, f.again(ctx, perm)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Offset < 0 {
		return Checkpoint{}, fmt.Errorf("%s is damaged; to begin anew, remove %s and %s", f.path+stateSuffix, f.path+stateSuffix, f.path+partSuffix)
	}
	f.saved = text
	if c.End && st.Size() == 0 && there != nil && there.Size() == c.Offset {
		f.done = true // the part that is open is a new one
		return c, nil
	}
	if c.End && st.Size() == 0 && c.Offset > 0 { // somebody has removed the result since
		return Checkpoint{}, os.Remove(f.stateName())
	}
	if err := f.check(ctx, c, st.Size()); err != nil {
		return Checkpoint{}, err
	}
	f.n = c.Offset
	if c.End {
		return c, f.publish()
	}
	return c, f.part.Truncate(c.Offset)
}

// again replaces the part by an empty one.
func (f *file) again(ctx context.Context, perm fs.FileMode) error {
	if err := f.remove(); err != nil {
		return err
	}
	var err error
	f.part, err = lock.OpenPerm(ctx, f.partName(), perm)
	return err
}

// remove removes the part and ends its lock.
func (f *file) remove() error {
	named := lock.IsNamed(f.part, func() (fs.FileInfo, error) { return os.Lstat(f.partName()) })
	var err error
	if runtime.GOOS == "windows" { // an open file cannot be removed
		err = f.part.Close()
		f.part = nil
	}
	if named {
		err = errors.Join(err, os.Remove(f.partName()))
	}
	if f.part != nil {
		err = errors.Join(err, f.part.Close())
		f.part = nil
	}
	return err
}

// check compares the part with the checkpoint: a run that was killed cannot have
// changed the saved bytes, but somebody else can.
func (f *file) check(ctx context.Context, c Checkpoint, size int64) error {
	name := f.path + partSuffix
	advice := fmt.Sprintf("to begin anew, remove %s and %s", f.path+stateSuffix, name)
	if size < c.Offset {
		return fmt.Errorf("%s has %s, but its checkpoint is at byte %d; %s", name, units.Count(size, "byte"), c.Offset, advice)
	}
	var sum uint64
	buf := make([]byte, 256<<10)
	for at := int64(0); at < c.Offset; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.part.ReadAt(buf[:min(int64(len(buf)), c.Offset-at)], at)
		if err != nil && (err != io.EOF || n == 0) {
			return err
		}
		sum = crcpair.Update(sum, buf[:n])
		at += int64(n)
	}
	if sum != c.Sum {
		return fmt.Errorf("%s has changed since weir wrote it; %s", name, advice)
	}
	return nil
}

func (f *file) Write(ctx context.Context, p []byte) (int, error) {
	n, err := f.part.WriteAt(p, f.n)
	f.n += int64(n)
	return n, err
}

func (f *file) Save(_ context.Context, c Checkpoint) error {
	if c.Offset != f.n {
		return fmt.Errorf("checkpoint at byte %d of %d", c.Offset, f.n)
	}
	if err := f.part.Sync(); err != nil {
		return err
	}
	return f.save(c)
}

// save replaces the checkpoint.
func (f *file) save(c Checkpoint) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	w, err := atomicfile.Open(context.Background(), f.stateName(), atomicfile.Options{Perm: 0o600, Sync: true})
	if err != nil {
		return err
	}
	defer w.Abort()
	text = append(text, '\n')
	if _, err := w.Write(text); err != nil {
		return err
	}
	f.saved = text
	return w.Commit()
}

func (f *file) Commit(_ context.Context, c Checkpoint) error {
	if err := f.save(c); err != nil {
		return err
	}
	return f.publish()
}

// publish gives the part its name.
func (f *file) publish() error {
	if old, err := os.Stat(f.target); err == nil && old.Mode().IsRegular() { // if it is a folder, Rename fails
		if err := atomicfile.Inherit(f.part, old); err != nil {
			return err
		}
		if err := f.part.Sync(); err != nil {
			return err
		}
	}
	if runtime.GOOS == "windows" { // an open file cannot be renamed
		if err := f.part.Close(); err != nil {
			return err
		}
		f.part = nil
	}
	if err := os.Rename(f.partName(), f.target); err != nil {
		return err
	}
	f.done = true
	return atomicfile.SyncDir(filepath.Dir(f.target))
}

// Forget drops the checkpoint of a run that had ended.
func (f *file) Forget(ctx context.Context) error {
	if err := os.Remove(f.stateName()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err := f.open(ctx)
	return err
}

// Close removes the checkpoint if the file has its name, and a part that nothing
// was written to.
func (f *file) Close() error {
	var err error
	if f.part != nil {
		st, serr := f.part.Stat()
		_, lerr := os.Lstat(f.stateName())
		if serr == nil && st.Size() == 0 && (f.done || errors.Is(lerr, fs.ErrNotExist)) {
			err = f.remove()
		} else {
			err = f.part.Close()
			f.part = nil
		}
	}
	if f.done {
		f.done = false
		// A part is not locked any more: another run can have begun.
		if text, rerr := os.ReadFile(f.stateName()); rerr == nil && !bytes.Equal(text, f.saved) {
			return err
		}
		if rerr := os.Remove(f.stateName()); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
