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

// Handler returns a handler that shows the data of m. Mount it at a path that
// ends with a slash. Below that it answers at
//
//	(nothing)      the page, for people
//	status.txt     the same as text
//	status.json    a [Snapshot]
//	events         the snapshot and then its changes, as server-sent events
//	history.json   the last 10 minutes
//	transfer.json  the report on one transfer: ?group=NAME&id=NUMBER
//	metrics        metrics in the text format of Prometheus
//	trace          an execution trace: POST starts to record, GET saves the last seconds
//
// All but POST of trace changes nothing. See the section Trace of the package
// documentation.
func (m *Monitor) Handler(o HandlerOptions) http.Handler {
	allow := o.Allow
	if allow == nil {
		allow = Local
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !allow(r) {
			http.Error(w, "the monitor answers only requests from this machine that name it (localhost)", http.StatusForbidden)
			return
		}
		if _, name := path.Split(r.URL.Path); name == "trace" {
			serveTrace(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the monitor is read-only", http.StatusMethodNotAllowed)
			return
		}
		m.serve(w, r)
	})
}

// assets are the names of the files that the page loads.
var assets = map[string]bool{"monitor.js": true, "draw.js": true, "worker.js": true, "monitor.css": true}

func (m *Monitor) serve(w http.ResponseWriter, r *http.Request) {
	dir, name := path.Split(r.URL.Path)
	if dir == "" {
		dir = "/"
	}
	h := w.Header()
	switch {
	case name == "":
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Content-Type", "text/html; charset=utf-8")
		// Not ServeFileFS, which redirects index.html.
		page, _ := ui.ReadFile("ui/index.html")
		writeBody(w, r, page)
	case name == "status.json":
		h.Set("Content-Type", "application/json")
		text, err := json.Marshal(m.Snapshot())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeBody(w, r, append(text, '\n'))
	case name == "status.txt":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		writeBody(w, r, []byte(m.Snapshot().Text()))
	case name == "events":
		m.serveEvents(w, r)
	case name == "history.json":
		h.Set("Content-Type", "application/json")
		if r.Method != http.MethodHead {
			within(w, func() error { return m.history.writeTo(w) })
		}
	case name == "transfer.json":
		m.serveTransfer(w, r)
	case name == "metrics":
		h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		writeBody(w, r, appendMetrics(nil, m.Metrics()))
	case assets[name]:
		h.Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, ui, "ui/"+name)
	default:
		http.NotFound(w, r)
	}
}

// serveTransfer answers with the report on one transfer, in the form of a [Flow].
func (m *Monitor) serveTransfer(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.FormValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "invalid id "+strconv.Quote(r.FormValue("id")), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	var t Transfers
	for _, g := range m.groups {
		if g.name == r.FormValue("group") {
			t = g.t
		}
	}
	m.mu.Unlock()
	if t != nil {
		if rep, ok := t.ReportOf(id); ok {
			now := time.Now()
			rep = m.followed.look(transferKey{r.FormValue("group"), id}, rep, now)
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
