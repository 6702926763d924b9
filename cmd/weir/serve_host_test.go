package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestServe_OnlyRequestsThatNameThisServerPass(t *testing.T) {
	t.Parallel()
	self, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := ownHost("box.lan:80", []string{"files.example.org"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "192.168.1.7": 200, "[::1]:8080": 200, "[fe80::1]": 200, "localhost:8080": 200, "LOCALHOST.": 200,
		"app.localhost": 200, "box.lan": 200, self: 200, self + ":8080": 200, "Files.Example.ORG:443": 200, "": 200,
		"evil.example": 421, "127.0.0.1.evil.example:8080": 421, "localhost.evil.example": 421, "notlocalhost": 421,
		"a.files.example.org": 421, "evil.example:x:y": 421, "1": 421,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
		if text := w.Body.String(); w.Code == 421 && (!strings.Contains(text, "--host") || strings.Count(text, "\n") != 1) {
			t.Errorf("%q: the refusal says %q", host, text)
		}
	}
}

func TestServe_AnyHostPassesIfToldSo(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--host", "*")
	r, err := http.NewRequest("GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "any.example"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
}
