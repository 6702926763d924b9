package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/internal/units"
)

const (
	// whoSample is the mean time between two looks at a pipeline.
	whoSample = 30 * time.Millisecond

	// whoRefresh is the time after which the live view looks for pipelines again.
	whoRefresh = time.Second

	// whoMost is how many pipelines are watched at once.
	whoMost = 16
)

// who names the bottleneck of shell pipelines.
type who struct {
	stdout, stderr io.Writer
	once, json     bool
	noColor        bool
	pid            int
	window         time.Duration

	programs *programs                     // the processes of weir in the pipelines, which report exact times; nil: do not ask them
	account  account                       // their times
	keep     func(*procpipe.Pipeline) bool // whether to watch a pipeline; nil: all are watched
	sampler  procpipe.Sampler
	lines    []*procpipe.Pipeline
	more     int // pipelines that are not watched
	began    time.Time
}

func newWho(stdout, stderr io.Writer) *cobra.Command {
	w := &who{stdout: stdout, stderr: stderr}
	c := &cobra.Command{
		Use:   "who",
		Short: "Name the bottleneck of a shell pipeline that is running",
		Long: `Find the shell pipelines that you are running in any terminal, watch them from
outside, and name the process that the others wait for. No process has to be weir.

On a terminal weir who shows the last 5 seconds until you press q or Ctrl-C.
Elsewhere, and with --once or --json, it watches for 5 seconds and reports once.
Pipelines of the same terminal come first.

For each process it shows how its time splits:

    busy     it ran, or waited for a processor
    blocked  its output pipe was full: a later process is slow
    starved  its input pipe was empty: an earlier process is slow
    outside  it waited for something else: a disk, the network, a timer
    unknown  weir could not find out

The bar after a process shows how full its output pipe was on average. weir who
reads only /proc, changes nothing, and looks only at your own processes. It works
on Linux. The exit code is 1 if no pipeline is running. See docs/who.md.`,
		Example: `  weir who
  weir who --once --for 2s
  weir who -p 4711
  weir who --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("pid") && w.pid <= 0 {
				return &failure{code: exitUsage, text: fmt.Sprintf("invalid process number %d for --pid", w.pid), try: "weir who, to see all pipelines"}
			}
			if w.window < 100*time.Millisecond || w.window > time.Hour {
				return invalid("time", w.window, "for", "use 100ms to 1h", "5s")
			}
			return w.run()
		},
	}
	f := c.Flags()
	f.BoolVar(&w.once, "once", false, "report once and exit")
	f.BoolVar(&w.json, "json", false, "report once, a line of JSON for each pipeline")
	f.IntVarP(&w.pid, "pid", "p", 0, "only the pipelines that this process is in, or that it has started")
	f.DurationVar(&w.window, "for", 5*time.Second, "time to watch, and in the live view the time that is shown")
	f.BoolVar(&w.noColor, "no-color", false, "no bold text; NO_COLOR does the same")
	return c
}

func (w *who) run() error {
	w.programs = newPrograms(w.watches)
	w.account = w.programs.exact
	defer w.programs.end()
	if err := w.find(); err != nil {
		return err
	}
	if len(w.lines) == 0 {
		return w.none()
	}
	w.began = time.Now()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	sig := watchSignals(cancel, func() {})
	defer sig.end()
	var err error
	once := true
	if w.once || w.json || !isTerminal(w.stdout) {
		err = w.report(ctx)
	} else {
		once = false
		err = w.live(ctx)
	}
	var by *stop
	if err == nil && errors.As(context.Cause(ctx), &by) {
		return &failure{code: by.code, text: by.text, told: !once && by.code == exitInterrupted}
	}
	return err
}

// find looks for the pipelines to watch.
func (w *who) find() error {
	scan, err := procpipe.Find()
	if errors.Is(err, errors.ErrUnsupported) {
		return &failure{code: exitFailed, text: "weir who works on Linux only: " + err.Error(), try: "weir pipe, which reports its own bottleneck on every system"}
	}
	if err != nil {
		return &failure{code: exitSource, text: err.Error(), try: "ls /proc"}
	}
	lines := scan.Pipelines
	if w.pid > 0 {
		if lines = around(scan, w.pid); len(lines) == 0 && w.began.IsZero() {
			return w.unfit()
		}
	} else {
		lines = slices.DeleteFunc(lines, func(l *procpipe.Pipeline) bool { return l.Collected })
	}
	if w.keep != nil {
		lines = slices.DeleteFunc(lines, func(l *procpipe.Pipeline) bool { return !w.keep(l) })
	}
	slices.SortStableFunc(lines, func(a, b *procpipe.Pipeline) int { return cmp.Compare(distant(a, scan.Self), distant(b, scan.Self)) })
	w.more = max(0, len(lines)-whoMost)
	w.lines = lines[:len(lines)-w.more]
	if w.programs != nil {
		_ = w.programs.find() // weir who samples the processes that it cannot ask
	}
	return nil
}

// watches reports whether a process is in a pipeline that is watched.
func (w *who) watches(pid int) bool {
	return slices.ContainsFunc(w.lines, func(l *procpipe.Pipeline) bool { return l.Has(pid) })
}

// around returns the pipelines that a process is in, or if there are none, those
// that it has started.
func around(scan *procpipe.Scan, pid int) (lines []*procpipe.Pipeline) {
	for _, l := range scan.Pipelines {
		if l.Has(pid) {
			lines = append(lines, l)
		}
	}
	if len(lines) > 0 {
		return lines
	}
	for _, l := range scan.Pipelines {
		if slices.ContainsFunc(l.Processes, func(p *procpipe.Process) bool { return scan.Below(p.PID, pid) }) {
			lines = append(lines, l)
		}
	}
	return lines
}

// distant is 0 for a pipeline of this terminal or session, which comes first.
func distant(l *procpipe.Pipeline, self procpipe.Process) int {
	for _, p := range l.Processes {
		if p.Session == self.Session || p.Terminal == self.Terminal && p.Terminal != 0 {
			return 0
		}
	}
	return 1
}

func (w *who) none() error {
	f := &failure{code: exitFailed, text: "no pipeline of yours is running", try: "weir who again while one runs, such as: tar c . | gzip > all.tar.gz"}
	if os.Geteuid() == 0 && os.Getenv("SUDO_UID") != "" {
		f.try = "weir who without sudo; it looks only at the processes of the user that runs it"
	}
	return f
}

// unfit explains why there is no pipeline for --pid.
func (w *who) unfit() error {
	p, err := procpipe.Lookup(w.pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{code: exitSource, text: fmt.Sprintf("no process has the number %d", w.pid), try: "weir who, to see all pipelines"}
	case err != nil:
		return &failure{code: exitSource, text: err.Error()}
	case p.UID != os.Geteuid():
		owner := strconv.Itoa(p.UID)
		if u, err := user.LookupId(owner); err == nil {
			owner = u.Username
		}
		return &failure{
			code: exitSource, text: fmt.Sprintf("process %d (%s) belongs to %s; weir who looks only at your own processes", p.PID, title(&p), owner),
			try: fmt.Sprintf("sudo -u %s weir who -p %d", owner, w.pid),
		}
	}
	return &failure{code: exitFailed, text: fmt.Sprintf("process %d (%s) is in no pipeline and has started none", p.PID, title(&p)), try: "weir who, to see all pipelines"}
}

// watch samples the pipelines until d has passed or ctx ends, and if asked for,
// until all processes have ended. It takes samples at random moments, because samples
// at regular intervals could always see a periodic process in the same state.
func (w *who) watch(ctx context.Context, d time.Duration, untilEnded bool) error {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		if err := w.sampler.Sample(w.lines); err != nil {
			return &failure{code: exitFailed, text: err.Error()}
		}
		if untilEnded && allEnded(w.lines, w.sampler.Totals()) {
			return nil
		}
		next := time.NewTimer(whoSample*2/3 + rand.N(whoSample*2/3))
		select {
		case <-next.C:
		case <-end.C:
			next.Stop()
			return nil
		case <-ctx.Done():
			next.Stop()
			return nil
		}
	}
}

func allEnded(lines []*procpipe.Pipeline, t procpipe.Totals) bool {
	for _, l := range lines {
		for _, p := range l.Processes {
			if !t.Processes[p.ID()].Ended {
				return false
			}
		}
	}
	return true
}

// report watches once and prints the result.
func (w *who) report(ctx context.Context) error {
	if err := w.watch(ctx, w.window, true); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	now := w.sampler.Totals()
	out := &checkedWriter{to: w.stdout}
	for i, l := range w.lines {
		f := judge(l, now, procpipe.Totals{}, w.account)
		if w.json {
			emitLine(out, "pipeline", f.json(now.Samples))
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		for _, row := range f.rows(f.sentence(), width(w.stdout), w.paint()) {
			fmt.Fprintln(out, row)
		}
	}
	switch {
	case w.more > 0 && w.json:
		emitLine(out, "omitted", map[string]any{"pipelines": w.more})
	case w.more > 0:
		fmt.Fprintf(out, "\n%s not shown; weir who -p PID selects one\n", units.Count(int64(w.more), "more pipeline"))
	}
	if errno.Is(out.err, syscall.EPIPE) {
		return nil // the reader has seen enough, as head has
	}
	return out.failure()
}

// live shows the pipelines until the user has seen enough.
func (w *who) live(ctx context.Context) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	tty, _ := w.stdout.(*os.File)
	keys := readKeys(func(key string) {
		if key == "q" || key == "Q" {
			quit()
		}
	})
	defer keys.end()
	screen := &region{out: w.stdout, tty: tty, paint: w.paint()}
	var seen lookback
	shown := steadies{}
	for {
		if err := w.watch(ctx, whoRefresh, false); err != nil || ctx.Err() != nil {
			return err
		}
		now := w.sampler.Totals()
		seen.add(now, w.window)
		before := seen.before(w.began, w.window)
		var rows []string
		maps.DeleteFunc(shown, func(id procpipe.ID, _ *steady) bool {
			return !slices.ContainsFunc(w.lines, func(l *procpipe.Pipeline) bool { return l.Processes[0].ID() == id })
		})
		for _, l := range w.lines {
			f := judge(l, now, before, w.account)
			if len(rows) > 0 {
				rows = append(rows, "")
			}
			rows = append(rows, f.rows(shown.of(l).sentence(f, now.At), screen.width(), screen.paint)...)
		}
		switch {
		case len(w.lines) == 0:
			rows = append(rows, "no pipeline of yours is running")
		case w.more > 0:
			rows = append(rows, "", units.Count(int64(w.more), "more pipeline")+" not shown; weir who -p PID selects one")
		}
		screen.draw(clip(append(rows, "", "q quits"), height(tty)-1))
		if err := w.find(); err != nil {
			return err
		}
	}
}

// clip leaves as many rows as the terminal has, and says that there are more.
func clip(rows []string, most int) []string {
	if len(rows) <= most || most < 1 {
		return rows
	}
	return append(slices.Clip(rows[:most-1]), "(the window is too low for the rest)")
}

func (w *who) paint() painter { return paintOn(w.stdout, w.noColor) }

// paintOn returns a painter for out, which paints only where that is a terminal
// whose user wants colours.
func paintOn(out io.Writer, noColor bool) painter {
	return painter{!noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(out)}
}

func width(out io.Writer) int {
	f, _ := out.(*os.File)
	return (&region{tty: f}).width()
}

func height(tty *os.File) int {
	if tty != nil {
		if _, h, err := term.GetSize(int(tty.Fd())); err == nil && h > 0 {
			return h
		}
	}
	return 24
}
