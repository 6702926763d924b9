package endpoint

import (
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// stallError is the error for a server that made no progress for too long. It
// matches [weir.ErrStalled].
type stallError struct {
	what string
	d    time.Duration
}

func (e *stallError) Error() string { return e.what + " for " + e.d.String() }
func (e *stallError) Unwrap() error { return weir.ErrStalled }

// watchdog calls bark, in a new goroutine, when nothing has happened for d
// while it watched. Its methods can be called concurrently.
type watchdog struct {
	d    time.Duration // below 0: never
	bark func()        // must be quick: nobody waits for it

	mu       sync.Mutex // guards the rest
	timer    *time.Timer
	watching bool
}

// watch begins to watch.
func (w *watchdog) watch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching = true
	w.restart()
}

// progress says that something has happened.
func (w *watchdog) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watching {
		w.restart()
	}
}

// rest stops watching.
func (w *watchdog) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching = false
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) restart() {
	switch {
	case w.d < 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(w.d, w.bark)
	default:
		w.timer.Reset(w.d)
	}
}
