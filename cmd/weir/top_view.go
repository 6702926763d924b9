package main

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

// reportRows are the rows of a single report.
func (t *top) reportRows(list []*entry, width int) (rows []string) {
	rows = t.listRows(list, "", width-1)
	for _, e := range list {
		rows = append(rows, "")
		if len(list) > 1 {
			rows = append(rows, fit(e.name, width-1))
		}
		rows = append(rows, t.details(e, width-1, 30)...)
	}
	if t.unjoined != nil {
		rows = append(rows, "")
		rows = append(rows, wrap("Commands of one pipeline are shown one by one: "+t.unjoined.Error()+".", width-1)...)
	}
	return rows
}

// listRows are a line that counts the runs, and a table of them.
func (t *top) listRows(list []*entry, chosen string, width int) (rows []string) {
	rows = append(rows, headline(list, width), "")
	if width < 59 {
		for _, e := range list {
			rows = append(rows, marked(e.key == chosen)+fmt.Sprintf("%d %s: %s", e.pids[0], e.state, e.name))
		}
		return rows
	}
	name := width - 2 - 7 - 2 - 12 - 1 - rateWidth - 1 - rateWidth
	memory := ""
	if width >= 109 {
		name -= 24
		memory = fmt.Sprintf(" %23s", "held in buffers")
	}
	rows = append(rows, fmt.Sprintf("  %7s %s %-12s %*s %*s%s", "PID", runewidth.FillRight("run", name), "state", rateWidth, "in", rateWidth, "out", memory))
	for _, e := range list {
		row := fmt.Sprintf("%s%7d %s %-12s %*s %*s", marked(e.key == chosen), e.pids[0], runewidth.FillRight(runewidth.Truncate(e.name, name, "…"), name),
			e.state, rateWidth, maybeRate(e.in), rateWidth, maybeRate(e.out))
		if memory != "" {
			row += fmt.Sprintf(" %23s", fmt.Sprintf("%s of %s", units.Bytes(e.memory.Used), units.Bytes(e.memory.Limit)))
		}
		rows = append(rows, row)
	}
	return rows
}

func marked(chosen bool) string {
	if chosen {
		return "> "
	}
	return "  "
}

func maybeRate(n float64) string {
	if n < 0 {
		return "-"
	}
	return perSecond(n)
}

// says returns rows that say which part is slow.
func (t *top) says(e *entry, width int) (rows []string) {
	for _, row := range wrap(heldFor(e.sentence, e.since), max(20, width)) {
		rows = append(rows, t.paint().bold(row))
	}
	return rows
}

func (t *top) paint() painter { return paintOn(t.stdout, t.noColor) }

// details are the answer about a run, and where its time goes, in about so many
// rows.
func (t *top) details(e *entry, width, most int) (rows []string) {
	rows = t.says(e, width)
	switch {
	case e.finding != nil:
		all := e.finding.rows("", width+1, t.paint())
		return append(rows, all[1:]...) // without the sentence
	case e.snap == nil:
		return rows
	case e.kind == "server":
		rows = append(rows, "")
		return append(rows, t.transferRows(e, "", width, max(3, most-len(rows)))...)
	}
	f, more := mainFlow(e.snap)
	if f == nil {
		return rows
	}
	if width >= 59 {
		rows = append(rows, "")
		rows = append(rows, stageRows(reportOf(*f), width, t.paint())...)
	}
	if more > 0 {
		rows = append(rows, fmt.Sprintf("  and %s at the same time", units.Count(int64(more), "other flow")))
	}
	return rows
}

// mainFlow is the flow that the sentence of a snapshot is about, else one that
// runs, or nil; and how many more run.
func mainFlow(s *monitor.Snapshot) (f *monitor.Flow, more int) {
	keys := slices.SortedFunc(maps.Keys(s.Flows), byNumber)
	for _, k := range keys {
		g := s.Flows[k]
		if "flow "+k == s.Subject {
			f = &g
		} else if g.Running {
			more++
			if f == nil && !strings.HasPrefix(s.Subject, "flow ") {
				f, more = &g, more-1
			}
		}
	}
	return f, more
}

