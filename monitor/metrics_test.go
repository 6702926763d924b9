package monitor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// value returns the value of the one series of a metric with these label values.
func value(t *testing.T, list []Family, name string, labels ...string) float64 {
	t.Helper()
	for _, f := range list {
		for _, s := range f.Samples {
			if f.Name == name && slices.Equal(s.Labels, labels) {
				return s.Value
			}
		}
	}
	t.Errorf("no %s with %q", name, labels)
	return math.NaN()
}

// exposition is what a strict parser finds in a metrics page.
type exposition struct {
	types  map[string]string
	series map[string]float64 // by name and labels as written
	labels map[string][]string
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// parseExposition reads the text format of Prometheus and refuses what it does not
// allow: samples without HELP and TYPE before them, families in parts, series that
// come twice, labels that are not escaped, histograms that do not add up.
func parseExposition(text string) (*exposition, error) {
	e := &exposition{types: map[string]string{}, series: map[string]float64{}, labels: map[string][]string{}}
	if !strings.HasSuffix(text, "\n") && text != "" {
		return nil, fmt.Errorf("no newline at the end")
	}
	helped, family := "", ""
	done := map[string]bool{}
	buckets := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			if done[name] {
				return nil, fmt.Errorf("%s comes twice", name)
			}
			helped = name
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if name != helped || !metricName.MatchString(name) || !slices.Contains([]string{"counter", "gauge", "histogram"}, kind) {
				return nil, fmt.Errorf("bad line %q", line)
			}
			if kind == "counter" != strings.HasSuffix(name, "_total") {
				return nil, fmt.Errorf("%s is a %s", name, kind)
			}
			family, done[name], e.types[name] = name, true, kind
			continue
		}
		name, labels, v, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		base := name
		if e.types[family] == "histogram" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, end)
			}
		}
		if base != family {
			return nil, fmt.Errorf("%q stands below %s", line, family)
		}
		key := name + "{" + strings.Join(labels, ",") + "}"
		if _, ok := e.series[key]; ok {
			return nil, fmt.Errorf("%s comes twice", key)
		}
		e.series[key], e.labels[key] = v, labels
		if base == name || e.types[family] != "histogram" {
			continue
		}
		// Buckets rise, and the last one is the count.
		of := family + strings.Join(slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return strings.HasPrefix(l, "le=") }), ",")
		switch {
		case strings.HasSuffix(name, "_bucket"):
			if v < buckets[of] {
				return nil, fmt.Errorf("%q is less than the bucket before", line)
			}
			buckets[of] = v
		case strings.HasSuffix(name, "_count") && v != buckets[of]:
			return nil, fmt.Errorf("%q: the last bucket has %v", line, buckets[of])
		}
	}
	return e, nil
}

func parseSample(line string) (name string, labels []string, v float64, err error) {
	i := strings.IndexAny(line, "{ ")
	if i < 0 {
		return "", nil, 0, fmt.Errorf("no value")
	}
	name, line = line[:i], line[i:]
	if !metricName.MatchString(name) {
		return "", nil, 0, fmt.Errorf("bad name")
	}
	if line[0] == '{' {
		line = line[1:]
		for {
			eq := strings.IndexByte(line, '=')
			if eq < 0 || !labelName.MatchString(line[:eq]) || eq+1 >= len(line) || line[eq+1] != '"' {
				return "", nil, 0, fmt.Errorf("bad label at %q", line)
			}
			label := line[:eq]
			line = line[eq+2:]
			var val strings.Builder
			for {
				if line == "" {
					return "", nil, 0, fmt.Errorf("label without an end")
				}
				c := line[0]
				line = line[1:]
				if c == '"' {
					break
				}
				if c == '\\' {
					if line == "" || !strings.ContainsRune(`\"n`, rune(line[0])) {
						return "", nil, 0, fmt.Errorf("bad escape")
					}
					c, line = line[0], line[1:]
					if c == 'n' {
						c = '\n'
					}
				}
				val.WriteByte(c)
			}
			if n := len(labels); n > 0 && labels[n-1] >= label && label != "le" {
				return "", nil, 0, fmt.Errorf("labels that are not sorted")
			}
			labels = append(labels, label+"="+val.String())
			if strings.HasPrefix(line, "}") {
				line = line[1:]
				break
			}
			if !strings.HasPrefix(line, ",") {
				return "", nil, 0, fmt.Errorf("no comma")
			}
			line = line[1:]
		}
	}
	rest, ok := strings.CutPrefix(line, " ")
	if !ok {
		return "", nil, 0, fmt.Errorf("no space before the value")
	}
	v, err = strconv.ParseFloat(rest, 64)
	return name, labels, v, err
}

