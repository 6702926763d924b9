package report

import (
	"strings"
	"testing"
	"time"
)

// in is a stage of a phase of 100 s, with seconds of each state.
func in(name string, busy, blocked, starved, outside int) StageStats {
	s := StageStats{
		Name: name, Kind: KindStage, Workers: 1, Busy: time.Duration(busy) * time.Second, Blocked: time.Duration(blocked) * time.Second,
		Starved: time.Duration(starved) * time.Second, Outside: time.Duration(outside) * time.Second,
	}
	s.Wall = s.Busy + s.Blocked + s.Starved + s.Outside
	return s
}

func peer(name string, s StageStats) StageStats { s.Peer = name; return s }

func of(kind Kind, s StageStats) StageStats { s.Kind = kind; return s }

func TestJudge_SaysWhatItFound(t *testing.T) {
	short := in("map", 5, 95, 0, 0)
	short.Budget = 90 * time.Second
	for _, c := range []struct {
		name   string
		stages []StageStats
		want   string
	}{
		{"no stages", nil, "no single bottleneck: no stage governed the flow for most of the time"},
		{"a slow stage", []StageStats{in("read", 0, 90, 0, 10), in("gzip", 98, 0, 2, 0)}, "gzip is the bottleneck: busy 98% of the time, and read waited for it 90% of the time"},
		{"a slow stage whose source has ended", []StageStats{in("read", 0, 0, 0, 1), in("gzip", 98, 0, 2, 0)}, "gzip is the bottleneck: busy 98% of the time"},
		{"a source that has ended holds nothing back", []StageStats{in("read", 0, 0, 0, 1), in("gzip", 0, 98, 2, 0), of(KindSink, in("write", 0, 0, 2, 98))}, "the destination is the bottleneck: writing (write) took 98% of the time, and gzip waited for it 98% of the time"},
		{"a sink that names its peer", []StageStats{in("gzip", 1, 98, 1, 0), of(KindSink, peer("the other side of logs", in("logs", 0, 0, 2, 98)))}, "the other side of logs is the bottleneck: writing (logs) took 98% of the time, and gzip waited for it 98% of the time"},
		{"a source that names its peer", []StageStats{of(KindSource, peer("the store", in("store", 0, 2, 0, 98))), in("gzip", 1, 0, 99, 0)}, "the store is the bottleneck: reading (store) took 98% of the time"},
		{"a peer that nobody waits for", []StageStats{of(KindSource, peer("the store", in("store", 98, 0, 0, 2))), in("gzip", 1, 0, 99, 0)}, "store is the bottleneck: busy 100% of the time"},
		{"a stage that works and waits outside", []StageStats{in("read", 0, 90, 0, 10), in("exec sort", 69, 0, 0, 31)}, "exec sort is the bottleneck: busy or outside 100% of the time, and read waited for it 90% of the time"},
		{"two that take turns", []StageStats{of(KindSource, in("read", 0, 50, 0, 50)), of(KindSink, in("write", 0, 0, 50, 50))}, "no single bottleneck: read (50% of the time) and write (50%) take turns"},
		{"two that are equally slow", []StageStats{of(KindSource, in("read", 0, 1, 0, 99)), in("gzip", 99, 0, 1, 0)}, "no single bottleneck: read (99% of the time) and gzip (99%) are equally slow"},
		{"three that take turns", []StageStats{in("a", 34, 66, 0, 0), in("b", 33, 33, 34, 0), in("c", 33, 0, 67, 0)}, "no single bottleneck: no stage governed the flow for most of the time"},
		{"the budget", []StageStats{short, in("each", 4, 0, 96, 0)}, "the shared memory budget is the bottleneck: map waited for memory 90% of the time"},
		{"a slow sink, which matters more than the budget", []StageStats{short, in("each", 99, 0, 1, 0)}, "each is the bottleneck: busy 99% of the time, and map waited for it 95% of the time"},
	} {
		if got := Judge(100*time.Second, c.stages...).String(); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestVerdict_DoesWhatTheStatesOfItsStageSay(t *testing.T) {
	for want, s := range map[string]StageStats{
		"busy": in("a", 100, 0, 0, 0), "outside": in("a", 1, 0, 0, 99), "busy or outside": in("a", 60, 0, 0, 40),
	} {
		if got := Judge(100*time.Second, s).Does(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestJudge_OfACopyByTheKernel(t *testing.T) {
	const s = time.Second
	type spent struct{ read, copy, write, unknown, maybeRead, maybeWrite time.Duration }
	for _, c := range []struct {
		name string
		spent
		want string
	}{
		{"a slow source", spent{read: 90 * s, copy: 10 * s}, "the source is the bottleneck: reading (read) took 90% of the time"},
		{"a slow destination", spent{write: 90 * s, copy: 10 * s}, "the destination is the bottleneck: writing (write) took 90% of the time"},
		{"neither", spent{read: 2 * s, copy: 95 * s, write: 3 * s}, "the copy itself is the bottleneck: the kernel was busy moving the bytes (splice) 95% of the time"},
		{"nothing known", spent{copy: 5 * s, unknown: 95 * s}, "unknown bottleneck: the kernel moved the bytes (splice) and does not tell reading from writing"},
		{"too little known", spent{copy: 60 * s, unknown: 40 * s}, "unknown bottleneck: the kernel moved the bytes (splice) and does not tell reading from writing"},
		{"a source that samples show", spent{read: 40 * s, copy: 5 * s, unknown: 55 * s, maybeRead: 45 * s, maybeWrite: 5 * s}, "the source is the bottleneck: reading (read) took 85% of the time"},
		{"a destination that samples show", spent{copy: 5 * s, unknown: 95 * s, maybeWrite: 90 * s}, "the destination is the bottleneck: writing (write) took 90% of the time"},
		{"the two ends in turn", spent{read: 50 * s, write: 48 * s, copy: 2 * s}, "no single bottleneck: read (50% of the time) and write (48%) take turns"},
		{"the copy and an end in turn", spent{copy: 50 * s, write: 50 * s}, "no single bottleneck: the copy itself (50% of the time) and write (50%) take turns"},
	} {
		from := StageStats{Name: "read", Kind: KindSource, Busy: c.copy, Outside: c.read, Unknown: c.unknown, Hidden: c.maybeRead, Copied: true}
		to := StageStats{Name: "write", Kind: KindSink, Busy: c.copy, Outside: c.write, Unknown: c.unknown, Hidden: c.maybeWrite, Copied: true}
		v, ok := JudgeCopy([]StageStats{from, to}, 100*s, "splice")
		if !ok || v.String() != c.want || v.Kernel != "splice" {
			t.Errorf("%s: %v", c.name, v)
		}
		if v.Why == Unknown && (v.Stage != "" || strings.Contains(v.String(), "%")) {
			t.Errorf("%s: an unknown verdict names a share: %v", c.name, v)
		}
	}
}
