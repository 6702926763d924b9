package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// kinds are the ways in which a file can reach a client.
var kinds = map[string]struct {
	change []func(*http.Server)
	path   string
}{
	"parked":  {nil, "/big"},
	"tls":     {[]func(*http.Server){withTLS}, "/big"},
	"respond": {nil, "/stream"},
}

func bigAndStream(t *testing.T, size int) http.Handler {
	body := pattern(size)
	files := quiet(tree(t, map[string]string{"big": body}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			Respond(w, r, weir.FromReader(strings.NewReader(body)))
			return
		}
		files.ServeHTTP(w, r)
	})
}

func TestGuard_ClientThatTakesNothingIsDisconnected(t *testing.T) {
	atOnce(t)
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			var log logged
			const stall = 300 * time.Millisecond
			g := &Guard{Stall: stall, Log: slog.New(slog.NewTextHandler(&log, nil))}
			var ended atomic.Pointer[error]
			g.Transfers = &Transfers{Done: func(_ Transfer, err error) { ended.Store(&err) }}
			s := guarded(t, g, bigAndStream(t, 16<<20), k.change...)
			req, _ := http.NewRequest("GET", s.url(k.path), nil)
			resp, err := browser(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			begun := time.Now()
			eventually(t, func() bool { return strings.Contains(log.String(), "client disconnected") }, "the client was not cut off")
			eventually(t, func() bool { return ended.Load() != nil }, "the transfer has not ended")
			// The client's own buffers take something at the beginning.
			if took := time.Since(begun); took < stall {
				t.Errorf("it was cut off after %v", took)
			}
			if err := *ended.Load(); err == nil {
				t.Error("the transfer has ended well")
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("the client takes %d bytes for the whole", n)
			}
		})
	}
}

// TestGuard_SlowClientsAreNotDisconnected has clients that take steps with pauses just
// shorter than Stall. It looks at them as the watchdog does, but at times of its own.
func TestGuard_SlowClientsAreNotDisconnected(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			if kind == "tls" {
				t.Skip("a client of TLS reads whole records; the connection below is the same")
			}
			t.Parallel()
			const stall, step = time.Minute, 16 << 10
			serving := make(chan *conn, 1)
			files := bigAndStream(t, 4<<20)
			s := guarded(t, &Guard{Stall: -1, MinRate: step / 60}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				serving <- connOf(r)
				files.ServeHTTP(w, r)
			}))
			var wg sync.WaitGroup
			for range 20 {
				client := s.dial(t, 8<<10)
				resp := ask(t, client, bufio.NewReaderSize(client, 16), k.path)
				c, at := <-serving, time.Unix(1_700_000_000, 0)
				if !c.progress().told {
					t.Skip("the kernel does not say what clients take")
				}
				c.lag(at)
				wg.Go(func() {
					for range 20 {
						before := c.progress().taken
						if _, err := io.CopyN(io.Discard, resp.Body, step); err != nil {
							t.Errorf("a slow client got %v", err)
							return
						}
						eventually(t, func() bool { return c.progress().taken > before }, "what the client takes is not seen")
						at = at.Add(stall * 9 / 10)
						if lag := c.lag(at); lag >= stall {
							t.Errorf("a slow client is %v behind", lag)
						}
					}
				})
			}
			wg.Wait()
			if sum := s.g.Transfers.Totals(); sum.Failed != 0 || sum.Active != 20 {
				t.Errorf("%+v", sum)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown with clients left: %v", err)
			}
		})
	}
}

func TestGuard_ClientBelowTheMinimumRateIsDisconnected(t *testing.T) {
	atOnce(t)
	var log logged
	s := guarded(t, &Guard{Stall: 400 * time.Millisecond, MinRate: 4 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))}, bigAndStream(t, 16<<20))
	c := s.dial(t, 8<<10)
	resp := ask(t, c, bufio.NewReader(c), "/big")
	var err error
	for err == nil { // some hundred kilobytes a second, without a pause that is a stall
		_, err = io.CopyN(io.Discard, resp.Body, 8<<10)
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(log.String(), "client disconnected") {
		t.Errorf("%v, log %q", err, log.String())
	}
}

