//go:build !nobrowser

package monitor

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/browsertest"
	"github.com/weir-go/weir/report"
)

// tab is a tab of a browser, and what is wrong with what it loads.
type tab struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	bad []string // messages on its console, and requests to other hosts
}

// openTab opens a tab, which is closed with the test.
func openTab(t *testing.T) *tab {
	t.Helper()
	return watched(t, browsertest.Open(t, 1280, 900, 90*time.Second))
}

// newTab opens a tab in the browser of ctx.
func newTab(t *testing.T, parent context.Context) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(parent)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return watched(t, ctx)
}

// watched returns the tab of ctx and takes note of what is wrong in it.
func watched(t *testing.T, ctx context.Context) *tab {
	t.Helper()
	b := &tab{t: t, ctx: ctx}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.bad = append(b.bad, fmt.Sprintf("exception: %+v", ev.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			b.bad = append(b.bad, fmt.Sprintf("console: %+v", ev))
		case *log.EventEntryAdded:
			b.bad = append(b.bad, fmt.Sprintf("log: %s %s", ev.Entry.Text, ev.Entry.URL))
		case *network.EventRequestWillBeSent:
			u, err := url.Parse(ev.Request.URL)
			if err != nil || u.Host != "" && u.Hostname() != "127.0.0.1" {
				b.bad = append(b.bad, "request: "+ev.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// do runs actions in the tab.
func (b *tab) do(actions ...browsertest.Action) {
	b.t.Helper()
	if err := browsertest.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v\n%q", err, b.bad)
	}
}

// text returns the text of an element.
func (b *tab) text(id string) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](fmt.Sprintf("document.getElementById(%q).textContent", id)))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// clean fails the test if the tab had something to complain about.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.bad {
		b.t.Error(s)
	}
}

// seen waits until an expression is true in the page.
func seen(expression string) browsertest.Action {
	return seenWithin(30*time.Second, expression)
}

func seenWithin(d time.Duration, expression string) browsertest.Action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		_, err := browsertest.Seen(expression)(ctx, t)
		return err
	})
}

// sentence waits until the page's sentence begins with text.
func sentence(text string) string {
	return fmt.Sprintf(`document.querySelector("#sentence").textContent.startsWith(%q)`, text)
}

// pictures fails the test if the page does not fit into a window, and keeps pictures of
// it for people, if WEIR_SCREENSHOTS is a folder. It leaves the window narrow.
func (b *tab) pictures(name string) {
	b.t.Helper()
	b.fits(name)
	dir := os.Getenv("WEIR_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.do(browsertest.Viewport(width, 1000, scheme), chromedp.Sleep(300*time.Millisecond)) // two events later all is drawn anew
			png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// tooWide lists the parts of the page that reach beyond the window, and the boxes that
// scroll sideways. The picture of a flow with many branches may: it fades where it goes on.
const tooWide = `[...document.querySelectorAll("body *")].filter(e => {
	if (e.closest("#picture > *, .defs, thead")) return false
	for (let up = e.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX === "hidden") return false
	const style = getComputedStyle(e), scrolls = style.overflowX === "auto" && e.id !== "picture" && e.scrollWidth > e.clientWidth
	const r = e.getBoundingClientRect()
	return r.width > 0 && (r.right > innerWidth + .5 || r.left < -.5) || scrolls
}).map(e => e.tagName + "." + e.className + "#" + e.id + " " + e.textContent.slice(0, 40)).join("; ")`

// fits fails the test if something on the page is wider than a window of several widths.
func (b *tab) fits(name string) {
	b.t.Helper()
	for _, width := range []int64{320, 700, 1200, 1201, 1280, 390} {
		b.do(chromedp.EmulateViewport(width, 844), seen(`draw() === undefined`))
		wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](tooWide))
		if err != nil || wide != "" {
			b.t.Errorf("%s, %d pixels: too wide: %s %v", name, width, wide, err)
		}
	}
}

// photos is a flow with a branch, whose slow stage the test chooses: resize, in
// workers, or one of the stages behind the tee.
type photos struct {
	resize, store, index atomic.Int64 // how long each takes for a value
}