func expose(t *testing.T, m *Monitor) *exposition {
	t.Helper()
	e, err := parseExposition(string(appendMetrics(nil, m.Metrics())))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestMetrics_TextIsEscaped(t *testing.T) {
	got := string(appendMetrics(nil, []Family{
		{Name: "a_total", Help: "Back\\slash\nand line.", Type: "counter", Labels: []string{"x", "y"}, Samples: []Sample{{Labels: []string{"q\"b\\n\nz", ""}, Value: 1e15}}},
		{Name: "none", Help: "Nothing.", Type: "gauge"},
		{Name: "h", Help: "Spells.", Type: "histogram", Samples: []Sample{{Value: 2.5, Bounds: []float64{0.5, 1}, Counts: []uint64{1, 2}, Count: 3}}},
	}))
	want := `# HELP a_total Back\\slash\nand line.
# TYPE a_total counter
a_total{x="q\"b\\n\nz",y=""} 1e+15
# HELP h Spells.
# TYPE h histogram
h_bucket{le="0.5"} 1
h_bucket{le="1"} 2
h_bucket{le="+Inf"} 3
h_sum 2.5
h_count 3
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if _, err := parseExposition(got); err != nil {
		t.Error(err)
	}
}

func TestMetrics_CountersGoOnlyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		last := &exposition{}
		check := func() {
			t.Helper()
			e := expose(t, &m)
			for key, was := range last.series {
				name, _, _ := strings.Cut(key, "{")
				if last.types[name] == "gauge" {
					continue
				}
				if now, ok := e.series[key]; !ok || now < was {
					t.Errorf("%s goes from %v to %v", key, was, now)
				}
			}
			last = e
		}
		for range 5 { // five runs, of which the counts add up
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- paced("counted", 1<<30, 0, time.Millisecond).Run(ctx) }()
			for range 5 {
				time.Sleep(300 * time.Millisecond)
				check()
			}
			cancel()
			<-done
			check()
		}
		list := m.Metrics()
		if v := value(t, list, "weir_stage_seconds_total", "counted", "each batch", "busy"); v < 7 || v > 8 {
			t.Errorf("busy %v s of 7.5", v)
		}
		if v := value(t, list, "weir_flow_runs_total", "counted", "canceled"); v != 5 {
			t.Errorf("%v runs", v)
		}
		var sum float64
		for _, s := range []string{"busy", "blocked", "starved", "outside", "unknown"} {
			sum += value(t, list, "weir_stage_seconds_total", "counted", "produce", s)
		}
		if math.Abs(sum-7.5) > 0.01 {
			t.Errorf("the states add up to %v s, want 7.5", sum)
		}
	})
}

func TestMetrics_HaveTheGaugesOfRunningFlowsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := weir.NewBudget(1 << 20)
		m := Monitor{Budget: budget}
		defer m.Close()
		defer m.WatchAll()()
		m.Transfers("files", &fakeTransfers{n: 3, start: time.Now(), totals: report.Totals{Succeeded: 5, Failed: 3, UploadsSucceeded: 2, UploadsFailed: 1, BytesIn: 10, BytesOut: 20}})
		stop := start(t, paced("going", 1<<30, 0, time.Millisecond))
		time.Sleep(4*time.Second - time.Millisecond/2) // between two batches: the pipe is full
		synctest.Wait()
		e := expose(t, &m)
		for key, want := range map[string]float64{
			`weir_pipe_used_bytes{flow=going,pipe=produce → each batch}`:         8192,
			`weir_pipe_limit_bytes{flow=going,pipe=produce → each batch}`:        8192,
			`weir_flow_running{flow=going}`:                                      1,
			`weir_memory_used_bytes{flow=going}`:                                 8192,
			`weir_flow_bottleneck_info{bottleneck=each batch,flow=going}`:        1,
			`weir_budget_limit_bytes{}`:                                          1 << 20,
			`weir_budget_used_bytes{}`:                                           0,
			`weir_transfers_active{server=files}`:                                3,
			`weir_transfers_total{direction=in,outcome=succeeded,server=files}`:  2,
			`weir_transfers_total{direction=in,outcome=failed,server=files}`:     1,
			`weir_transfers_total{direction=out,outcome=succeeded,server=files}`: 3,
			`weir_transfers_total{direction=out,outcome=failed,server=files}`:    2,
			`weir_transfers_bytes_total{direction=in,server=files}`:              10,
			`weir_transfers_bytes_total{direction=out,server=files}`:             20,
		} {
			if got, ok := e.series[key]; !ok || got != want {
				t.Errorf("%s is %v, want %v", key, got, want)
			}
		}
		at := e.series[`weir_stage_last_progress_timestamp_seconds{flow=going,stage=each batch}`]
		if age := unix(time.Now()) - at; age < 0 || age > 1 {
			t.Errorf("the last progress was %v s ago", age)
		}
		if now := e.series[`weir_pipe_blocked_now_seconds{flow=going,pipe=produce → each batch}`]; now < 3.9 || now > 4 {
			t.Errorf("blocked for %v s until now, in 4 s", now)
		}
		_ = stop()
		e = expose(t, &m)
		if n := e.series[`weir_pipe_blocked_spell_seconds_bucket{flow=going,pipe=produce → each batch,le=4.294967296}`]; n != 1 {
			t.Errorf("%v spells of at most 4.3 s, want the one of 4 s", n)
		}
		if n := e.series[`weir_pipe_blocked_spell_seconds_bucket{flow=going,pipe=produce → each batch,le=1.073741824}`]; n != 0 {
			t.Errorf("%v spells of at most 1.1 s", n)
		}
		for key := range e.series {
			if strings.Contains(key, "flow=going") && !strings.Contains(key, "_total") && !strings.Contains(key, "blocked_spell") {
				t.Errorf("after its end there is %s", key)
			}
		}
	})
}

func TestMetrics_AreBoundedWhateverTheNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		hostile := []string{
			"\"}\nweir_evil 1\n", `\`, "\xff\xfe", strings.Repeat("é", 10_000), "a\x00b", "copy /home/ann/secret.txt", `send C:\Users\ann\x`,
			"get http://ann:pw@host/", "{}", "other", "", " ", "\u202e", "# TYPE x counter",
		}
		run := func(name string, stages int) {
			s := weir.FromSlice([]int{1})
			for i := range stages {
				s = weir.Map(s, func(v int) (int, error) { return v, nil }).Named(fmt.Sprintf("%s %d", name, i))
			}
			f := s.To(weir.Discard[int]())
			f.Name = name
			if err := f.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range hostile {
			run(name, 1)
		}
		for i := range 3 * maxFlowLabels {
			run(fmt.Sprintf("flow %d", i), 10)
		}
		text := appendMetrics(nil, m.Metrics())
		e, err := parseExposition(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(e.series); n > 13_000 {
			t.Errorf("%d series", n)
		}
		flows := map[string]bool{}
		var runs float64
		for key, labels := range e.labels {
			for _, l := range labels {
				name, val, _ := strings.Cut(l, "=")
				if name == "flow" {
					flows[val] = true
				}
				if strings.ContainsAny(val, "/\\\n\x00") || strings.Contains(val, "secret") || len([]rune(val)) > maxLabel || strings.ToValidUTF8(val, "") != val {
					t.Errorf("label %q", l)
				}
			}
			if strings.HasPrefix(key, "weir_flow_runs_total") {
				runs += e.series[key]
			}
		}
		if len(flows) > maxFlowLabels+1 || !flows["other"] || flows["unnamed"] || !flows["discard"] || !flows["copy"] {
			t.Errorf("%d flows", len(flows))
		}
		if want := float64(len(hostile) + 3*maxFlowLabels); runs != want {
			t.Errorf("%v runs are counted, want %v", runs, want)
		}
		promtool(t, text)
	})
}

func TestMetrics_LabelIsOfTheProgramsChoice(t *testing.T) {
	m := Monitor{Label: func(flow string) string { word, _, _ := strings.Cut(flow, " "); return word }}
	defer m.Close()
	defer m.WatchAll()()
	if err := paced("copy secret.txt", 1, 0, 0).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := string(appendMetrics(nil, m.Metrics())); strings.Contains(text, "secret") || !strings.Contains(text, `flow="copy"`) {
		t.Error(text)
	}
}

// promtool lets Prometheus's own parser judge, if it is installed.
func promtool(t *testing.T, text []byte) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed")
		return
	}
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// edgeEnd is a sink with an edge behind it.
type edgeEnd struct{}

func (edgeEnd) Write(p []byte) (int, error) { return len(p), nil }

func (edgeEnd) Edge() report.Edge {
	return report.Edge{Name: "logs", Held: 100, Max: 1000, Lag: 90, Refused: 3}
}

func TestMetrics_ShowTheEdgeBehindASink(t *testing.T) {
	m := &Monitor{}
	defer m.Close()
	r, w := io.Pipe()
	flow := weir.FromReader(r).To(weir.ToWriter(edgeEnd{}))
	flow.Name = "copy"
	ended := make(chan error, 1)
	defer m.Watch(flow)()
	go func() { ended <- flow.Run(t.Context()) }()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	values := func() map[string]float64 {
		got := map[string]float64{}
		for _, f := range m.Metrics() {
			for _, s := range f.Samples {
				if strings.HasPrefix(f.Name, "weir_edge_") {
					got[f.Name] += s.Value
				}
			}
		}
		return got
	}
	want := map[string]float64{"weir_edge_held_bytes": 100, "weir_edge_limit_bytes": 1000, "weir_edge_lag_bytes": 90, "weir_edge_refusals_total": 3}
	if got := values(); !maps.Equal(got, want) {
		t.Errorf("while it runs: %v, want %v", got, want)
	}
	// The first snapshot can be from before the sink was opened.
	var e *Edge
	for end := time.Now().Add(10 * time.Second); e == nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, f := range m.Snapshot().Flows {
			e = f.Stages["1"].Edge
		}
	}
	if e == nil || *e != (Edge{Name: "logs", Held: 100, Max: 1000, Lag: 90, Refused: 3}) {
		t.Errorf("the snapshot has %+v", e)
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := values(); !maps.Equal(got, map[string]float64{"weir_edge_refusals_total": 3}) {
		t.Errorf("after its end: %v", got)
	}
}

// noEnd is a reader of a byte each millisecond.
type noEnd struct{}

func (noEnd) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return 1, nil
}
