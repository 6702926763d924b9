package weirhttp

import (
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/report"
)

// phase is what a transfer that is no [weir.Flow] does with its time.
type phase int32

const (
	phaseMoving phase = iota // bytes move, in a system call or through memory
	phaseClient              // the client is waited for
	phaseRate                // a rate holds it back
	phases
)

// meter keeps account of the time of a transfer for which the kernel moves the
// bytes, so that no flow does. One goroutine at a time moves it from phase to
// phase, anyone may read it. A nil meter keeps no account.
type meter struct {
	start, stop atomic.Int64 // since epoch; stop is 0 until the end
	at          atomic.Int64 // when the phase began
	phase       atomic.Int32
	spent       [phases]atomic.Int64
	waits       atomic.Int64 // how often the client was waited for
}

// epoch is what the times of meters count from.
var epoch = time.Now()

func (m *meter) begin() {
	t := int64(time.Since(epoch))
	m.start.Store(t)
	m.at.Store(t)
}

// enter begins a phase and returns the one that was.
func (m *meter) enter(p phase) (was phase) {
	if m == nil {
		return p
	}
	was = phase(m.phase.Load())
	if was == p {
		return was
	}
	t := int64(time.Since(epoch))
	m.spent[was].Add(t - m.at.Load())
	m.at.Store(t)
	m.phase.Store(int32(p))
	if p == phaseClient {
		m.waits.Add(1)
	}
	return was
}

func (m *meter) end() { m.stop.CompareAndSwap(0, int64(time.Since(epoch))) }

// times returns what was spent in each phase. What the counters do not hold yet
// belongs to the phase that goes on, so that they always add up to wall.
func (m *meter) times() (spent [phases]time.Duration, wall time.Duration) {
	stop := m.stop.Load()
	if stop == 0 {
		stop = int64(time.Since(epoch))
	}
	now := m.phase.Load()
	var sum time.Duration
	for i := range spent {
		spent[i] = time.Duration(m.spent[i].Load())
		sum += spent[i]
	}
	wall = max(time.Duration(stop-m.start.Load()), sum)
	spent[now] += wall - sum
	return spent, wall
}

// report is what a flow with the same stages would say. While the kernel moves
// the bytes of a download it reads and writes in one call, and that time is
// unknown. Through memory it counts as time of the file's side, since a socket
// that has room takes them without waiting; an upload waits for each side apart.
func (m *meter) report(kind Direction, kernel bool, moved int64) report.Report {
	spent, wall := m.times()
	rep := report.Report{Wall: wall, Running: m.stop.Load() == 0}
	stage := func(name string, k report.Kind) report.StageStats {
		return report.StageStats{Name: name, Kind: k, Workers: 1, Unit: "bytes", OutUnit: "bytes", In: moved, Out: moved, Wall: wall}
	}
	if kind == Upload {
		from, to := stage("client", report.KindSource), stage("write", report.KindSink)
		from.Outside, from.Blocked = spent[phaseClient]+spent[phaseRate], spent[phaseMoving]
		to.Outside, to.Starved = spent[phaseMoving], spent[phaseClient]+spent[phaseRate]
		rep.Stages = []report.StageStats{from, to}
	} else {
		from, rate, to := stage("read", report.KindSource), stage("rate", report.KindStage), stage("client", report.KindSink)
		rate.Limits = true
		from.Blocked, from.BlockedN = spent[phaseClient]+spent[phaseRate], m.waits.Load()
		rate.Busy, rate.Starved, rate.Blocked = spent[phaseRate], spent[phaseMoving], spent[phaseClient]
		to.Outside, to.Starved = spent[phaseClient], spent[phaseRate]
		if kernel {
			from.Unknown, to.Unknown = spent[phaseMoving], spent[phaseMoving]
		} else {
			from.Outside = spent[phaseMoving]
			to.Starved += spent[phaseMoving]
		}
		rep.Stages = []report.StageStats{from, to}
		if spent[phaseRate] > 0 {
			rep.Stages = []report.StageStats{from, rate, to}
		}
	}
	rep.Verdict = report.Judge(wall, rep.Stages...)
	if kernel && kind == Download {
		rep.Kernel = "sendfile"
		// Of a file in memory most of the time goes into the socket, of one
		// on the disk into the disk: the call does not tell.
		if unknown := rep.Stages[0].Share(spent[phaseMoving]); rep.Verdict.Stage == "" && unknown > leastUnknown {
			rep.Verdict = report.Verdict{Kernel: rep.Kernel, Why: report.Unknown, Share: unknown}
		}
	} else if kernel {
		rep.Kernel = "splice"
	}
	return rep
}

// leastUnknown is the part of the time from which what the kernel does not tell
// may hide the bottleneck.
const leastUnknown = 0.2