func (p *photos) flow() *weir.Flow {
	wait := func(ns *atomic.Int64) func([]byte) ([]byte, error) {
		return func(v []byte) ([]byte, error) { time.Sleep(time.Duration(ns.Load())); return v, nil }
	}
	read := weir.Generate("read", func(ctx context.Context, emit func([][]byte) error) error {
		for ctx.Err() == nil {
			if err := emit([][]byte{make([]byte, 64<<10)}); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	resized := weir.Map(read.Async(weir.Items(16)), wait(&p.resize)).Named("resize")
	b := weir.Tee(resized.Async(weir.Items(16)), weir.Branch{Limit: weir.Items(16)}, weir.Branch{Limit: weir.Items(16)})
	drop := func(context.Context, []byte) error { return nil }
	f := weir.Join(
		weir.Map(b[0], wait(&p.store)).Named("store").To(weir.Each(drop)),
		weir.Map(b[1], wait(&p.index)).Named("index").To(weir.Each(drop)),
	)
	f.Name = "photos"
	return f
}

// servePage serves the page of m at an address of its own.
func servePage(t *testing.T, m *Monitor) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/weir/", m.Handler(HandlerOptions{}))
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { m.Close(); srv.Close() })
	return srv.URL + "/weir/"
}

func TestPage_ShowsTheBottleneckWithin3sAndFollowsIt(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	b := openTab(t)
	var p photos
	p.resize.Store(int64(10 * time.Millisecond))
	stop := start(t, p.flow())
	b.do(chromedp.Navigate(address), seenWithin(3*time.Second, sentence("resize is the bottleneck")))
	if got, want := b.text("sentence"), m.Snapshot().Sentence; !strings.HasPrefix(got, "resize is the bottleneck") || !strings.HasPrefix(want, "resize is the bottleneck") {
		t.Errorf("the page says %q, the monitor %q", got, want)
	}
	b.do(
		// The branch is drawn: two stages behind the tee, one above the other.
		seen(`document.querySelectorAll("#picture .stage").length >= 6`),
		seen(`(() => {
			const y = name => document.querySelector('#picture [data-stage="' + name + '"] .box').getAttribute("y")
			return y("store") !== y("index") && y("read") === y("resize")
		})()`),
		seen(`document.querySelectorAll("#picture .tank").length >= 3`),
		seen(`document.querySelectorAll("#picture .slow").length === 1 && document.querySelector("#picture .slow").dataset.stage === "resize"`),
		// What is before the bottleneck is full, what is behind it is not.
		seen(`document.querySelectorAll("#picture .level").length >= 1`),
		chromedp.Click(chromedp.CSS("#details summary")),
		seen(`document.querySelector("#tables").textContent.includes("▶ resize")`),
		chromedp.Click(chromedp.CSS("#details summary")),
	)
	b.do(chromedp.Sleep(6 * time.Second)) // so that there is something in the picture
	b.pictures("flow")
	b.do(chromedp.EmulateViewport(1280, 900))
	p.resize.Store(0)
	p.store.Store(int64(10 * time.Millisecond))
	b.do(
		seen(sentence("store is the bottleneck")),
		seen(`document.querySelector("#picture .slow").dataset.stage === "store"`),
		seen(`document.querySelector("#events").textContent.includes("store became the bottleneck")`),
	)
	b.pictures("moved")
	b.clean()
	_ = stop()
	// In a server the last run survives a reload.
	b.do(chromedp.Reload(), seen(`document.querySelector("#card").textContent.includes("photos canceled")`))
	m.Close()
	b.do(seen(`document.querySelector("#link").textContent.startsWith("The program has ended")`))
	if got := b.text("card"); !strings.Contains(got, "flow 1 · photos") {
		t.Errorf("after the end the card says %q", got)
	}
}

func TestPage_DrawsAMergeAndWorkers(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	b := openTab(t)
	source := func(name string) weir.Stream[int] {
		return weir.Generate(name, func(ctx context.Context, emit func([]int) error) error {
			for {
				if err := emit([]int{1}); err != nil {
					return err
				}
			}
		})
	}
	slow := func(v int) (int, error) { time.Sleep(5 * time.Millisecond); return v, nil }
	f := weir.Map(weir.Merge(source("left"), source("right")), slow, weir.Workers(3)).Named("work").To(weir.Each(func(context.Context, int) error { return nil }))
	f.Name = "merged"
	start(t, f)
	b.do(chromedp.Navigate(address), seen(sentence("work is the bottleneck")))
	b.pictures("merge")
	b.do(
		chromedp.EmulateViewport(1280, 900),
		seen(`(() => {
			const box = name => document.querySelector('#picture [data-stage="' + name + '"] .box')
			return box("left").getAttribute("y") !== box("right").getAttribute("y") && box("left").getAttribute("x") === box("right").getAttribute("x")
		})()`),
		seen(`document.querySelector('#picture [data-stage="work"]').textContent.includes("×3")`),
		seen(`document.querySelectorAll("#picture .tank").length >= 1`),
	)
	b.clean()
}

// A report of a server that was started anew must not be mixed with the old one.
func TestPage_KeepsTheDataOfAProgramThatAnotherReplaces(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	b := openTab(t)
	var p photos
	p.resize.Store(int64(10 * time.Millisecond))
	start(t, p.flow())
	b.do(
		chromedp.Navigate(address), seen(sentence("resize is the bottleneck")),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := chromedp.Evaluate[bool](`see({...state, program: {...state.program, start: 1}, sentence: "of another"}, "live") === undefined`)(ctx, t)
			return err
		}),
		seen(`document.querySelector("#link").textContent.startsWith("The program has ended. Another one runs")`),
		seen(sentence("resize is the bottleneck")),
		chromedp.Reload(), // to see the new one, which here is the old one
		seen(sentence("resize is the bottleneck")),
		seen(`link === "live"`),
	)
	b.clean()
}

