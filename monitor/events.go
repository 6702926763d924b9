package monitor

import (
	"strconv"
	"strings"
	"time"
)

const (
	maxEvents     = 100 // that are kept
	maxEventsRate = 20  // a second that are kept and logged; others are counted
)

// eventList is the last events.
type eventList struct {
	last   uint64
	list   []numbered
	window time.Time // start of the second that is counted
	n      int       // events in it
	lost   int       // events that came too fast
}

type numbered struct {
	id string
	e  Event
}

// add appends an event. It returns false if too many came within a second.
func (l *eventList) add(t time.Time, kind, subject, text string) (Event, bool) {
	if t.Sub(l.window) >= time.Second {
		l.window, l.n = t, 0
	}
	if l.n++; l.n > maxEventsRate {
		l.lost++
		return Event{}, false
	}
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	if l.lost > 0 {
		text += " (and " + strconv.Itoa(l.lost) + " events before it, too fast to show)"
		l.lost = 0
	}
	l.last++
	e := Event{Time: unix(t), Kind: kind, Subject: subject, Text: text}
	l.list = append(l.list, numbered{strconv.FormatUint(l.last, 10), e})
	if len(l.list) > maxEvents {
		l.list = append(l.list[:0], l.list[1:]...)
	}
	return e, true
}

func (l *eventList) all() map[string]Event {
	m := make(map[string]Event, len(l.list))
	for _, n := range l.list {
		m[n.id] = n.e
	}
	return m
}
