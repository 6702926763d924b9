package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weir-go/weir/weirhttp"
)

func TestTheRequestLogKeepsNothingOfWhatHasEnded(t *testing.T) {
	q := &requestLog{log: slog.New(slog.NewJSONHandler(io.Discard, nil))}
	h := q.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/aborts" {
			panic(http.ErrAbortHandler)
		}
		q.ended(weirhttp.Transfer{Client: r.RemoteAddr, Kind: weirhttp.Download, Moved: 5}, nil)
	}))
	for _, path := range []string{"/", "/aborts"} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}()
	}
	kept := 0
	count := func(any, any) bool { kept++; return true }
	q.away.Range(count)
	q.moved.Range(count)
	if kept > 0 {
		t.Errorf("%d entries are kept", kept)
	}
}
