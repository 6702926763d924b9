package weirhttp

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// Direction is the direction of a transfer, as seen by its client.
type Direction string

const (
	Download Direction = "download" // the server sends
	Upload   Direction = "upload"   // the server receives
)

// TransferState is what a transfer is doing.
type TransferState string

const (
	StateSending   TransferState = "sending"
	StateReceiving TransferState = "receiving"
	StateClient    TransferState = "waiting for the client"
	StateDisk      TransferState = "waiting for the disk"
	StateRate      TransferState = "waiting for the rate limit"
	StateEnded     TransferState = "ended"
)

// Transfer is what is known of one transfer at one moment.
type Transfer struct {
	ID        uint64        `json:"id"` // counts from 1
	Direction Direction     `json:"kind"`
	Method    string        `json:"method"`
	Name      string        `json:"name"`   // what is moved: a path below the root of its handler
	Client    string        `json:"client"` // host:port
	Start     time.Time     `json:"start"`
	Size      int64         `json:"size"`   // bytes; -1: not known
	Moved     int64         `json:"moved"`  // bytes the client has sent, or has taken from the server
	Unsent    int64         `json:"unsent"` // bytes in the kernel that wait for the client; 0 where the system does not tell
	State     TransferState `json:"state"`

	x *transfer
}

// Report says where the time of the transfer goes, stage by stage, and what its
// bottleneck is: until now while it is on its way, and then in all. Where the
// kernel moves the bytes its time is accounted for as that of a flow is, and
// Report.Kernel names the system call. A small file that was sent from memory has
// no stages.
func (t Transfer) Report() report.Report {
	if t.x == nil {
		return report.Report{Flow: t.Name}
	}
	return t.x.report()
}

// Totals counts the transfers of a registry since it was made.
type Totals struct {
	Active    int64 `json:"active"`    // on their way
	Succeeded int64 `json:"succeeded"` // all of it was moved
	Failed    int64 `json:"failed"`
	BytesIn   int64 `json:"bytes_in"`  // that clients have sent
	BytesOut  int64 `json:"bytes_out"` // that clients were sent
}

// Transfers is the registry of what is on its way. Its zero value is ready to
// use, and its methods may be called at any time by any goroutine.
type Transfers struct {
	// Done, if not nil, is called when a transfer has ended, with what was
	// known of it at its end, by the goroutine that moved it: of several
	// transfers at the same time. The error is nil if all of it was moved; of a
	// client that was cut off it matches [weir.ErrStalled]. Done must not panic. Set it
	// before the first transfer. [WithDone] does the same for one request.
	Done func(Transfer, error)

	mu   sync.Mutex // guards what follows, and is held for map operations only
	last uint64
	live map[uint64]*transfer
	sum  Totals
}

// DefaultTransfers holds the transfers of handlers whose server has no [Guard].
var DefaultTransfers Transfers

// List returns the transfers that are on their way, the oldest first.
func (t *Transfers) List() []Transfer {
	t.mu.Lock()
	live := slices.Collect(maps.Values(t.live))
	t.mu.Unlock()
	slices.SortFunc(live, func(a, b *transfer) int { return cmp.Compare(a.info.ID, b.info.ID) })
	list := make([]Transfer, len(live))
	for i, x := range live {
		list[i] = x.look()
	}
	return list
}

// Totals returns the counts, those of transfers on their way included.
func (t *Transfers) Totals() Totals {
	t.mu.Lock()
	sum := t.sum
	sum.Active = int64(len(t.live))
	live := slices.Collect(maps.Values(t.live))
	t.mu.Unlock()
	for _, x := range live {
		sum.count(x)
	}
	return sum
}

func (s *Totals) count(x *transfer) {
	if x.info.Direction == Upload {
		s.BytesIn += x.moved.Load()
	} else {
		s.BytesOut += x.moved.Load()
	}
}

// transfer is one transfer from begin to end.
type transfer struct {
	reg   *Transfers
	info  Transfer // does not change
	moved atomic.Int64
	done  func(Transfer, error) // of the request; may be nil
	meter meter                 // of its time, if no flow keeps account
	flow  atomic.Pointer[watched]
	conn  atomic.Pointer[conn] // that it goes over, if that is under a guard

	kernel atomic.Bool // the kernel moves the bytes
}

// watched is a flow that moves the bytes of a transfer. A Watcher is for one
// goroutine, and anyone may list transfers.
type watched struct {
	flow *weir.Flow
	mu   sync.Mutex // guards w
	w    *report.Watcher
}

// watch takes the state of x from the flow that moves its bytes.
func (x *transfer) watch(f *weir.Flow) { x.flow.Store(&watched{flow: f, w: report.Watch(f.Report)}) }

// watchConn lets x tell what the kernel holds back for its client, and lets c tell
// when a rate holds x back: not over HTTP/2, where c carries other transfers too.
func (x *transfer) watchConn(c *conn, r *http.Request) {
	x.conn.Store(c)
	if r.ProtoMajor == 1 {
		c.carries.Store(x)
	}
}

type doneKey struct{}

