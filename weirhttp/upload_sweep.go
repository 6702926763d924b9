package weirhttp

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
)

// sweepEvery is how often expired uploads are looked for.
const sweepEvery = 10 * time.Minute

// sweeper removes uploads that nobody goes on with: when the folder has been
// opened, and from time to time after that.
type sweeper struct {
	mu    sync.Mutex // guards timer and over
	timer *time.Timer
	over  bool
	runs  sync.WaitGroup
}

// begin does not wait for the first sweep, since the first request would.
func (s *sweeper) begin(d *folder) {
	if expire, ok := d.u.expire(); ok {
		s.after(0, d, expire)
	}
}

// sweep logs what cannot be removed: a file that is not ours to remove keeps
// nobody from uploading.
func (s *sweeper) sweep(d *folder, expire time.Duration) {
	if err := d.removeOld(time.Now().Add(-expire)); err != nil {
		d.u.log().Error("expired uploads could not be removed", "error", err)
	}
}

// after sets the timer for the next time.
func (s *sweeper) after(wait time.Duration, d *folder, expire time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.runs.Add(1)
	s.timer = time.AfterFunc(wait, func() {
		defer s.runs.Done()
		s.sweep(d, expire)
		s.after(min(expire, sweepEvery), d, expire)
	})
}

// end stops the timer and waits for what it has started.
func (s *sweeper) end() {
	s.mu.Lock()
	s.over = true
	if s.timer != nil && s.timer.Stop() {
		s.runs.Done()
	}
	s.mu.Unlock()
	s.runs.Wait()
}

// removeOld removes resumable uploads that nobody has gone on with since before,
// and what is left of others from a process that was killed.
func (d *folder) removeOld(before time.Time) error {
	err := d.tus.expireOld(before)
	entries, rerr := fs.ReadDir(d.root.FS(), ".")
	err = errors.Join(err, rerr)
	for _, e := range entries {
		if !e.Type().IsRegular() || !atomicfile.IsTemp(e.Name()) || d.isLive(e.Name()) {
			continue
		}
		if info, ierr := e.Info(); ierr != nil || !info.ModTime().Before(before) {
			continue
		}
		if rerr := d.root.Remove(e.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
