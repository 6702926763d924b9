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
)

// Kind is the direction of a transfer, as seen by its client.
type Kind string

const (
	Download Kind = "download"
	Upload   Kind = "upload"
)

// Transfer is what is known of one transfer at one moment.
type Transfer struct {
	ID     uint64    `json:"id"` // counts from 1
	Kind   Kind      `json:"kind"`
	Method string    `json:"method"`
	Name   string    `json:"name"`   // what is moved: a path below the root of its handler
	Client string    `json:"client"` // host:port
	Start  time.Time `json:"start"`
	Size   int64     `json:"size"`   // bytes; -1: not known
	Moved  int64     `json:"moved"`  // bytes the client has sent, or has taken from the server
	Unsent int64     `json:"unsent"` // bytes in the kernel that wait for the client; 0 where the system does not tell
	State  string    `json:"state"`  // "sending", "receiving", "waiting for the client", "waiting for the disk", "ended"
}

// Totals counts the transfers of a registry since it was made.
type Totals struct {
	Active    int64 `json:"active"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	BytesIn   int64 `json:"bytes_in"`
	BytesOut  int64 `json:"bytes_out"`
}

// Transfers is the registry of what is on its way. Its zero value is ready to
// use, and its methods may be called at any time by any goroutine.
type Transfers struct {
	// Done, if not nil, is called when a transfer has ended, with what was
	// known of it at its end, by the goroutine that moved it. The error is nil
	// if all of it was moved. It must not panic. Set it before the first
	// transfer.
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
	if x.info.Kind == Upload {
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
	probe atomic.Pointer[func(*Transfer)] // fills in what only the connection or the flow knows
}

// watchConn lets x tell what the kernel holds back for its client. It comes
// after watch, if there is a flow.
func (x *transfer) watchConn(c *conn) {
	flow := x.probe.Load()
	probe := func(t *Transfer) {
		p, ok := c.progress()
		if ok {
			t.Unsent = p.unsent
		}
		switch {
		case flow != nil:
			(*flow)(t)
		case ok && p.waiting:
			t.State = "waiting for the client"
		}
	}
	x.probe.Store(&probe)
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
	if t.Done != nil {
		t.Done(Transfer{ID: id, Kind: Download, Method: r.Method, Name: name, Client: r.RemoteAddr,
			Start: start, Size: n, Moved: n, State: "ended"}, nil)
	}
}

// begin enters a transfer into the registry of r's server. It must be ended.
func begin(r *http.Request, kind Kind, name string, size int64) *transfer {
	reg := registryOf(r.Context())
	x := &transfer{reg: reg, info: Transfer{
		Kind: kind, Method: r.Method, Name: name, Client: r.RemoteAddr, Start: time.Now(), Size: size,
	}}
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
	info.Moved = x.moved.Load()
	info.State = "sending"
	if info.Kind == Upload {
		info.State = "receiving"
	}
	if f := x.probe.Load(); f != nil {
		(*f)(&info)
	}
	return info
}

// watch takes the state of x from the flow that moves its bytes.
func (x *transfer) watch(f *weir.Flow) {
	w := f.Watch()
	var mu sync.Mutex // a Watcher is for one goroutine, and anyone may list transfers
	probe := func(t *Transfer) {
		mu.Lock()
		r, _ := w.Look()
		mu.Unlock()
		if len(r.Stages) == 0 {
			return
		}
		first, last := r.Stages[0], r.Stages[len(r.Stages)-1]
		switch {
		case t.Kind == Download && last.Outside > last.Starved:
			t.State = "waiting for the client"
		case t.Kind == Upload && first.Outside > first.Blocked:
			t.State = "waiting for the client"
		case t.Kind == Download && first.Outside > first.Blocked, t.Kind == Upload && last.Outside > last.Starved:
			t.State = "waiting for the disk"
		}
	}
	x.probe.Store(&probe)
}

// end takes the transfer out of the registry. Calls after the first do nothing.
func (x *transfer) end(err error) {
	if x.reg.remove(x, err) && x.reg.Done != nil {
		info := x.info
		info.Moved, info.State = x.moved.Load(), "ended"
		x.reg.Done(info, err)
	}
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
