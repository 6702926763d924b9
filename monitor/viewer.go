package monitor

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	maxViewers   = 16
	writeTimeout = 5 * time.Second // for each write to a viewer
	viewerRate   = 16 << 10        // bytes a second of differences that a viewer gets
)

// viewer is one open page. The sampler leaves the latest sample in its slot and
// never waits for it.
type viewer struct {
	slot chan *sampled // capacity 1
}

// put replaces the sample in the slot. Only one goroutine at a time may call it.
func (v *viewer) put(s *sampled) {
	select {
	case <-v.slot:
	default:
	}
	v.slot <- s
}

// enter registers a viewer. It returns nil if there are too many, or m is closed.
func (m *Monitor) enter() *viewer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.viewers) >= maxViewers {
		return nil
	}
	if m.viewers == nil {
		m.viewers = map[*viewer]bool{}
	}
	v := &viewer{slot: make(chan *sampled, 1)}
	m.viewers[v] = true
	if m.loop == nil {
		m.start()
	} else {
		m.loop.wake()
	}
	return v
}

func (m *Monitor) leave(v *viewer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.viewers, v)
}

// serveEvents sends a snapshot and then its changes, as server-sent events.
func (m *Monitor) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	v := m.enter()
	if v == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many viewers: at most "+strconv.Itoa(maxViewers)+" at a time", http.StatusServiceUnavailable)
		return
	}
	defer m.leave(v)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy that collects events would delay them
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	pause := time.NewTimer(0)
	defer pause.Stop()
	var sent map[string]any
	for {
		var s *sampled
		select {
		case s = <-v.slot:
		case <-r.Context().Done():
			return
		}
		tree := s.tree()
		n, err := sendEvent(w, rc, sent, tree)
		if err != nil {
			return // the client has left or is too slow
		}
		if s.Closed {
			return
		}
		wait := tick
		if sent != nil { // the first one is a whole snapshot, once
			wait = max(wait, time.Duration(n)*time.Second/viewerRate)
		}
		sent = tree
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-m.over():
			// The last sample follows at once.
		case <-r.Context().Done():
			return
		}
	}
}

// over returns a channel that is closed when m is.
func (m *Monitor) over() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.whenClosed()
}

// sendEvent writes now, or how it differs from was if that is not nil. It returns
// the number of bytes.
func sendEvent(w http.ResponseWriter, rc *http.ResponseController, was, now map[string]any) (int, error) {
	name, data := "snapshot", any(now)
	if was != nil {
		name, data = "patch", mergePatch(was, now)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return 0, err
	}
	if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	event := make([]byte, 0, len(text)+64)
	event = append(event, "event: "...)
	event = append(event, name...)
	event = append(event, "\ndata: "...)
	event = append(event, text...)
	event = append(event, "\n\n"...)
	n, err := w.Write(event)
	if err != nil {
		return n, err
	}
	return n, rc.Flush()
}
