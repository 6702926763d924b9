package flows_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// gen makes one random flow, and the model of it. Two of the same seed are the
// same.
type gen struct {
	seed    uint64
	rand    *rand.Rand
	real    bool // the flow may wait for the system, and never sleeps
	plain   bool // no stage of the user's, which may keep what it likes
	profile profile
	ints    *kind[int]
	bytes   *kind[byte]
	strings *kind[string]
	slices  *kind[[]byte]
	records *kind[entry]

	text   []string // the flow in words
	site   int      // places left until the fault happens; negative: none
	fault  *fault
	leaves bool // something ends everything upstream of it early
	nested int  // how many parts of Concat enclose the current step
	files  int
	folder func() string

	flow     *weir.Flow // what runs, unless run does
	flows    []*weir.Flow
	run      func(ctx context.Context) error
	results  []*result
	handles  []*handle
	helpers  []func()
	halves   []*half
	checks   []func(err error) error // what else must hold at the end
	context  context.Context
	cancel   context.CancelCauseFunc
	ended    chan struct{} // closed when the flow has ended
	stopped  atomic.Bool
	mu       sync.Mutex
	problems []error // found while it runs
	started  atomic.Bool
}

func newGen(seed uint64) *gen {
	r := rand.New(rand.NewPCG(seed, 0x77656972))
	p := profiles[r.IntN(len(profiles))]
	g := &gen{
		seed: seed, rand: r, profile: p, site: -1, ended: make(chan struct{}),
		ints: intKind(), bytes: byteKind(), strings: p.stringKind(), slices: p.sliceKind(), records: p.recordKind(),
	}
	g.context, g.cancel = context.WithCancelCause(context.Background())
	return g
}

// halt tells the flow to take no more input.
func (g *gen) halt() {
	if f := g.flow; f != nil && g.started.Load() {
		g.stopped.Store(true)
		f.Stop()
	}
}

func (g *gen) n(most int) int        { return g.rand.IntN(most) }
func (g *gen) chance(p float64) bool { return g.rand.Float64() < p }

func (g *gen) say(format string, args ...any) { g.text = append(g.text, fmt.Sprintf(format, args...)) }

func (g *gen) String() string {
	return fmt.Sprintf("%s; %s", g.profile.name, strings.Join(g.text, " | "))
}

// limit is a limit for a pipe, small ones first of all.
func (g *gen) limit() weir.Limit {
	switch g.n(9) {
	case 0:
		return weir.Items(0)
	case 1:
		return weir.Items(1)
	case 2:
		return weir.Items(int64(2 + g.n(40)))
	case 3:
		return weir.Bytes(0)
	case 4:
		return weir.Bytes(1)
	case 5:
		return weir.Bytes(int64(2 + g.n(4096)))
	case 6:
		return weir.Bytes(64 << 10)
	case 7:
		return weir.Items(int64(1 + g.n(100))).And(weir.Bytes(int64(g.n(10000))))
	}
	return weir.Limit{}
}

// nap waits now and then, which costs nothing where time is not real.
func (g *gen) nap() func(i int) {
	if g.real || !g.chance(0.15) {
		return func(int) {}
	}
	every, d := 1+g.n(50), time.Duration(1+g.n(1000))*time.Microsecond
	g.say("(slow)")
	return func(i int) {
		if i%every == 0 {
			time.Sleep(d)
		}
	}
}

// keys returns the keys of a source. Some are equal.
func (g *gen) keys() []int {
	n := g.n(pick(g.rand, 1, 3, 20, 300, g.profile.count+1) + 1)
	n = min(n, g.profile.count)
	span := pick(g.rand, 4, 50, keyMask)
	keys := make([]int, n)
	for i := range keys {
		keys[i] = g.n(span)
	}
	return keys
}

// path is the name of a file that does not exist yet.
func (g *gen) path() string {
	g.files++
	return filepath.Join(g.folder(), fmt.Sprintf("%d-%d", g.seed, g.files))
}

// help runs f beside the flow; f must return when the flow has ended.
func (g *gen) help(f func()) { g.helpers = append(g.helpers, f) }

// half is one half of a pipe that was given to the flow. If the flow does not
// close it, the user of the other half waits forever.
type half struct {
	name   string
	closed func() bool
	close  func(error)
}

// checkHalves closes the pipes that the flow has left open.
func (g *gen) checkHalves() (all []error) {
	for _, h := range g.halves {
		if !h.closed() {
			all = append(all, fmt.Errorf("%s was not closed", h.name))
			h.close(errors.New("the flow has left it open"))
		}
	}
	return all
}

// handle counts how often something was opened and closed.
type handle struct {
	name           string
	given          bool // it was open before the flow, which must close it
	opened, closed atomic.Int32
}

func (g *gen) handle(name string, given bool) *handle {
	h := &handle{name: name, given: given}
	g.handles = append(g.handles, h)
	return h
}

func (h *handle) check() error {
	opened, closed := h.opened.Load(), h.closed.Load()
	if h.given {
		opened = 1
	}
	if opened != closed {
		return fmt.Errorf("%s: opened %d times, closed %d times", h.name, opened, closed)
	}
	return nil
}

// draft is a stream under construction.
type draft[T any] struct {
	g *gen
	s weir.Stream[T]
	k *kind[T]
	m model
}

// next replaces the stream.
func (d *draft[T]) next(s weir.Stream[T], format string, args ...any) {
	d.s = s
	d.g.say(format, args...)
}

