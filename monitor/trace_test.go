package monitor

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTrace_IsRecordedOnlyWhenAskedByOneWhoMay(t *testing.T) {
	t.Cleanup(stopTrace)
	var m Monitor
	h := m.Handler(HandlerOptions{})
	ask := func(method string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost/weir/trace", nil)
		r.RemoteAddr = "127.0.0.1:5000"
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, headers := range [][]string{
		{"X-Forwarded-For: 192.0.2.1"},
		{"Sec-Fetch-Site: cross-site"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, // a form of another site
		{"Origin: http://evil.example"},
	} {
		if w := ask("POST", headers...); w.Code != http.StatusForbidden {
			t.Errorf("POST with %q: %d", headers, w.Code)
		}
	}
	if w := ask("GET"); w.Code != http.StatusConflict {
		t.Errorf("GET before POST: %d %s", w.Code, w.Body)
	}
	if w := ask("PUT"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d", w.Code)
	}
	for range 2 { // the second one finds it running
		if w := ask("POST"); w.Code != http.StatusNoContent {
			t.Fatalf("POST: %d %s", w.Code, w.Body)
		}
	}
	w := ask("GET")
	if w.Code != http.StatusOK || !bytes.HasPrefix(w.Body.Bytes(), []byte("go 1.")) || w.Body.Len() > traceMost {
		t.Errorf("GET: %d, %d bytes", w.Code, w.Body.Len())
	}
	stopTrace()
	if w := ask("GET"); w.Code != http.StatusConflict {
		t.Errorf("GET after the end: %d", w.Code)
	}
}

func TestLimited_RefusesWhatIsTooMuch(t *testing.T) {
	l := &limited{most: 10}
	if n, err := l.Write(make([]byte, 10)); n != 10 || err != nil {
		t.Error(n, err)
	}
	if _, err := l.Write([]byte("x")); err == nil || l.Len() != 10 {
		t.Error(l.Len(), err)
	}
}
