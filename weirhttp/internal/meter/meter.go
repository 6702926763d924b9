// Package meter accounts for the time of a transfer whose bytes the kernel moves.
package meter

import (
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/report"
)

// Phase is what a transfer is spending its time on.
type Phase int32

const (
	Moving Phase = iota // bytes are moving, in a system call or through memory
	Client              // the transfer waits for the client
	Rate                // a rate limit holds the transfer back
	phases
)

// Meter accounts for the time of a transfer that is not a [weir.Flow]. One goroutine
// at a time changes its phase; any goroutine can read it. A nil Meter accounts for
// nothing.
type Meter struct {
	start, stop atomic.Int64 // since epoch; stop is 0 until the end
	at          atomic.Int64 // when the phase began
	phase       atomic.Int32
	spent       [phases]atomic.Int64
	waits       atomic.Int64 // how often the transfer waited for the client
}

// epoch is the zero of all times in meters.
var epoch = time.Now()

// Begin starts the clock.
func (m *Meter) Begin() {
	t := int64(time.Since(epoch))
	m.start.Store(t)
	m.at.Store(t)
}

// Enter begins a phase and returns the one before it.
func (m *Meter) Enter(p Phase) (was Phase) {
	if m == nil {
		return p
	}
	was = Phase(m.phase.Load())
	if was == p {
		return was
	}
	t := int64(time.Since(epoch))
	m.spent[was].Add(t - m.at.Load())
	m.at.Store(t)
	m.phase.Store(int32(p))
	if p == Client {
		m.waits.Add(1)
	}
	return was
}

// Phase returns the phase the transfer is in.
func (m *Meter) Phase() Phase { return Phase(m.phase.Load()) }

// Waited returns how long the transfer has waited for the client, in all.
func (m *Meter) Waited() time.Duration {
	spent, _ := m.times()
	return spent[Client]
}

// End stops the clock. Later calls do nothing.
func (m *Meter) End() { m.stop.CompareAndSwap(0, int64(time.Since(epoch))) }

// times returns the time spent in each phase. It counts time that no counter holds
// yet for the current phase, so that the times always add up to wall.
func (m *Meter) times() (spent [phases]time.Duration, wall time.Duration) {
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

// Report returns the report that a flow with the same stages would give. kernel says
// that the kernel moves the bytes.
//
// The kernel reads and writes a download in one call, so that time is unknown. Through
// memory it counts for the file, because a socket that has room takes bytes without
// waiting. An upload waits for the client and for the file in separate calls.
func (m *Meter) Report(upload, kernel bool, moved int64) report.Report {
	spent, wall := m.times()
	rep := report.Report{Wall: wall, Running: m.stop.Load() == 0}
	stage := func(name string, k report.Kind) report.StageStats {
		return report.StageStats{Name: name, Kind: k, Workers: 1, Unit: "bytes", OutUnit: "bytes", In: moved, Out: moved, Wall: wall}
	}
	if upload {
		from, to := stage("client", report.KindSource), stage("write", report.KindSink)
		from.Outside, from.Blocked = spent[Client]+spent[Rate], spent[Moving]
		to.Outside, to.Starved = spent[Moving], spent[Client]+spent[Rate]
		rep.Stages = []report.StageStats{from, to}
	} else {
		from, rate, to := stage("read", report.KindSource), stage("rate", report.KindStage), stage("client", report.KindSink)
		rate.Limits = true
		from.Blocked, from.BlockedN = spent[Client]+spent[Rate], m.waits.Load()
		rate.Busy, rate.Starved, rate.Blocked = spent[Rate], spent[Moving], spent[Client]
		to.Outside, to.Starved = spent[Client], spent[Rate]
		if kernel {
			from.Unknown, to.Unknown = spent[Moving], spent[Moving]
		} else {
			from.Outside = spent[Moving]
			to.Starved += spent[Moving]
		}
		rep.Stages = []report.StageStats{from, to}
		if spent[Rate] > 0 {
			rep.Stages = []report.StageStats{from, rate, to}
		}
	}
	rep.Verdict = report.Judge(wall, rep.Stages...)
	if kernel && !upload {
		rep.Kernel = "sendfile"
		// The call spends most of its time on the socket if the file is in
		// memory, and on the disk otherwise. It does not tell which.
		if unknown := rep.Stages[0].Share(spent[Moving]); rep.Verdict.Stage == "" && unknown > leastUnknown {
			rep.Verdict = report.Verdict{Kernel: rep.Kernel, Why: report.Unknown, Share: unknown}
		}
	} else if kernel {
		rep.Kernel = "splice"
	}
	return rep
}

// leastUnknown is the share of unknown time from which it can hide the
// bottleneck.
const leastUnknown = 0.2