// result is what one sink got.
type result struct {
	name string
	m    model
	mu   sync.Mutex
	got  []int

	fill     func() // finds out what got is, at the end
	count    bool   // only the number of values is known
	n        int64
	commits  bool // the sink can be committed
	opened   atomic.Int32
	prepared atomic.Int32
	commit   atomic.Int32
}

func (g *gen) result(name string, m model) *result {
	r := &result{name: name, m: m}
	g.results = append(g.results, r)
	return r
}

func (r *result) add(k int) {
	r.mu.Lock()
	r.got = append(r.got, k)
	r.mu.Unlock()
}

func (r *result) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *result) check(g *gen, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count {
		if whole := !r.m.lossy && !g.stopped.Load() && err == nil; whole && r.n != int64(len(r.m.keys)) || r.n > int64(len(r.m.keys)) {
			return fmt.Errorf("%s: got %d values, want %d", r.name, r.n, len(r.m.keys))
		}
		return nil
	}
	if cerr := r.m.check(r.got, err, g.stopped.Load()); cerr != nil {
		return fmt.Errorf("%s: %w", r.name, cerr)
	}
	if r.commits {
		n := r.commit.Load()
		good := err == nil && n == r.opened.Load() || err != nil && (n == 0 || n == 1 && g.fault != nil && g.fault.late)
		if !good {
			return fmt.Errorf("%s: committed %d times with error %v", r.name, n, err)
		}
	}
	return nil
}

func (g *gen) problem(err error) {
	g.mu.Lock()
	g.problems = append(g.problems, err)
	g.mu.Unlock()
}

// verify checks all that must hold when the flow has ended with err.
func (g *gen) verify(err error) (all []error) {
	bad := func(err error) {
		if err != nil {
			all = append(all, err)
		}
	}
	all = append(all, g.problems...)
	bad(g.checkError(err))
	for _, r := range g.results {
		if r.fill != nil {
			r.fill()
		}
		bad(r.check(g, err))
	}
	for _, h := range g.handles {
		bad(h.check())
	}
	for _, c := range g.checks {
		bad(c(err))
	}
	if g.flow != nil {
		for _, err := range checkReport(g.flow.Report(), g.most()) {
			bad(err)
		}
	}
	return all
}

// most is the size of the largest value, with memory that is rounded up.
func (g *gen) most() int64 { return int64(g.profile.most)*9/8 + 1024 }

func (g *gen) checkError(err error) error {
	f := g.fault
	var pe *weir.PanicError
	switch {
	case f == nil:
		if err != nil {
			return fmt.Errorf("ended with %w", err)
		}
		return nil
	case err == nil:
		if !f.optional {
			return fmt.Errorf("ended well although %v", f)
		}
		return nil
	case f.how == halts:
		return fmt.Errorf("a flow that was stopped ended with %w", err)
	case !errors.Is(err, f.err):
		return fmt.Errorf("%v, but the error is another one: %w", f, err)
	case f.how == panics != errors.As(err, &pe):
		return fmt.Errorf("%v, but the error is %w", f, err)
	case f.how == cancels && !errors.Is(err, context.Canceled):
		return fmt.Errorf("%v, but the error does not match ctx.Err(): %w", f, err)
	}
	return nil
}

// rendezvousBytes is how many bytes a reader lets into a rendezvous at once.
const rendezvousBytes = 64 << 10

// checkReport checks what a report says of any flow. most is the size of the
// largest value, of which a pair has two.
func checkReport(r report.Report, most int64) (all []error) {
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	share := func(what string, x float64) {
		if !(x >= 0 && x <= 1) {
			bad("%s is %v", what, x)
		}
	}
	found := r.Verdict.Stage == ""
	for _, s := range r.Stages {
		if s.Busy < 0 || s.Blocked < 0 || s.Starved < 0 || s.Outside < 0 || s.Unknown < 0 || s.Busy+s.Blocked+s.Starved+s.Outside+s.Unknown != s.Wall {
			bad("stage %s: busy %v + blocked %v + starved %v + outside %v + unknown %v is not %v", s.Name, s.Busy, s.Blocked, s.Starved, s.Outside, s.Unknown, s.Wall)
		}
		if s.Name == r.Verdict.Stage {
			found = true
			if s.Wall == 0 {
				bad("the bottleneck %s has never run (of %v, running: %v)\n%v", s.Name, r.Wall, r.Running, r)
			}
		}
	}
	if !found {
		bad("the bottleneck %q is not a stage", r.Verdict.Stage)
	}
	share("the bottleneck's share", r.Verdict.Share)
	share("the share of who waits for it", r.Verdict.WaitingShare)
	for _, p := range r.Pipes {
		if strings.Contains(p.Limit, "B") && !strings.HasPrefix(p.Name, "batch") && p.Peak > p.LimitBytes+max(2*most, rendezvousBytes) {
			bad("pipe %s held %d bytes, its limit is %v", p.Name, p.Peak, p.Limit)
		}
		if p.In < p.Out {
			bad("pipe %s: in %d, out %d, dropped %d, held %d", p.Name, p.In, p.Out, p.Dropped, p.Items)
		}
	}
	if !r.Running && r.Held != 0 {
		bad("%d bytes are held after the end", r.Held)
	}
	return all
}

// removeAll removes the folder of a flow's files.
func removeAll(dir string) {
	if dir != "" {
		os.RemoveAll(dir)
	}
}
