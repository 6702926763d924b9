package monitor

import (
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

//go:embed ui
var ui embed.FS

// HandlerOptions are the options of [Monitor.Handler].
type HandlerOptions struct {
	// Allow says which requests are answered. Others get 403. Nil means [Local].
	// The answers include the names of files and the addresses of clients.
	Allow func(*http.Request) bool
}

var watchDefault sync.Once

// Handler returns the handler of [Default], which watches all flows from the
// first call on. One line makes a service observable:
//
//	mux.Handle("/weir/", monitor.Handler())
func Handler() http.Handler {
	watchDefault.Do(func() { Default.WatchAll() })
	return Default.Handler(HandlerOptions{})
}

// handler answers with the data of its monitor.
type handler struct {
	m     *Monitor
	allow func(*http.Request) bool
}

// ServeHTTP answers the requests that are allowed.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := w.Header()
	to.Set("X-Content-Type-Options", "nosniff")
	to.Set("Referrer-Policy", "no-referrer")
	to.Set("Cross-Origin-Resource-Policy", "same-origin")
	to.Set("Cache-Control", "no-store")
	if !h.allow(r) {
		http.Error(w, "the monitor answers only requests from this machine that name it (localhost)", http.StatusForbidden)
		return
	}
	if _, name := path.Split(r.URL.Path); name == "trace" {
		serveTrace(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		to.Set("Allow", "GET, HEAD")
		http.Error(w, "the monitor is read-only", http.StatusMethodNotAllowed)
		return
	}
	h.serve(w, r)
}

// assets are the names of the files that the page loads.
var assets = map[string]bool{"monitor.js": true, "draw.js": true, "worker.js": true, "monitor.css": true}

// serve answers a request that is allowed and only reads.
func (h handler) serve(w http.ResponseWriter, r *http.Request) {
	dir, name := path.Split(r.URL.Path)
	if dir == "" {
		dir = "/"
	}
	to := w.Header()
	switch {
	case name == "":
		to.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
		to.Set("Content-Type", "text/html; charset=utf-8")
		// Not ServeFileFS, which redirects index.html.
		page, _ := ui.ReadFile("ui/index.html")
		writeBody(w, r, page)
	case name == "status.json":
		to.Set("Content-Type", "application/json")
		text, err := json.Marshal(h.m.Snapshot())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeBody(w, r, append(text, '\n'))
	case name == "status.txt":
		to.Set("Content-Type", "text/plain; charset=utf-8")
		writeBody(w, r, []byte(h.m.Snapshot().Text()))
	case name == "events":
		h.serveEvents(w, r)
	case name == "history.json":
		to.Set("Content-Type", "application/json")
		if r.Method != http.MethodHead {
			within(w, func() error { return h.m.history.writeTo(w) })
		}
	case name == "transfer.json":
		h.serveTransfer(w, r)
	case name == "metrics":
		to.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeBody(w, r, appendMetrics(nil, h.m.Metrics()))
	case assets[name]:
		to.Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, ui, "ui/"+name)
	default:
		http.NotFound(w, r)
	}
}

// serveTransfer answers with the report on one transfer, in the form of a [Flow].
func (h handler) serveTransfer(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.FormValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "invalid id "+strconv.Quote(r.FormValue("id")), http.StatusBadRequest)
		return
	}
	h.m.mu.Lock()
	var t Transfers
	for _, g := range h.m.groups {
		if g.name == r.FormValue("group") {
			t = g.t
		}
	}
	h.m.mu.Unlock()
	if t != nil {
		if rep, ok := t.ReportOf(id); ok {
			now := time.Now()
			rep = h.m.followed.look(transferKey{r.FormValue("group"), id}, rep, now)
			text, err := json.Marshal(transferFlow(id, rep, now))
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			writeBody(w, r, append(text, '\n'))
			return
		}
	}
	http.Error(w, "the transfer has ended, or never was", http.StatusNotFound)
}

// serveEvents sends a snapshot and then its changes, as server-sent events.
func (h handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	v := h.m.enter()
	if v == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many viewers: at most "+strconv.Itoa(maxViewers)+" at a time", http.StatusServiceUnavailable)
		return
	}
	defer h.m.leave(v)
	to := w.Header()
	to.Set("Content-Type", "text/event-stream")
	to.Set("X-Accel-Buffering", "no") // a proxy that collects events would delay them
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	pause := time.NewTimer(0)
	defer pause.Stop()
	var sent map[string]any
	for {
		var s *sampled
		select {
		case s = <-v.slot:
		case <-r.Context().Done():
			return
		}
		tree := s.tree()
		n, err := sendEvent(w, rc, sent, tree)
		if err != nil {
			return // the client has left or is too slow
		}
		if s.Closed {
			return
		}
		wait := tick
		if sent != nil { // the first one is a whole snapshot, once
			wait = max(wait, time.Duration(n)*time.Second/viewerRate)
		}
		sent = tree
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-h.m.over():
			// The last sample follows at once.
		case <-r.Context().Done():
			return
		}
	}
}

// writeBody answers with a body that is complete.
func writeBody(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	within(w, func() error {
		_, err := w.Write(body)
		return err
	})
}

// within calls write with a bound on the time that the client can take.
func within(w http.ResponseWriter, write func() error) {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(4 * writeTimeout)) // else there is no bound, as for other handlers
	if write() == nil {
		_ = rc.Flush()
	}
	_ = rc.SetWriteDeadline(time.Time{}) // the connection may serve other requests
}
