package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/nats"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/spool"
)

// Stages that a flow which continues after a crash can have: those that can be
// continued, and those that pass on all bytes unchanged.
var (
	resumableStages = []string{"gzip", "zstd", "zlib", "deflate"}
	passingStages   = []string{"rate", "buffer", "timeout"}
)

// resumption makes an encoder one that can be continued: see compress.Resume.
type resumption struct {
	from func() (in, out int64, state []byte)
	at   func(in, out int64, state []byte)
}

// survivor is a weir pipe with a spool or an edge, as segments from one to the
// next. Each is a durable flow.
type survivor struct {
	set      *settings
	step     *step
	line     []string // the command, without weir
	src, dst string
	segments []*segment
	spools   []*spoolEdge

	buffers bool // the spools are only buffers
}

// segment is a part of the command that continues by itself.
type segment struct {
	from, to int // the words of its source and its destination
	source   durable.Source
	sink     durable.Sink
	begin    atomic.Pointer[durable.Checkpoint] // where the run began; views read it during the run
}

// hasEdge reports whether a spool or an edge is among the words of a pipe.
func hasEdge(words []string) bool {
	n := len(words) - 1
	return isEdge(words[0]) || isEdge(words[n]) || slices.ContainsFunc(words[1:n], isSpool)
}

// isEdge reports whether name is the URL of an edge between machines.
func isEdge(name string) bool { return nats.IsEdge(name) }

func isSpool(word string) bool {
	name, _, _ := strings.Cut(word, ":")
	return name == "spool"
}

// newSurvivor cuts a command into segments. If its ends cannot be continued, the
// survivor only buffers, and why says why.
func (s *settings) newSurvivor(st *step, line []string) (v *survivor, why string, err error) {
	n := len(line) - 1
	v = &survivor{set: s, step: st, line: line, src: line[1], dst: line[n]}
	for at := 2; at < n; at++ {
		if isSpool(line[at]) {
			w := word{kind: kindOfStage("spool"), line: line, at: at}
			_, w.text, w.has = strings.Cut(line[at], ":")
			dir, o, err := spoolArgs(w)
			if err != nil {
				return nil, "", err
			}
			e := &spoolEdge{dir: dir, o: o}
			if slices.ContainsFunc(v.spools, func(other *spoolEdge) bool { return sameFile(other.dir, dir) }) {
				return nil, "", w.wrong("is in the same folder as another one")
			}
			v.spools = append(v.spools, e)
			v.segments = append(v.segments, &segment{to: at, sink: e.Sink()})
		}
	}
	v.segments = append(v.segments, &segment{to: n})
	first, last := v.segments[0], v.segments[len(v.segments)-1]
	first.from = 1
	for i, e := range v.spools {
		v.segments[i+1].from, v.segments[i+1].source = v.segments[i].to, e.Source()
	}
	if first.source, err = s.durableSource(v.src); err == nil {
		last.sink, err = s.durableSink(v.dst, permOf(v.src))
	}
	if errors.Is(err, durable.ErrCannotResume) {
		v.buffers = true
		return v, err.Error(), nil
	}
	if err != nil {
		return nil, "", badName(err)
	}
	return v, "", v.check()
}

// durableSource returns the source behind name. Its error matches
// durable.ErrCannotResume if there can be none.
func (s *settings) durableSource(name string) (durable.Source, error) {
	if isEdge(name) {
		e, err := nats.Parse(name)
		return e.Source(), err
	}
	return durable.From(name, s.remote.options)
}

