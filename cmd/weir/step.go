package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/tree"
)

// step is one flow of a run, with the facts that the command line knows about
// it.
type step struct {
	src, dst string            // as the user named them
	branches map[string]string // further destinations: sink name → file
	ends     map[string]string // ends of segments: name of the source or sink → word
	survives *survivor         // the flow continues after a crash; nil: it does not
	build    func(frugal bool) (*weir.Flow, error)
	flow     *weir.Flow
	run      func(ctx context.Context) error // flow.Run, or a function around it
	size     func() int64                    // of the source in bytes; -1: not known
	moved    func() (in, out int64)          // bytes, if the flow's stages do not count them
	holds    int64                           // in addition to the flow's ceiling, in bytes
	tree     func() (tree.Progress, string)  // of a folder, and a file that is being copied; nil: it is one file
	merges   func() bool                     // after the run: the files of a folder that were copied are in place
	preview  func() (tree.Plan, error)       // plans the copy of a folder
	prepare  func(context.Context) error     // runs before the flow; not in a dry run
	failed   func(*failure)                  // reports a file of a folder that could not be copied
	kept     *carry.Note                     // passed between the ends of the flow; made by flowRun if nil
	perm     fs.FileMode                     // of new files, before umask
	target   string                          // the path of the copy; empty: it has no name
	note     func() string                   // an addition to the summary
	sums     []string                        // digests and counts of stages
	unread   unreadList                      // data that decoders did not read
	words    map[string]*typed               // names of the flow's stages → words of the user
	window   string                          // the flag that allows a larger window, if it is not a word
	partial  string                          // the path of an unfinished copy
	isTree   bool
	verifies bool     // it reads back the destination
	equal    bool     // the destination is already a copy
	piped    bool     // it belongs to weir pipe
	warned   bool     // the step succeeds, but the exit code is the one for warnings
	discards bool     // it only checks its source
	command  string   // the user's command if there is no stage: "gzip -d"; empty for copy and pipe
	deletes  bool     // it removes files from the destination that the source does not have
	over     bool     // the copy of a folder has ended
	refused  *failure // why it cannot begin; the step has no flow then
}

// destination returns dst for JSON: null if nothing is written.
func (s *step) destination() any {
	if s.discards {
		return nil
	}
	return s.dst
}

// withSetting returns a command that runs the step with a setting of its stage.
func (s *step) withSetting(word string) string {
	switch {
	case s.command == "":
		return word
	case s.discards:
		return fmt.Sprintf("weir pipe %s %s - >/dev/null", quoted(s.src), word)
	}
	return fmt.Sprintf("weir pipe %s %s %s", quoted(s.src), word, quoted(s.dst))
}

// unread is data after the end of compressed data, which no stage has read. It
// can be the rest of a damaged source. A step that left such data has failed,
// even though its result is written, and its source must not be removed.
type unread struct {
	stage  string
	offset int64 // in the input of the stage
}

type unreadList struct {
	mu   sync.Mutex // stages run at the same time
	list []unread
}

func (s *step) leave(stage string, offset int64) {
	s.unread.mu.Lock()
	defer s.unread.mu.Unlock()
	s.unread.list = append(s.unread.list, unread{stage, offset})
}

func (s *step) left() []unread {
	s.unread.mu.Lock()
	defer s.unread.mu.Unlock()
	return s.unread.list
}

// incomplete returns the failure of a step that left data unread, or nil.
func (s *step) incomplete() *failure {
	left := s.left()
	if len(left) == 0 {
		return nil
	}
	u := left[0]
	f := &failure{code: exitFailed, text: fmt.Sprintf(
		"%s of %s: the compressed data ends at byte %d, but other data follows, which was not read; everything before it is decompressed",
		cmp.Or(s.command, u.stage), stream(s.src, "input"), u.offset)}
	if name, local := endpoint.Local(s.src); local && name != "-" {
		f.try = fmt.Sprintf("tail -c +%d %s | head -c 64 | od -c", u.offset+1, quoted(s.src))
	}
	return f
}

// flowRun runs the flow and warns if the source was written to during the run.
func (s *step) flowRun(ctx context.Context, set *settings) error {
	if s.kept == nil {
		s.kept = &carry.Note{}
	}
	err := s.flow.Run(carry.Into(ctx, s.kept))
	if how := s.kept.Changed(); err == nil && how != "" {
		name := s.src
		if name == "-" {
			name = "standard input"
		}
		set.warn("%s %s while it was read", name, how)
	}
	return err
}

