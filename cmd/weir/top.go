package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/monitor"
)

// top shows the activity of every running weir.
type top struct {
	stdout, stderr io.Writer
	once, json     bool
	noColor        bool
	remote         remoteFlags
	user           string
	sort, filter   string

	programs *programs
	lines    who   // the shell pipelines that weir is part of
	refusal  error // why sockets are not looked at
	unjoined error // why shell pipelines are not joined
	looks    lookback
	shown    steadies
}

// topSorts are the orders of the runs, and of the transfers of a server.
var topSorts = []string{"slow", "rate", "size", "name"}

func newTop(stdout, stderr io.Writer) *cobra.Command {
	t := &top{stdout: stdout, stderr: stderr, sort: topSorts[0]}
	c := &cobra.Command{
		Use:   "top [URL]",
		Short: "Show what every running weir does, and what is slow",
		Long: `Show every weir that you are running on this machine, in any terminal, what it
moves, and what is slow. Commands that a shell pipe connects are one line with one
answer; the other programs of the pipeline are part of it under their own names.

With a URL, weir top shows the server or the --ui page there. :8080 stands for
http://127.0.0.1:8080/_weir/.

On a terminal the view is live. Elsewhere, and with --once or --json, weir top
watches for --for and reports once.

    up, down     choose a run, or a transfer of a server
    enter, esc   go to the transfers of a server, and back
    /            show only what contains a text
    s            sort by what is slow, by rate, by size or by name
    q            quit

Every running weir listens on a socket in $XDG_RUNTIME_DIR/weir, or else in
/tmp/weir-UID, which only you can enter, and measures nothing until it is asked.
WEIR_SOCKET=off turns that off; WEIR_SOCKET=/a/folder chooses another folder. See
docs/monitor.md.`,
		Example: `  weir top
  weir top --once
  weir top :8080 --sort rate
  weir top https://files.example:8443/ --user ann
  weir top --json | jq -r .sentence`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if t.lines.window < 100*time.Millisecond || t.lines.window > time.Hour {
				return invalid("time", t.lines.window, "for", "use 100ms to 1h", "5s")
			}
			if !slices.Contains(topSorts, t.sort) {
				return &failure{code: exitUsage, text: fmt.Sprintf("unknown order %q for --sort: use slow, rate, size or name", t.sort), try: "--sort rate"}
			}
			return t.run(args)
		},
	}
	f := c.Flags()
	f.BoolVar(&t.once, "once", false, "report once and exit")
	f.BoolVar(&t.json, "json", false, "report once, a line of JSON for each run")
	f.DurationVar(&t.lines.window, "for", 3*time.Second, "time to watch before a report; in the live view, the time that answers about shell pipelines cover")
	f.StringVar(&t.sort, "sort", t.sort, "order: slow, rate, size (memory of runs, bytes of transfers) or name")
	f.StringVar(&t.filter, "filter", "", "only runs, or transfers of a server, that contain this text")
	f.StringVar(&t.user, "user", "", "NAME:PASSWORD for a server with --auth; for NAME alone, weir asks for the password")
	t.remote.flags(c)
	f.BoolVar(&t.noColor, "no-color", false, "no colours; NO_COLOR does the same")
	_ = c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(topSorts, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (t *top) run(args []string) error {
	t.programs = newPrograms(nil)
	defer t.programs.end()
	t.shown = steadies{}
	t.lines.programs, t.lines.account, t.lines.keep = nil, t.programs.exact, t.joined
	if len(args) > 0 {
		user, err := t.credentials()
		if err != nil {
			return err
		}
		if err := t.remote.parse(args); err != nil {
			return err
		}
		if err := t.programs.remote(args[0], user, t.remote.options); err != nil {
			return err
		}
	} else if len(socketFolders()) == 0 {
		if os.Getenv(socketVariable) == "off" {
			return &failure{code: exitUsage, text: socketVariable + "=off hides every run", try: "unset " + socketVariable}
		}
		return &failure{code: exitFailed, text: "weir top finds running commands on Unix only", try: "weir top URL, with the address that weir serve or --ui prints"}
	}
	t.lines.began = time.Now()
	t.find()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	sig := watchSignals(cancel, func() {})
	defer sig.end()
	var err error
	once := t.once || t.json || !isTerminal(t.stdout)
	if once {
		err = t.report(ctx)
	} else {
		err = t.live(ctx)
	}
	var by *stop
	if err == nil && errors.As(context.Cause(ctx), &by) {
		return &failure{code: by.code, text: by.text, told: !once && by.code == exitInterrupted}
	}
	return err
}

// credentials are the name and the password of --user.
func (t *top) credentials() (*url.Userinfo, error) {
	if t.user == "" {
		return nil, nil
	}
	name, password, given := strings.Cut(t.user, ":")
	if !given {
		if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
			text, err := ask(fd, t.stderr, "password of "+name+": ")
			if err != nil {
				return nil, &failure{code: exitUsage, text: err.Error()}
			}
			password = text
		} else {
			line, err := bufio.NewReader(os.Stdin).ReadString('\n')
			if err != nil && line == "" {
				return nil, &failure{code: exitUsage, text: "no password for " + name + " on standard input", try: "WEIR_USER=" + name + ":PASSWORD"}
			}
			password = strings.TrimRight(line, "\r\n")
		}
	}
	return url.UserPassword(name, password), nil
}