// WithDone returns a context for one request, whose transfer, if it is one, tells
// done that it has ended, as [Transfers] does: once, and before its handler
// returns unless it is a download that goes on without it.
func WithDone(ctx context.Context, done func(Transfer, error)) context.Context {
	return context.WithValue(ctx, doneKey{}, done)
}

func doneOf(ctx context.Context) func(Transfer, error) {
	done, _ := ctx.Value(doneKey{}).(func(Transfer, error))
	return done
}

type transfersKey struct{}

// withTransfers makes t the registry of the requests that carry ctx.
func withTransfers(ctx context.Context, t *Transfers) context.Context {
	return context.WithValue(ctx, transfersKey{}, t)
}

// registryOf returns the registry of the requests that carry ctx.
func registryOf(ctx context.Context) *Transfers {
	if t, ok := ctx.Value(transfersKey{}).(*Transfers); ok {
		return t
	}
	return &DefaultTransfers
}

// note counts a download of n bytes that was over as soon as it had begun.
func (t *Transfers) note(r *http.Request, name string, n int64, start time.Time) {
	t.mu.Lock()
	t.last++
	id := t.last
	t.sum.Succeeded++
	t.sum.BytesOut += n
	t.mu.Unlock()
	done := doneOf(r.Context())
	if t.Done == nil && done == nil {
		return
	}
	info := Transfer{ID: id, Direction: Download, Method: r.Method, Name: name, Client: r.RemoteAddr,
		Start: start, Size: n, Moved: n, State: StateEnded}
	t.tell(done, info, nil)
}

// tell tells who wants to know that a transfer has ended.
func (t *Transfers) tell(done func(Transfer, error), info Transfer, err error) {
	for _, f := range [...]func(Transfer, error){t.Done, done} {
		if f != nil {
			f(info, err)
		}
	}
}

// begin enters a transfer into the registry of r's server. It must be ended.
func begin(r *http.Request, kind Direction, name string, size int64) *transfer {
	reg := registryOf(r.Context())
	x := &transfer{reg: reg, info: Transfer{
		Direction: kind, Method: r.Method, Name: name, Client: r.RemoteAddr, Start: time.Now(), Size: size,
	}, done: doneOf(r.Context())}
	x.meter.begin()
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.live == nil {
		reg.live = make(map[uint64]*transfer)
	}
	reg.last++
	x.info.ID = reg.last
	reg.live[x.info.ID] = x
	return x
}

// add counts n bytes more as moved.
func (x *transfer) add(n int64) { x.moved.Add(n) }

// look returns the transfer as it is now.
func (x *transfer) look() Transfer {
	info := x.info
	info.x, info.Moved = x, x.moved.Load()
	info.State = StateSending
	if info.Direction == Upload {
		info.State = StateReceiving
	}
	var p progress
	alone := false // on its connection
	c := x.conn.Load()
	if c != nil {
		p = c.progress()
		info.Unsent = p.unsent
		alone = c.carries.Load() == x
	}
	f := x.flow.Load()
	switch {
	case c != nil && c.rated.Load():
		info.State = StateRate
		return info
	case f != nil:
		f.state(&info)
		return info
	}
	switch phase(x.meter.phase.Load()) {
	case phaseRate:
		info.State = StateRate
	case phaseClient:
		// A write through memory may be at work: the kernel knows, but not
		// of the windows of HTTP/2.
		if x.kernel.Load() || c == nil || !alone || p.waiting {
			info.State = StateClient
		}
	default:
		if p.waiting {
			info.State = StateClient
		}
	}
	return info
}

// state says what the flow has done since somebody looked last.
func (f *watched) state(t *Transfer) {
	f.mu.Lock()
	r, _ := f.w.Look()
	f.mu.Unlock()
	if len(r.Stages) == 0 {
		return
	}
	first, last := r.Stages[0], r.Stages[len(r.Stages)-1]
	switch {
	case t.Direction == Download && last.Outside > last.Starved:
		t.State = StateClient
	case t.Direction == Upload && first.Outside > first.Blocked:
		t.State = StateClient
	case t.Direction == Download && first.Outside > first.Blocked, t.Direction == Upload && last.Outside > last.Starved:
		t.State = StateDisk
	}
}

func (x *transfer) report() report.Report {
	if f := x.flow.Load(); f != nil {
		return f.flow.Report()
	}
	rep := x.meter.report(x.info.Direction, x.kernel.Load(), x.moved.Load())
	rep.Flow = x.info.Name
	return rep
}

// end takes the transfer out of the registry. Calls after the first do nothing.
func (x *transfer) end(err error) {
	if !x.reg.remove(x, err) {
		return
	}
	x.meter.end()
	if c := x.conn.Swap(nil); c != nil {
		c.carries.CompareAndSwap(x, nil)
	}
	if x.reg.Done == nil && x.done == nil {
		return
	}
	info := x.info
	info.x, info.Moved, info.State = x, x.moved.Load(), StateEnded
	x.reg.tell(x.done, info, err)
}

func (t *Transfers) remove(x *transfer, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.live[x.info.ID]; !ok {
		return false
	}
	delete(t.live, x.info.ID)
	t.sum.count(x)
	if err == nil {
		t.sum.Succeeded++
	} else {
		t.sum.Failed++
	}
	return true
}
