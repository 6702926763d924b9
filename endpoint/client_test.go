package endpoint_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-go/weir/endpoint"
)

func TestClient_OfTheCallerMaySpeakHTTP2(t *testing.T) {
	want := content(1 << 20)
	var got []byte
	var a asked
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s by %s", r.Method, r.Proto)
		}
		switch {
		case r.URL.Path == "/full":
			http.Error(w, "full", http.StatusInsufficientStorage)
		case r.Method == http.MethodPut:
			got, _ = io.ReadAll(r.Body)
		default:
			w.Header().Set("ETag", `"v1"`)
			if a.add(r) <= 3 {
				w = &cutter{w, 200_000}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	defer s.Close()
	o := quick
	o.Client = s.Client()
	o.Client.Transport.(*http.Transport).ExpectContinueTimeout = time.Second
	defer o.Client.CloseIdleConnections()

	back, err := fetch(t, input(t, s.URL+"/x", endpoint.SourceOptions{HTTP: o}))
	if err != nil || !bytes.Equal(back, want) || len(a.all()) != 4 {
		t.Errorf("download: %d bytes in %d requests, %v", len(back), len(a.all()), err)
	}
	if err := send(t, s.URL+"/x", want, endpoint.SinkOptions{HTTP: o}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("upload: %d bytes, %v", len(got), err)
	}
	err = send(t, s.URL+"/full", want, endpoint.SinkOptions{HTTP: o})
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.Text != "full" {
		t.Errorf("refused upload: %v", err)
	}
}

func TestStdin_SizeIsKnownWhenRedirected(t *testing.T) {
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, make([]byte, 100), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(30, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	os.Stdin = f
	known, err := input(t, "-", endpoint.SourceOptions{}).Stat(t.Context())
	if err != nil || known.Size != 70 || known.Name != "" || known.Resumable {
		t.Errorf("%+v, %v", known, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	os.Stdin = r
	if known, err := input(t, "-", endpoint.SourceOptions{}).Stat(t.Context()); err != nil || known.Size != -1 {
		t.Errorf("a pipe: %+v, %v", known, err)
	}
}