// find looks for runs that have begun or ended, and for the pipelines that they
// are in.
func (t *top) find() {
	t.refusal = t.programs.find()
	t.lines.lines = nil
	if t.programs.named != nil {
		return
	}
	if err := t.lines.find(); err != nil {
		t.unjoined = err
		t.lines.lines = nil
	}
}

// joined reports whether weir is in a pipeline.
func (t *top) joined(l *procpipe.Pipeline) bool {
	return slices.ContainsFunc(t.programs.list(), func(p *program) bool { return p.socket != "" && l.Has(p.number()) })
}

// report watches once and prints the result.
func (t *top) report(ctx context.Context) error {
	// Programs that begin during the window are ignored. Those that end are reported.
	if t.unjoined != nil {
		wait, cancel := context.WithTimeout(ctx, t.lines.window)
		<-wait.Done()
		cancel()
	} else if err := t.lines.watch(ctx, t.lines.window, false); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	list := t.entries(t.lines.sampler.Totals(), procpipe.Totals{}, time.Time{})
	if len(list) == 0 {
		return t.none()
	}
	out := &checkedWriter{to: t.stdout}
	if t.json {
		for _, e := range list {
			emitLine(out, "run", e.json(t))
		}
	} else {
		for _, row := range t.reportRows(list, width(t.stdout)) {
			fmt.Fprintln(out, row)
		}
	}
	if errno.Is(out.err, syscall.EPIPE) {
		return nil // the reader has seen enough, as head has
	}
	return out.failure()
}

// none says that no weir runs, which a script learns from the exit code.
func (t *top) none() error {
	f := &failure{code: exitFailed, text: "no weir of yours is running", try: "weir top again while one runs; or weir who, for pipelines without weir"}
	switch {
	case t.refusal != nil:
		f.text = "cannot look for running commands: " + t.refusal.Error()
		f.try = "remove that folder, or have its owner remove it; or set " + socketVariable + " to another one"
	case t.filter != "":
		f.text = fmt.Sprintf("no run contains %q", t.filter)
		f.try = "weir top without --filter"
	}
	return f
}

// entry is a run, or several that shell pipes connect.
type entry struct {
	kind     string // "command", "pipeline" or "server"
	key      string // names it for as long as it runs
	name     string
	pids     []int
	state    monitor.State
	sentence string
	since    time.Duration // for how long the sentence has held; negative: not known
	in, out  float64       // bytes a second; negative: not known
	memory   monitor.Memory

	finding *finding          // of a pipeline, or nil
	program *program          // of a command or a server; nil for a pipeline
	snap    *monitor.Snapshot // of the program; nil: it has not answered yet
}

// entries joins programs and pipelines to the lines of the view, in their order. The
// answers about pipelines compare samples with before. now is zero for a single
// report.
func (t *top) entries(samples, before procpipe.Totals, now time.Time) []*entry {
	var list []*entry
	in := map[int]bool{}
	for _, l := range t.lines.lines {
		e := t.pipeline(l, samples, before, now)
		list = append(list, e)
		for _, pid := range e.pids {
			in[pid] = true
		}
	}
	for _, p := range t.programs.list() {
		if p.socket == "" || !in[p.number()] {
			if e := t.single(p); e != nil {
				list = append(list, e)
			}
		}
	}
	if t.programs.named == nil { // else the filter is for the transfers
		list = slices.DeleteFunc(list, func(e *entry) bool { return !e.matches(t.filter) })
	}
	slices.SortStableFunc(list, t.order)
	return list
}

// order sorts entries.
func (t *top) order(a, b *entry) int {
	by := 0
	switch t.sort {
	case "rate":
		by = cmp.Compare(max(b.in, b.out), max(a.in, a.out))
	case "size":
		by = cmp.Compare(b.memory.Used, a.memory.Used)
	case "name":
		by = cmp.Compare(a.name, b.name)
	default:
		by = cmp.Compare(urgency(a.state), urgency(b.state))
	}
	return cmp.Or(by, slices.Compare(a.pids, b.pids))
}

