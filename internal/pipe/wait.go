package pipe

// side is one end of a pipe: its turn and its waiting goroutines.
type side struct {
	taken   bool          // somebody holds the turn across an unlock
	midway  bool          // the owner of the turn has written a part of its batch
	parked  bool          // the owner of the turn waits on park
	due     bool          // unlock must wake it
	passed  int16         // batches that went ahead of the owner of the turn
	ready   chan struct{} // closed when a non-blocking call may succeed
	park    chan struct{} // capacity 1, made when first needed
	resting int           // goroutines in the queue or parked that nobody has woken yet
	idle    int           // waits for which yielding first did not pay
	time    waitTime
	queue   []chan struct{} // goroutines that wait for the turn, first come first served
	spare   []chan struct{} // of earlier waits, empty
}

// own takes a turn that is free or is t's already. mu is held.
func (s *side) own(t *turn) { s.taken, t.owned = true, true }

// arrived records that the turn has come through t.ch. mu is held.
func (s *side) arrived(t *turn) {
	s.spare = append(s.spare, t.ch)
	t.ch, t.owned = nil, true
}

// waitTime adds up how long goroutines have waited, including those that wait
// now.
type waitTime struct {
	n             int64
	total, change int64
	events        int64
}

func (w *waitTime) add(n int64, now int64) {
	w.total += w.n * (now - w.change)
	w.change = now
	if n > 0 {
		w.events++
	}
	w.n += n
}

func (w *waitTime) at(now int64) int64 { return w.total + w.n*max(0, now-w.change) }

// token wakes the parked goroutine, or the next one to park, which then checks
// again.
func (s *side) token() {
	select {
	case s.park <- struct{}{}:
	default:
	}
}

func (s *side) signal() {
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
