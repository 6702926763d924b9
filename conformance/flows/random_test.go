package flows_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirtest"
)

// The flags of the random flows:
//
//	go test ./conformance/flows -run TestRandomFlows_AgreeWithTheirModel -seed 123        the flow of one seed, many times
//	go test ./conformance/flows -run TestRandomFlows_AgreeWithTheirModel -long 1h -timeout 0
var (
	seedFlag  = flag.Uint64("seed", 0, "of TestRandomFlows_AgreeWithTheirModel: run the flow of this seed only")
	flowsFlag = flag.Int("flows", 0, "of TestRandomFlows_AgreeWithTheirModel: how many flows to run, or how often the one of -seed (default 200)")
	longFlag  = flag.Duration("long", 0, "of TestRandomFlows_AgreeWithTheirModel: run new flows for as long as this")
	firstFlag = flag.Uint64("first", 0, "of TestRandomFlows_AgreeWithTheirModel: with -long, the first seed; the others follow it (default: a random one)")
)

const (
	someFlows  = 1500            // how many are run by default
	someTime   = 6 * time.Second // but no new one begins after this
	stuckAfter = time.Minute     // of real time, when a flow has failed
)

// TestRandomFlows_AgreeWithTheirModel makes flows of random sources, operators, sinks, limits,
// budgets and faults, and compares each with a sequential model of it. See
// model_test.go for what must hold.
func TestRandomFlows_AgreeWithTheirModel(t *testing.T) {
	w := watch(t)
	defer w.stop()
	switch {
	case *seedFlag != 0:
		n := *flowsFlag
		if n == 0 {
			n = 200
		}
		for i := range n {
			if !w.try(t, *seedFlag) {
				t.Fatalf("in run %d of %d", i+1, n)
			}
		}
	case *longFlag > 0:
		seed := *firstFlag
		if seed == 0 {
			seed = rand.Uint64() >> 16
		}
		began, failed := time.Now(), 0
		for n := 1; time.Since(began) < *longFlag; n++ {
			if !w.try(t, seed) {
				failed++
			}
			if failed == 20 {
				t.Fatal("too many have failed")
			}
			if seed++; n%10000 == 0 {
				t.Logf("%d flows in %v", n, time.Since(began).Round(time.Second))
			}
		}
	default:
		n := *flowsFlag
		began := time.Now()
		if n == 0 {
			n = someFlows
		}
		random := rand.Uint64() >> 16
		for i := range n {
			if *flowsFlag == 0 && time.Since(began) > someTime {
				t.Logf("%d flows", i)
				break
			}
			seed := uint64(i + 1)
			if i%2 == 1 {
				seed += random
			}
			if !w.try(t, seed) {
				t.FailNow()
			}
		}
	}
}

// watchdog ends the process if a flow hangs in a way that the bubble it runs in
// does not see.
type watchdog struct {
	mu    sync.Mutex
	timer *time.Timer
	what  string
}

func watch(t *testing.T) *watchdog {
	w := &watchdog{}
	w.timer = time.AfterFunc(stuckAfter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintf(os.Stderr, "--- FAIL: %s: no end after %v of %s\n%s\n", t.Name(), stuckAfter, w.what, stacks())
		os.Exit(1)
	})
	return w
}

func (w *watchdog) next(what string) {
	w.mu.Lock()
	w.what = what
	w.mu.Unlock()
	w.timer.Reset(stuckAfter)
}

func (w *watchdog) stop() { w.timer.Stop() }

func stacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}

// try runs the flow of one seed and reports whether all is well.
func (w *watchdog) try(t *testing.T, seed uint64) (good bool) {
	var text string
	w.next(fmt.Sprintf("seed %d", seed))
	fail := func(format string, args ...any) {
		t.Errorf("seed %d: %s\n\tgo test ./conformance/flows -run 'TestRandomFlows_AgreeWithTheirModel$' -seed %d\n\t%s", seed, fmt.Sprintf(format, args...), seed, text)
	}
	var dir string
	folder := func() string {
		if dir == "" {
			var err error
			if dir, err = os.MkdirTemp("", "weir-random"); err != nil {
				panic(err)
			}
		}
		return dir
	}
	defer func() { removeAll(dir) }()
	begin := func(g *gen) {
		text = g.String()
		w.next(fmt.Sprintf("seed %d: %s", seed, text))
	}
	var errs []error
	if isReal(seed) {
		good = t.Run("real", func(t *testing.T) {
			weirtest.NoLeaks(t)
			if err := errors.Join(attempt(seed, folder, begin)...); err != nil {
				fail("%v", err)
				t.Fail()
			}
		})
		return good
	}
	defer func() {
		if r := recover(); r != nil {
			fail("%v\n%s", r, stacks())
			t.FailNow() // its goroutines are still there
		}
	}()
	synctest.Test(t, func(*testing.T) { errs = attempt(seed, folder, begin) })
	if len(errs) > 0 {
		fail("%v", errors.Join(errs...))
	}
	return len(errs) == 0
}

// isReal reports whether the flow of a seed may wait for the system.
func isReal(seed uint64) bool { return seed%12 == 0 }

