package main

import (
	"net/http"

	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/weirhttp"
)

// mountMonitor makes the monitor of the transfers and lets mux serve it below
// /_weir/. Where the server has users, they may see it; else only requests from
// this machine may, since it shows names of files and addresses of clients.
func (s *serving) mountMonitor(mux *http.ServeMux) {
	s.monitor = &monitor.Monitor{Budget: s.guard.Budget}
	s.monitor.Transfers("files", s.guard.Transfers)
	var o monitor.HandlerOptions
	if s.users != "" {
		o.Allow = func(*http.Request) bool { return true } // userGate has asked
	}
	h := s.monitor.Handler(o)
	for _, name := range []string{"{$}", "status.json", "status.txt", "events", "history.json", "transfer.json", "metrics", "trace", "monitor.js", "draw.js", "worker.js", "monitor.css"} {
		mux.Handle("GET /_weir/"+name, h)
	}
	mux.Handle("POST /_weir/trace", h)
}

// tellMonitor makes an event of a transfer that has failed.
func (s *serving) tellMonitor(t weirhttp.Transfer, err error) {
	if s.monitor != nil && err != nil {
		s.monitor.TransferEnded("files", t.Summary(), err)
	}
}

// top makes the socket on which the server answers weir top.
func (s *serving) top() *topSocket {
	return openTopSocket(func() (*monitor.Monitor, func()) { return s.monitor, func() {} })
}
