package monitor

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir/internal/race"
)

// wide is a snapshot with as many flows and stages as one can have.
func wide(t time.Time) *Snapshot {
	s := &Snapshot{Time: unix(t), Flows: map[string]Flow{}}
	for i := range maxWatched {
		f := Flow{ID: uint64(1 << 40), Running: true, In: 123456789, Out: 123456789, Used: 1 << 40, Stages: map[string]Stage{}}
		f.ID += uint64(i)
		for j := range maxParts {
			f.Stages[decimal(j)] = Stage{Shares: [5]float64{0.25, 0.25, 0.25, 0.25, 0.25}}
		}
		s.Flows[decimal(i)] = f
	}
	return s
}

func TestHistory_StaysWithinItsLimitAndItsSpan(t *testing.T) {
	seconds := 1500
	if race.Enabled {
		seconds = 800 // its span is 600
	}
	for _, tt := range []struct {
		name string
		of   func(t time.Time) *Snapshot
	}{
		{"idle", func(t time.Time) *Snapshot { return &Snapshot{Time: unix(t)} }},
		{"wide", wide},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h history
				for range seconds {
					now := time.Now()
					h.add(now, pointOf(tt.of(now)))
					time.Sleep(time.Second)
				}
				points, n := h.size()
				if h.most > historyLimit || n > historyLimit {
					t.Errorf("it has held %d bytes, and the limit is %d", h.most, historyLimit)
				}
				if points < 595 || points > 601 {
					t.Errorf("%d points, want 600", points)
				}
				var held int
				for _, p := range h.points {
					held += cap(p.text) + entryCost
				}
				if held > n+n/10 {
					t.Errorf("it counts %d bytes and holds %d", n, held)
				}
				var b bytes.Buffer
				if err := h.writeTo(&b); err != nil {
					t.Fatal(err)
				}
				var page struct {
					V, Step, Span, Limit, Bytes int
					Points                      []Point
				}
				if err := json.Unmarshal(b.Bytes(), &page); err != nil {
					t.Fatal(err)
				}
				if page.V != Version || page.Step != 1 || page.Span != 600 || page.Limit != historyLimit || page.Bytes > n || len(page.Points) > points {
					t.Errorf("%+v", page)
				}
				last := page.Points[len(page.Points)-1]
				if all := tt.of(time.Now()).Flows; len(last.Flows)+last.More != len(all) || len(all) > 0 && len(last.Flows) == 0 {
					t.Errorf("%d flows and %d more, want %d", len(last.Flows), last.More, len(all))
				}
				time.Sleep(time.Hour)
				b.Reset()
				if _ = h.writeTo(&b); bytes.Contains(b.Bytes(), []byte(`"t"`)) {
					t.Errorf("an hour later: %s", b.Bytes())
				}
			})
		})
	}
}

// The names in the history, which are short, as clients read them.
func TestHistory_PointHasTheNamesOfItsDocumentation(t *testing.T) {
	got := string(encodePoint(Point{
		Time: 1.5, In: 2, Out: 3, Used: 4, Limit: 5, Heap: 6, RSS: 7, Active: 8, More: 9,
		Flows: []PointFlow{{ID: 1, In: 2, Out: 3, Used: 4, Bottleneck: -1, Shares: [][5]int{{10, 20, 30, 40, 0}}}},
	}))
	want := `{"t":1.5,"i":2,"o":3,"u":4,"l":5,"h":6,"r":7,"a":8,"f":[{"id":1,"i":2,"o":3,"u":4,"b":-1,"s":[[10,20,30,40,0]]}]}`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestHistory_HasAPointASecondOfEachFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		time.Sleep(20 * time.Second)
		_ = stop()
		time.Sleep(20 * time.Second) // nothing is recorded
		if n, _ := m.history.size(); n < 19 || n > 22 {
			t.Errorf("%d points", n)
		}
		var p Point
		if err := json.Unmarshal(m.history.points[10].text, &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Flows) != 1 || p.Flows[0].Bottleneck != 1 || p.Flows[0].Shares[1][0] < 99 || p.Flows[0].Shares[0][1] < 99 || p.Used == 0 {
			t.Errorf("%+v", p)
		}
	})
}