// attempt runs the flow of a seed: once, or twice at the same time with one
// budget, which grows until it is large enough.
func attempt(seed uint64, folder func() string, begin func(*gen)) []error {
	r := rand.New(rand.NewPCG(seed, 1))
	env := environment{poll: r.IntN(4) == 0}
	switch r.IntN(40) {
	case 0:
		env.doneBefore = true
	case 1:
		env.broken = true
	case 2, 3:
		env.deadline = time.Duration(1+r.IntN(2000)) * time.Microsecond
	}
	twice := r.IntN(3) == 0
	share := r.IntN(3) > 0
	tight := 1 << r.IntN(6)
	factor := 1.1 + r.Float64()
	var total int64
	for round := 0; ; round++ {
		flows := []*gen{newGen(seed)}
		if twice {
			flows = append(flows, newGen(seed))
		}
		for _, g := range flows {
			g.folder = folder
			g.files = round * 1000
			if g != flows[0] {
				g.files += 500
			}
			g.real = isReal(seed)
			g.build()
		}
		f := flows[0].flow
		if f != nil && share && !env.broken {
			if total == 0 {
				c, err := f.Ceiling()
				if err != nil {
					begin(flows[0])
					return []error{fmt.Errorf("Ceiling: %w", err)}
				}
				total = max(1, c.Bytes/int64(tight))
			}
			env.budget = weir.NewBudget(total)
			flows[0].say("%d with a budget of %d", len(flows), total)
		}
		begin(flows[0])
		errs := make([][]error, len(flows))
		tooSmall := make([]bool, len(flows))
		var group sync.WaitGroup
		for i, g := range flows {
			group.Go(func() { errs[i], tooSmall[i] = env.run(g) })
		}
		group.Wait()
		all := append(errs[0], errs[len(errs)-1]...)
		if b := env.budget; b != nil {
			if b.Used() != 0 {
				all = append(all, fmt.Errorf("%d bytes of the budget are used after the end", b.Used()))
			}
			holders := int64(200)
			most := b.Total() + holders*flows[0].most()
			for _, g := range flows { // a batch is a value too, and each pipe may hold one beyond the budget
				most += 8 * g.flow.Report().Largest
			}
			if b.Peak() > most {
				all = append(all, fmt.Errorf("the budget of %d had a peak of %d", b.Total(), b.Peak()))
			}
		}
		if len(all) > 0 || !tooSmall[0] {
			return all
		}
		total = int64(float64(total)*factor) + 1
	}
}

// environment has the surroundings of a flow.
type environment struct {
	budget     *weir.Budget
	deadline   time.Duration // of its context
	doneBefore bool          // the context is done before Run
	broken     bool          // the composition is wrong
	poll       bool          // somebody looks at the report all the time
}

// run runs the flow and checks the outcome.
func (env *environment) run(g *gen) (errs []error, tooSmall bool) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ctx := g.context
	var why error // what must match when the environment ended the flow
	if env.deadline > 0 && !g.real {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, env.deadline)
		defer stop()
		why = context.DeadlineExceeded
	}
	if env.doneBefore {
		g.cancel(errDone)
		why = errDone
	}
	f := g.flow
	if f != nil {
		f.Budget = env.budget
		f.Grace = time.Minute
		f.OnStuck = func(stages []string) { bad("stages ignored the end of the context: %v", stages) }
		if env.broken {
			f.Limit = weir.Bytes(-1)
		}
	}
	var helpers sync.WaitGroup
	for _, h := range g.helpers {
		helpers.Go(h)
	}
	if env.poll && f != nil {
		helpers.Go(func() { poll(g) })
	}
	g.started.Store(true)
	var err error
	if f != nil {
		err = f.Run(ctx)
	} else {
		err = g.run(ctx)
	}
	close(g.ended)
	g.cancel(nil)
	errs = append(errs, g.checkHalves()...)
	helpers.Wait()

	early := func(name string) {
		for _, r := range g.results {
			if r.fill != nil {
				r.fill()
			}
			if r.len() > 0 || r.n > 0 {
				bad("%s: %d values came to %s", name, max(r.len(), int(r.n)), r.name)
			}
		}
		for _, h := range g.handles {
			if cerr := h.check(); cerr != nil {
				bad("%s: %w", name, cerr)
			}
			if h.opened.Load() > 0 {
				bad("%s: %s was opened", name, h.name)
			}
		}
	}
	switch {
	case errors.Is(err, weir.ErrBudget):
		early("a budget that is too small")
		return errs, true
	case env.broken && f != nil:
		if err == nil {
			bad("a wrong composition ran")
		}
		early("a wrong composition")
		return errs, false
	case env.doneBefore:
		if !errors.Is(err, errDone) || !errors.Is(err, context.Canceled) {
			bad("the context was done before, but the error is %w", errOrNone(err))
		}
		early("a context that is done")
		return errs, false
	case why != nil && errors.Is(err, why):
		// The deadline has passed: whatever came is a beginning. A failure that
		// came first stays first.
		if first := g.fault; first == nil || !errors.Is(err, first.err) {
			g.fault = &fault{how: cancels, where: "the deadline", err: why, optional: true}
		}
		for _, r := range g.results {
			r.m.cut = false
			r.m.short = true
		}
		errs = append(errs, g.verify(fmt.Errorf("%w (%w)", err, context.Canceled))...)
		return errs, false
	}
	if g.fault != nil && g.fault.early && err != nil {
		for _, r := range g.results {
			if r.len() > 0 {
				bad("%v, but %d values came to %s", g.fault, r.len(), r.name)
			}
		}
	}
	return append(errs, g.verify(err)...), false
}

var (
	errDone = errors.New("done before")
	errNone = errors.New("none")
)

func errOrNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// poll looks at the report while the flow runs.
func poll(g *gen) {
	for range 50 {
		select {
		case <-g.ended:
			return
		case <-time.After(10 * time.Microsecond):
		}
		for _, err := range checkReport(g.flow.Report(), g.most()) {
			g.problem(err)
		}
	}
}