// durableSink returns the sink behind name. Its error matches
// durable.ErrCannotResume if there can be none.
func (s *settings) durableSink(name string, perm fs.FileMode) (durable.Sink, error) {
	path, local := endpoint.Local(name)
	switch {
	case isEdge(name):
		e, err := nats.Parse(name)
		return e.Sink(), err
	case local && path == "-":
		return nil, fmt.Errorf("standard output %w", durable.ErrCannotResume)
	case local:
		if _, there, err := atomicfile.Target(path); err == nil && there != nil && !there.Mode().IsRegular() {
			return nil, fmt.Errorf("%s %w: it is %s", name, durable.ErrCannotResume, kindOf(there.Mode()))
		}
		return durable.File(path, perm), nil
	case strings.HasPrefix(strings.ToLower(name), "s3://"):
		return s3.Store{}.DurableSink(name, s.remote.options)
	}
	if _, err := endpoint.Sink(name, endpoint.SinkOptions{HTTP: s.remote.options}); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("an upload to %s %w", shown(name), durable.ErrCannotResume)
}

// check refuses stages that cannot be continued.
func (v *survivor) check() error {
	for _, seg := range v.segments {
		had := ""
		for at := seg.from + 1; at < seg.to; at++ {
			name, _, _ := strings.Cut(v.line[at], ":")
			switch {
			case !isStage(name):
				return nil // the error about that is better
			case slices.Contains(passingStages, name):
			case !slices.Contains(resumableStages, name):
				return v.refuse(at, "cannot be continued after a crash", "")
			case had != "":
				return v.refuse(at, "cannot be continued after a crash behind "+had, "put another spool between them")
			default:
				had = name
			}
		}
	}
	return nil
}

// refuse refuses a stage in a flow that is to survive.
func (v *survivor) refuse(at int, why, try string) error {
	if try == "" {
		first, then := []string{"pipe", v.src}, []string{"pipe", "FILE"}
		rest := at
		if !isEdge(v.src) { // the stage can have its turn before anything has to survive
			first = append(first, v.line[2:at+1]...)
			then = append(then, slices.DeleteFunc(slices.Clone(v.line[2:at]), func(w string) bool { return !isSpool(w) })...)
			rest = at + 1
		}
		first = append(slices.DeleteFunc(first, isSpool), "FILE")
		then = append(then, v.line[rest:]...)
		if isEdge(v.src) {
			then = slices.DeleteFunc(then, isSpool)
		}
		try = fmt.Sprintf("weir %s, and then: weir %s", quotedLine(first), quotedLine(then))
	}
	return &failure{code: exitUsage, line: v.line, word: at, text: fmt.Sprintf("stage %q %s, so this flow could not either", v.line[at], why), try: try}
}

func quotedLine(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = quoted(endpoint.Redact(w))
	}
	return strings.Join(list, " ")
}

func kindOfStage(name string) stageKind {
	return stageKinds[slices.IndexFunc(stageKinds, func(k stageKind) bool { return k.name == name })]
}

// build builds the flows of all segments.
func (v *survivor) build(frugal bool) (*weir.Flow, error) {
	st := v.step
	st.ends, st.size = map[string]string{}, nil
	if _, local := endpoint.Local(v.src); local {
		st.size = v.left
	}
	b := &builder{set: v.set, step: st, frugal: frugal}
	var flows []*weir.Flow
	for i, seg := range v.segments {
		o := durable.Options{Opened: func(c durable.Checkpoint) { seg.begin.Store(&c) }}
		for at := seg.from + 1; at < seg.to; at++ {
			name, _, _ := strings.Cut(v.line[at], ":")
			if slices.Contains(resumableStages, name) {
				if err := b.resumable(&o, v.line, at); err != nil {
					return nil, err
				}
				continue
			}
			pass, err := b.stage(v.line, at)
			if err != nil {
				return nil, err
			}
			if o.Stage == nil {
				o.Before = append(o.Before, pass)
			} else {
				o.After = append(o.After, pass)
			}
		}
		flows = append(flows, durable.Flow(seg.source, seg.sink, o))
		if i < len(v.spools) {
			st.ends[seg.sink.Name()] = v.line[seg.to]
			st.ends[v.segments[i+1].source.Name()] = v.line[seg.to]
		}
	}
	slices.Reverse(flows) // they open in the opposite order
	flow := flows[0]
	if len(flows) > 1 {
		flow = weir.Join(flows...)
	}
	flow.Name = "pipe " + st.src
	b.nameSteps()
	return flow, nil
}