// byNumber orders keys that are decimal numbers.
func byNumber(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// reportOf is as much of the report on a flow as rows show, over the last second.
func reportOf(f monitor.Flow) report.Report {
	r := report.Report{Flow: f.Name, Wall: time.Second}
	for i := range len(f.Stages) {
		st, ok := f.Stages[strconv.Itoa(i)]
		if !ok {
			break
		}
		s := stageStats(st, monitor.Stage{})
		s.Name, s.Wall = printable(s.Name), time.Second
		s.In, s.Out = int64(st.InRate), int64(st.OutRate)
		for i, to := range []*time.Duration{&s.Busy, &s.Blocked, &s.Starved, &s.Outside, &s.Unknown} {
			*to = time.Duration(st.Shares[i] * float64(time.Second))
		}
		r.Stages = append(r.Stages, s)
	}
	for i := range len(f.Pipes) {
		p := f.Pipes[strconv.Itoa(i)]
		r.Pipes = append(r.Pipes, report.PipeStats{Name: printable(p.Name), Bytes: p.Used, LimitBytes: p.Limit, Items: p.Items, LimitItems: p.Most})
	}
	return r
}

// transfer is a transfer of a server.
type transfer struct {
	group string
	id    string
	row   monitor.Row
}

// key names a transfer among all of a server.
func (x transfer) key() string { return x.group + " " + x.id }

// transfers are those that the filter leaves, in the order of the view, and how
// many more are running.
func (t *top) transfers(s *monitor.Snapshot, filter string) (list []transfer, total, hidden int64) {
	for group, g := range s.Transfers {
		total += g.Active
		hidden += g.Hidden
		for id, row := range g.Rows {
			if filter == "" || contains(row.Client, filter) || contains(row.Name, filter) || contains(row.State, filter) {
				list = append(list, transfer{group, id, row})
			}
		}
	}
	slices.SortFunc(list, func(a, b transfer) int {
		by := 0
		switch t.sort {
		case "rate":
			by = cmp.Compare(b.row.Rate, a.row.Rate)
		case "size":
			by = cmp.Compare(b.row.Moved, a.row.Moved)
		case "name":
			by = cmp.Compare(a.row.Name, b.row.Name)
		default:
			by = cmp.Compare(b.row.Waited, a.row.Waited)
		}
		return cmp.Or(by, cmp.Compare(a.group, b.group), byNumber(a.id, b.id))
	})
	return list, total, hidden
}

// shortState are the states of transfers in few columns.
var shortState = strings.NewReplacer("waiting for the client", "wait: client", "waiting for the disk", "wait: disk", "waiting for the rate limit", "rate limit")

// transferRows are a table of transfers, in at most so many rows, and the sums.
func (t *top) transferRows(e *entry, chosen string, width, most int) (rows []string) {
	filter := t.filter
	list, total, hidden := t.transfers(e.snap, filter)
	client := 15
	if width >= 99 {
		client = 21
	}
	name := width - 2 - client - 1 - 1 - 12 - 1 - 10 - 1 - 4 - 1 - rateWidth - 1 - 7
	wide := name >= 8
	if wide {
		rows = append(rows, fmt.Sprintf("  %s %s %-12s %10s %4s %*s %7s", runewidth.FillRight("client", client), runewidth.FillRight("file", name), "state", "moved", "", rateWidth, "rate", "waited"))
	}
	// The chosen one stays in sight.
	room := max(1, most-len(rows)-3) // sums and notes come below
	first := 0
	for i, x := range list {
		if x.key() == chosen && i >= room {
			first = i - room + 1
		}
	}
	shown := list[first:min(len(list), first+room)]
	for _, x := range shown {
		part := ""
		if x.row.Size > 0 {
			part = fmt.Sprintf("%d%%", min(100, 100*x.row.Moved/x.row.Size))
		}
		who := x.row.Client
		if host, _, err := net.SplitHostPort(who); err == nil && client < 21 {
			who = host
		}
		file := x.row.Name
		if x.row.Kind == "upload" {
			file = x.row.Method + " " + file
		}
		state := shortState.Replace(x.row.State)
		if !wide {
			rows = append(rows, fmt.Sprintf("%s%s %s %s", marked(x.key() == chosen), printable(who), state, perSecond(x.row.Rate)))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s%s %s %s %10s %4s %*s %7s", marked(x.key() == chosen),
			runewidth.FillRight(runewidth.Truncate(printable(who), client, "…"), client),
			runewidth.FillRight(runewidth.Truncate(printable(file), name, "…"), name),
			runewidth.FillRight(runewidth.Truncate(state, 12, "…"), 12),
			weir.FormatBytes(x.row.Moved), part, rateWidth, perSecond(x.row.Rate), fmt.Sprintf("%.0f s", x.row.Waited)))
	}
	var sums []string
	for _, group := range slices.Sorted(maps.Keys(e.snap.Transfers)) {
		g := e.snap.Transfers[group]
		sums = append(sums, fmt.Sprintf("%s now, %d succeeded, %d failed, %s received, %s sent", units.Count(g.Active, "transfer"), g.Succeeded, g.Failed, weir.FormatBytes(g.BytesIn), weir.FormatBytes(g.BytesOut)))
	}
	notes := []string{strings.Join(sums, "; ")}
	switch {
	case hidden > 0:
		notes = append(notes, fmt.Sprintf("%d of %d are shown; the %d with the longest waits are known here", len(shown), total, total-hidden))
	case len(shown) < len(list):
		notes = append(notes, fmt.Sprintf("%d of %d are shown", len(shown), len(list)))
	}
	if filter != "" {
		notes = append(notes, fmt.Sprintf("%s with %q in their line", units.Count(int64(len(list)), "transfer"), filter))
	}
	for _, n := range notes {
		rows = append(rows, "  "+runewidth.Truncate(n, max(20, width-2), "…"))
	}
	return rows
}

