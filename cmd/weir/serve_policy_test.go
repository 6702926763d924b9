package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServe_PagesOfOtherOriginsEmbedNothing(t *testing.T) {
	t.Parallel()
	for cors, want := range map[string]string{"": "same-origin", "https://app.example": "same-origin", "*": "cross-origin"} {
		args := []string{t.TempDir()}
		if cors != "" {
			args = append(args, "--cors", cors)
		}
		s := startServe(t, args...)
		for _, path := range []string{"", "none", "healthz", "_weir/page.css", "_upload/"} {
			answer, err := http.Get(s.url + path)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := answer.Header.Get("Cross-Origin-Resource-Policy"); got != want {
				t.Errorf("--cors %q: /%s: %q, want %q", cors, path, got, want)
			}
		}
	}
}

func TestServe_FingerprintIsThatOfTheCertificate(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--tls-self-signed")
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	want := fingerprintOf(tls.Certificate{Certificate: [][]byte{c.ConnectionState().PeerCertificates[0].Raw}})
	c.Close()
	if out := s.end(); len(want) != 95 || !strings.Contains(out, "SHA-256 fingerprint  "+want) {
		t.Errorf("want %s in\n%s", want, out)
	}
}

func TestServe_ErrorsAreTextForProgramsAndPagesForPeople(t *testing.T) {
	t.Parallel()
	h := errorPages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a/<b>/none":
			http.Error(w, "it is \u202egone\nand more", http.StatusNotFound)
		case "/page":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "own page")
		default:
			_, _ = io.WriteString(w, "content")
		}
	}))
	ask := func(method, path, accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		r.URL.Path = path
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		if w := ask("GET", "/a/<b>/none", accept); w.Code != 404 || w.Body.String() != "it is \u202egone\nand more\n" {
			t.Errorf("%q: %d %q", accept, w.Code, w.Body)
		}
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	w := ask("GET", "/a/<b>/none", browser)
	for _, want := range []string{"<h1>Not found</h1>", "it is ‹U+202E›gone", `href="/a/%3Cb%3E/"`, `href="/"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
	if w.Code != 404 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := ask("HEAD", "/a/<b>/none", browser); w.Code != 404 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
	if w := ask("GET", "/page", browser); w.Code != 418 || w.Body.String() != "own page" {
		t.Errorf("a page of its own: %d %q", w.Code, w.Body)
	}
	if w := ask("GET", "/x", browser); w.Code != 200 || w.Body.String() != "content" {
		t.Errorf("no error: %d %q", w.Code, w.Body)
	}
	if w := ask("PUT", "/a/<b>/none", browser); !strings.HasPrefix(w.Body.String(), "it is") {
		t.Errorf("PUT: %q", w.Body)
	}
}