// urgency orders states by how much they matter.
func urgency(s monitor.State) int {
	switch s {
	case monitor.Stalled, monitor.Failed:
		return 0
	case monitor.PushingBack:
		return 1
	case monitor.KeepingUp:
		return 2
	}
	return 3
}

func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

func (e *entry) matches(filter string) bool {
	return filter == "" || contains(e.name, filter) || slices.ContainsFunc(e.pids, func(pid int) bool { return fmt.Sprint(pid) == filter })
}

// single is the entry of one program, or nil while it has not answered.
func (t *top) single(p *program) *entry {
	snap, args, err := p.state()
	e := &entry{kind: "command", key: p.base + p.socket, pids: []int{p.number()}, program: p, snap: snap, since: -1, in: -1, out: -1, state: monitor.Measuring, sentence: "measuring"}
	if snap == nil {
		if err == nil || refused(err) {
			return nil // it has just begun or ended
		}
		e.name, e.sentence = fmt.Sprintf("process %d", p.pid), "it does not answer: "+plainNetError(err).Error()
		return e
	}
	e.name = commandLine(args, snap)
	e.state, e.sentence, e.in, e.out, e.memory = snap.State, snap.Sentence, snap.In, snap.Out, snap.Memory
	if snap.Since > 0 {
		e.since = time.Duration((snap.Time - snap.Since) * float64(time.Second))
	}
	if len(snap.Transfers) > 0 {
		e.kind = "server"
	}
	switch {
	case err != nil && !snap.Closed:
		e.sentence, e.since = "it does not answer any more: "+plainNetError(err).Error()+"; before that: "+e.sentence, -1
	case snap.Closed:
		e.sentence, e.since = "it has ended; "+e.sentence, -1
	}
	return e
}

// commandLine is the command that the user typed, or for a program elsewhere its
// name.
func commandLine(args []string, snap *monitor.Snapshot) string {
	if len(args) == 0 {
		return fmt.Sprintf("%s [%d]", printable(snap.Program.Name), snap.Program.PID)
	}
	return title(&procpipe.Process{Args: args})
}

// pipeline is the entry of a shell pipeline.
func (t *top) pipeline(l *procpipe.Pipeline, samples, before procpipe.Totals, now time.Time) *entry {
	f := judge(l, samples, before, t.programs.exact)
	e := &entry{kind: "pipeline", key: fmt.Sprint(l.Processes[0].ID()), name: strings.Join(f.names, " | "), finding: f, since: -1, in: -1, out: -1, sentence: f.sentence()}
	verdict := f.verdict
	if !now.IsZero() {
		s := t.shown.of(l)
		e.sentence, e.since = s.hold(f, now)
		verdict = s.verdict
	}
	stalled := false
	for _, p := range l.Processes {
		e.pids = append(e.pids, p.PID)
		weir := t.programs.of(p.PID)
		if weir == nil {
			continue
		}
		snap, _, _ := weir.state()
		if snap == nil {
			continue
		}
		if e.in < 0 {
			e.in = snap.In
		}
		e.out = snap.Out
		e.memory.Used += snap.Memory.Used
		e.memory.Limit += snap.Memory.Limit
		stalled = stalled || snap.State == monitor.Stalled
	}
	switch {
	case stalled:
		e.state = monitor.Stalled
	case verdict.Measuring:
		e.state = monitor.Measuring
	case verdict.WaitingShare > 0.1:
		e.state = monitor.PushingBack
	default:
		e.state = monitor.KeepingUp
	}
	return e
}

// headline sums up the entries, in at most width columns.
func headline(list []*entry, width int) string {
	counts := map[string]int64{}
	var in, out float64
	var memory monitor.Memory
	for _, e := range list {
		counts[e.kind]++
		in, out = in+max(0, e.in), out+max(0, e.out)
		memory.Used, memory.Limit = memory.Used+e.memory.Used, memory.Limit+e.memory.Limit
	}
	text := "weir top: "
	for _, kind := range []string{"command", "pipeline", "server"} {
		if counts[kind] > 0 {
			text += units.Count(counts[kind], kind) + ", "
		}
	}
	text = strings.TrimSuffix(text, ", ")
	for _, part := range []string{perSecond(in) + " in", perSecond(out) + " out", inBuffers(memory)} {
		if runewidth.StringWidth(text)+2+runewidth.StringWidth(part) <= width {
			text += ", " + part
		}
	}
	return text
}

// inBuffers says how much of its limit is used.
func inBuffers(m monitor.Memory) string {
	return fmt.Sprintf("%s of %s held", units.Bytes(m.Used), units.Bytes(m.Limit))
}
