package monitor

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir/report"
)

// Transfers is the registry of a server's transfers, such as the one in package
// weirhttp. Its methods may be called at any time, by several goroutines, and
// return soon.
type Transfers interface {
	// Totals counts the transfers since the registry was made, including
	// running ones.
	Totals() report.Totals

	// Top returns at most n of the running transfers: those that have waited
	// longest for their clients, the longest wait first.
	Top(n int) []report.Transfer

	// ReportOf returns the report on a running transfer.
	ReportOf(id uint64) (report.Report, bool)
}

// TransferGroup is one registry of transfers in a [Snapshot].
type TransferGroup struct {
	report.Totals
	Rows   map[string]Row `json:"rows"`             // by ID: those that have waited longest, at most 200
	Hidden int64          `json:"hidden,omitempty"` // running, and not in Rows
}

// Row is a [report.Transfer] in a [Snapshot].
type Row struct {
	Kind   string  `json:"kind"` // "download" or "upload"
	Method string  `json:"method"`
	Name   string  `json:"name"`
	Client string  `json:"client"`
	Start  float64 `json:"start"`
	Size   int64   `json:"size"`
	Moved  int64   `json:"moved"`
	Unsent int64   `json:"unsent"`
	Rate   float64 `json:"rate"` // bytes a second since it was last looked at
	State  string  `json:"state"`
	Waited float64 `json:"waited"`
}

// maxRows is how many transfers of a registry a snapshot shows.
const maxRows = 200

// group is a registry of transfers.
type group struct {
	name string
	t    Transfers
}

// listing is the last list of a registry of transfers.
type listing struct {
	of    Transfers
	next  time.Time
	at    time.Time
	rows  map[string]Row
	group TransferGroup
	in    float64
	out   float64
	about // of which there is a sentence
}

// refresh lists the transfers again, unless listing them took so much of the time that
// the last list must do.
func (l *listing) refresh(t time.Time) {
	if t.Before(l.next) {
		return
	}
	began := time.Now()
	totals, top := l.of.Totals(), l.of.Top(maxRows)
	was, span := l.group.Totals, t.Sub(l.at).Seconds()
	rows := make(map[string]Row, len(top))
	for _, x := range top {
		id := strconv.FormatUint(x.ID, 10)
		row := Row{
			Kind: kindOf(x), Method: x.Method, Name: x.Name, Client: x.Client, Start: unix(x.Start),
			Size: x.Size, Moved: x.Moved, Unsent: x.Unsent, State: x.State, Waited: seconds(x.Waited.Round(100 * time.Millisecond)),
		}
		if old, ok := l.rows[id]; ok && span > 0 {
			row.Rate = threeDigits(float64(x.Moved-old.Moved) / span)
		} else if age := t.Sub(x.Start).Seconds(); age > 0.1 {
			row.Rate = threeDigits(float64(x.Moved) / age)
		}
		rows[id] = row
	}
	l.in, l.out = 0, 0
	if !l.at.IsZero() && span > 0 {
		l.in, l.out = float64(max(0, totals.BytesIn-was.BytesIn))/span, float64(max(0, totals.BytesOut-was.BytesOut))/span
	}
	l.rows = rows
	l.group = TransferGroup{Totals: totals, Rows: rows, Hidden: max(0, totals.Active-int64(len(rows)))}
	l.look(l.of, top, t)
	l.at = t
	l.next = t.Add(max(listEvery-tick/2, listCost*time.Since(began)))
}

// about is the transfer that the sentence of a registry is about: the one that has
// waited longest.
type about struct {
	id     uint64 // 0: none
	judge  *judge // of its reports
	worst  string // the sentence
	state  State
	since  time.Time // since when it has held; zero: from the start
	coming uint64    // has waited longest now
	came   time.Time // since when
}

// look makes the sentence about one of the transfers, those that have waited
// longest first. It stays with one until another has waited longest for as long as
// a verdict must hold, and its verdict is held as that on a flow is.
func (a *about) look(of Transfers, top []report.Transfer, t time.Time) {
	a.worst, a.state = "", ""
	if len(top) == 0 {
		a.id, a.judge = 0, nil
		return
	}
	if a.coming != top[0].ID {
		a.coming, a.came = top[0].ID, t
	}
	at := slices.IndexFunc(top, func(x report.Transfer) bool { return x.ID == a.id })
	if at < 0 || at > 0 && t.Sub(a.came) >= report.Hold {
		at = 0
		a.id, a.judge, a.since = top[0].ID, new(judge), time.Time{}
	}
	rep, ok := of.ReportOf(a.id)
	if !ok {
		return // it has just ended
	}
	rep, a.since = a.judge.look(rep)
	a.worst, a.state = transferSentence(top[at], rep)
}

// transferSentence describes the transfer that has waited longest.
func transferSentence(x report.Transfer, rep report.Report) (string, State) {
	text := rep.Verdict.String()
	state := KeepingUp
	if rep.Verdict.WaitingShare > heldBack || strings.Contains(x.State, "client") {
		state = PushingBack
	}
	if rep.Verdict.Measuring {
		state = Measuring
	}
	return "client " + x.Client + ": " + text, state
}

func kindOf(x report.Transfer) string {
	if x.Upload {
		return "upload"
	}
	return "download"
}

const (
	mostFollowed  = 64               // transfers
	followedUntil = 10 * time.Second // after the last request for a transfer
)

// judge replaces the verdicts of reports on one transfer, which are about all of it, by
// verdicts on its last seconds. The zero value is ready.
type judge struct {
	latest  report.Report
	watcher *report.Watcher // of latest
}

// look returns rep with its verdict replaced, and the time since when that has held. Until
// there is such a verdict, rep stays as it is and the time is zero.
func (j *judge) look(rep report.Report) (report.Report, time.Time) {
	if j.watcher == nil {
		j.latest = rep
		j.watcher = report.Watch(func() report.Report { return j.latest })
	}
	if rep.Wall > j.latest.Wall { // else a later request has overtaken this one
		j.latest = rep
	}
	held, since := j.watcher.Look()
	if held.Verdict.Measuring {
		return rep, time.Time{}
	}
	rep.Verdict = held.Verdict
	return rep, since
}

// followed has a judge for each of the transfers that clients ask about one by one.
type followed struct {
	mu  sync.Mutex // held for a judgement only
	all map[transferKey]*followedTransfer
}

type transferKey struct {
	group string
	id    uint64
}

type followedTransfer struct {
	judge
	asked time.Time
}

// look returns rep, the latest report on a transfer, as its judge does.
func (f *followed) look(key transferKey, rep report.Report, now time.Time) report.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.all[key]
	if x == nil {
		f.makeRoom(now)
		x = &followedTransfer{}
		f.all[key] = x
	}
	x.asked = now
	rep, _ = x.look(rep)
	return rep
}

// makeRoom forgets the transfers that nobody asks about any more and, if there are
// still too many, the one that was asked about least recently.
func (f *followed) makeRoom(now time.Time) {
	if f.all == nil {
		f.all = map[transferKey]*followedTransfer{}
	}
	maps.DeleteFunc(f.all, func(_ transferKey, x *followedTransfer) bool { return now.Sub(x.asked) >= followedUntil })
	if len(f.all) < mostFollowed {
		return
	}
	oldest, at := transferKey{}, now
	for key, x := range f.all {
		if !x.asked.After(at) {
			oldest, at = key, x.asked
		}
	}
	delete(f.all, oldest)
}
