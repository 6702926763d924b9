// Package quota accounts for the bytes of a folder that takes uploads: the bytes of its
// files, and those reserved for uploads under way.
package quota

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/weirhttp/internal/names"
)

// ErrNoSpace is the cause when an upload does not fit into the quota of its folder or
// onto the disk.
var ErrNoSpace = errors.New("no space left for uploads")

// Ledger accounts for the bytes in a folder: the bytes of its files, and bytes reserved
// for uploads under way. Other programs can add and remove files; the ledger counts
// the files again before it refuses an upload. Set the exported fields before the
// first use. The methods can be called by any goroutine.
type Ledger struct {
	Root  *os.Root
	Live  func(temp string) bool // reports whether an upload is being written to this temporary file; nil: all are
	Quota int64                  // most bytes in the folder; 0: no limit
	Spare int64                  // bytes that must stay free on the disk
	Free  func() (int64, error)  // free bytes on the disk; errors.ErrUnsupported if unknown

	names sync.Mutex // held while files are counted or given names, which can take long
	disk  sync.Mutex // held during calls of Free

	mu      sync.Mutex // guards counted to held, and is locked for sums only
	counted time.Time  // when the files were last counted; zero: never
	took    time.Duration
	stored  int64 // bytes of complete files
	held    int64 // bytes reserved for uploads under way

	coming atomic.Int64 // the part of held that is not on the disk yet
}

// Hold is the space reserved for one upload. It is for one goroutine at a time.
type Hold struct {
	l       *Ledger
	room    int64 // bytes reserved
	arrived int64 // the part of room that is on the disk
	checked int64 // room when free space was last checked
}

// recheck is how far an upload of unknown length can grow before the free space on
// the disk is checked again.
const recheck = 16 << 20

// Take reserves n bytes for a new upload.
func (l *Ledger) Take(n int64) (*Hold, error) {
	h := &Hold{l: l}
	return h, h.grow(n)
}

// Adopt reserves n bytes for an upload that an earlier process began. onDisk of them
// are written already. Adopt does not check the quota: the earlier process did.
func (l *Ledger) Adopt(n, onDisk int64) *Hold {
	l.mu.Lock()
	l.held += n
	l.mu.Unlock()
	l.coming.Add(n - onDisk)
	return &Hold{l: l, room: n, arrived: onDisk, checked: n}
}

// Sums returns the bytes of complete files at the last count, the bytes reserved for
// uploads under way, and how many of those are not on the disk yet.
func (l *Ledger) Sums() (stored, held, coming int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored, l.held, l.coming.Load()
}

// grow reserves n more bytes.
func (h *Hold) grow(n int64) error {
	l := h.l
	if err := l.reserve(n); err != nil {
		return err
	}
	if h.room == 0 || h.room+n-h.checked >= recheck {
		if err := l.fitsDisk(n); err != nil {
			l.add(0, -n)
			return err
		}
		h.checked = h.room + n
	} else {
		l.coming.Add(n)
	}
	h.room += n
	return nil
}

// Need grows the reservation to n bytes in all. It does nothing if that much is
// reserved already.
func (h *Hold) Need(n int64) error {
	if n <= h.room {
		return nil
	}
	return h.grow(n - h.room)
}

// reserve takes n bytes of the quota. It counts the files first if it never has, or
// if there seems to be no space.
func (l *Ledger) reserve(n int64) error {
	for again := false; ; again = true {
		l.mu.Lock()
		if l.Quota <= 0 || !l.counted.IsZero() && !l.over(n) {
			l.held += n
			l.mu.Unlock()
			return nil
		}
		stale, taken := l.stale(), l.stored+l.held
		l.mu.Unlock()
		if again || !stale {
			return fmt.Errorf("%w: %s of the folder's quota of %s are in use", ErrNoSpace,
				weir.FormatBytes(taken), weir.FormatBytes(l.Quota))
		}
		if err := l.count(); err != nil {
			return err
		}
	}
}

func (l *Ledger) over(n int64) bool { return n > l.Quota-l.stored-l.held }

// stale reports whether it is time to count the files again. Counting takes at most
// a tenth of the time.
func (l *Ledger) stale() bool { return l.counted.IsZero() || time.Since(l.counted) > 10*l.took }

// add changes the sums by stored and held bytes.
func (l *Ledger) add(stored, held int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored += stored
	l.held += held
}

// fitsDisk takes n bytes of the space on the disk. It reads coming before it asks for
// the free space: bytes written between the two then count twice rather than not at
// all.
func (l *Ledger) fitsDisk(n int64) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	coming := l.coming.Load()
	free, err := l.Free()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return fmt.Errorf("get the free space on the disk: %w", err)
	case n > free-coming-l.Spare:
		return fmt.Errorf("%w: %s are free on the disk", ErrNoSpace, weir.FormatBytes(max(free-coming-l.Spare, 0)))
	}
	l.coming.Add(n)
	return nil
}

// count adds up the files in the folder, and the temporary files that killed processes
// left, but not the files of uploads under way. It does nothing if another goroutine
// has just counted.
func (l *Ledger) count() error {
	l.names.Lock()
	defer l.names.Unlock()
	l.mu.Lock()
	stale := l.stale()
	l.mu.Unlock()
	if !stale {
		return nil
	}
	begun := time.Now()
	var sum int64
	err := fs.WalkDir(l.Root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			return nil // removed since ReadDir, or not ours to read
		case err != nil:
			return err
		case d.IsDir() && path.Base(name) == names.UploadsDir:
			return fs.SkipDir
		case !d.Type().IsRegular() || atomicfile.IsTemp(name) && (l.Live == nil || l.Live(name)):
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the files in the folder: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored, l.counted = sum, time.Now()
	l.took = l.counted.Sub(begun)
	return nil
}

// Hand moves n bytes of the reservation to another one, or all of it if it is smaller.
// Both must belong to the same goroutine.
func (h *Hold) Hand(to *Hold, n int64) {
	n = min(n, h.room)
	h.room -= n
	to.room += n
}

// Wrote records that n more bytes of the upload are on the disk, or -n fewer. It takes
// no lock, because it is called for every piece of an upload.
func (h *Hold) Wrote(n int64) {
	h.arrived += n
	h.l.coming.Add(-n)
}

// Publish calls name, which gives the file its final name and returns by how many
// bytes the files of the folder have grown. Publish then ends the reservation. It names
// one file at a time, so that a count sees the file under its final name or as an
// upload under way, never as both.
func (h *Hold) Publish(name func() (int64, error)) error {
	h.l.names.Lock()
	defer h.l.names.Unlock()
	grown, err := name()
	if err != nil {
		return err
	}
	h.drop(grown)
	return nil
}

// Unpublish calls remove, which removes a complete file of n bytes and reports whether it
// did.
func (l *Ledger) Unpublish(n int64, remove func() (removed bool, err error)) error {
	l.names.Lock()
	defer l.names.Unlock()
	removed, err := remove()
	if removed {
		l.add(-n, 0)
	}
	return err
}

// Release ends the reservation. It does nothing after Publish.
func (h *Hold) Release() { h.drop(0) }

// drop ends the reservation and adds stored bytes to the complete files.
func (h *Hold) drop(stored int64) {
	h.l.add(stored, -h.room)
	h.l.coming.Add(h.arrived - h.room)
	h.room, h.arrived = 0, 0
}

// clampFree returns the size of a number of blocks in bytes, at most math.MaxInt64.
func clampFree(blocks, size uint64) int64 {
	if size != 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