// resumable adds the stage at a word to o.
func (b *builder) resumable(o *durable.Options, line []string, at int) error {
	if _, err := b.stage(line, at); err != nil { // names and checks it
		return err
	}
	name, text, has := strings.Cut(line[at], ":")
	w := word{kindOfStage(name), text, has, line, at}
	o.Stage = &durable.Stage{Name: line[at], Resume: func(from func() (in, out int64, state []byte), at func(in, out int64, state []byte)) byteStage {
		again := &builder{set: b.set, step: b.step, frugal: b.frugal, resume: &resumption{from, at}}
		st, err := w.kind.make(again, w)
		if err != nil {
			st.Err = err
		}
		return st
	}}
	return nil
}

// resumeOption returns the option that makes an encoder one that can be continued.
func (b *builder) resumeOption(opts []compress.Option) []compress.Option {
	if b.resume == nil {
		return opts
	}
	return append(opts, compress.Resume(b.resume.from, b.resume.at))
}

// run runs the flow between the opening of its spools and their end.
func (v *survivor) run(ctx context.Context) error {
	err := v.attempt(ctx)
	if errors.Is(err, errBehind) && v.again(ctx) {
		// Nobody can use the contents of the spool: its reader has to begin anew.
		for _, e := range v.spools {
			if ferr := e.empty(ctx); ferr != nil {
				return errors.Join(err, ferr)
			}
		}
		err = v.attempt(ctx)
	}
	return err
}

// again reports whether the source still has the contents of the spools: then they
// can be emptied. An edge frees the bytes that a spool has saved.
func (v *survivor) again(ctx context.Context) bool {
	if isEdge(v.src) {
		return false
	}
	e := v.spools[0]
	if e.open(ctx) != nil {
		return false
	}
	defer e.close()
	k := e.Sink()
	c, err := k.Open(ctx)
	if err != nil {
		return false
	}
	defer k.Close()
	version, err := v.segments[0].source.Stat(ctx)
	return err == nil && (c.Source.Version == "" || c.Source.Version == version)
}

func (v *survivor) attempt(ctx context.Context) (err error) {
	for _, seg := range v.segments {
		seg.begin.Store(nil)
	}
	for _, e := range v.spools {
		if err := e.open(ctx); err != nil {
			if bare := errors.Unwrap(err); bare != nil { // the message names the spool itself
				err = bare
			}
			if errors.Is(err, durable.ErrOther) { // it has files that are not ours to remove
				err = errors.New(err.Error())
			}
			for _, e := range v.spools {
				err = errors.Join(err, e.close())
			}
			return &weir.StageError{Stage: e.Name(), Err: err}
		}
	}
	err = v.step.flowRun(ctx, v.set)
	for _, e := range v.spools {
		if err == nil {
			err = e.unread()
		}
	}
	for _, e := range v.spools {
		if err == nil {
			err = e.remove()
		} else {
			err = errors.Join(err, e.close())
		}
	}
	return err
}

// sources tells whether all sources can be continued, before anything is written.
// If one cannot, the survivor only buffers from then on.
func (v *survivor) probe(ctx context.Context) (why string, err error) {
	first := v.segments[0].source
	if _, local := endpoint.Local(v.src); local || isEdge(v.src) {
		return "", nil // that was known before, or takes as long as it takes
	}
	_, err = first.Stat(ctx)
	if errors.Is(err, durable.ErrCannotResume) {
		return fmt.Sprintf("%s %v", shown(v.src), err), nil
	}
	return "", nil // the run has the better error
}

// command is the command that continues.
func (v *survivor) command() string { return "weir " + quotedLine(v.line) }

