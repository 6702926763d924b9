package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sse is one server-sent event.
type sse struct {
	name string
	data string
}

// readSSE reads the next event.
func readSSE(r *bufio.Reader) (e sse, n int, err error) {
	for {
		line, err := r.ReadString('\n')
		n += len(line)
		if err != nil {
			return e, n, err
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "":
			return e, n, nil
		case strings.HasPrefix(line, "event: "):
			e.name = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.data = line[6:]
		}
	}
}

// merge applies a JSON merge patch.
func merge(into, patch map[string]any) {
	for key, v := range patch {
		sub, isMap := v.(map[string]any)
		old, _ := into[key].(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
		case isMap:
			if old == nil {
				old = map[string]any{}
				into[key] = old
			}
			merge(old, sub)
		default:
			into[key] = v
		}
	}
}

func TestHandler_ServesARealClientUntilItIsClosed(t *testing.T) {
	var m Monitor
	defer m.Close()
	defer m.WatchAll()()
	mux := http.NewServeMux()
	mux.Handle("/weir/", m.Handler(HandlerOptions{}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	stop := start(t, paced("real", 1<<30, 0, time.Millisecond))

	get := func(name string) (string, http.Header) {
		t.Helper()
		resp, err := srv.Client().Get(srv.URL + "/weir/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", name, resp.Status, err)
		}
		return string(body), resp.Header
	}
	resp, err := srv.Client().Get(srv.URL + "/weir/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	r := bufio.NewReader(resp.Body)
	e, _, err := readSSE(r)
	if err != nil || e.name != "snapshot" {
		t.Fatalf("%+v, %v", e, err)
	}
	tree := parseTree([]byte(e.data))
	for range 3 {
		e, _, err := readSSE(r)
		if err != nil || e.name != "patch" {
			t.Fatalf("%+v, %v", e, err)
		}
		merge(tree, parseTree([]byte(e.data)))
	}
	if page, h := get(""); !strings.Contains(page, "monitor.js") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(page, h)
	}
	if js, h := get("worker.js"); !strings.Contains(js, "EventSource") || !strings.Contains(h.Get("Content-Type"), "javascript") {
		t.Error(h)
	}
	if text, _ := get("status.txt"); !strings.Contains(text, "flow 1 real") {
		t.Error(text)
	}
	var s Snapshot
	if text, _ := get("status.json"); json.Unmarshal([]byte(text), &s) != nil || s.V != 1 || s.Viewers != 1 || len(s.Flows) != 1 {
		t.Error(text)
	}
	if text, _ := get("history.json"); !strings.Contains(text, `"limit":2097152`) || !json.Valid([]byte(text)) {
		t.Error(text)
	}
	if text, _ := get("metrics"); !strings.Contains(text, `weir_flow_running{flow="real"} 1`) {
		t.Error(text)
	}
	if resp, err := srv.Client().Get(srv.URL + "/weir/secret"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Error(resp, err)
	} else {
		resp.Body.Close()
	}
	_ = stop()
	m.Close()
	for {
		e, _, err := readSSE(r)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		merge(tree, parseTree([]byte(e.data)))
	}
	want := treeOf(m.Snapshot())
	if !reflect.DeepEqual(tree, want) {
		t.Errorf("the client ends with\n%v\nand the monitor with\n%v", tree, want)
	}
	if tree["closed"] != true {
		t.Error("the client does not know that it is over")
	}
}

func TestMergePatch_TurnsOneTreeIntoTheOther(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var random func(depth int) map[string]any
	random = func(depth int) map[string]any {
		m := map[string]any{}
		for range rnd.IntN(5) {
			key := string(rune('a' + rnd.IntN(5)))
			switch n := rnd.IntN(4); {
			case n == 0 && depth > 0:
				m[key] = random(depth - 1)
			case n == 1:
				m[key] = []any{json.Number("1"), json.Number(decimal(rnd.IntN(3)))}
			default:
				m[key] = json.Number(decimal(rnd.IntN(3)))
			}
		}
		return m
	}
	clone := func(m map[string]any) map[string]any {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return parseTree(text)
	}
	for range 2000 {
		a, b := random(3), random(3)
		patch := mergePatch(a, b)
		got := clone(a)
		merge(got, clone(patch))
		if !reflect.DeepEqual(got, b) {
			t.Fatalf("%v and the patch %v make %v, want %v", a, patch, got, b)
		}
		if p := mergePatch(b, clone(b)); p != nil {
			t.Fatalf("the patch between equals is %v", p)
		}
	}
}

// client is a ResponseWriter whose client takes only what it is told to.
type client struct {
	header   http.Header
	code     int
	takes    func(n int) error
	deadline time.Time
	got      atomic.Int64 // bytes
	events   atomic.Int64
}

func (c *client) Header() http.Header {
	if c.header == nil {
		c.header = http.Header{}
	}
	return c.header
}
func (c *client) WriteHeader(code int)               { c.code = code }
func (c *client) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }
func (c *client) FlushError() error                  { return nil }
func (c *client) Write(p []byte) (int, error) {
	if c.takes != nil {
		if err := c.takes(len(p)); err != nil {
			return 0, err
		}
	}
	c.got.Add(int64(len(p)))
	c.events.Add(1)
	return len(p), nil
}

