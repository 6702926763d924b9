package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// ended keeps the result of a step for the summary.
func (v *view) ended(st *step, r report.Report, took time.Duration, f *failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	in, out := st.bytes(r)
	v.done = append(v.done, ended{st, r, took, in, out, f})
	v.current = nil
}

// failed reports a failed step at once, because the others continue. Advice that
// several failures share is printed once.
func (v *view) failed(f *failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		v.emit("error", f.fields())
		return
	}
	if v.live != nil {
		v.live.erase()
	}
	told := *f
	if told.try == v.try {
		told.try = ""
	} else {
		v.try = f.try
	}
	told.print(v.stderr)
}

// several is the end of a run that went on where steps failed, or nil.
func (v *view) several() *failure {
	failed, skipped, f := 0, 0, &failure{}
	for _, d := range v.done {
		if d.failed == nil {
			continue
		}
		if d.failed.skipped {
			skipped++
		} else {
			failed++
		}
		// A file that was skipped counts less than one that failed.
		if f.code == 0 || f.code == exitUsage {
			f.code = cmp.Or(d.failed.code, f.code)
		}
	}
	if failed+skipped == 0 {
		return nil
	}
	kind := "file"
	if slices.ContainsFunc(v.steps, func(st *step) bool { return st.isTree }) {
		kind = "source"
	}
	of := units.Count(int64(len(v.steps)), kind)
	was := func(n int) string {
		if n == 1 {
			return "1 was skipped"
		}
		return fmt.Sprintf("%d were skipped", n)
	}
	switch {
	case skipped == 0:
		f.text = fmt.Sprintf("%d of %s failed", failed, of)
	case failed == 0:
		f.text = strings.Replace(was(skipped), " ", " of "+of+" ", 1)
	default:
		f.text = fmt.Sprintf("%d of %s failed and %s", failed, of, was(skipped))
	}
	if failed+skipped < len(v.steps) {
		f.text += "; the others are " + v.verb
	}
	return f
}

// summary returns the text that stays on the screen.
func (v *view) summary(f *failure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in, out, peak, ceiling int64
	var longest ended
	done := v.done
	if v.goOn { // the failures have been reported already
		done = slices.DeleteFunc(slices.Clone(done), func(d ended) bool { return d.failed != nil && !d.failed.partly })
	}
	for _, d := range done {
		in, out = in+d.in, out+d.out
		peak = max(peak, d.report.Peak)
		c, _ := d.step.ceiling()
		ceiling = max(ceiling, c)
		if d.took >= longest.took {
			longest = d
		}
	}
	took := time.Since(v.began)
	if v.json {
		v.emitSummary(f, done, longest, in, out, took, ceiling, peak)
		return
	}
	if v.quiet || v.silent && !v.talks() || f != nil && in == 0 && out == 0 {
		return
	}
	whole := f == nil || v.goOn || f.partly // the steps that are reported have succeeded
	if !whole && f.code < exitHungUp && !v.verbose {
		return // the error says how far it came
	}
	if !whole {
		fmt.Fprintf(v.stderr, "read %s", weir.FormatBytes(in))
	} else {
		fmt.Fprintf(v.stderr, "%s %s", v.verb, weir.FormatBytes(in))
	}
	if out != in && whole {
		fmt.Fprintf(v.stderr, " to %s", weir.FormatBytes(out))
		if in > 0 && !continued(done) {
			fmt.Fprintf(v.stderr, " (%.1f%%)", 100*float64(out)/float64(in))
		}
	}
	fmt.Fprintf(v.stderr, " in %v, %s", round(took), rate(in, took))
	if n, folders := files(done); folders && whole {
		fmt.Fprint(v.stderr, ", ", units.Count(n, "file"))
	}
	told := ""
	for _, d := range done {
		if d.step.note == nil || !whole {
			continue
		}
		if note := d.step.note(); note != told { // a note that several files share is printed once
			fmt.Fprint(v.stderr, note)
			told = note
		}
	}
	fmt.Fprintln(v.stderr)
	for _, d := range done {
		if d.step.verifies && !v.goOn {
			continue // the line above has it
		}
		for _, s := range d.namedSums(len(done) > 1) {
			fmt.Fprintln(v.stderr, s)
		}
	}
	if !v.talks() {
		return
	}
	if v.verbose {
		for _, d := range done {
			fmt.Fprintln(v.stderr, d.report)
		}
	}
	fmt.Fprintln(v.stderr, "bottleneck:", longest.report.Verdict)
	fmt.Fprintf(v.stderr, "memory: %s in pipes at the peak, ceiling %s", weir.FormatBytes(peak), weir.FormatBytes(ceiling))
	if p := peakMemory(); p > 0 {
		fmt.Fprintf(v.stderr, ", process peak %s", weir.FormatBytes(p))
	}
	fmt.Fprintln(v.stderr)
}

// continued reports whether a step has done only a part of the work, so that the
// ratio of its bytes means nothing.
func continued(done []ended) bool {
	return slices.ContainsFunc(done, func(d ended) bool { return d.step.survives != nil && d.step.survives.continued() })
}