// json is an entry as JSON. help/json.md describes it.
func (e *entry) json(t *top) map[string]any {
	m := map[string]any{
		"kind": e.kind, "name": e.name, "pids": e.pids, "state": e.state, "sentence": e.sentence,
		"memory": map[string]any{"used": e.memory.Used, "limit": e.memory.Limit},
	}
	if e.in >= 0 {
		m["in"] = e.in
	}
	if e.out >= 0 {
		m["out"] = e.out
	}
	if e.since >= 0 {
		m["held"] = e.since.Seconds()
	}
	if e.finding != nil {
		for k, v := range e.finding.json(t.lines.sampler.Totals().Samples) {
			m[k] = v
		}
		return m
	}
	if e.snap == nil {
		return m
	}
	if f, _ := mainFlow(e.snap); f != nil {
		r := reportOf(*f)
		for i := range r.Stages {
			st := f.Stages[strconv.Itoa(i)]
			r.Stages[i].In, r.Stages[i].Out, r.Stages[i].Name = st.In, st.Out, st.Name
		}
		m["flow"], m["stages"] = f.Name, stagesJSON(r)
		m["bottleneck"] = bottleneckOf(f.Verdict, f.Sentence)
	}
	if e.kind == "server" {
		list, total, hidden := t.transfers(e.snap, t.filter)
		rows := []map[string]any{}
		for _, x := range list {
			rows = append(rows, map[string]any{
				"group": x.group, "id": x.id, "kind": x.row.Kind, "client": x.row.Client, "name": x.row.Name, "state": x.row.State,
				"moved": x.row.Moved, "size": x.row.Size, "rate": x.row.Rate, "waited": x.row.Waited,
			})
		}
		m["transfers"], m["active"], m["hidden"] = rows, total, hidden
	}
	return m
}

// bottleneckOf is the verdict of a snapshot in the form that all commands print.
func bottleneckOf(v monitor.Verdict, sentence string) map[string]any {
	m := map[string]any{"sentence": sentence, "share": v.Share}
	switch v.Bottleneck {
	case "measuring", "unknown", "none":
		m["is"] = v.Bottleneck
		delete(m, "share")
	case "the memory budget":
		m["is"] = "budget"
	case "the copy itself":
		m["is"] = "copy"
	default:
		m["is"], m["stage"] = "stage", v.Bottleneck
		if v.Peer != "" {
			m["peer"] = v.Peer
		}
	}
	return m
}
