// Package lab runs a tutorial's experiments on backpressure: each one twice, with
// the tutorial's mistake and with weir, in processes of their own whose memory is
// measured from outside.
//
// In Go the mistake has to be made on purpose. io.Copy to an http.ResponseWriter
// waits for the client, so the naive sides put an unbounded queue between reading
// and writing. A Node stream does the same when the result of write is ignored.
//
// All traffic stays on the loopback interface. Every process that a run starts has
// ended when the run returns, and its folder of temporary files is gone.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-go/weir"
)

const (
	chunkSize = 64 << 10 // bytes that both sides read at a time, as Node's file streams do

	// Headroom is how much a process of weir may grow beyond its ceiling, in
	// bytes: goroutines, connections, and garbage that is not collected yet. The
	// page docs/ceiling.md states it.
	Headroom = 16 << 20

	// spareFiles is how many more descriptors a process of weir can have after all
	// clients have left than before the first one came. The runtime opens some
	// during the run.
	spareFiles = 8
)

// Settings are the size of an experiment. In the overrides of [Options] a zero
// field leaves the experiment's own value.
type Settings struct {
	Clients int           `json:"clients"`   // how many; 0 if the experiment has none
	Size    int64         `json:"size"`      // bytes that each client asks for or sends, or that the source has
	Rate    int64         `json:"rate"`      // bytes a second that each slow client takes, or the slow consumer
	For     time.Duration `json:"for_nanos"` // longest time for each side
}

// Or returns s with the fields of o that are not zero.
func (s Settings) Or(o Settings) Settings {
	if o.Clients > 0 {
		s.Clients = o.Clients
	}
	if o.Size > 0 {
		s.Size = o.Size
	}
	if o.Rate > 0 {
		s.Rate = o.Rate
	}
	if o.For > 0 {
		s.For = o.For
	}
	return s
}

// An Experiment is one of the tutorial's mistakes beside its cure.
type Experiment struct {
	Name  string // as it is typed
	Short string // for the list, one line
	Setup string // what runs, in a sentence or two; %s is the settings

	// A makes the mistake, and B does the same with weir. Each runs in a separate
	// process until its context or its data ends.
	A, B func(ctx context.Context, h *Host) error

	Naive, Weir string // what A and B do, in a sentence
	Stated      string // the parts of weir's ceiling

	Settings Settings
	Rounds   []int // numbers of clients, one run for each; nil: only Settings.Clients

	read, sent string // labels of the bytes that were read and of those that the other end took
	load       load
	node       []script // the tutorial's own JavaScript
	noNode     string   // why there is none
}

// HasClients reports whether the number of clients can be set.
func (e Experiment) HasClients() bool { return e.load != loadNone }

// HasNode reports whether the tutorial's JavaScript can run beside the two sides.
// If not, the second result says why.
func (e Experiment) HasNode() (bool, string) { return len(e.node) > 0, e.noNode }

// rounds returns the settings of each round.
func (e Experiment) rounds(o Settings) (list []Settings) {
	s := e.Settings.Or(o)
	if o.Clients > 0 || len(e.Rounds) == 0 {
		return []Settings{s}
	}
	for _, n := range e.Rounds {
		s.Clients = n
		list = append(list, s)
	}
	return list
}

// describe returns Setup with the settings in it.
func (e Experiment) describe(s Settings) string { return fmt.Sprintf(e.Setup, e.size(s)) }

// size is the settings in words.
func (e Experiment) size(s Settings) string {
	switch e.load {
	case loadDownload:
		return fmt.Sprintf("a file of %s to %s of %s/s each", bytes(s.Size), count(int64(s.Clients), "slow client"), bytes(s.Rate))
	case loadUpload:
		return fmt.Sprintf("%s from each of %s to a disk of %s/s", bytes(s.Size), count(int64(s.Clients), "client"), bytes(s.Rate))
	case loadAbort:
		return fmt.Sprintf("a file of %s to %s", bytes(s.Size), count(int64(s.Clients), "client"))
	}
	return fmt.Sprintf("%s to a consumer of %s/s", bytes(s.Size), bytes(s.Rate))
}

// bytes returns a number of bytes as people read it.
func bytes(n int64) string { return weir.FormatBytes(n) }

// count returns a number of things, in English.
func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", grouped(n), what)
}

// grouped returns a number with commas between the thousands.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Run runs the experiment, one side after the other, and returns a result for each
// round. It ends early with the context's error.
//
// An error means that something could not be measured. A naive side that dies is
// no error, and neither is a ceiling that weir breaks: see [Result.OK].
func (e Experiment) Run(ctx context.Context, o Options) (list []*Result, err error) {
	dir, err := os.MkdirTemp("", "weir-lab-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, s := range e.rounds(o.Override) {
		r := &Result{Experiment: e.Name, Setup: e.describe(s), Stated: e.Stated, Settings: s, Guard: o.Guard,
			ReadLabel: e.read, SentLabel: e.sent, load: e.load}
		file := ""
		if e.load == loadDownload || e.load == loadAbort {
			file = filepath.Join(dir, fileName)
			if err := sparse(file, s.Size); err != nil {
				return list, err
			}
		}
		for _, p := range e.programs(o) {
			run := &run{e: e, o: o, r: r, side: p.side, spec: spec{e.Name, p.side.Letter, s, dir, file}}
			if err := run.run(ctx, p); err != nil {
				if ctx.Err() != nil {
					return list, context.Cause(ctx)
				}
				return list, fmt.Errorf("%s, side %s: %w", e.Name, p.side.Letter, err)
			}
		}
		r.check()
		list = append(list, r)
	}
	return list, nil
}

// sparse makes a file of zeros that most file systems store none of.
func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// A program is the command that runs as a side.
type program struct {
	side   *Side
	script *script // nil: ours
}

// programs returns the sides of the experiment.
func (e Experiment) programs(o Options) []program {
	list := []program{
		{side: &Side{Letter: "A", Label: "naive", Does: e.Naive}},
		{side: &Side{Letter: "B", Label: "weir", Does: e.Weir}},
	}
	if o.Node != "" {
		for i := range e.node {
			s := &e.node[i]
			list = append(list, program{&Side{Letter: string(rune('C' + i)), Label: s.label, Does: s.does}, s})
		}
	}
	return list
}
