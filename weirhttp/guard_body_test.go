package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

func TestBody_ThatDoesNotComeHoldsNoConnection(t *testing.T) {
	const stall = 50 * time.Millisecond
	s := guarded(t, &Guard{Stall: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/secret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, "answer")
	}))
	for request, status := range map[string]string{
		"GET / HTTP/1.1\r\nContent-Length: 1\r\n":                      "200",
		"GET /secret HTTP/1.1\r\nContent-Length: 1\r\n":                "401",
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n": "200",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n":            "200",
		"OPTIONS * HTTP/1.1\r\nContent-Length: 1\r\n":                  "200",
	} {
		t.Run(strings.ReplaceAll(request, "\r\n", " "), func(t *testing.T) {
			t.Parallel()
			c := s.dial(t, 0)
			fmt.Fprintf(c, "%sHost: x\r\n\r\n", request)
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 "+status) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestBody_HandlersMayGiveBodiesMoreTime(t *testing.T) {
	const stall = 50 * time.Millisecond
	nothingLeft(t)
	u := &Uploads{Dir: t.TempDir()}
	t.Cleanup(func() { u.Close() })
	mux := http.NewServeMux()
	mux.Handle("/upload", u)
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		var got []byte
		err := Body(w, r, BodyOptions{Stall: -1}).To(weir.EachBatch(func(_ context.Context, b []byte) error {
			got = append(got, b...)
			return nil
		})).Run(context.WithoutCancel(r.Context()))
		if err != nil || string(got) != "ab" {
			http.Error(w, fmt.Sprintf("%q, %v", got, err), http.StatusBadRequest)
		}
	})
	s := guarded(t, &Guard{Stall: stall}, mux)
	for _, path := range []string{"/body", "/upload"} {
		c := s.dial(t, 0)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", path)
		time.Sleep(3 * stall) // longer than it has without them
		io.WriteString(c, "b")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if text, err := io.ReadAll(resp.Body); resp.StatusCode >= 300 || err != nil {
			t.Errorf("%s: %s, %q, %v", path, resp.Status, text, err)
		}
	}
}

func TestBody_WithoutAStallOfItsOwnHasThatOfTheGuard(t *testing.T) {
	nothingLeft(t)
	ended := make(chan error, 1)
	s := guarded(t, &Guard{Stall: 50 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended <- Body(w, r, BodyOptions{}).To(weir.Discard[byte]()).Run(context.WithoutCancel(r.Context()))
	}))
	c := s.dial(t, 0)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na") // and no more
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || BodyStatus(err) != http.StatusRequestTimeout {
		t.Errorf("it ended with %v, %d", err, BodyStatus(err))
	}
}

func TestBody_TimeOfABodyIsNotThatOfTheAnswer(t *testing.T) {
	atOnce(t)
	const stall = 50 * time.Millisecond
	s := guarded(t, &Guard{Stall: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body)
		}
		wait := make(chan struct{}) // for longer than a body may take
		time.AfterFunc(4*stall, func() { close(wait) })
		Respond(w, r, script{chunks: []string{"all of it"}, err: io.EOF, wait: wait}.stream())
	}))
	for _, path := range []string{"/read", "/unread"} {
		req, _ := http.NewRequest("GET", s.url(path), strings.NewReader("body"))
		resp, err := browser(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "all of it" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
		resp.Body.Close()
	}
}