// view opens events for c, until the test ends or leave is called.
func view(t *testing.T, m *Monitor, c *client) (leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	r := httptest.NewRequestWithContext(ctx, "GET", "/weir/events", nil)
	go func() {
		defer close(done)
		handler{m: m}.serveEvents(c, r)
	}()
	leave = func() { cancel(); <-done }
	t.Cleanup(leave)
	return leave
}

func TestEvents_SlowViewerIsDisconnectedAndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		var slow, quick client
		slow.takes = func(int) error { // as a connection whose buffers are full
			time.Sleep(time.Until(slow.deadline))
			return os.ErrDeadlineExceeded
		}
		gone := make(chan time.Duration, 1)
		go func() {
			began := time.Now()
			handler{m: &m}.serveEvents(&slow, httptest.NewRequestWithContext(t.Context(), "GET", "/weir/events", nil))
			gone <- time.Since(began)
		}()
		leave := view(t, &m, &quick)
		time.Sleep(10*time.Second - time.Millisecond)
		if d := <-gone; d < writeTimeout || d > writeTimeout+tick {
			t.Errorf("it was disconnected after %v", d)
		}
		if quick.events.Load() < 38 || quick.events.Load() > 41 {
			t.Errorf("the other has got %d events in 10 s, want 40", quick.events.Load())
		}
		leave()
		_ = stop()
	})
}

// A viewer that takes long for each event gets the newest state each time, and
// the same in the end.
func TestEvents_ViewerThatIsLateGetsTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		pr, pw := io.Pipe()
		var late client
		late.takes = func(int) error { time.Sleep(3 * time.Second); return nil }
		c := &teeClient{client: &late, w: pw}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			handler{m: &m}.serveEvents(c, httptest.NewRequestWithContext(ctx, "GET", "/weir/events", nil))
			pw.Close()
		}()
		r := bufio.NewReader(pr)
		e, _, err := readSSE(r)
		if err != nil {
			t.Fatal(err)
		}
		tree := parseTree([]byte(e.data))
		for range 5 {
			before := time.Now()
			e, _, err := readSSE(r)
			if err != nil {
				t.Fatal(err)
			}
			merge(tree, parseTree([]byte(e.data)))
			at, _ := tree["time"].(json.Number).Float64()
			if age := unix(time.Now()) - at; age > 3.6 || time.Since(before) > 4*time.Second {
				t.Errorf("an event is %.2f s old", age)
			}
		}
		cancel()
		<-done
		_ = stop()
	})
}

type teeClient struct {
	*client
	w io.Writer
}

func (c *teeClient) Write(p []byte) (int, error) {
	if n, err := c.client.Write(p); err != nil {
		return n, err
	}
	return c.w.Write(p)
}

func TestEvents_RefusesMoreViewersThanItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		var leaves []func()
		for range maxViewers {
			leaves = append(leaves, view(t, &m, &client{}))
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/weir/events", nil)
		handler{m: &m}.serveEvents(w, r)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		if n := m.Snapshot().Viewers; n != maxViewers {
			t.Errorf("%d viewers", n)
		}
		leaves[0]()
		var late client
		leave := view(t, &m, &late)
		time.Sleep(time.Second)
		if late.events.Load() == 0 {
			t.Error("there is no place after one has left")
		}
		leave()
		for _, leave := range leaves {
			leave()
		}
	})
}