func TestPage_FreezesAndSavesAReportThatOpensOffline(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	b := openTab(t)
	into := t.TempDir()
	events := true
	_, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: into, EventsEnabled: &events,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
	})
	if err != nil {
		t.Fatal(err)
	}
	saved := make(chan string, 4)
	err = chromedp.ListenBrowser(b.ctx, func(ev any) {
		if p, ok := ev.(*browser.EventDownloadProgress); ok && p.State == browser.DownloadProgressStateCompleted {
			saved <- p.FilePath
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var p photos
	p.resize.Store(int64(5 * time.Millisecond))
	f := p.flow()
	f.Name = `photos </script><b id="bad">` // must stay a name
	start(t, f)
	b.do(
		chromedp.Navigate(address),
		seen(sentence("resize is the bottleneck")),
		seen(`points.length > 4`),
		chromedp.KeyEvent(" "),
		seen(`document.querySelector("#freeze").getAttribute("aria-pressed") === "true"`),
		seen(`document.querySelector("#link").textContent.includes("Frozen at")`),
	)
	was := b.text("sentence") + b.text("numbers")
	count, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64]("points.length"))
	if err != nil {
		t.Fatal(err)
	}
	b.do(seen(fmt.Sprintf("points.length > %g + 8", count))) // it goes on collecting
	if now := b.text("sentence") + b.text("numbers"); now != was {
		t.Errorf("frozen: %q became %q", was, now)
	}
	b.do(chromedp.Click(chromedp.CSS("#save")))
	file := ""
	select {
	case file = <-saved:
	case <-b.ctx.Done():
		t.Fatal("the report was not saved")
	}
	if names, _ := filepath.Glob(filepath.Join(into, "*")); file == "" && len(names) == 1 {
		file = names[0]
	}
	frozen := b.text("sentence")
	b.do(chromedp.KeyEvent(" "), seen(`document.querySelector("#freeze").getAttribute("aria-pressed") === "false"`),
		seen(fmt.Sprintf(`document.querySelector("#sentence").textContent + document.querySelector("#numbers").textContent !== %q`, was)))
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("diagnosis(state)"))
	if err != nil || !strings.Contains(text, "resize is the bottleneck") || !strings.Contains(text, "buffer read → resize: ") {
		t.Errorf("the diagnosis is %q, %v", text, err)
	}
	b.clean()

	m.Close()
	offline := newTab(t, b.ctx)
	offline.do(
		chromedp.Navigate("file://"+file),
		seen(sentence(frozen)),
		seen(`document.querySelectorAll("#picture .stage").length >= 6`),
		seen(`document.querySelector("#link").textContent === "A saved report."`),
		seen(`document.querySelector("#bad") === null && document.querySelector("#flowname").textContent.includes("</script>")`),
		seen(`document.querySelector("#strips").height > 40`),
	)
	offline.pictures("report")
	offline.clean()
	if st, err := os.Stat(file); err != nil || st.Size() > 4<<20 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestPage_TabsShareOneConnection(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	one := openTab(t)
	var p photos
	p.index.Store(int64(10 * time.Millisecond))
	start(t, p.flow())
	one.do(chromedp.Navigate(address), seen(sentence("index is the bottleneck")))
	two := newTab(t, one.ctx)
	two.do(chromedp.Navigate(address), seen(sentence("index is the bottleneck")), seen(`points.length > 8`))
	if n := m.Snapshot().Viewers; n != 1 {
		t.Errorf("%d viewers", n)
	}
	one.do(chromedp.Navigate("about:blank"))
	count, err := chromedp.Run(two.ctx, chromedp.Evaluate[float64]("state.time"))
	if err != nil {
		t.Fatal(err)
	}
	two.do(seen(fmt.Sprintf("state.time > %f + 1", count))) // it has not lost it
	two.clean()
}