// namedSums are the results of the stages of a step, with the name of the source if
// there are several.
func (d ended) namedSums(several bool) []string {
	var list []string
	for _, s := range d.step.sums {
		if several {
			s += "  " + d.step.src
		}
		list = append(list, s)
	}
	return list
}

// files returns the number of files of all steps, and whether any step is a folder.
func files(done []ended) (n int64, folders bool) {
	for _, d := range done {
		if d.step.tree == nil {
			n++
			continue
		}
		folders = true
		p, _ := d.step.tree()
		n += p.Files - p.Equal
	}
	return n, folders
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond * 100)
	}
	return d.Round(time.Millisecond)
}

// emit writes one line of JSON.
func (s *settings) emit(kind string, fields map[string]any) { emitLine(s.stderr, kind, fields) }

// emitLine writes one line of JSON. help/json.md describes them.
func emitLine(w io.Writer, kind string, fields map[string]any) error {
	line := map[string]any{"v": 1, "type": kind}
	for k, value := range fields {
		line[k] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"v": 1, "type": "warning", "text": err.Error()})
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func (v *view) emitProgress(now, all report.Report) {
	in, out := v.current.bytes(all)
	took := time.Since(v.since)
	inRate, outRate := v.speed.look(time.Now(), in, out)
	fields := map[string]any{
		"source": v.current.src, "bytes_in": in, "bytes_out": out, "seconds": took.Seconds(),
		"rate_in": int64(inRate), "rate_out": int64(outRate),
		"held": all.Held, "stages": stagesJSON(now), "bottleneck": bottleneck(now.Verdict),
	}
	if v.current.tree != nil {
		p, file := v.current.tree()
		fields["files"], fields["files_found"], fields["file"] = p.Files, p.FilesFound, file
	}
	if total := v.current.total(); total >= 0 {
		fields["total"] = total
		if d, known := timeLeft(total-in, inRate, took); known {
			fields["seconds_left"] = int64(d.Seconds())
		}
	}
	v.emit("progress", fields)
}

func (v *view) emitSummary(f *failure, done []ended, longest ended, in, out int64, took time.Duration, ceiling, peak int64) {
	if f != nil {
		v.emit("error", f.fields())
		f.told = true
	}
	var files, equal, failures int64
	for _, d := range v.done {
		switch {
		case d.step.tree != nil:
			p, _ := d.step.tree()
			files, equal, failures = files+p.Files-p.Equal, equal+p.Equal, failures+p.Failed
			if p.Failed == 0 && d.failed != nil { // not one of its files, but the folder
				failures++
			}
		case d.failed != nil && d.failed.skipped:
			// neither done nor failed
		case d.failed != nil:
			failures++
		case d.step.equal:
			equal++
		default:
			files++
		}
	}
	verified := len(done) > 0 && f == nil
	sums, unread := []string{}, []map[string]any{}
	for _, d := range done {
		sums = append(sums, d.namedSums(len(done) > 1)...)
		verified = verified && d.step.verifies
	}
	for _, d := range v.done { // failed or not
		for _, u := range d.step.left() {
			unread = append(unread, map[string]any{"source": d.step.src, "stage": u.stage, "offset": u.offset})
		}
	}
	fields := map[string]any{
		"ok": f == nil, "bytes_in": in, "bytes_out": out, "seconds": took.Seconds(), "sums": sums, "verified": verified, "unread": unread, "files": files, "equal": equal, "failed": failures,
		"stages": stagesJSON(longest.report), "bottleneck": bottleneck(longest.report.Verdict),
		"memory": map[string]any{"ceiling": ceiling, "peak": peak, "process": peakMemory()},
	}
	for _, d := range v.done { // a pipe is the only step
		if s := d.step.survives; s != nil {
			fields["segments"] = s.resumed()
		}
	}
	v.emit("summary", fields)
}

// bottleneck is a verdict as JSON. Its "is" says what kind of answer it is.
func bottleneck(v report.Verdict) map[string]any {
	m := map[string]any{"sentence": v.String()}
	switch {
	case v.Measuring:
		m["is"] = "measuring"
	case v.Why == report.Unknown:
		m["is"] = "unknown"
	case v.Budget:
		m["is"], m["share"] = "budget", v.Share
	case v.Copy:
		m["is"], m["share"] = "copy", v.Share
	case v.Stage != "":
		m["is"], m["stage"], m["why"], m["share"] = "stage", v.Stage, v.Why, v.Share
		if v.Peer != "" {
			m["peer"] = v.Peer
		}
	default:
		m["is"] = "none"
		if v.Between[0].Name != "" {
			m["between"] = []string{v.Between[0].Name, v.Between[1].Name}
		}
	}
	return m
}

func stagesJSON(r report.Report) []map[string]any {
	list := []map[string]any{}
	for _, s := range r.Stages {
		list = append(list, map[string]any{
			"name": s.Name, "kind": s.Kind, "workers": s.Workers, "in": s.In, "out": s.Out,
			"busy": s.Share(s.Busy), "blocked": s.Share(s.Blocked), "starved": s.Share(s.Starved), "outside": s.Share(s.Outside),
			"unknown":        s.Share(s.Unknown),
			"blocked_events": s.BlockedN,
		})
	}
	return list
}