// anew says how to begin from the beginning.
func (v *survivor) anew() string {
	var files []string
	for _, e := range v.spools {
		files = append(files, e.dir)
	}
	path, local := endpoint.Local(v.dst)
	if local {
		files = append(files, path+".weir-flow", path+".weir-flow.json")
	}
	var try []string
	if len(files) > 0 {
		try = append(try, "rm -rf "+quotedLine(files))
	}
	if strings.HasPrefix(strings.ToLower(v.dst), "s3://") {
		try = append(try, "remove "+shown(v.dst)+".weir-flow")
	}
	if isEdge(v.dst) {
		try = append(try, "weir edge drop "+quoted(endpoint.Redact(v.dst)))
	}
	return "to begin anew: " + strings.Join(try, ", and ")
}

// began reports whether any segment has begun, so that there may be something to
// continue.
func (v *survivor) began() bool {
	return slices.ContainsFunc(v.segments, func(s *segment) bool { return s.begin.Load() != nil })
}

// continued reports whether any segment began where an earlier run had stopped.
func (v *survivor) continued() bool {
	return slices.ContainsFunc(v.segments, func(s *segment) bool {
		c := s.begin.Load()
		return c != nil && c.Source.Version != ""
	})
}

// left is how many bytes of the source this run has to read; -1: it is not known.
func (v *survivor) left() int64 {
	size := sizeOf(v.src, nil)()
	if c := v.segments[0].begin.Load(); c != nil && size >= 0 {
		if c.End {
			return 0
		}
		size -= c.Source.Offset
	}
	return size
}

// note is an addition to the summary: where the run continued.
func (v *survivor) note() string {
	first, last := v.segments[0].begin.Load(), v.segments[len(v.segments)-1].begin.Load()
	switch {
	case first == nil || last == nil:
		return ""
	case last.End:
		return ", all of it was there already"
	case !v.continued():
		return ""
	}
	return fmt.Sprintf(", continued at %s of %s and %s of %s", weir.FormatBytes(first.Source.Offset), v.step.src, weir.FormatBytes(last.Offset), v.step.dst)
}

// resumed is note for JSON.
func (v *survivor) resumed() (list []map[string]any) {
	for _, seg := range v.segments {
		c := seg.begin.Load()
		if c == nil {
			continue
		}
		list = append(list, map[string]any{
			"source": endpoint.Redact(v.line[seg.from]), "destination": endpoint.Redact(v.line[seg.to]),
			"source_offset": c.Source.Offset, "offset": c.Offset, "resumed": c.Source.Version != "", "ended": c.End,
		})
	}
	return list
}

// plan describes the segments, for --dry-run.
func (v *survivor) plan() string {
	var b strings.Builder
	for i, seg := range v.segments {
		name := "segments   "
		if i > 0 {
			name = strings.Repeat(" ", len(name))
		}
		fmt.Fprintf(&b, "%s%s → %s\n", name, quotedLine(v.line[seg.from:seg.to]), quotedLine(v.line[seg.to:seg.to+1]))
	}
	b.WriteString("survives   kill -9; the same command continues\n")
	return b.String()
}

// spoolArgs reads the arguments of a spool.
func spoolArgs(w word) (dir string, o spool.Options, err error) {
	a, err := w.settings("dir", "max")
	if err != nil {
		return "", o, err
	}
	if a["dir"] == "" {
		return "", o, w.wrong("needs a folder")
	}
	if size, ok := a["max"]; ok {
		if o.Max, err = w.size("max", size); err != nil {
			return "", o, err
		}
		if err := spool.Bytes(a["dir"], o).Err; err != nil {
			return "", o, w.wrong("has a %v", err)
		}
	}
	return a["dir"], o, nil
}

// spoolStage is a spool that is only a buffer.
func spoolStage(_ *builder, w word) (byteStage, error) {
	dir, o, err := spoolArgs(w)
	if err != nil {
		return byteStage{}, err
	}
	return spool.Bytes(dir, o), nil
}

