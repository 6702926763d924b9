package monitor_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/weirhttp"
)

var _ monitor.Transfers = (*weirhttp.Transfers)(nil) // without either package importing the other

func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/weir/", monitor.Handler())

	numbers := weir.FromSlice([]int{1, 2, 3}).To(weir.Discard[int]())
	numbers.Name = "numbers"
	if err := numbers.Run(context.Background()); err != nil {
		fmt.Println(err)
	}

	r := httptest.NewRequest("GET", "http://localhost/weir/status.txt", nil)
	r.RemoteAddr = "127.0.0.1:53412"
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "flow 1 numbers, succeeded"))
	monitor.Default.Close() // a service does not do this; see Monitor.Close
	// Output: 200 true
}

func ExampleMonitor_Handler() {
	mux := http.NewServeMux()
	srv := &http.Server{Handler: mux}
	guard := &weirhttp.Guard{Budget: weir.NewBudget(64 << 20), Transfers: &weirhttp.Transfers{}}
	isAdmin := func(r *http.Request) bool {
		user, _, ok := r.BasicAuth()
		return ok && user == "ann"
	}

	m := &monitor.Monitor{Log: slog.Default(), Budget: guard.Budget}
	defer m.WatchAll()()
	m.Transfers("files", guard.Transfers)
	mux.Handle("/admin/weir/", m.Handler(monitor.HandlerOptions{Allow: isAdmin}))
	srv.RegisterOnShutdown(m.Close) // an open page must not keep the server

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/admin/weir/status.json", nil))
	fmt.Println(w.Code)
	m.Close()
	// Output: 403
}

func ExampleMonitor_Snapshot() {
	var m monitor.Monitor
	defer m.Close()
	flow := weir.FromSlice([]int{1, 2, 3}).To(weir.Discard[int]())
	defer m.Watch(flow)()
	if err := flow.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	f := m.Snapshot().Flows["1"]
	fmt.Println(f.State, f.Stages["0"].Name, f.Stages["0"].Out)
	// Output: succeeded slice 3
}
