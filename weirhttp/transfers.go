package weirhttp

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/weirhttp/internal/meter"
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
	StateFile      TransferState = "waiting for the file to grow"
	StateRate      TransferState = "waiting for the rate limit"
	StateEnded     TransferState = "ended"
)

// Transfer describes one transfer at one moment.
type Transfer struct {
	ID        uint64        `json:"id"` // counts from 1
	Direction Direction     `json:"kind"`
	Method    string        `json:"method"`
	Name      string        `json:"name"`   // a path below the root of the handler; never the id of an upload
	Client    string        `json:"client"` // host:port
	Start     time.Time     `json:"start"`
	Size      int64         `json:"size"`   // bytes; -1: unknown
	Moved     int64         `json:"moved"`  // bytes received from the client, or sent to it
	Unsent    int64         `json:"unsent"` // bytes in the kernel that wait for the client; 0 if the platform does not tell
	State     TransferState `json:"state"`

	// Files are the names under which the files of an upload are stored, once they
	// are. Before that, it is the name that the client wants for its file.
	Files []string `json:"files,omitempty"`

	x *transfer
}

// Report says where the time of the transfer goes, stage by stage, and what its
// bottleneck is. It covers the time until now, or the whole transfer if that has ended.
// If the kernel moves the bytes, Report accounts for its time as it does for a flow, and
// Report.Kernel names the system call. A small file that was sent from memory has no
// stages.
func (t Transfer) Report() report.Report {
	if t.x == nil {
		return report.Report{Flow: t.Name}
	}
	return t.x.report()
}

// Totals counts the transfers of a registry since the program started.
type Totals = report.Totals

// Transfers is the registry of the transfers under way. Its zero value is ready to use,
// and any goroutine can call its methods at any time.
type Transfers struct {
	// Done, if not nil, is called after each transfer, with its final state. The
	// error is nil if all bytes were moved, and [weir.ErrStalled] if the guard
	// disconnected the client. The goroutine that moved the bytes makes the call, so
	// calls can overlap. Done must not panic. Set it before the first transfer.
	// [WithDone] does the same for one request.
	Done func(Transfer, error)

	mu   sync.Mutex // guards the fields below; held for map operations only
	last uint64
	live map[uint64]*transfer
	sum  Totals
}

// DefaultTransfers is the registry of all servers that have no [Guard], and of guards
// without one of their own.
var DefaultTransfers Transfers

// List returns the transfers under way, the oldest first.
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

// Totals returns the counts, including transfers under way.
func (t *Transfers) Totals() Totals {
	t.mu.Lock()
	sum := t.sum
	sum.Active = int64(len(t.live))
	live := slices.Collect(maps.Values(t.live))
	t.mu.Unlock()
	for _, x := range live {
		count(&sum, x)
	}
	return sum
}

// count adds the bytes of x to sum.
func count(sum *Totals, x *transfer) {
	if x.info.Direction == Upload {
		sum.BytesIn += x.moved.Load()
	} else {
		sum.BytesOut += x.moved.Load()
	}
}

// Top returns the running transfers that have waited longest for their clients,
// at most n, the longest wait first. With [Transfers.Totals] and
// [Transfers.ReportOf] it lets package monitor show them.
func (t *Transfers) Top(n int) []report.Transfer {
	type waiting struct {
		x      *transfer
		waited time.Duration
	}
	t.mu.Lock()
	all := make([]waiting, 0, len(t.live))
	for _, x := range t.live {
		all = append(all, waiting{x: x})
	}
	t.mu.Unlock()
	for i := range all {
		all[i].waited = all[i].x.waited()
	}
	slices.SortFunc(all, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(b.waited, a.waited), cmp.Compare(a.x.info.ID, b.x.info.ID))
	})
	list := make([]report.Transfer, min(len(all), max(n, 0)))
	for i := range list {
		t := all[i].x.look()
		list[i] = t.Summary()
		list[i].Waited = all[i].waited
	}
	return list
}

// Summary returns t as package report has it, without the time it has waited.
func (t Transfer) Summary() report.Transfer {
	return report.Transfer{
		ID: t.ID, Upload: t.Direction == Upload, Method: t.Method, Name: t.Name, Client: t.Client,
		Start: t.Start, Size: t.Size, Moved: t.Moved, Unsent: t.Unsent, State: string(t.State),
	}
}

// ReportOf returns the report on the transfer with this ID. It returns false if the
// transfer is not running.
func (t *Transfers) ReportOf(id uint64) (report.Report, bool) {
	t.mu.Lock()
	x := t.live[id]
	t.mu.Unlock()
	if x == nil {
		return report.Report{}, false
	}
	return x.report(), true
}

// transfer is one transfer from begin to end.
type transfer struct {
	reg     *Transfers
	info    Transfer               // does not change
	called  atomic.Pointer[string] // the name, once it is another one than info.Name
	moved   atomic.Int64
	last    atomic.Int64          // when the last bytes of an upload arrived, in Unix nanoseconds
	done    func(Transfer, error) // of the request; can be nil
	meter   meter.Meter           // accounts for the time unless flow does
	flow    atomic.Pointer[watched]
	carrier atomic.Pointer[carrier] // the connection, if a guard watches it
	files   atomic.Pointer[[]string]

	kernel   atomic.Bool // the kernel moves the bytes
	caughtUp atomic.Bool // the client has all that the file has so far
}

// carrier is the connection of a transfer, as far as the transfer knows it.
type carrier interface {
	// holdup returns the state of the connection that can hold the transfer up. Any
	// goroutine can call it.
	holdup(*transfer) holdup
	// ended is called once, at the end of the transfer.
	ended(*transfer)
}

