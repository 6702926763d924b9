package weir

import (
	"slices"
	"sync"
	"sync/atomic"
)

// runHook is one registration of OnRun.
type runHook struct{ begin func(*Flow) func(error) }

// runHooks holds the registrations of OnRun. It is nil while there are none, so
// that a run that nobody observes costs one atomic load.
var runHooks struct {
	mu  sync.Mutex // serializes changes of all
	all atomic.Pointer[[]*runHook]
}

// OnRun calls begin at the start of every run of every flow in this process,
// until remove is called. This includes the runs of [Collect], [Stream.All] and
// similar functions. A composition error is not a run.
//
// begin is called before anything opens, and [Flow.Report] describes the new run
// already. The function that begin returns, if not nil, is called once, with the
// error of the run, when everything has ended and is closed and the report is
// final. The flow cannot run again before it returns. Both calls come from the
// goroutine of [Flow.Run]: they must not block, panic or wait for the flow, and
// calls of different flows are concurrent.
//
// remove returns at once. Runs that have begun still report their end. Calls
// after the first do nothing. Without registrations, this costs a run one atomic
// load.
func OnRun(begin func(f *Flow) (end func(err error))) (remove func()) {
	h := &runHook{begin}
	changeHooks(func(all []*runHook) []*runHook { return append(all, h) })
	return sync.OnceFunc(func() {
		changeHooks(func(all []*runHook) []*runHook {
			return slices.DeleteFunc(all, func(o *runHook) bool { return o == h })
		})
	})
}

// changeHooks replaces the list with a changed copy: runs that begin may be
// reading the old one.
func changeHooks(change func([]*runHook) []*runHook) {
	runHooks.mu.Lock()
	defer runHooks.mu.Unlock()
	var all []*runHook
	if old := runHooks.all.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if all = change(all); len(all) == 0 {
		runHooks.all.Store(nil)
		return
	}
	runHooks.all.Store(&all)
}

// begun calls the registered functions for a run of f. It returns nil if none of
// them observes the end of the run.
func begun(f *Flow) (ended func(error)) {
	hooks := runHooks.all.Load()
	if hooks == nil {
		return nil
	}
	var ends []func(error)
	for _, h := range *hooks {
		if end := h.begin(f); end != nil {
			ends = append(ends, end)
		}
	}
	if ends == nil {
		return nil
	}
	return func(err error) {
		for _, end := range slices.Backward(ends) {
			end(err)
		}
	}
}
