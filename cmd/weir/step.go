package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// step is one flow of a run and what the command line knows of it.
type step struct {
	src, dst string            // as the user named them
	branches map[string]string // further destinations: sink name → file
	build    func(frugal bool) (*weir.Flow, error)
	flow     *weir.Flow
	run      func(ctx context.Context) error // flow.Run, or what does more
	size     func() int64                    // of the source in bytes; -1: not known
	moved    func() (in, out int64)          // bytes, if the flow's stages do not count them
	holds    int64                           // beside what the flow says, in bytes
	files    func() int64                    // how many a folder held; nil: it is one file
	note     func() string                   // what the summary adds
	sums     []string                        // what stages have found out
	unread   unreadList                      // what decoders have left
	words    map[string]*typed               // names of the flow's stages → what the user wrote
	window   string                          // how to allow a larger window, if not by a word
	partial  string                          // where an unfinished copy stays
	isTree   bool
	piped    bool     // it is one of weir pipe
	warned   bool     // the exit code is that of a warning, though the step succeeds
	discards bool     // it only checks its source
	command  string   // what the user typed in place of a stage: "gzip -d"; empty for copy and pipe
	refused  *failure // why it cannot even begin; it has no flow
}

// unread is data behind the end of compressed data, which no stage has read.
// It can be the rest of a damaged source: a step that left any has failed, even
// though its result is written, and nothing of its source may be removed.
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

// incomplete is the failure of a step that left data unread, or nil.
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

// withSetting is how to run the step with a setting of its stage.
func (s *step) withSetting(word string) string {
	switch {
	case s.command == "":
		return word
	case s.discards:
		return fmt.Sprintf("weir pipe %s %s - >/dev/null", quoted(s.src), word)
	}
	return fmt.Sprintf("weir pipe %s %s %s", quoted(s.src), word, quoted(s.dst))
}

func (s *step) total() int64 {
	if s.size == nil {
		return -1
	}
	return s.size()
}

// bytes returns how many bytes were read and written until now.
func (s *step) bytes(r weir.Report) (in, out int64) {
	if s.moved != nil {
		return s.moved()
	}
	for _, st := range r.Stages {
		switch st.Kind {
		case weir.KindSource:
			in += st.Out
		case weir.KindSink:
			if _, branch := s.branches[st.Name]; !branch {
				out += st.In
			}
		}
	}
	return in, out
}

// missing says at once that a local source is not there.
func (s *step) missing() *failure {
	name, local := endpoint.Local(s.src)
	if !local || name == "-" {
		return nil
	}
	if _, err := os.Stat(name); err != nil {
		f := &failure{code: exitSource, text: fmt.Sprintf("cannot read %s: %v", s.src, innermost(err))}
		f.try = advice(s, f.code, s.dst, err)
		return f
	}
	return nil
}

// ceiling is the most memory that the step can hold, in bytes.
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
			s.run = func(ctx context.Context) error { return s.flow.Run(ctx) }
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
		text: fmt.Sprintf("--memory %s is too little: this needs at least %s", memory, weir.FormatBytes(need)),
		try:  fmt.Sprintf("--memory %dKiB", (need+1023)/1024),
	}
}
