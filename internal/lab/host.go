package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

// A spec is the order of the parent to a side: the first line of its standard
// input.
type spec struct {
	Experiment string
	Side       string // A or B
	Settings   Settings
	Dir        string // temporary folder of the run
	File       string // in it; "" if the experiment reads none
}

// A message is one line from a side to its parent, on standard output.
type message struct {
	Kind string // messageReady, messageCount, messageEnd or messageError

	Addr    string `json:",omitempty"` // of ready: where it serves; "" if it has no server
	Ceiling int64  `json:",omitempty"` // of ready: the ceiling that weir states; 0: none

	Made   int64 `json:",omitempty"` // bytes that were read or made
	Taken  int64 `json:",omitempty"` // bytes that the slow end has taken
	Held   int64 `json:",omitempty"` // the most that weir has held, by its own account
	Memory int64 `json:",omitempty"` // resident bytes by the process's own estimate, where the system is not asked

	Error string `json:",omitempty"`
}

const (
	messageReady = "ready"
	messageCount = "count" // from time to time
	messageEnd   = "end"   // the side's data has ended, or the parent stopped it
	messageError = "error"
)

// stopWord on the standard input of a side ends it. The end of the input without
// it means that the parent has died.
const stopWord = "stop"

// countEvery is how often a side sends its counts.
const countEvery = 50 * time.Millisecond

// A Host is a side's view of the process that it runs in.
type Host struct {
	Settings Settings

	Made  atomic.Int64 // bytes that the side has read or made, if it has no server
	Taken atomic.Int64 // bytes that its slow end has taken

	file   string
	atOnce int // clients at a time
	out    *json.Encoder
	held   atomic.Pointer[func() int64]
	mu     sync.Mutex // guards out
}

// Ready tells the parent that the side can be measured. addr is the address of
// its server, or nil. ceiling is the memory ceiling that the side states, in
// bytes; held returns the most that it has held so far, by its own count. A
// side without a ceiling passes 0 and nil.
func (h *Host) Ready(addr net.Addr, ceiling int64, held func() int64) {
	m := message{Kind: messageReady, Ceiling: ceiling}
	if addr != nil {
		m.Addr = addr.String()
	}
	if held != nil {
		h.held.Store(&held)
	}
	h.tell(m)
}

// tell sends a message with the counts. If the parent has gone, the process
// ends soon, because its standard input ends.
func (h *Host) tell(m message) {
	m.Made, m.Taken, m.Memory = h.Made.Load(), h.Taken.Load(), ownMemory()
	if held := h.held.Load(); held != nil {
		m.Held = (*held)()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.out.Encode(m)
}

// RunSide is the main function of a side's process: it reads from in which side
// of which experiment to run, runs it, and writes the results for the parent to
// out. It returns when the side has ended or the parent stopped it. If the
// parent dies, RunSide removes the run's temporary folder and ends the process.
func RunSide(list []Experiment, in io.Reader, out io.Writer) error {
	// A terminal sends its signals to the parent too, which ends its sides. If the
	// parent just dies, the end of in does.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	lines := bufio.NewReader(in)
	var s spec
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		return fmt.Errorf("read the side to run: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // lives as long as the process: nothing interrupts a read of standard input
		if word, _ := lines.ReadString('\n'); word != stopWord+"\n" {
			if s.Dir != "" {
				os.RemoveAll(s.Dir)
			}
			os.Exit(1)
		}
		cancel()
	}()
	h := &Host{Settings: s.Settings, file: s.File, out: json.NewEncoder(out)}
	err = h.run(ctx, list, s)
	m := message{Kind: messageEnd}
	if err != nil && ctx.Err() == nil {
		m.Kind, m.Error = messageError, err.Error()
	}
	h.tell(m)
	<-ctx.Done() // the parent looks at the process once more
	return nil
}

// run runs the side of s, and sends its counts during the run.
func (h *Host) run(ctx context.Context, list []Experiment, s spec) error {
	e, ok := Find(list, s.Experiment)
	if !ok {
		return fmt.Errorf("unknown experiment %q", s.Experiment)
	}
	h.atOnce = e.load.atOnce(h.Settings)
	side := e.A
	if s.Side == "B" {
		side = e.B
	}
	done := make(chan struct{})
	var counting sync.WaitGroup
	defer counting.Wait()
	defer close(done)
	counting.Go(func() {
		ticker := time.NewTicker(countEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				h.tell(message{Kind: messageCount})
			}
		}
	})
	return side(ctx, h)
}

// listen opens a port on the loopback interface.
func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// serve answers with handler, under net/http alone, until ctx ends.
func (h *Host) serve(ctx context.Context, handler http.HandlerFunc) error {
	l, err := listen()
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	h.Ready(l.Addr(), 0, nil)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ownMemory returns how much memory the Go runtime has from the system, in bytes.
func ownMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// announce sends the length of the answer, so that clients know when it is whole.
func (h *Host) announce(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.FormatInt(h.Settings.Size, 10))
}

const (
	perItem    = 1000    // records that an item becomes
	recordSize = 1 << 10 // bytes
	fanOut     = 3       // readers, the first of which is slow
)

// items returns how many items make Size bytes of records.
func (h *Host) items() int64 { return max(1, h.Settings.Size/(perItem*recordSize)) }

// record makes one record of item i.
func (h *Host) record(i int64) []byte {
	h.Made.Add(recordSize)
	return strconv.AppendInt(make([]byte, 0, recordSize), i, 10)[:recordSize]
}

// source returns a reader of Size bytes that counts the bytes read.
func (h *Host) source() io.Reader { return &countingReader{h, h.Settings.Size} }

type countingReader struct {
	h    *Host
	left int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), r.left))
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	r.left -= int64(n)
	r.h.Made.Add(int64(n))
	return n, nil
}

// A disk takes Rate bytes a second and keeps none of them. Both sides of an
// experiment write to one, so that the slow end is the same on every machine and
// no file is left behind.
type disk struct {
	h     *Host
	limit *rate.Limiter
}

func (h *Host) newDisk() *disk {
	burst := int(max(chunkSize, h.Settings.Rate/20))
	limit := rate.NewLimiter(rate.Limit(h.Settings.Rate), burst)
	limit.AllowN(time.Now(), burst) // it begins at its pace
	return &disk{h, limit}
}

// take waits until n bytes are written.
func (d *disk) take(ctx context.Context, n int) error {
	for n > 0 {
		part := min(n, d.limit.Burst())
		if err := d.limit.WaitN(ctx, part); err != nil {
			return err
		}
		d.h.Taken.Add(int64(part))
		n -= part
	}
	return nil
}

// guarded serves under a Guard with the budget until ctx ends.
func (h *Host) guarded(ctx context.Context, budget *weir.Budget, handler http.Handler) error {
	l, err := listen()
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	guard := &weirhttp.Guard{Budget: budget, MaxConns: h.Settings.Clients + 16, Transfers: new(weirhttp.Transfers), Log: quiet}
	srv := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	defer context.AfterFunc(ctx, func() { guard.Close() })()
	h.Ready(l.Addr(), budget.Total(), budget.Peak)
	if err := guard.Serve(srv, l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// flow states the ceiling of f and runs it.
func (h *Host) flow(ctx context.Context, f *weir.Flow) error {
	c, err := f.Ceiling()
	if err != nil {
		return err
	}
	h.Ready(nil, c.Bytes, func() int64 { return f.Report().Peak })
	return f.Run(ctx)
}
