package prometheus

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/monitor"
)

// ended runs flows to their end, so that the metrics do not change any more.
func ended(t *testing.T) *monitor.Monitor {
	t.Helper()
	m := &monitor.Monitor{Budget: weir.NewBudget(1 << 20)}
	t.Cleanup(m.Close)
	defer m.WatchAll()()
	for _, name := range []string{"copy", "hostile\"\n\\name", ""} {
		stage := weir.Map(weir.FromSlice(make([]int, 10_000)), func(n int) (int, error) { return n + 1, nil }).Async(weir.Items(10))
		f := stage.To(weir.Discard[int]())
		f.Name = name
		if err := f.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestCollector_AgreesWithTheTextOfTheMonitor(t *testing.T) {
	m := ended(t)
	w := httptest.NewRecorder()
	h := m.Handler(monitor.HandlerOptions{Allow: func(*http.Request) bool { return true }})
	h.ServeHTTP(w, httptest.NewRequest("GET", "/weir/metrics", nil))
	text := w.Body.String()
	if n := strings.Count(text, "weir_flow_runs_total{"); n != 3 {
		t.Fatalf("%d flows in\n%s", n, text)
	}
	if err := testutil.CollectAndCompare(NewCollector(m), strings.NewReader(text)); err != nil {
		t.Error(err)
	}
	n, err := testutil.GatherAndCount(registry(t, m))
	if err != nil || n == 0 || n < strings.Count(text, "\n")/3 {
		t.Errorf("%d series, %v", n, err)
	}
}

func registry(t *testing.T, m *monitor.Monitor) *prom.Registry {
	t.Helper()
	r := prom.NewPedanticRegistry()
	if err := r.Register(NewCollector(m)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCollector_MetricsPassTheLinter(t *testing.T) {
	problems, err := testutil.CollectAndLint(NewCollector(ended(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