func TestGuard_WithoutTheKernelsWordWritesCount(t *testing.T) {
	atOnce(t)
	g := &Guard{Stall: 300 * time.Millisecond, blind: true}
	s := guarded(t, g, bigAndStream(t, 32<<20))
	c := s.dial(t, 8<<10)
	resp := ask(t, c, bufio.NewReader(c), "/big")
	eventually(t, func() bool { return g.Transfers.Totals().Failed == 1 }, "the client was not cut off")
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the client takes %d bytes for the whole", n)
	}
	// On a busy machine even a fast client can have a pause.
	s = guarded(t, &Guard{Stall: 10 * time.Second, blind: true}, bigAndStream(t, 32<<20))
	resp, body := s.fetch(t, browser(t), "GET", "/big")
	if resp.StatusCode != 200 || len(body) != 32<<20 {
		t.Errorf("a fast client: %s, %d bytes", resp.Status, len(body))
	}
}

func TestGuard_TimeInWhichTheServerStoodStillIsNotTheClients(t *testing.T) {
	begun := time.Unix(1000, 0)
	clock, client := watchClock{most: 2 * time.Second}, watchState{}
	for _, x := range []struct{ at, lag time.Duration }{
		{0, 0}, {time.Second, time.Second}, {3 * time.Second, 3 * time.Second}, {time.Hour, 5 * time.Second}, {time.Hour + time.Second, 6 * time.Second},
	} {
		lag := client.step(clock.now(begun.Add(x.at)), progress{pending: true}, 0, 1000)
		if lag != x.lag {
			t.Errorf("after %v: lag %v, want %v", x.at, lag, x.lag)
		}
	}
}

func TestGuard_LagIsMadeUpForByWhatIsTaken(t *testing.T) {
	var s watchState
	look := func(at time.Duration, taken int64, pending bool) time.Duration {
		return s.step(time.Unix(1000, 0).Add(at), progress{taken: taken, pending: pending}, 0, 1000)
	}
	for _, x := range []struct {
		at      time.Duration
		taken   int64
		pending bool
		lag     time.Duration
	}{
		{0, 0, true, 0}, {10 * time.Second, 0, true, 10 * time.Second}, {20 * time.Second, 64_000, true, 0},
		{30 * time.Second, 65_000, true, 9 * time.Second}, {40 * time.Second, 65_000, true, 19 * time.Second},
		{41 * time.Second, 65_000, false, 0}, {99 * time.Second, 65_000, true, 0}, {100 * time.Second, 65_000, true, time.Second},
	} {
		if lag := look(x.at, x.taken, x.pending); lag != x.lag {
			t.Errorf("after %v: lag %v, want %v", x.at, lag, x.lag)
		}
	}
}

func TestGuard_MoreConnectionsThanAllowedAreToldSo(t *testing.T) {
	for name, g := range map[string]*Guard{"in all": {MaxConns: 2}, "from one address": {MaxConnsPerAddr: 2}} {
		t.Run(name, func(t *testing.T) {
			s := guarded(t, g, bigAndStream(t, 1<<20))
			a, b := s.dial(t, 0), s.dial(t, 0)
			for _, c := range []net.Conn{a, b} {
				if resp := ask(t, c, bufio.NewReader(c), "/absent"); resp.StatusCode != 404 {
					t.Fatal(resp.Status)
				}
			}
			for range 3 {
				c := s.dial(t, 0)
				resp := ask(t, c, bufio.NewReader(c), "/absent")
				text, err := io.ReadAll(resp.Body)
				if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || err != nil || string(text) != "too many connections\n" {
					t.Errorf("%s, %q, %v", resp.Status, text, err)
				}
			}
			a.Close()
			eventually(t, func() bool {
				c := s.dial(t, 0)
				defer c.Close()
				return ask(t, c, bufio.NewReader(c), "/absent").StatusCode == 404
			}, "a place that is free again is not given away")
		})
	}
}

func TestGuard_DownloadWaitsForTheBudgetAndIsRefusedThen(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			b := weir.NewBudget(1 << 20)
			s := guarded(t, &Guard{Budget: b, Queue: 50 * time.Millisecond}, bigAndStream(t, 1<<20), k.change...)
			if err := b.Acquire(t.Context(), b.Total()); err != nil {
				t.Fatal(err)
			}
			resp, _ := s.fetch(t, browser(t), "GET", k.path)
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("ETag") != "" {
				t.Errorf("no memory: %s %v", resp.Status, resp.Header)
			}
			b.Release(b.Total())
			if resp, body := s.fetch(t, browser(t), "GET", k.path); resp.StatusCode != 200 || len(body) != 1<<20 {
				t.Errorf("memory again: %s, %d bytes", resp.Status, len(body))
			}
			eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
		})
	}
}

