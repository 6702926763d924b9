package weirhttp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/weir-go/weir/internal/atomicfile"
)

// hiddenDir is where resumable uploads wait, inside the folder they are for.
const hiddenDir = ".weir-uploads"

// folder is the folder of an Uploads while it is open.
type folder struct {
	u      *Uploads
	root   *os.Root
	dir    *os.File // the folder itself
	ledger ledger
	tus    *tusHandler
	sweep  sweeper
	users  sync.WaitGroup // requests that use it

	mu   sync.Mutex          // guards live
	live map[string]struct{} // temporary files that are being written
}

func openFolder(u *Uploads) (*folder, error) {
	root, err := os.OpenRoot(u.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder for uploads: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open the folder for uploads: %w", err)
	}
	d := &folder{u: u, root: root, dir: dir, live: make(map[string]struct{})}
	d.ledger = ledger{root: root, live: d.isLive, quota: u.Quota, spare: u.MinFree, free: func() (int64, error) { return freeSpace(dir) }}
	if d.tus, err = newTus(d); err != nil {
		dir.Close()
		root.Close()
		return nil, err
	}
	d.sweep.runs.Go(func() { atomicfile.Sweep(root) }) // what a killed process left
	d.sweep.begin(d)
	return d, nil
}

func (d *folder) close() error {
	d.users.Wait()
	d.sweep.end()
	return errors.Join(d.dir.Close(), d.root.Close())
}

// createTemp creates a file that only this process writes, and locks it, so that
// no sweep takes it for one that a killed process left.
func (d *folder) createTemp() (*os.File, string, error) {
	name := ""
	f, err := atomicfile.Temp(func() (*os.File, error) {
		d.forget(name) // of the try before
		name = atomicfile.TempName("upload")
		d.mu.Lock()
		d.live[name] = struct{}{}
		d.mu.Unlock()
		return d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	}, func(string) (fs.FileInfo, error) { return d.root.Lstat(name) })
	if err != nil {
		d.forget(name)
		return nil, "", fmt.Errorf("create a file for the upload: %w", err)
	}
	return f, name, nil
}

func (d *folder) forget(temp string) {
	d.mu.Lock()
	delete(d.live, temp)
	d.mu.Unlock()
}

func (d *folder) isLive(temp string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.live[temp]
	return ok
}

// place gives the file at temp its final name, in one step, and returns that
// name, and the size of what it replaced, -1 if nothing.
func (d *folder) place(temp, want string, r rule) (name string, was int64, err error) {
	if was, err = d.allows(want, r); err != nil {
		return "", -1, err
	}
	if r.mode == replace {
		return want, was, d.root.Rename(temp, want)
	}
	for n := 1; ; n++ {
		name = numbered(want, n)
		err := d.rename(temp, name)
		if err == nil || !errors.Is(err, fs.ErrExist) || r.mode == onlyNew || n == mostNumbered+10 {
			return name, -1, err
		}
	}
}

var link = (*os.Root).Link // a test plays a file system without hard links

// rename gives the file at temp a name that nobody has.
func (d *folder) rename(temp, name string) error {
	err := link(d.root, temp, name)
	if err == nil {
		if err := d.root.Remove(temp); err != nil {
			// The client is told that its file is not stored.
			return errors.Join(err, d.root.Remove(name))
		}
		return nil
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// No hard links on this file system. An empty file that only we can have
	// created claims the name; then the whole one takes its place.
	claim, cerr := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if cerr != nil {
		return cerr
	}
	claim.Close()
	if err := d.root.Rename(temp, name); err != nil {
		return errors.Join(err, d.root.Remove(name))
	}
	return nil
}

// syncNames brings the names in the folder to stable storage.
func (d *folder) syncNames() error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be flushed by itself there
	}
	if err := d.dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("sync the folder for uploads: %w", err)
	}
	return nil
}
