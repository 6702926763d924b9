package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weir-go/weir/internal/procpipe"
)

// topLive is the state of the live view.
type topLive struct {
	*top
	region  *region
	tty     *os.File
	list    []*entry
	chosen  string // key of the chosen run
	inside  bool   // the transfers of that server are shown
	picked  string // key of the chosen transfer
	typing  bool   // the filter is being typed
	samples procpipe.Totals
}

// live shows the runs until the user has seen enough. One goroutine, this one,
// does all but read keys and ask programs.
func (t *top) live(ctx context.Context) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	tty, _ := t.stdout.(*os.File)
	pressed := make(chan string)
	keys := readKeys(func(key string) {
		select {
		case pressed <- key:
		case <-ctx.Done():
		}
	})
	defer func() {
		quit() // else the reader of keys may wait for us
		keys.end()
	}()
	v := &topLive{top: t, tty: tty, region: &region{out: t.stdout, tty: tty, paint: t.paint()}}
	refresh := time.NewTicker(whoRefresh)
	defer refresh.Stop()
	sample := time.NewTimer(0)
	defer sample.Stop()
	// The first answers come within milliseconds; nobody waits a second for them.
	soon := time.NewTimer(100 * time.Millisecond)
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-pressed:
			if !v.press(key) {
				return nil
			}
			v.draw()
		case <-sample.C:
			sample.Reset(whoSample*2/3 + rand.N(whoSample*2/3))
			if len(t.lines.lines) > 0 {
				if err := t.lines.sampler.Sample(t.lines.lines); err != nil {
					return &failure{code: exitFailed, text: err.Error()}
				}
			}
		case <-soon.C:
			v.look()
			v.draw()
		case <-refresh.C:
			v.look()
			v.draw()
		}
	}
}

// look updates the view.
func (v *topLive) look() {
	v.find()
	v.samples = v.lines.sampler.Totals()
	v.looks.add(v.samples, v.lines.window)
	v.arrange()
}

// arrange sorts and filters the lines.
func (v *topLive) arrange() {
	v.list = v.entries(v.samples, v.looks.before(v.lines.began, v.lines.window), time.Now())
	if len(v.list) > 0 && v.entry() == nil {
		v.chosen, v.inside = v.list[0].key, false
	}
	if v.programs.named != nil && len(v.list) == 1 {
		v.inside = v.list[0].kind == "server"
	}
	v.follow()
}

// entry is the chosen run, or nil.
func (v *topLive) entry() *entry {
	if i := slices.IndexFunc(v.list, func(e *entry) bool { return e.key == v.chosen }); i >= 0 {
		return v.list[i]
	}
	return nil
}

// transfer returns the list of transfers and the place of the chosen one in it, or
// -1 if there is none.
func (v *topLive) transfer() (list []transfer, at int) {
	e := v.entry()
	if !v.inside || e == nil || e.snap == nil {
		return nil, -1
	}
	list, _, _ = v.transfers(e.snap, v.filter)
	at = slices.IndexFunc(list, func(x transfer) bool { return x.key() == v.picked })
	if at < 0 && len(list) > 0 {
		at = 0
	}
	return list, at
}

// follow asks for the stages of the chosen transfer.
func (v *topLive) follow() {
	e := v.entry()
	if e == nil || e.program == nil {
		return
	}
	list, at := v.transfer()
	if at < 0 {
		e.program.follow("", "")
		return
	}
	v.picked = list[at].key()
	e.program.follow(list[at].group, list[at].id)
}

// press runs the command of a key. It returns false if that is to quit.
func (v *topLive) press(key string) bool {
	if v.typing {
		v.typed(key)
		v.arrange()
		return true
	}
	switch key {
	case "q", "Q":
		return false
	case "s", "S":
		v.sort = topSorts[(slices.Index(topSorts, v.sort)+1)%len(topSorts)]
	case "/":
		v.typing = true
	case "enter", "right":
		if e := v.entry(); e != nil && e.kind == "server" && e.snap != nil {
			v.inside = true
		}
	case "esc", "left", "backspace":
		if v.filter != "" {
			v.filter = ""
		} else if v.programs.named == nil {
			v.inside = false
		}
	case "up", "k":
		v.move(-1)
	case "down", "j":
		v.move(1)
	case "page up":
		v.move(-10)
	case "page down":
		v.move(10)
	}
	v.arrange()
	return true
}