// Where there is no place for another viewer, the page asks again and again.
func TestPage_PollsWhereItGetsNoEvents(t *testing.T) {
	var m Monitor
	t.Cleanup(m.WatchAll())
	address := servePage(t, &m)
	b := openTab(t)
	for range maxViewers {
		view(t, &m, &client{})
	}
	var p photos
	p.resize.Store(int64(10 * time.Millisecond))
	start(t, p.flow())
	b.do(chromedp.Navigate(address), seen(sentence("resize is the bottleneck")),
		seen(`document.querySelector("#link").textContent.includes("updated every 2 s")`))
}

func TestPage_Shows200Of10000Transfers(t *testing.T) {
	var m Monitor
	m.Transfers("files", &fakeTransfers{n: 10_000, start: time.Now()})
	address := servePage(t, &m)
	b := openTab(t)
	b.do(
		chromedp.Navigate(address),
		seen(sentence("client 198.51.100.7:10000: the destination is the bottleneck")),
		seen(`document.querySelectorAll("#transfers tbody tr").length === 200`),
		seen(`document.querySelector("#transfers").textContent.includes("only the 200 of 10,000 that have waited longest")`),
		seen(`document.querySelectorAll("#picture .stage").length === 2`),
		seen(`document.querySelectorAll("#picture .edge").length === 1`), // they are joined
		chromedp.Click(chromedp.CSS("#transfers tbody tr:nth-child(3) button")),
		seen(`document.querySelector("#flowname").textContent.includes("films/9998.mkv")`),
	)
	// The arrow keys go from row to row, and only numbers are on the right.
	b.do(
		chromedp.KeyEvent(kb.ArrowDown),
		seen(`document.activeElement.textContent === "198.51.100.7:9997"`),
		chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.ArrowUp),
		seen(`document.activeElement.textContent === "198.51.100.7:9999"`),
		seen(`[...document.querySelectorAll("#transfers tbody tr:first-child td")].every(td => (getComputedStyle(td).textAlign === "right") === /^[0-9]/.test(td.textContent) || td.querySelector("button"))`),
		seen(`document.querySelector("#transfers tbody td:nth-child(2)").textContent === "↓ download"`),
		seen(`document.querySelector("#happened").hidden`), // nothing has happened
	)
	b.pictures("transfers")
	// It stays usable: a picture takes little of the time between two events.
	took, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64](`(() => { const t = performance.now(); for (let i = 0; i < 20; i++) draw(); return (performance.now() - t) / 20 })()`))
	if err != nil || took > 125 {
		t.Errorf("drawing takes %.1f ms, %v", took, err)
	}
	t.Logf("drawing takes %.1f ms", took)
	b.clean()
}

// longNames are transfers with long names and addresses, in each state.
type longNames struct{ fakeTransfers }

func (f *longNames) Top(n int) []report.Transfer {
	list := f.fakeTransfers.Top(n)
	states := []string{"waiting for the client", "waiting for the disk", "waiting for the file to grow", "waiting for the rate limit", "sending", "receiving"}
	for i := range list {
		x := &list[i]
		x.Name = strings.Repeat("a-folder-with-a-long-name/", 8) + x.Name
		x.State, x.Upload = states[i%len(states)], i%2 == 1
		x.Size, x.Unsent = 1023<<30+900<<20, 1023<<10
		if i%3 == 0 {
			x.Client = "[2001:db8:85a3:1234:5678:8a2e:370:7334]:65535"
		}
	}
	return list
}

