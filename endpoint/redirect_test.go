package endpoint_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/endpoint"
)

func TestRedirect_IsFollowedWithinBounds(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/ftp":
			http.Redirect(w, r, "ftp://me:hush@example.org/x", http.StatusFound)
		case "/old/name.txt":
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		default:
			w.Write([]byte("here"))
		}
	})
	in := input(t, url+"/old/name.txt", endpoint.SourceOptions{})
	got, err := fetch(t, in)
	if err != nil || string(got) != "here" || in.Info().Name != "name.txt" {
		t.Errorf("%q, %v, %+v", got, err, in.Info())
	}
	for path, want := range map[string]string{"/loop": "10 redirects", "/ftp": "redirect to ftp://example.org/x refused"} {
		_, err := fetch(t, input(t, url+path, endpoint.SourceOptions{HTTP: quick}))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestRedirect_NeverLeavesTLS(t *testing.T) {
	open := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the open server was asked") })
	safe := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, open, http.StatusTemporaryRedirect)
	}))
	defer safe.Close()
	o := quick
	o.Client = safe.Client()
	defer o.Client.CloseIdleConnections()
	o.Client.Transport.(*http.Transport).ExpectContinueTimeout = time.Second
	_, err := fetch(t, input(t, safe.URL+"/x", endpoint.SourceOptions{HTTP: o}))
	if err == nil || !strings.Contains(err.Error(), "from https to") {
		t.Errorf("GET: %v", err)
	}
	if err := send(t, safe.URL+"/x", []byte("x"), endpoint.SinkOptions{HTTP: o}); err == nil || !strings.Contains(err.Error(), "from https to") {
		t.Errorf("PUT: %v", err)
	}
}

func TestAttempts_DoNotRepeatAStrangersCertificate(t *testing.T) {
	safe := httptest.NewUnstartedServer(http.NotFoundHandler())
	safe.Config.ErrorLog = discardLog()
	safe.StartTLS()
	defer safe.Close()
	o := quick
	o.Attempts = 2
	_, err := fetch(t, input(t, safe.URL, endpoint.SourceOptions{HTTP: o}))
	if err == nil || strings.Contains(err.Error(), "attempts") || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestRedirect_PasswordReachesOnlyItsHost(t *testing.T) {
	var other asked
	stranger := serve(t, func(w http.ResponseWriter, r *http.Request) { other.add(r) })
	stranger = strings.Replace(stranger, "127.0.0.1", "localhost", 1)
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		a.add(r)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, stranger+"/x", http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/x", http.StatusTemporaryRedirect)
		case "/no":
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	url = strings.Replace(url, "http://", "http://me:hu%40sh@", 1)
	for _, path := range []string{"/near", "/away"} {
		if _, err := fetch(t, input(t, url+path, endpoint.SourceOptions{})); err != nil {
			t.Fatal(err)
		}
		if err := send(t, url+path, nil, endpoint.SinkOptions{}); err != nil && path == "/near" {
			var status *endpoint.StatusError
			if errors.As(err, &status) {
				t.Fatal(err)
			}
		}
	}
	for _, r := range a.all() {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "hu@sh" {
			t.Errorf("%s %s: asked as %q, %q", r.Method, r.URL, user, password)
		}
	}
	if len(other.all()) != 2 {
		t.Errorf("the other host was asked %d times", len(other.all()))
	}
	for _, r := range other.all() {
		if r.Header.Get("Authorization") != "" || strings.Contains(r.Header.Get("Referer"), "hu") {
			t.Errorf("%s: the other host learns the password: %v", r.Method, r.Header)
		}
	}
	if _, err := fetch(t, input(t, url+"/no", endpoint.SourceOptions{})); err == nil || strings.Contains(err.Error(), "hu") {
		t.Errorf("got %v", err)
	}
}