// errBehind is the error of a reader that begins where the spool no longer has
// anything: its result is complete and the run was killed before it had removed
// the spool, or somebody has removed its result.
var errBehind = errors.New("the spool no longer has the beginning")

// spoolEdge is a spool between two segments. It is opened when the flow runs.
type spoolEdge struct {
	dir string
	o   spool.Options
	log *spool.Log // nil: it is not open
}

// Name is the name of the end that is written.
func (e *spoolEdge) Name() string { return "spool " + filepath.Clean(e.dir) }

// String returns the spool as it is written in a command, for messages.
func (e *spoolEdge) String() string { return "spool:" + e.dir }

func (e *spoolEdge) Sink() durable.Sink     { return &spoolSink{spoolEdge: e} }
func (e *spoolEdge) Source() durable.Source { return &spoolSource{spoolEdge: e} }

func (e *spoolEdge) open(ctx context.Context) (err error) {
	e.log, err = spool.Open(ctx, e.dir, e.o)
	return err
}

func (e *spoolEdge) close() error {
	l := e.log
	e.log = nil
	if l == nil {
		return nil
	}
	return l.Close()
}

// remove removes a spool that nobody needs any more.
func (e *spoolEdge) remove() error {
	l := e.log
	e.log = nil
	return l.Remove()
}

// unread is the error of a flow that left something in the spool, although it
// succeeded.
func (e *spoolEdge) unread() error {
	if s := e.log.Stats(); !s.Ended || s.Lag() > 0 {
		return &weir.StageError{Stage: e.Name(), Err: fmt.Errorf("%s left unread", units.Count(s.Lag(), "byte"))}
	}
	return nil
}

func (e *spoolEdge) empty(ctx context.Context) error {
	if err := e.open(ctx); err != nil {
		return err
	}
	return e.remove()
}

// spoolSink is the end of a spool that a flow writes to.
type spoolSink struct {
	*spoolEdge
	to durable.Sink // of the open spool
}

func (k *spoolSink) Holds() int64 { return spool.Bytes(k.dir, k.o).Holds }

func (k *spoolSink) Peer() string {
	if p, ok := k.to.(interface{ Peer() string }); ok {
		return p.Peer()
	}
	return ""
}

// Edge describes the spool for reports, if it can.
func (k *spoolSink) Edge() report.Edge {
	if e, ok := k.to.(interface{ Edge() report.Edge }); ok {
		return e.Edge()
	}
	return report.Edge{}
}

func (k *spoolSink) Open(ctx context.Context) (durable.Checkpoint, error) {
	k.to = k.log.Sink()
	return k.to.Open(ctx)
}

// Forget empties the spool, if everything in it has been read.
func (k *spoolSink) Forget(ctx context.Context) error {
	if s := k.log.Stats(); s.Lag() > 0 {
		return fmt.Errorf("%s of another version of the source are unread: %w", weir.FormatBytes(s.Lag()), durable.ErrOther)
	}
	return k.to.(interface{ Forget(context.Context) error }).Forget(ctx)
}

func (k *spoolSink) Pace() (n int64, age, idle time.Duration) {
	return k.to.(interface {
		Pace() (int64, time.Duration, time.Duration)
	}).Pace()
}

func (k *spoolSink) Write(ctx context.Context, p []byte) (int, error) { return k.to.Write(ctx, p) }
func (k *spoolSink) Save(ctx context.Context, c durable.Checkpoint) error {
	return k.to.Save(ctx, c)
}
func (k *spoolSink) Commit(ctx context.Context, c durable.Checkpoint) error {
	return k.to.Commit(ctx, c)
}
func (k *spoolSink) Close() error { return k.to.Close() }

// spoolSource is the end of a spool that a flow reads from.
type spoolSource struct {
	*spoolEdge
	from durable.Source // of the open spool
}