func TestPage_FitsANarrowWindow(t *testing.T) {
	t.Run("before anything has run", func(t *testing.T) {
		t.Parallel()
		var m Monitor
		b := openTab(t)
		b.do(chromedp.Navigate(servePage(t, &m)), seen(`document.querySelector("#picture").textContent.startsWith("Run a flow in this program,")`))
		b.pictures("empty")
		b.clean()
	})
	t.Run("a server before its first transfer", func(t *testing.T) {
		t.Parallel()
		var m Monitor
		b := openTab(t)
		m.Transfers("files", &fakeTransfers{start: time.Now()})
		b.do(chromedp.Navigate(servePage(t, &m)), seen(`document.querySelector("#picture").textContent.startsWith("Download a file from this server,")`))
		b.pictures("server")
		b.clean()
	})
	t.Run("transfers", func(t *testing.T) {
		t.Parallel()
		var m Monitor
		b := openTab(t)
		m.Transfers("files", &longNames{fakeTransfers{n: 300, start: time.Now()}})
		b.do(chromedp.Navigate(servePage(t, &m)), seen(`document.querySelectorAll("#transfers tbody tr").length === 200`))
		b.pictures("names")
		b.do(
			// What says which transfer is slow is in view, and not cut.
			seen(`[...document.querySelectorAll("#transfers tbody tr")].slice(0, 20).every(tr =>
				["state", "rate", "unsent", "waited"].every(c => {
					const td = tr.querySelector("." + c), r = td.getBoundingClientRect()
					return r.width > 0 && td.scrollWidth <= td.clientWidth
				}))`),
			// There is more below, and the box shows it.
			seen(`document.querySelector("#transfers .tall").dataset.more === "below"`),
			// A tap anywhere on a card chooses its transfer, and the arrow keys still go from one to the next.
			chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := chromedp.Evaluate[bool](`(() => {
					const td = document.querySelector("#transfers tbody tr:nth-child(2) .waited")
					td.scrollIntoView({ block: "center" })
					const r = td.getBoundingClientRect()
					document.elementFromPoint(r.left + 4, r.top + 4).closest("button").focus()
					return true
				})()`)(ctx, t)
				return err
			}),
			chromedp.KeyEvent(kb.Enter),
			// The page goes to its picture, which is out of view.
			seen(`document.querySelector("#flowname").getBoundingClientRect().top >= 0 && document.querySelector("#picture").getBoundingClientRect().bottom < innerHeight`),
			seen(`document.querySelector("#flowname").textContent.includes("films/299.mkv")`),
			seen(`document.querySelector("#transfers tr:nth-child(2) .name").textContent.endsWith("long-name/films/299.mkv")`),
			chromedp.KeyEvent(kb.ArrowDown),
			seen(`document.activeElement.closest("tr").matches(":nth-child(3)")`),
		)
		b.pictures("chosen")
		// Nothing moves when the numbers change. At the top no scrolling makes up for it.
		b.do(
			seen(`new Set([...document.querySelectorAll("#transfers tbody tr")].map(tr => tr.getBoundingClientRect().height)).size === 1`),
			seen(`(() => { scrollTo(0, 0); moved = []; from = state.time; return true })()`),
			seen(`state.time > from`),
			seen(`(() => { new PerformanceObserver(l => moved.push(...l.getEntries())).observe({ type: "layout-shift" }); from = state.time; return true })()`),
			seen(`state.time > from + 1.5`),
		)
		moved, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`moved.flatMap(e => e.sources).map(s => s.node?.nodeName + "." + s.node?.className).join(" ")`))
		if err != nil || moved != "" {
			t.Errorf("moved: %s %v", moved, err)
		}
		b.clean()
	})
	t.Run("flows", func(t *testing.T) {
		t.Parallel()
		var m Monitor
		t.Cleanup(m.WatchAll())
		b := openTab(t)
		var p photos
		p.resize.Store(int64(10 * time.Millisecond))
		ended := start(t, p.flow())
		b.do(chromedp.Navigate(servePage(t, &m)), seen(sentence("resize is the bottleneck")))
		_ = ended()
		start(t, p.flow())
		b.do(
			seen(`document.querySelectorAll("#flows tbody tr").length === 2`),
			seen(sentence("resize is the bottleneck")),
			chromedp.Click(chromedp.CSS("#details summary")),
			seen(`document.querySelectorAll("#tables tbody tr").length > 4`),
		)
		b.pictures("flows")
		b.clean()
	})
}

func TestPage_RecordsATraceWhenAsked(t *testing.T) {
	var m Monitor
	address := servePage(t, &m)
	t.Cleanup(stopTrace)
	b := openTab(t)
	b.do(chromedp.Navigate(address), seen(`state !== null`))
	recorder.mu.Lock()
	if recorder.fr != nil {
		t.Error("it records though nobody has asked")
	}
	recorder.mu.Unlock()
	b.do(
		chromedp.Click(chromedp.CSS("#trace")),
		seen(`document.querySelector("#trace").textContent === "Save trace"`),
		chromedp.Click(chromedp.CSS("#trace")),
		seen(`document.querySelector("#said").textContent.startsWith("Saved. Open it with: go tool trace")`),
	)
	b.clean()
}