func TestGuard_RatesHoldAndAreShared(t *testing.T) {
	const rate = 1 << 20
	s := guarded(t, &Guard{Rate: rate}, bigAndStream(t, 4<<20))
	var sums [4]atomic.Int64
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range sums {
		c := s.dial(t, 0)
		path := "/big"
		if i%2 == 1 {
			path = "/stream"
		}
		resp := ask(t, c, bufio.NewReader(c), path)
		wg.Go(func() {
			b := make([]byte, 4<<10)
			for {
				n, err := resp.Body.Read(b)
				sums[i].Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	all := func() (n int64) {
		for i := range sums {
			n += sums[i].Load()
		}
		return n
	}
	eventually(t, func() bool { return all() > rate/2 }, "nothing comes")
	took := time.Since(begun)
	// At first there is one piece more than the rate allows.
	if most := rate*took.Seconds() + 64<<10; float64(all()) > most {
		t.Errorf("%d bytes in %v, at most %.0f", all(), took, most)
	}
	// The first had everything for themselves until the last had asked.
	var before [len(sums)]int64
	for i := range sums {
		before[i] = sums[i].Load()
	}
	from := all()
	eventually(t, func() bool { return all()-from > rate/2 }, "nothing comes any more")
	for i := range sums {
		if share := float64(sums[i].Load()-before[i]) / float64(all()-from); share < 0.1 {
			t.Errorf("client %d got %.2f of what there was", i, share)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.g.Shutdown(ctx)
	wg.Wait()
}

func TestGuard_HeadersAndPausesHaveTheirTime(t *testing.T) {
	s := guarded(t, &Guard{HeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond}, bigAndStream(t, 1<<20))
	half := s.dial(t, 0)
	io.WriteString(half, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	idle := s.dial(t, 0)
	io.Copy(io.Discard, ask(t, idle, bufio.NewReader(idle), "/absent").Body)
	parked := s.dial(t, 0)
	io.Copy(io.Discard, ask(t, parked, bufio.NewReader(parked), "/big").Body)
	for name, c := range map[string]net.Conn{"half a header": half, "idle": idle, "idle after it was parked": parked} {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGuard_ParkedConnectionMayWaitWithoutLimit(t *testing.T) {
	s := guarded(t, &Guard{IdleTimeout: -1}, bigAndStream(t, 1<<20))
	c := s.dial(t, 0)
	br := bufio.NewReader(c)
	for range 2 { // the second time after it was parked
		if n, err := io.Copy(io.Discard, ask(t, c, br, "/big").Body); n != 1<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		time.Sleep(20 * time.Millisecond) // until it waits
	}
}

func TestGuard_ShutdownLetsDownloadsFinish(t *testing.T) {
	s := guarded(t, &Guard{}, bigAndStream(t, 2<<20))
	var resps []*http.Response
	for _, path := range []string{"/big", "/stream", "/big"} {
		c := s.dial(t, 8<<10)
		resps = append(resps, ask(t, c, bufio.NewReader(c), path))
	}
	idle := s.dial(t, 0)
	io.Copy(io.Discard, ask(t, idle, bufio.NewReader(idle), "/big").Body)
	down := make(chan error, 1)
	go func() { down <- s.g.Shutdown(context.Background()) }()
	eventually(t, func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, "connections are still accepted")
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v before the downloads had ended", err)
	default:
	}
	for _, r := range resps {
		if n, err := io.Copy(io.Discard, r.Body); n != 2<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.g.Serve(&http.Server{}, listen(t)); err != http.ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestGuard_ClientsThatLeaveLeaveNothing(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := guarded(t, &Guard{}, bigAndStream(t, 4<<20), k.change...)
			before := openFiles()
			n := 200
			if kind == "tls" {
				n = 40
			}
			for i := range n {
				if kind == "tls" {
					ctx, cancel := context.WithCancel(t.Context())
					req, _ := http.NewRequestWithContext(ctx, "GET", s.url(k.path), nil)
					resp, err := browser(t).Do(req)
					if err != nil {
						t.Fatal(err)
					}
					io.CopyN(io.Discard, resp.Body, int64(i)*100)
					cancel()
					resp.Body.Close()
					continue
				}
				c := s.dial(t, 16<<10)
				if i%3 == 0 { // before the answer
					fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", k.path)
				} else {
					resp := ask(t, c, bufio.NewReader(c), k.path)
					io.CopyN(io.Discard, resp.Body, int64(i)*100)
				}
				if i%2 == 0 {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
			if kind != "tls" {
				eventually(t, func() bool { return openFiles() <= before }, "descriptors are left")
			}
			eventually(t, func() bool { return s.g.Transfers.Totals().Active == 0 }, "transfers are left")
		})
	}
}