func TestEvents_TakeLessThan20KiBASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		m.Transfers("files", &fakeTransfers{n: 10_000, start: time.Now()})
		var stops []func() error
		for range maxWatched {
			stops = append(stops, start(t, paced("f", 1<<30, 0, 10*time.Millisecond)))
		}
		var c client
		leave := view(t, &m, &c)
		time.Sleep(10 * time.Second)
		first, events := c.got.Load(), c.events.Load()
		time.Sleep(time.Minute)
		if rate := (c.got.Load() - first) / 60; rate > 20<<10 || rate == 0 {
			t.Errorf("%d B/s", rate)
		}
		if n := c.events.Load() - events; n < 5 {
			t.Errorf("%d events in a minute", n)
		}
		leave()
		for _, stop := range stops {
			_ = stop()
		}
	})
}

// The usual case: one flow, no transfers.
func TestEvents_OfOneFlowComeFourTimesASecondAndTakeLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		var c client
		leave := view(t, &m, &c)
		time.Sleep(10 * time.Second)
		first, events := c.got.Load(), c.events.Load()
		time.Sleep(10 * time.Second)
		if n := c.events.Load() - events; n < 38 || n > 41 { // both ends of the span may count
			t.Errorf("%d events in 10 s", n)
		}
		if rate := (c.got.Load() - first) / 10; rate > 4<<10 {
			t.Errorf("%d B/s", rate)
		}
		leave()
		_ = stop()
	})
}

func TestHandler_ReportsOneTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		m.Transfers("files", &fakeTransfers{n: 3, start: time.Now()})
		h := m.Handler(HandlerOptions{Allow: func(*http.Request) bool { return true }})
		for query, want := range map[string]int{
			"group=files&id=2": 200, "group=files&id=4": 404, "group=other&id=2": 404, "group=files&id=x": 400, "": 400,
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/weir/transfer.json?"+query, nil))
			if w.Code != want {
				t.Errorf("%s: status %d, want %d", query, w.Code, want)
			}
			var f Flow
			if want == 200 && (json.Unmarshal(w.Body.Bytes(), &f) != nil || len(f.Stages) != 2 || f.Verdict.Bottleneck != "client" || f.State != PushingBack) {
				t.Errorf("%s", w.Body)
			}
		}
	})
}

func TestFollowed_KeepsAFewTransfersForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f followed
		rep, _ := (&fakeTransfers{n: 1, start: time.Now()}).ReportOf(1)
		ask := func(id int) { f.look(transferKey{"files", uint64(id)}, rep, time.Now()) }
		for id := range 2 * mostFollowed {
			ask(id)
			time.Sleep(time.Millisecond)
			ask(0)
		}
		if len(f.all) != mostFollowed || f.all[transferKey{"files", 0}] == nil || f.all[transferKey{"files", 1}] != nil {
			t.Errorf("%d transfers, want %d: the last ones, and the one that is asked about all the time", len(f.all), mostFollowed)
		}
		time.Sleep(followedUntil)
		ask(1)
		if len(f.all) != 1 {
			t.Errorf("%d transfers, of which nobody has asked about all but one", len(f.all))
		}
	})
}

// The JSON that clients rely on: its names, and that nothing in it is null.
func TestSnapshot_JSONHasNoNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		m.Transfers("files", &fakeTransfers{n: 1, start: time.Now()})
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		time.Sleep(3 * time.Second)
		tree := treeOf(m.Snapshot())
		var walk func(path string, v any)
		walk = func(path string, v any) {
			switch v := v.(type) {
			case nil:
				t.Errorf("%s is null", path)
			case map[string]any:
				for key := range maps.Keys(v) {
					walk(path+"."+key, v[key])
				}
			}
		}
		walk("", tree)
		for _, name := range []string{"v", "time", "state", "sentence", "subject", "in", "out", "memory", "process", "flows", "running", "runs", "transfers", "events", "viewers"} {
			if _, ok := tree[name]; !ok {
				t.Errorf("no %q", name)
			}
		}
		_ = stop()
	})
}