// typed takes a key into the filter.
func (v *topLive) typed(key string) {
	switch {
	case key == "enter":
		v.typing = false
	case key == "esc":
		v.typing, v.filter = false, ""
	case key == "backspace":
		_, n := utf8.DecodeLastRuneInString(v.filter)
		v.filter = v.filter[:len(v.filter)-n]
	case utf8.RuneCountInString(key) == 1 && printable(key) == key:
		v.filter += key
	}
}

// move chooses another line.
func (v *topLive) move(by int) {
	if v.inside {
		if list, at := v.transfer(); at >= 0 {
			v.picked = list[max(0, min(len(list)-1, at+by))].key()
		}
		return
	}
	at := slices.IndexFunc(v.list, func(e *entry) bool { return e.key == v.chosen })
	if at >= 0 {
		v.chosen = v.list[max(0, min(len(v.list)-1, at+by))].key
	}
}

// draw draws the view in the height of the terminal: its last row says which keys
// there are.
func (v *topLive) draw() {
	most := height(v.tty) - 1
	width := v.region.width() - 1
	if most < 4 || width < 30 {
		row := "no weir of yours is running"
		if e := v.entry(); e != nil {
			row = fmt.Sprintf("%d %s: %s", e.pids[0], e.state, e.sentence)
		}
		v.region.draw([]string{row})
		return
	}
	rows := v.rows(width, most-2)
	if len(rows) > most-2 {
		rows = clip(rows, most-2)
	}
	v.region.draw(append(rows, "", v.help(width)))
}

// help returns the last row: the list of keys, or the filter that the user is typing.
func (v *topLive) help(width int) string {
	if v.typing {
		return "filter: " + v.filter + "_  (enter: keep, esc: all)"
	}
	text := "q quits  up/down choose"
	if e := v.entry(); e != nil && e.kind == "server" && !v.inside {
		text += "  enter: transfers"
	} else if v.inside && v.programs.named == nil {
		text += "  esc: back"
	}
	text += "  / filter  s sort: " + v.sort
	if v.filter != "" {
		text += "  (only " + v.filter + ")"
	}
	return fit(text, width)
}

// rows returns the rows of the view, without the last one.
func (v *topLive) rows(width, most int) []string {
	if len(v.list) == 0 {
		rows := []string{"no weir of yours is running"}
		switch {
		case v.refusal != nil:
			rows = wrap("cannot look for running commands: "+v.refusal.Error(), width)
		case v.filter != "":
			rows = []string{fmt.Sprintf("no run contains %q", v.filter)}
		}
		return rows
	}
	e := v.entry()
	if !v.inside || e.snap == nil {
		rows := v.listRows(v.listed(max(2, most/2-2)), v.chosen, width)
		if n := len(v.list) - (len(rows) - 3); width >= 59 && n > 0 {
			rows = append(rows, fmt.Sprintf("  and %d more", n))
		}
		rows = append(rows, "")
		return append(rows, v.details(e, width, most-len(rows))...)
	}
	rows := []string{fit(fmt.Sprintf("%s  %s in, %s out, %s", e.name, maybeRate(e.in), maybeRate(e.out), inBuffers(e.memory)), width)}
	rows = append(rows, v.says(e, width)...)
	rows = append(rows, "")
	stages := v.stagesOf(e, width)
	rows = append(rows, v.transferRows(e, v.picked, width, max(3, most-len(rows)-len(stages)))...)
	return append(rows, stages...)
}

// listed is the part of the list, at most so many lines, in which the chosen run
// is.
func (v *topLive) listed(most int) []*entry {
	at := slices.IndexFunc(v.list, func(e *entry) bool { return e.key == v.chosen })
	first := max(0, at-most+1)
	return v.list[first:min(len(v.list), first+most)]
}

// stagesOf returns rows with the stages of the chosen transfer and its verdict.
func (v *topLive) stagesOf(e *entry, width int) (rows []string) {
	f := e.program.followed()
	if f == nil {
		return nil
	}
	rows = append(rows, "")
	for _, row := range wrap("the chosen transfer: "+f.Sentence, width) {
		rows = append(rows, v.paint().bold(row))
	}
	return append(rows, stageRows(reportOf(*f), width, v.paint())...)
}
