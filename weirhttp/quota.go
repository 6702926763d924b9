package weirhttp

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
)

// errNoSpace is the cause when an upload does not fit: into the quota of its
// folder, or onto the disk.
var errNoSpace = errors.New("no space left for uploads")

// ledger keeps account of the bytes in a folder: of the files that are there,
// and of the uploads on their way, for which room is taken in advance. Files
// that others put there or remove are noticed when the folder is counted again,
// which happens before an upload is refused.
type ledger struct {
	root  *os.Root
	live  func(temp string) bool // whether an upload is being written to this file; nil: to all
	quota int64                  // for the whole folder, in bytes; 0: none
	spare int64                  // what must stay free on the disk, in bytes
	free  func() (int64, error)  // space on the disk; errors.ErrUnsupported: not known

	names sync.Mutex // held while files are counted and named, which may take long
	disk  sync.Mutex // held while the disk is asked

	mu      sync.Mutex // guards what follows, and is held for sums only
	counted time.Time  // when the files were counted last; zero: never
	took    time.Duration
	stored  int64 // in files that are whole
	held    int64 // taken for uploads on their way

	coming atomic.Int64 // of held, what is not on the disk yet
}

// hold is the room taken for one upload. It is for one goroutine.
type hold struct {
	l       *ledger
	room    int64
	arrived int64 // of room, what is on the disk
	checked int64 // room when the disk was last asked
}

// recheck is after how many bytes of an upload of unknown length the disk is
// asked again how much space it has.
const recheck = 16 << 20

// take makes room for n bytes.
func (l *ledger) take(n int64) (*hold, error) {
	h := &hold{l: l}
	return h, h.grow(n)
}

// adopt makes room for an upload of n bytes that was begun by an earlier
// process, on bytes of which are on the disk. It has been let in already.
func (l *ledger) adopt(n, on int64) *hold {
	l.mu.Lock()
	l.held += n
	l.mu.Unlock()
	l.coming.Add(n - on)
	return &hold{l: l, room: n, arrived: on, checked: n}
}

// grow makes room for n bytes more.
func (h *hold) grow(n int64) error {
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

// need makes room for n bytes in all, which may be there already.
func (h *hold) need(n int64) error {
	if n <= h.room {
		return nil
	}
	return h.grow(n - h.room)
}

// reserve takes n bytes of the quota. It counts the files first if they never
// were, or if there seems to be no room.
func (l *ledger) reserve(n int64) error {
	for again := false; ; again = true {
		l.mu.Lock()
		if l.quota <= 0 || !l.counted.IsZero() && !l.over(n) {
			l.held += n
			l.mu.Unlock()
			return nil
		}
		stale, taken := l.stale(), l.stored+l.held
		l.mu.Unlock()
		if again || !stale {
			return fmt.Errorf("%w: %s of the folder's quota of %s are taken", errNoSpace,
				weir.FormatBytes(taken), weir.FormatBytes(l.quota))
		}
		if err := l.count(); err != nil {
			return err
		}
	}
}

func (l *ledger) over(n int64) bool { return n > l.quota-l.stored-l.held }

// stale reports whether the files may be counted again: not so often that it
// would take much of the time.
func (l *ledger) stale() bool { return l.counted.IsZero() || time.Since(l.counted) > 10*l.took }

// add changes the sums.
func (l *ledger) add(stored, held int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored += stored
	l.held += held
}

// fitsDisk takes n bytes of the disk. What comes meanwhile counts as coming and
// as there, rather than as neither.
func (l *ledger) fitsDisk(n int64) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	coming := l.coming.Load()
	free, err := l.free()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return fmt.Errorf("ask for the space on the disk: %w", err)
	case n > free-coming-l.spare:
		return fmt.Errorf("%w: %s are free on the disk", errNoSpace, weir.FormatBytes(max(free-coming-l.spare, 0)))
	}
	l.coming.Add(n)
	return nil
}

// count adds up the files in the folder, with what killed processes left, but not
// those of uploads on their way.
// It does nothing if somebody else has just done so.
func (l *ledger) count() error {
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
	err := fs.WalkDir(l.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			return nil // it went away meanwhile, or is not ours to read
		case err != nil:
			return err
		case d.IsDir() && path.Base(name) == hiddenDir:
			return fs.SkipDir
		case !d.Type().IsRegular() || atomicfile.IsTemp(name) && (l.live == nil || l.live(name)):
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

// hand gives n bytes of the room to another upload, or as many as there are.
// Both are for the same goroutine.
func (h *hold) hand(to *hold, n int64) {
	n = min(n, h.room)
	h.room -= n
	to.room += n
}

// wrote says that n bytes more of the upload are on the disk, or -n bytes less.
// It is called for every piece, and takes no lock.
func (h *hold) wrote(n int64) {
	h.arrived += n
	h.l.coming.Add(-n)
}

// publish calls name, which gives the file its name and returns by how many
// bytes the folder's files have grown. One file is named at a time. A count of
// the files sees the file under its final name or as an upload on its way, never
// as both.
func (h *hold) publish(name func() (int64, error)) error {
	h.l.names.Lock()
	defer h.l.names.Unlock()
	grown, err := name()
	if err != nil {
		return err
	}
	h.drop(grown)
	return nil
}

// unpublish calls remove, which takes away a file of n bytes.
func (l *ledger) unpublish(n int64, remove func() error) error {
	l.names.Lock()
	defer l.names.Unlock()
	err := remove()
	if err == nil {
		l.add(-n, 0)
	}
	return err
}

// release gives the room back. It does nothing after publish.
func (h *hold) release() { h.drop(0) }

// drop gives the room back to what is stored, or to nobody.
func (h *hold) drop(stored int64) {
	h.l.add(stored, -h.room)
	h.l.coming.Add(h.arrived - h.room)
	h.room, h.arrived = 0, 0
}

// clampFree turns blocks and their size into bytes.
func clampFree(blocks, size uint64) int64 {
	if size != 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
