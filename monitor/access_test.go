package monitor

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func TestLocal_AnswersThisMachineOnly(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		client, host  string
		header, value string
		want          bool
	}{
		{client: "127.0.0.1:5000", host: "localhost", want: true},
		{client: "127.0.0.1:5000", host: "localhost:8080", want: true},
		{client: "127.0.0.1:5000", host: "LOCALHOST.:8080", want: true},
		{client: "127.0.0.1:5000", host: "127.0.0.1", want: true},
		{client: "127.9.8.7:5000", host: "127.0.0.99:1", want: true},
		{client: "[::1]:5000", host: "[::1]", want: true},
		{client: "[::1]:5000", host: "[::1]:8080", want: true},
		{client: "[::ffff:127.0.0.1]:5000", host: "localhost", want: true},
		{client: "127.0.0.1:5000", host: hostname + ":8080", want: true},

		// Clients elsewhere.
		{client: "192.0.2.1:5000", host: "localhost"},
		{client: "[2001:db8::1]:5000", host: "[::1]"},
		{client: "[::ffff:192.0.2.1]:5000", host: "localhost"},
		{client: "0.0.0.0:5000", host: "localhost"},
		{client: "127.0.0.1", host: "localhost"},
		{client: "", host: "localhost"},

		// Names that do not mean this machine: DNS rebinding.
		{client: "127.0.0.1:5000", host: "evil.example"},
		{client: "127.0.0.1:5000", host: "localhost.evil.example:8080"},
		{client: "127.0.0.1:5000", host: "127.0.0.1.evil.example"},
		{client: "127.0.0.1:5000", host: "evil.example:127.0.0.1"},
		{client: "127.0.0.1:5000", host: "192.0.2.1:8080"},
		{client: "127.0.0.1:5000", host: "0.0.0.0:8080"},
		{client: "127.0.0.1:5000", host: "[::]:8080"},
		{client: "127.0.0.1:5000", host: "2130706433"},
		{client: "127.0.0.1:5000", host: "[localhost]x"},
		{client: "127.0.0.1:5000", host: ""},

		// Proxies on this machine.
		{client: "127.0.0.1:5000", host: "localhost", header: "X-Forwarded-For", value: "127.0.0.1"},
		{client: "127.0.0.1:5000", host: "localhost", header: "x-forwarded-host", value: "localhost"},
		{client: "127.0.0.1:5000", host: "localhost", header: "X-Forwarded-Anything", value: ""},
		{client: "127.0.0.1:5000", host: "localhost", header: "Forwarded", value: "for=127.0.0.1"},
		{client: "127.0.0.1:5000", host: "localhost", header: "Via", value: "1.1 proxy"},
		{client: "127.0.0.1:5000", host: "localhost", header: "X-Real-IP", value: "127.0.0.1"},
		{client: "127.0.0.1:5000", host: "localhost", header: "CF-Connecting-IP", value: "127.0.0.1"},
		{client: "127.0.0.1:5000", host: "localhost", header: "True-Client-IP", value: "127.0.0.1"},

		// Pages of other origins.
		{client: "127.0.0.1:5000", host: "localhost", header: "Sec-Fetch-Site", value: "same-origin", want: true},
		{client: "127.0.0.1:5000", host: "localhost", header: "Sec-Fetch-Site", value: "none", want: true},
		{client: "127.0.0.1:5000", host: "localhost", header: "Sec-Fetch-Site", value: "same-site"},
		{client: "127.0.0.1:5000", host: "localhost", header: "Sec-Fetch-Site", value: "cross-site"},
	} {
		r := httptest.NewRequest("GET", "/weir/status.json", nil)
		r.RemoteAddr, r.Host = tt.client, tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, tt.value)
		}
		if got := Local(r); got != tt.want {
			t.Errorf("client %q, host %q, %s %q: %v, want %v", tt.client, tt.host, tt.header, tt.value, got, tt.want)
		}
	}
}

func TestLocal_LetsALinkOfAnotherSiteOpenThePage(t *testing.T) {
	r := httptest.NewRequest("GET", "/weir/", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "localhost"
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if !Local(r) {
		t.Error("refused")
	}
	r.Header.Set("Sec-Fetch-Dest", "iframe")
	if Local(r) {
		t.Error("a frame in a page of another site is answered")
	}
}

func TestLocal_AnswersAUnixSocket(t *testing.T) {
	r := httptest.NewRequest("GET", "/weir/", nil)
	r.RemoteAddr, r.Host = "@", "weir"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/weir", Net: "unix"}))
	if !Local(r) {
		t.Error("refused")
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if Local(r) {
		t.Error("a proxy in front of a Unix socket is answered")
	}
}

func TestHandler_RefusesStrangersAndChanges(t *testing.T) {
	var m Monitor
	defer m.Close()
	h := m.Handler(HandlerOptions{})
	for _, name := range []string{"", "status.json", "status.txt", "events", "history.json", "metrics", "transfer.json", "monitor.js", "nothing"} {
		r := httptest.NewRequest("GET", "/weir/"+name, nil) // from 192.0.2.1
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("%q: status %d for a stranger", name, w.Code)
		}
		r.RemoteAddr, r.Host, r.Method = "127.0.0.1:5000", "localhost", "POST"
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%q: status %d for a POST", name, w.Code)
		}
	}
	r := httptest.NewRequest("GET", "/weir/status.json", nil)
	w := httptest.NewRecorder()
	if m.Handler(HandlerOptions{Allow: func(*http.Request) bool { return true }}).ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("status %d with a rule that allows all", w.Code)
	}
}
