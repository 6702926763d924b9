package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// dashboard is what a test reads of docs/grafana.json.
type dashboard struct {
	Panels []struct {
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			Expr string
		}
	}
	Templating struct {
		List []struct{ Name, Query string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestGrafana_DashboardShowsEveryMetric(t *testing.T) {
	d := readDashboard(t)
	all := ""
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%+v", p)
		}
		for _, q := range p.Targets {
			all += q.Expr + "\n"
		}
	}
	page, err := os.ReadFile("../docs/monitor.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := regexp.MustCompile("(?m)^\\| `(weir_[a-z_]+)` \\|").FindAllSubmatch(page, -1)
	if len(metrics) < 20 {
		t.Fatalf("%d metrics in the documentation", len(metrics))
	}
	for _, m := range metrics {
		if !regexp.MustCompile(string(m[1]) + `(_bucket)?\b`).MatchString(all) {
			t.Errorf("no panel shows %s", m[1])
		}
	}
}

// TestGrafana_QueriesHaveResultsInPrometheus lets a real Prometheus scrape a
// monitor, and asks it what the dashboard would ask.
func TestGrafana_QueriesHaveResultsInPrometheus(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("Prometheus takes seconds to scrape twice")
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus in PATH: the queries of the dashboard are not tested (apt-get install prometheus)")
	}
	m := &Monitor{Budget: weir.NewBudget(1 << 20)}
	t.Cleanup(m.Close)
	t.Cleanup(m.WatchAll())
	m.Transfers("files", &fakeTransfers{n: 3, start: time.Now(), totals: report.Totals{Succeeded: 5, Failed: 1, BytesOut: 1 << 20}})
	start(t, paced("copy", 1<<30, 0, time.Millisecond))
	items := weir.Generate("count", func(ctx context.Context, emit func([]int) error) error {
		for ctx.Err() == nil {
			if err := emit([]int{1}); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	f := items.Async(weir.Items(4)).To(weir.Each(func(context.Context, int) error { time.Sleep(time.Millisecond); return nil }))
	f.Name = "items"
	start(t, f)
	edge := weir.FromReader(&noEnd{}).To(weir.ToWriter(edgeEnd{}))
	edge.Name = "edge"
	start(t, edge)
	if err := paced("quick", 1, 0, 0).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/weir/", m.Handler(HandlerOptions{}))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)

	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: weir\n    metrics_path: /weir/metrics\n    static_configs:\n      - targets: [%q]\n", strings.TrimPrefix(srv.URL, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := prometheus(t, program, config, dir)

	d := readDashboard(t)
	client := &http.Client{Timeout: 20 * time.Second}
	ask := func(query string) (n int, err error) {
		resp, err := client.Get(address + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		var answer struct {
			Status, Error string
			Data          struct{ Result []json.RawMessage }
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return 0, err
		}
		if answer.Status != "success" {
			return 0, errors.New(answer.Error)
		}
		return len(answer.Data.Result), nil
	}
	queries := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries++
			query := strings.NewReplacer("$__rate_interval", "1m", "$flow", ".*").Replace(target.Expr)
			for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
				n, err := ask(query)
				if err != nil {
					t.Fatalf("%s: %v: %s", p.Title, err, query)
				}
				if n > 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: no result of %s", p.Title, query)
				}
			}
		}
	}
	if queries < 20 {
		t.Errorf("only %d queries", queries)
	}
	for _, v := range d.Templating.List {
		metric, ok := strings.CutPrefix(v.Query, "label_values(")
		if !ok {
			continue
		}
		metric, label, _ := strings.Cut(strings.TrimSuffix(metric, ")"), ", ")
		if n, err := ask("count by (" + label + ") (" + metric + ")"); err != nil || n < 2 {
			t.Errorf("the variable %s has %d values, %v", v.Name, n, err)
		}
	}
}

// prometheus starts Prometheus on a free port, and returns its address.
func prometheus(t *testing.T, program, config, dir string) string {
	t.Helper()
	cmd := exec.Command(program, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:0", "--log.level", "info")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for in := bufio.NewScanner(said); in.Scan(); {
			select {
			case lines <- in.Text():
			default: // nobody reads any more
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	address, ready := "", false
	listens := regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:[1-9][0-9]*)`)
	all := ""
	for end := time.After(time.Minute); address == "" || !ready; {
		select {
		case line := <-lines:
			all += line + "\n"
			if m := listens.FindStringSubmatch(line); m != nil {
				address = "http://" + m[1]
			}
			ready = ready || strings.Contains(line, "Server is ready to receive web requests")
		case <-done:
			t.Fatalf("prometheus ended:\n%s", all)
		case <-end:
			t.Fatalf("prometheus does not say where it listens:\n%s", all)
		}
	}
	return address
}