// sweep removes the temporary files that a killed process left where this step
// writes.
func (s *step) sweep() error {
	names := []string{s.dst}
	for _, name := range s.branches {
		names = append(names, name)
	}
	swept := map[string]bool{}
	for _, name := range names {
		file, local := endpoint.Local(name)
		if !local || file == "-" || file == "" {
			continue
		}
		target, there, err := atomicfile.Target(file)
		if s.isTree {
			target, there, err = file, nil, nil
		}
		if dir := filepath.Dir(target); err == nil && (there == nil || there.Mode().IsRegular()) && !swept[dir] {
			swept[dir] = true
			atomicfile.SweepDir(dir)
		}
	}
	return nil
}

// removable returns an error if the source must not be removed, because it is
// not the file that was read.
func (s *step) removable(name string) error {
	end := s.kept.End()
	now, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case s.kept.Changed() != "":
		return fmt.Errorf("it %s while it was read", s.kept.Changed())
	case end == nil || !os.SameFile(end, now) || end.Size() != now.Size() || !end.ModTime().Equal(now.ModTime()):
		return errors.New("it has changed since it was read")
	}
	return nil
}

func (s *step) total() int64 {
	if s.size == nil {
		return -1
	}
	return s.size()
}

// bytes returns how many bytes were read and written until now.
func (s *step) bytes(r report.Report) (in, out int64) {
	if s.moved != nil {
		return s.moved()
	}
	for _, st := range r.Stages {
		if _, inner := s.ends[st.Name]; inner {
			continue
		}
		switch st.Kind {
		case report.KindSource:
			in += st.Out
		case report.KindSink:
			if _, branch := s.branches[st.Name]; !branch {
				out += st.In
			}
		}
	}
	return in, out
}

// missing returns a failure if a local source does not exist, before the run
// starts.
func (s *step) missing() *failure {
	name, local := endpoint.Local(s.src)
	if !local || name == "-" {
		return nil
	}
	if _, err := os.Stat(name); err != nil {
		f := &failure{code: exitSource, text: fmt.Sprintf("cannot read %s: %v", s.src, innermost(err))}
		f.try = advice(s, f.code, s.dst, err)
		if kind, _, _ := strings.Cut(s.src, ":"); s.piped && isStage(kind) {
			f.try = "weir pipe - " + quoted(s.src) + " …, to read standard input"
		}
		return f
	}
	return nil
}

// unplaced returns a failure if the folder for a local destination does not
// exist. A run finds that out when it opens the destination.
func (s *step) unplaced() *failure {
	names := slices.Sorted(maps.Values(s.branches))
	if !s.discards {
		names = append(names, s.dst)
	}
	for _, name := range names {
		file, local := endpoint.Local(name)
		if !local || file == "-" || file == "" {
			continue
		}
		text, err := "", error(nil)
		if above := inTheWay(file); above != "" {
			text, err = above+" is a file", syscall.ENOTDIR
		} else if _, serr := os.Stat(filepath.Dir(file)); serr != nil {
			text, err = innermost(serr).Error(), serr
		}
		if err != nil {
			f := &failure{code: exitDestination, text: fmt.Sprintf("cannot write %s: %s", name, text)}
			f.try = advice(s, f.code, name, err)
			return f
		}
	}
	return nil
}

// ceiling returns the most memory that the step can hold, in bytes.
func (s *step) ceiling() (int64, error) {
	if s.refused != nil {
		return 0, nil
	}
	c, err := s.flow.Ceiling()
	return c.Bytes + s.holds, err
}

// fit builds the flow so that its ceiling is at most limit, if that is not 0:
// with smaller pipes, then with one worker for each codec.
func (s *step) fit(memory string, limit int64) error {
	const least, most = 4 << 10, 1 << 20
	for _, frugal := range []bool{false, true} {
		flow, err := s.build(frugal)
		if err != nil {
			return err
		}
		s.flow = flow
		if s.run == nil {
			s.run = func(ctx context.Context) error { return s.flow.Run(carry.Into(ctx, &carry.Note{})) }
		}
		if _, err := s.ceiling(); err != nil {
			return &failure{code: exitUsage, text: err.Error()}
		}
		if limit == 0 {
			return nil
		}
		for n := int64(most); n >= least; n /= 2 {
			s.flow.Limit = weir.Bytes(n)
			if c, _ := s.ceiling(); c <= limit {
				return nil
			}
		}
	}
	need, _ := s.ceiling()
	if text := weir.FormatBytes(limit); strings.ReplaceAll(text, " ", "") != memory {
		memory += " (" + text + ")"
	}
	return &failure{
		code: exitMemory,
		text: fmt.Sprintf("--memory %s is too small: this needs at least %s", memory, weir.FormatBytes(need)),
		try:  fmt.Sprintf("--memory %dKiB", (need+1023)/1024),
	}
}
