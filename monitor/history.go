package monitor

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	historyStep  = time.Second
	historySpan  = 10 * time.Minute
	historyLimit = 2 << 20 // bytes, with entryCost for each point
	pointLimit   = 3 << 10 // bytes of one point: 600 of them fit
	entryCost    = 64      // bytes of an entry beside its text
)

// Point is one second of the history. Its names are short since there are many.
type Point struct {
	Time   float64     `json:"t"`
	In     float64     `json:"i"`           // as Snapshot.In
	Out    float64     `json:"o"`           // as Snapshot.Out
	Used   int64       `json:"u"`           // as Memory.Used
	Limit  int64       `json:"l"`           // as Memory.Limit
	Heap   int64       `json:"h"`           // as Process.Heap
	RSS    int64       `json:"r"`           // as Process.RSS
	Active int64       `json:"a,omitempty"` // running transfers
	Flows  []PointFlow `json:"f,omitempty"`
	More   int         `json:"m,omitempty"` // flows that were left out, since the point would be too large
}

// PointFlow is one flow in a second of the history.
type PointFlow struct {
	ID         uint64   `json:"id"`
	In         float64  `json:"i"`
	Out        float64  `json:"o"`
	Used       int64    `json:"u"`
	Bottleneck int      `json:"b"` // the stage's place; -1: no stage
	Shares     [][5]int `json:"s"` // of each stage, in percent, in the order of Stage.Shares
}

// pointOf returns the part of a snapshot that the history keeps.
func pointOf(s *Snapshot) Point {
	p := Point{Time: s.Time, In: s.In, Out: s.Out, Used: s.Memory.Used, Limit: s.Memory.Limit, Heap: s.Process.Heap, RSS: s.Process.RSS}
	for _, g := range s.Transfers {
		p.Active += g.Active
	}
	for _, f := range s.Flows {
		if !f.Running {
			continue
		}
		q := PointFlow{ID: f.ID, In: f.In, Out: f.Out, Used: f.Used, Bottleneck: f.Verdict.Stage}
		for i := range len(f.Stages) {
			var shares [5]int
			for j, x := range f.Stages[decimal(i)].Shares {
				shares[j] = int(x*100 + 0.5)
			}
			q.Shares = append(q.Shares, shares)
		}
		p.Flows = append(p.Flows, q)
	}
	slices.SortFunc(p.Flows, func(a, b PointFlow) int { return int(int64(a.ID) - int64(b.ID)) })
	return p
}

// history is the last 10 minutes, in encoded form and at most historyLimit bytes.
type history struct {
	mu     sync.Mutex // guards the fields below; locked for copies only
	points []entry    // the oldest first
	bytes  int        // of text, and entryCost for each
	most   int        // the largest that bytes has been
}

// entry is an encoded [Point].
type entry struct {
	at   time.Time
	text []byte
}

// add appends a point, and drops the oldest ones that are too old or do not fit.
func (h *history) add(t time.Time, p Point) {
	text := encodePoint(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.points = append(h.points, entry{t, text})
	h.bytes += len(text) + entryCost
	h.trim(t)
	h.most = max(h.most, h.bytes)
}

// encodePoint returns the JSON of p, without the flows that would make it too
// large.
func encodePoint(p Point) []byte {
	all := p.Flows
	for n := len(all); ; n = n * 3 / 4 {
		p.Flows, p.More = all[:n], len(all)-n
		text, err := json.Marshal(p)
		if err != nil {
			return []byte("{}") // every field of a Point can be marshaled
		}
		if len(text) <= pointLimit || n == 0 {
			return slices.Clip(text)
		}
	}
}

// trim drops the samples that are too old at t, and the oldest ones if they do not
// fit. mu is held.
func (h *history) trim(t time.Time) {
	n := 0
	for n < len(h.points) && (t.Sub(h.points[n].at) > historySpan || h.bytes > historyLimit) {
		h.bytes -= len(h.points[n].text) + entryCost
		n++
	}
	if n > 0 {
		h.points = slices.Delete(h.points, 0, n)
	}
}

// size returns how much the history holds.
func (h *history) size() (points, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.points), h.bytes
}

// writeTo writes the history as JSON.
func (h *history) writeTo(w io.Writer) error {
	h.mu.Lock()
	h.trim(time.Now())
	points, bytes := slices.Clone(h.points), h.bytes
	h.mu.Unlock()
	b := make([]byte, 0, 32<<10)
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, Version, 10)
	b = append(b, `,"step":1,"span":600,"limit":`...)
	b = strconv.AppendInt(b, historyLimit, 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, int64(bytes), 10)
	b = append(b, `,"points":[`...)
	for i, p := range points {
		if i > 0 {
			b = append(b, ',', '\n')
		}
		b = append(b, p.text...)
		if len(b) > 28<<10 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(append(b, "]}\n"...))
	return err
}
