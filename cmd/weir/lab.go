package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/lab"
)

// labSide is the hidden command that runs one side of an experiment in a
// separate process.
const labSide = "lab-side"

const defaultGuard = "2GiB"

// laboratory is weir lab.
type laboratory struct {
	all, withNode        bool
	clients              int
	size, rate, guard    string
	long                 time.Duration
	report, picture      string
	quiet, json, noColor bool
	stdout, stderr       io.Writer

	list      []lab.Experiment
	chosen    []lab.Experiment
	options   lab.Options
	words     []string // of the command that repeats the run
	live      *region  // nil: nothing is drawn
	unprinted error    // why standard output does not have everything
}

func newLab(stdout, stderr io.Writer, list []lab.Experiment) *cobra.Command {
	l := &laboratory{stdout: stdout, stderr: stderr, list: list}
	names := make([]string, len(list))
	text := ""
	for i, e := range list {
		names[i] = e.Name
		text += fmt.Sprintf("\n  %-19s  %s", e.Name, e.Short)
	}
	c := &cobra.Command{
		Use:   "lab [EXPERIMENT]",
		Short: "Run a server without backpressure beside weir, and plot its memory",
		Long: `Run the experiments of a tutorial on backpressure: each with the tutorial's
mistake (side A) and with weir (side B). Without a name, list the experiments and
run the first.
` + text + `

Side A makes the mistake in Go, on purpose: an unbounded queue stands between
reading and writing. io.Copy would wait for the client, as pipe() does in Node.
With --with-node, the tutorial's own JavaScript runs too (sides C and D).

Each side runs in a process of its own. weir measures its memory from outside and
kills it when it reaches --guard. All traffic stays on the loopback interface. A
page with plots and raw samples goes to weir-lab-EXPERIMENT.html, or to --report.

weir lab exits with code 6 if side B breaks the memory ceiling that it states, or
grows by more than the ceiling plus ` + weir.FormatBytes(lab.Headroom) + `.`,
		Example: `  weir lab
  weir lab clients --clients 500
  weir lab ignore-write-result --with-node --report lab.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &failure{code: exitUsage, text: fmt.Sprintf("lab takes one experiment, not %d", len(args)), try: "weir lab --all"}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if err := l.choose(name, names, c.Flags().Changed); err != nil {
				return err
			}
			return l.run(name == "" && !l.all)
		},
	}
	f := c.Flags()
	f.BoolVar(&l.all, "all", false, "run all experiments")
	f.IntVar(&l.clients, "clients", 0, "number of clients (default: the experiment's own)")
	f.StringVar(&l.size, "size", "", "size of the file, or of the data, as in 64MiB")
	f.StringVar(&l.rate, "rate", "", "rate of each slow client, or of the slow consumer, as in 1MiB/s")
	f.DurationVar(&l.long, "for", 0, "longest time for each side, as in 10s")
	f.StringVar(&l.guard, "guard", defaultGuard, "memory limit of each side; a process that reaches it is killed")
	f.BoolVar(&l.withNode, "with-node", false, "run the tutorial's JavaScript too, if node is installed")
	f.StringVar(&l.report, "report", "", "file for the report, or none (default: weir-lab-EXPERIMENT.html)")
	f.StringVar(&l.picture, "picture", "", "file for the plot of the last experiment, as SVG")
	f.BoolVarP(&l.quiet, "quiet", "q", false, "print nothing unless something fails; the report is written")
	f.BoolVar(&l.json, "json", false, "results as lines of JSON on standard output, messages on standard error")
	f.BoolVar(&l.noColor, "no-color", false, "no colours; NO_COLOR does the same")
	return c
}

// newLabSide is the process of one side. Its parent speaks to it on its standard
// input.
func newLabSide(stdout io.Writer, list []lab.Experiment) *cobra.Command {
	return &cobra.Command{
		Use:    labSide,
		Short:  "Run one side of an experiment",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(*cobra.Command, []string) error { return lab.RunSide(list, os.Stdin, stdout) },
	}
}

// choose parses the flags, and finds the experiments to run.
func (l *laboratory) choose(name string, names []string, given func(string) bool) error {
	refuse := func(text, try string) error { return &failure{code: exitUsage, text: text, try: try} }
	switch {
	case l.all && name != "":
		return refuse("--all cannot be used with the name of an experiment", "weir lab "+name)
	case l.all:
		l.chosen = l.list
	case name == "":
		l.chosen = l.list[:1]
	default:
		e, ok := lab.Find(l.list, name)
		if !ok {
			f := &failure{code: exitUsage, text: fmt.Sprintf("unknown experiment %q", name), try: "weir lab --help"}
			if best := closest(name, names); best != "" {
				f.text += fmt.Sprintf(" (did you mean %s?)", best)
				f.try = "weir lab " + best
			}
			return f
		}
		l.chosen = []lab.Experiment{e}
	}
	l.words = []string{"weir", "lab"}
	if l.all {
		l.words = append(l.words, "--all")
	} else {
		l.words = append(l.words, l.chosen[0].Name)
	}
	for _, f := range []struct {
		flag string
		text string
		read func(string) (int64, error)
		to   *int64
		try  string
	}{
		{"size", l.size, parseSize, &l.options.Override.Size, "64MiB"},
		{"rate", l.rate, parseRate, &l.options.Override.Rate, "1MiB/s"},
		{"guard", l.guard, parseSize, &l.options.Guard, defaultGuard},
	} {
		if f.text == "" {
			continue
		}
		n, err := f.read(f.text)
		if err != nil || n <= 0 {
			return invalid("value", f.text, f.flag, "", f.try)
		}
		*f.to = n
		if f.flag != "guard" || f.text != defaultGuard {
			l.words = append(l.words, "--"+f.flag, quoted(f.text))
		}
	}
	if given("clients") || l.clients != 0 {
		if l.clients < 1 || l.clients > 20_000 {
			return invalid("number", l.clients, "clients", "use 1 to 20000", "10")
		}
		if given("clients") && !l.all && !l.chosen[0].HasClients() {
			return refuse(fmt.Sprintf("--clients: %s has no clients", l.chosen[0].Name), "weir lab "+l.chosen[0].Name)
		}
		l.options.Override.Clients = l.clients
		l.words = append(l.words, "--clients", fmt.Sprint(l.clients))
	}
	if given("for") || l.long != 0 {
		if l.long <= 0 || l.long > 10*time.Minute {
			return invalid("time", l.long, "for", "use 1s to 10m", "10s")
		}
		l.options.Override.For = l.long
		l.words = append(l.words, "--for", l.long.String())
	}
	if l.withNode {
		l.words = append(l.words, "--with-node")
	}
	return nil
}

// run runs the experiments that were chosen.
func (l *laboratory) run(listed bool) error {
	exe, err := os.Executable()
	if err != nil {
		return &failure{code: exitFailed, text: fmt.Sprintf("cannot find this program: %v", err), try: "run weir by its full path"}
	}
	l.options.Command = func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, exe, labSide)
		cmd.Args[0] = os.Args[0] // the name under which this program was started
		return cmd
	}
	for _, name := range []string{l.reportName(), l.picture} { // before minutes have passed
		if _, err := os.Stat(filepath.Dir(name)); name != "" && err != nil {
			return cannotWrite(name, err)
		}
	}
	l.findNode()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	sig := watchSignals(cancel, func() {})
	defer sig.end()
	if f := fileOf(l.stderr); isTerminal(l.stderr) && os.Getenv("TERM") != "dumb" && !l.quiet && !l.json {
		l.live = &region{out: l.stderr, tty: f, paint: painter{colours(l.noColor)}}
		l.options.Watch = l.watch
	}
	if listed {
		text := "experiments, of which the first runs now:\n\n"
		for _, e := range l.list {
			text += fmt.Sprintf("  %-19s  %s\n", e.Name, e.Short)
		}
		l.say(text + "\n")
	}
	var results []*lab.Result
	for _, e := range l.chosen {
		l.introduce(e)
		list, err := e.Run(ctx, l.options)
		if l.live != nil {
			l.live.erase()
		}
		if by := (*stop)(nil); errors.As(context.Cause(ctx), &by) {
			return &failure{code: by.code, text: by.text + "; every process of the lab has ended"}
		}
		if err != nil {
			return &failure{code: exitFailed, text: "cannot run " + err.Error()}
		}
		results = append(results, list...)
		for _, r := range list {
			l.show(r)
		}
	}
	return l.conclude(ctx, results)
}

// findNode looks for node if it was asked for.
func (l *laboratory) findNode() {
	if !l.withNode {
		return
	}
	node, err := lab.FindNode()
	if err != nil {
		l.warn("--with-node: node is not installed (not found on PATH); only sides A and B run")
		return
	}
	l.options.Node = node
	for _, e := range l.chosen {
		if ok, why := e.HasNode(); !ok {
			l.warn("--with-node: %s runs without JavaScript: %s", e.Name, why)
		}
	}
}

func (l *laboratory) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.json {
		emitLine(l.stderr, "warning", map[string]any{"text": text})
		return
	}
	fmt.Fprintf(l.stderr, "weir: %s\n", text)
}

// say prints text for people.
func (l *laboratory) say(text string) {
	if l.quiet || l.json {
		return
	}
	_, err := io.WriteString(l.stdout, text)
	l.printed(err)
}

// emit prints a line of JSON.
func (l *laboratory) emit(kind string, fields map[string]any) {
	l.printed(emitLine(l.stdout, kind, fields))
}

// printed keeps the first error of standard output. That its reader has left, as
// head does, is none: the report is still to be written.
func (l *laboratory) printed(err error) {
	if err != nil && l.unprinted == nil && !errno.Is(err, syscall.EPIPE) {
		l.unprinted = err
	}
}

// introduce prints the description of an experiment before it runs.
func (l *laboratory) introduce(e lab.Experiment) {
	s := e.Settings.Or(l.options.Override)
	l.say(fmt.Sprintf(`%s: %s.
  A naive  %s
           (the tutorial's mistake, made in Go on purpose)
  B weir   %s
Each runs in its own process, which is ended at %s, for at most %v.

`, e.Name, e.Short, e.Naive, e.Weir, weir.FormatBytes(l.options.Guard), s.For))
}

// show prints a result.
func (l *laboratory) show(r *lab.Result) {
	if l.json {
		l.emit("experiment", map[string]any{"result": r, "ok": r.OK()})
		return
	}
	l.say(r.Setup + "\n" + r.Text(l.width()) + "\n")
}

// width returns the width of the terminal that results are printed to.
func (l *laboratory) width() int {
	if f, ok := l.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 100
}

// watch draws how far the side that runs is.
func (l *laboratory) watch(p *lab.Progress) {
	s := p.Now
	rows := []string{p.Result.Setup}
	if _, high, err := term.GetSize(int(l.live.tty.Fd())); err == nil && high >= 18 {
		rows = append(rows, p.Result.Plot(l.live.width()-1, 8)...)
	}
	if n := len(s.Samples); n > 0 {
		x := s.Samples[n-1]
		text := fmt.Sprintf("  %s %s  %.0f s of %v", s.Letter, s.Label, p.Elapsed.Seconds(), p.Result.Settings.For)
		if x.Resident >= 0 {
			text += "  memory " + weir.FormatBytes(x.Resident)
		}
		if x.Read >= 0 {
			text += fmt.Sprintf("  %s %s", weir.FormatBytes(x.Read), p.Result.ReadLabel)
		}
		rows = append(rows, text+fmt.Sprintf("  %s %s", weir.FormatBytes(x.Sent), p.Result.SentLabel))
	}
	l.live.draw(rows)
}

// conclude writes the report and the picture, and says whether weir has kept the
// limits that it states.
func (l *laboratory) conclude(ctx context.Context, results []*lab.Result) error {
	name := l.reportName()
	var broken []string
	for _, r := range results {
		for _, c := range r.Checks {
			if !c.OK {
				broken = append(broken, r.Experiment+": "+c.String())
			}
		}
	}
	if name != "" {
		page := lab.Report{Results: results, Command: strings.Join(l.words, " "), Version: thisVersion().String(), Date: time.Now(), Guard: l.options.Guard}
		if err := writeWhole(ctx, name, page.WriteHTML); err != nil {
			return err
		}
		l.say("report    " + name + "  (plots, raw samples, how to repeat)\n")
	}
	if l.picture != "" {
		last := results[len(results)-1]
		if err := writeWhole(ctx, l.picture, func(w io.Writer) error {
			_, err := io.WriteString(w, last.Picture())
			return err
		}); err != nil {
			return err
		}
		l.say("picture   " + l.picture + "\n")
	}
	if l.json {
		l.emit("summary", map[string]any{"ok": len(broken) == 0, "results": len(results), "broken": append([]string{}, broken...), "report": name, "methods": lab.Methods()})
	}
	if len(broken) > 0 {
		return &failure{code: exitCheck, text: "weir exceeded a limit that it stated: " + strings.Join(broken, "; "), try: cmp.Or(name, "weir lab "+l.chosen[0].Name+", again")}
	}
	if l.unprinted != nil {
		return &failure{code: exitDestination, text: fmt.Sprintf("cannot write standard output: %v", innermost(l.unprinted))}
	}
	return nil
}

// reportName returns the file of the report, or "".
func (l *laboratory) reportName() string {
	switch {
	case l.report == "none":
		return ""
	case l.report != "":
		return l.report
	case l.all:
		return "weir-lab.html"
	}
	return "weir-lab-" + l.chosen[0].Name + ".html"
}

// writeWhole writes a file, whole or not at all.
func writeWhole(ctx context.Context, name string, write func(io.Writer) error) error {
	f, err := atomicfile.Open(ctx, name, atomicfile.Options{})
	if err == nil {
		if err = write(f); err == nil {
			err = f.Commit()
		} else {
			err = errors.Join(err, f.Abort())
		}
	}
	if err != nil {
		return cannotWrite(name, err)
	}
	return nil
}

// cannotWrite returns the error for a report or picture that cannot be written.
func cannotWrite(name string, err error) *failure {
	return &failure{code: exitDestination, text: fmt.Sprintf("cannot write %s: %v", name, innermost(err)), try: usual(name, err)}
}