func (s *spoolSource) Name() string { return "read " + filepath.Clean(s.dir) }
func (s *spoolSource) Holds() int64 { return spool.Bytes(s.dir, s.o).Holds }

func (s *spoolSource) Stat(ctx context.Context) (string, error) {
	s.from = s.log.Source()
	return s.from.Stat(ctx)
}

func (s *spoolSource) Open(ctx context.Context, p durable.Position) (io.ReadCloser, error) {
	in, err := s.from.Open(ctx, p)
	if errors.Is(err, endpoint.ErrChanged) && p.Offset == 0 { // Stat has returned this version
		return nil, errBehind
	}
	return in, err
}

func (s *spoolSource) Done(ctx context.Context, offset int64) error {
	return s.from.Done(ctx, offset)
}

// surviving makes the step one that continues after a crash, if its ends can.
func (s *settings) surviving(st *step, line []string) error {
	v, why, err := s.newSurvivor(st, line)
	if err != nil {
		return err
	}
	if why != "" {
		s.onlyBuffers(line, why)
		return nil
	}
	st.survives, st.note = v, v.note
	return nil
}

// onlyBuffers says that nothing of this flow can be continued.
func (s *settings) onlyBuffers(line []string, why string) {
	what := "a run that is killed has to begin anew"
	if slices.ContainsFunc(line, isSpool) {
		what = "the spool is only a buffer here, and " + what
	}
	s.warn("%s, so %s", why, what)
}

// probe asks a server whether it can continue, and falls back to a plain run if
// it cannot.
func (s *settings) probe(ctx context.Context, st *step, line []string) error {
	why, err := st.survives.probe(ctx)
	if err != nil || why == "" {
		return err
	}
	s.onlyBuffers(line, why)
	st.survives, st.note, st.ends = nil, nil, nil
	return st.fit(s.memory, s.limit)
}

// advice says what to do about an error of a flow that can be continued, or "" if the flow
// has left nothing to continue.
func (v *survivor) advice(err error) string {
	switch {
	case errors.Is(err, endpoint.ErrChanged), errors.Is(err, durable.ErrOther), errors.Is(err, errBehind), errors.Is(err, spool.ErrDamaged):
		return v.anew()
	case errors.Is(err, durable.ErrInUse):
		return untilEnded
	case !v.began():
		return ""
	case full(err):
		return "free some space, then run " + v.command() + ", to continue"
	}
	return v.command() + ", to continue"
}

// untilEnded is the advice about a name that another run uses.
const untilEnded = "wait until the other run has ended"

// ofSpool returns the text and the advice of an error of the spool in a word. Errors of
// package spool name its folder, and those that give advice end in it.
func ofSpool(at string, err error) (text, try string) {
	var code syscall.Errno
	if full(err) && errors.As(err, &code) {
		return code.Error(), "" // the name of the file in the folder is the spool's own matter
	}
	text = strings.TrimPrefix(innermost(err).Error(), "weir: ")
	_, arguments, _ := strings.Cut(at, ":")
	if dir, _, err := spoolArgs(word{text: arguments, has: true, line: []string{at}}); err == nil {
		text = strings.TrimPrefix(text, "spool "+dir+": ")
		text = strings.TrimPrefix(text, "folder "+dir+": ")
	}
	if end := strings.LastIndex(text, "; "); end >= 0 {
		text, try = text[:end], text[end+2:]
	}
	return text, try
}

// spoolFailure is the failure of a spool that is only a buffer.
func spoolFailure(at string, err error) *failure {
	text, try := ofSpool(at, err)
	switch {
	case errors.Is(err, durable.ErrInUse):
		try = untilEnded + ", or use another folder"
	case full(err):
		try = "free some space, or set a smaller maximum, as in spool:DIR,max=1GiB"
	}
	return &failure{code: exitFailed, text: fmt.Sprintf("cannot use %s: %s", at, text), try: try}
}
