package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

func TestTop_CompletesAddresses(t *testing.T) {
	for address, want := range map[string]string{
		":8080":                        "http://127.0.0.1:8080/_weir/",
		"8080":                         "http://127.0.0.1:8080/_weir/",
		"files.example:80":             "http://files.example:80/_weir/",
		"[::1]:80":                     "http://[::1]:80/_weir/",
		"http://127.0.0.1:8080":        "http://127.0.0.1:8080/_weir/",
		"https://files.example/":       "https://files.example/_weir/",
		"http://host/weir":             "http://host/weir/",
		"http://host/weir/status.json": "http://host/weir/",
		"http://host/_weir/?x=1#600":   "http://host/_weir/",
		"http://ann:word@host/":        "http://ann:word@host/_weir/",
		"ftp://host/":                  "",
		"http:///path":                 "",
		"http://:80/":                  "",
		"http://host:port/":            "",
		"":                             "",
	} {
		got := ""
		if u, err := monitorURL(address); err == nil {
			got = u.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// A Go program mounts its monitor where the documentation does.
func TestTop_FindsTheMonitorOfAProgram(t *testing.T) {
	m := &monitor.Monitor{}
	defer m.Close()
	mux := http.NewServeMux()
	mux.Handle("/weir/", m.Handler(monitor.HandlerOptions{}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for address, want := range map[string]int{srv.URL: exitOK, srv.URL + "/weir/": exitOK, srv.URL + "/other/": exitSource} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"top", "--once", "--for", "100ms", address}, &stdout, &stderr); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", address, code, want, &stderr)
		}
	}
}

func TestKeyNames_AreThoseOfTheKeys(t *testing.T) {
	for sent, want := range map[string][]string{
		"q":                    {"q"},
		"\x1b":                 {"esc"},
		"\x1b[A\x1b[B":         {"up", "down"},
		"\x1bOC\x1b[D":         {"right", "left"},
		"/é\x7f\r":             {"/", "é", "backspace", "enter"},
		"\x1b[6~\x1b[5~":       {"page down", "page up"},
		"\x1b[1;5Aq":           {"q"}, // with Ctrl: no key of weir
		"\x1bq":                {"esc", "q"},
		"\x1b[200~x\x1b[201~q": {"x", "q"},
		"\x1b[12":              nil,
		"":                     nil,
	} {
		if got := keyNames(sent); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}

// crowd is the registry of a server with many transfers, as package weirhttp has
// them: transfer i has waited i seconds.
type crowd struct {
	n     int
	start time.Time
}

func (c crowd) Totals() report.Totals {
	return report.Totals{Active: int64(c.n), Succeeded: 12, Failed: 3, BytesOut: 5 << 40}
}

func (c crowd) Top(n int) (list []report.Transfer) {
	for i := c.n; i > 0 && len(list) < n; i-- {
		list = append(list, report.Transfer{
			ID: uint64(i), Method: "GET", Name: fmt.Sprintf("films/%d.mkv", i), Client: fmt.Sprintf("198.51.100.7:%d", i),
			Start: c.start, Size: 4 << 30, Moved: int64(i) << 16, State: "waiting for the client", Waited: time.Duration(i) * time.Second,
		})
	}
	return list
}

func (c crowd) ReportOf(id uint64) (report.Report, bool) {
	wall := time.Minute + time.Since(c.start)
	from := report.StageStats{Name: "read", Kind: report.KindSource, Workers: 1, OutUnit: "bytes", Wall: wall, Blocked: wall}
	to := report.StageStats{Name: "client", Kind: report.KindSink, Workers: 1, Unit: "bytes", Upstream: []int{0}, Wall: wall, Outside: wall}
	return report.Report{Running: true, Wall: wall, Stages: []report.StageStats{from, to}, Verdict: report.Judge(wall, from, to)}, id > 0
}

// With 10,000 transfers weir top shows those that have waited longest and the sums,
// and says so; what it is sent stays small.
func TestTop_ShowsAFewOf10000Transfers(t *testing.T) {
	m := &monitor.Monitor{}
	defer m.Close()
	m.Transfers("files", crowd{10_000, time.Now()})
	var sent int
	mux := http.NewServeMux()
	mux.Handle("/_weir/", counted{m.Handler(monitor.HandlerOptions{}), &sent})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	var stdout, stderr bytes.Buffer
	if code := run([]string{"top", "--once", "--for", "100ms", srv.URL}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) > 45 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if n := columns(l); n > 79 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	for _, part := range []string{
		"client 198.51.100.7:10000: the destination is the bottleneck",
		"198.51.100.7    films/1000… wait: client",
		"  10000 transfers now, 12 succeeded, 3 failed, 0 B received, 5 TiB sent",
		" of 10000 are shown; the 200 with the longest waits are known here",
	} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("nothing says %q in\n%s", part, &stdout)
		}
	}
	if sent > 100<<10 {
		t.Errorf("it is sent %d bytes at a time", sent)
	}
	stdout.Reset()
	if code := run([]string{"top", "--json", "--for", "100ms", "--sort", "name", "--filter", "films/99", srv.URL}, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var got struct {
		Active, Hidden int
		Transfers      []struct{ Name string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got.Active != 10_000 || got.Hidden != 9_800 || len(got.Transfers) != 100 || got.Transfers[0].Name != "films/9900.mkv" {
		t.Errorf("%v: %d active, %d hidden, %d listed: %.300s", err, got.Active, got.Hidden, len(got.Transfers), &stdout)
	}

	// The live view of so many has no more rows than the window, and the chosen one
	// is among them.
	snap := m.Snapshot()
	v := &topLive{top: &top{stdout: &stdout, sort: "slow", programs: &programs{all: map[string]*program{"x": {snap: snap}}}}}
	v.programs.named = v.programs.all["x"]
	v.arrange()
	for range 150 {
		v.press("down")
	}
	rows := v.rows(79, 22)
	if len(rows) > 22 || !slices.ContainsFunc(rows, func(r string) bool { return strings.HasPrefix(r, "> 198.51.100.7    films/9850") }) {
		t.Errorf("%d rows:\n%s", len(rows), strings.Join(rows, "\n"))
	}
}

// counted notes how long the longest answer is.
type counted struct {
	http.Handler
	most *int
}

func (c counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	c.Handler.ServeHTTP(rec, r)
	*c.most = max(*c.most, rec.Body.Len())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// What is slow comes first, and every order is one.
func TestTop_SortsRuns(t *testing.T) {
	list := []*entry{
		{name: "b", pids: []int{1}, state: monitor.KeepingUp, in: 10, out: 1, memory: monitor.Memory{Used: 1}},
		{name: "c", pids: []int{2}, state: monitor.PushingBack, in: 5, out: 5, memory: monitor.Memory{Used: 9}},
		{name: "a", pids: []int{3}, state: monitor.Stalled, in: -1, out: 7, memory: monitor.Memory{Used: 5}},
		{name: "d", pids: []int{4}, state: monitor.Measuring, in: 0, out: 0},
	}
	for sort, want := range map[string]string{"slow": "acbd", "rate": "bacd", "size": "cabd", "name": "abcd"} {
		sorted := slices.Clone(list)
		slices.SortStableFunc(sorted, (&top{sort: sort}).order)
		got := ""
		for _, e := range sorted {
			got += e.name
		}
		if got != want {
			t.Errorf("by %s: %s, want %s", sort, got, want)
		}
	}
}

// A server with users shows its monitor to them, and to nobody else. A password is
// not for where a redirect leads.
func TestTop_SaysWhoItIs(t *testing.T) {
	m := &monitor.Monitor{}
	defer m.Close()
	m.Transfers("files", crowd{3, time.Now()})
	h := m.Handler(monitor.HandlerOptions{Allow: func(*http.Request) bool { return true }})
	mux := http.NewServeMux()
	mux.HandleFunc("/_weir/", func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "ann" || password != "sesame" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
	mux.HandleFunc("/token/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "sesame" {
			http.Error(w, "not for you", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
	mux.Handle("/moved/", http.RedirectHandler("http://127.0.0.1:1/_weir/status.json?k=sesame", http.StatusFound))
	mux.HandleFunc("/other/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<p>hello")) })
	mux.HandleFunc("/later/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"v": 2}`)) })
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	at := srv.Listener.Addr().String()
	for _, c := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"https://" + at}, exitSource, "try: --cacert FILE"},
		{[]string{"--insecure", "https://" + at}, exitSource, "it requires a user and a password"},
		{[]string{"--insecure", "--user", "ann:wrong", "https://" + at}, exitSource, "wrong user or password"},
		{[]string{"--insecure", "--user", "ann:sesame", "https://" + at}, exitOK, ""},
		{[]string{"--insecure", "https://ann:sesame@" + at + "/"}, exitOK, ""},
		{[]string{"--insecure", "https://" + at + "/token/"}, exitSource, "not for you"},
		{[]string{"--insecure", "-H", "X-Token: sesame", "https://" + at + "/token"}, exitOK, ""},
		{[]string{"--insecure", "-H", "X-Token: sesame", "https://" + at + "/moved"}, exitSource, "it redirects to http://127.0.0.1:1/_weir/status.json?…"},
		{[]string{"--insecure", "https://" + at + "/other"}, exitSource, "no monitor of weir at"},
		{[]string{"--insecure", "https://" + at + "/later"}, exitSource, "no monitor of weir at"},
		{[]string{"--insecure", "https://" + at + "/nothing"}, exitSource, "no monitor of weir at"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"top", "--once", "--for", "100ms"}, c.args...), &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.said) || code == exitOK && !strings.Contains(stdout.String(), "weir top: 1 server") {
			t.Errorf("%q: exit code %d, %s%s", c.args, code, &stderr, &stdout)
		}
		if strings.Contains(stderr.String(), "sesame") {
			t.Errorf("%q: it tells the secret: %s", c.args, &stderr)
		}
	}
}