// holdup is the state of a connection that can hold a transfer up.
type holdup struct {
	unsent  int64 // bytes that wait in the kernel
	waiting bool  // the kernel accepts no more bytes for now
	alone   bool  // no other transfer uses the connection
	rated   bool  // a rate limit holds the connection back
}

// watched is a flow that moves the bytes of a transfer. A Watcher is for one goroutine,
// but any goroutine can list transfers.
type watched struct {
	flow *weir.Flow
	mu   sync.Mutex // guards w
	w    *report.Watcher
}

// watch makes x report the state of the flow that moves its bytes.
func (x *transfer) watch(f *weir.Flow) { x.flow.Store(&watched{flow: f, w: report.Watch(f.Report)}) }

// over connects x with the connection that carries it.
func (x *transfer) over(l carrier) { x.carrier.Store(&l) }

type doneKey struct{}

// WithDone returns a context for one request. If the request is a transfer, done is
// called once when it has ended, like the field Done of [Transfers]. The call comes
// before the handler returns, except for a download that continues without its handler
// (see [FileServer]).
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

// note counts a download of n bytes that is already over.
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

// tell calls the functions that want to know that a transfer has ended.
func (t *Transfers) tell(done func(Transfer, error), info Transfer, err error) {
	for _, f := range [...]func(Transfer, error){t.Done, done} {
		if f != nil {
			f(info, err)
		}
	}
}

// begin registers a new transfer with the server's registry. The caller must call end.
func begin(r *http.Request, kind Direction, name string, size int64) *transfer {
	reg := registryOf(r.Context())
	x := &transfer{reg: reg, info: Transfer{
		Direction: kind, Method: r.Method, Name: name, Client: r.RemoteAddr, Start: time.Now(), Size: size,
	}, done: doneOf(r.Context())}
	x.meter.Begin()
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

// rename changes the name of the transfer. x can be nil.
func (x *transfer) rename(name string) {
	if x != nil {
		x.called.Store(&name)
	}
}

func (x *transfer) name() string {
	if name := x.called.Load(); name != nil {
		return *name
	}
	return x.info.Name
}

// names sets the files of an upload; see Transfer. x can be nil.
func (x *transfer) names(files ...string) {
	if x != nil {
		x.files.Store(&files)
	}
}

func (x *transfer) fileNames() []string {
	if files := x.files.Load(); files != nil {
		return *files
	}
	return nil
}

// add counts n more bytes as moved.
func (x *transfer) add(n int64) {
	x.moved.Add(n)
	if x.info.Direction == Upload {
		x.last.Store(time.Now().UnixNano())
	}
}

// idle returns how long ago the last bytes of an upload arrived.
func (x *transfer) idle() time.Duration { return time.Since(time.Unix(0, x.last.Load())) }

// look returns the current state of the transfer.
func (x *transfer) look() Transfer {
	info := x.info
	info.x, info.Moved = x, x.moved.Load()
	info.Name, info.Files = x.name(), x.fileNames()
	info.State = StateSending
	if info.Direction == Upload {
		info.State = StateReceiving
	}
	var h holdup
	l := x.carrier.Load()
	if l != nil {
		h = (*l).holdup(x)
		info.Unsent = h.unsent
	}
	f := x.flow.Load()
	switch {
	case h.rated:
		info.State = StateRate
		return info
	case f != nil:
		f.state(&info)
		return info
	}
	if x.caughtUp.Load() && !h.waiting {
		info.State = StateFile
		return info
	}
	switch x.meter.Phase() {
	case meter.Rate:
		info.State = StateRate
	case meter.Client:
		// The meter also says Client during a write through memory that does not
		// wait. The kernel knows better, but not about the windows of HTTP/2.
		if x.kernel.Load() || l == nil || !h.alone || h.waiting {
			info.State = StateClient
		}
	default:
		if h.waiting {
			info.State = StateClient
		}
	}
	return info
}

// state derives the state of t from the flow's activity since the last look.
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
	rep := x.meter.Report(x.info.Direction == Upload, x.kernel.Load(), x.moved.Load())
	rep.Flow = x.name()
	return rep
}

// waited returns how long the transfer has waited for its client, in all.
func (x *transfer) waited() time.Duration {
	f := x.flow.Load()
	if f == nil {
		return x.meter.Waited()
	}
	stages := f.flow.Report().Stages
	switch {
	case len(stages) == 0:
		return 0
	case x.info.Direction == Upload:
		return stages[0].Outside
	}
	return stages[len(stages)-1].Outside
}

// errPanicked is the error of a transfer whose handler has panicked. Each handler defers a
// call of end with it.
var errPanicked = errors.New("the handler has panicked")

// end removes the transfer from the registry and reports its end. Calls after the first
// do nothing.
func (x *transfer) end(err error) {
	if !x.reg.remove(x, err) {
		return
	}
	x.meter.End()
	if l := x.carrier.Swap(nil); l != nil {
		(*l).ended(x)
	}
	if x.reg.Done == nil && x.done == nil {
		return
	}
	info := x.info
	info.x, info.Moved, info.State = x, x.moved.Load(), StateEnded
	info.Name, info.Files = x.name(), x.fileNames()
	x.reg.tell(x.done, info, err)
}

func (t *Transfers) remove(x *transfer, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.live[x.info.ID]; !ok {
		return false
	}
	delete(t.live, x.info.ID)
	count(&t.sum, x)
	upload := x.info.Direction == Upload
	switch {
	case err == nil && upload:
		t.sum.Succeeded++
		t.sum.UploadsSucceeded++
	case err == nil:
		t.sum.Succeeded++
	case upload:
		t.sum.Failed++
		t.sum.UploadsFailed++
	default:
		t.sum.Failed++
	}
	return true
}
