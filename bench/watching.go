package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/weir-go/weir/monitor"
)

// watchingRow measures the cost of watching a flow: the same flow with and
// without a monitor that has a viewer, in turns. It measures processor time,
// which other programs of the machine disturb less than elapsed time. The
// viewer is a client in this process, so its cost counts too.
func watchingRow(e *env) row {
	n := e.size(300_000_000, 60_000_000)
	w := &watching{}
	return row{
		name: "watching", title: "ints → map → asynchronous boundary → filter → sum, processor time for each item",
		unit: nanoseconds, base: "not watched",
		prepare: func(context.Context, *env) error { return w.open() },
		contenders: []contender{
			{name: "not watched", run: processorTime(n, sumWeir(boundary))},
			{name: "watched, with a viewer", run: processorTime(n, w.sum)},
		},
		targets: []target{atMost("watched, with a viewer", 1.01, "not watched")},
		notes:   []string{"The monitor looks at the flow 4 times a second and sends what changed to one client over HTTP."},
	}
}

// processorTime returns a contender's run that does n operations of loop.
func processorTime(n int, loop func(int) (uint64, error)) func(context.Context, *env) (sample, error) {
	return func(context.Context, *env) (sample, error) {
		before := cpuTime()
		_, err := loop(n)
		return sample{value: float64(cpuTime()-before) / float64(n), allocs: math.NaN()}, err
	}
}

// watching is a monitor with a viewer.
type watching struct {
	once sync.Once
	m    monitor.Monitor
}

func (w *watching) open() (err error) {
	w.once.Do(func() {
		srv := httptest.NewServer(w.m.Handler(monitor.HandlerOptions{}))
		var resp *http.Response
		if resp, err = http.Get(srv.URL + "/events"); err != nil {
			return
		}
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the viewer was refused: %s", resp.Status)
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, resp.Body) // until this process ends
			resp.Body.Close()
		}()
	})
	return err
}

func (w *watching) sum(n int) (uint64, error) {
	defer w.m.WatchAll()()
	before := w.m.Snapshot().Runs.Succeeded
	sum, err := sumWeir(boundary)(n)
	if now := w.m.Snapshot().Runs.Succeeded; err == nil && now == before {
		err = fmt.Errorf("the flow was not watched")
	}
	return sum, err
}
