package endpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// send uploads body.
func send(t *testing.T, name string, body []byte, o endpoint.SinkOptions) error {
	t.Helper()
	out, err := endpoint.Sink(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return weir.FromReader(bytes.NewReader(body)).To(out).Run(t.Context())
}

func TestUpload_ArrivesWhole(t *testing.T) {
	want := content(3 << 20)
	for _, size := range []int64{0, 3 << 20} {
		var a asked
		var got []byte
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			a.add(r)
			got, _ = io.ReadAll(r.Body)
			w.WriteHeader(http.StatusCreated)
		})
		before := descriptors(t)
		if err := send(t, url+"/x", want, endpoint.SinkOptions{Size: size, HTTP: endpoint.HTTPOptions{Header: http.Header{"X-Key": {"1"}}}}); err != nil {
			t.Fatal(err)
		}
		r := a.all()[0]
		if !bytes.Equal(got, want) || r.Method != http.MethodPut || r.Header.Get("X-Key") != "1" {
			t.Errorf("size %d: %d bytes by %s", size, len(got), r.Method)
		}
		if wantLen := max(size, -1); size > 0 && r.ContentLength != wantLen || size == 0 && r.ContentLength != -1 {
			t.Errorf("size %d: Content-Length %d", size, r.ContentLength)
		}
		if after := descriptors(t); after > before+2 {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	if err := send(t, url, nil, endpoint.SinkOptions{}); err != nil {
		t.Errorf("an empty upload: %v", err)
	}
}

func TestUpload_IsRefusedBeforeItsBody(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "*" {
			http.Error(w, "there already", http.StatusPreconditionFailed)
			return
		}
		http.Error(w, "too large for us\nreally", http.StatusRequestEntityTooLarge)
	})
	read := 0
	source := weir.Generate("endless", func(ctx context.Context, emit func([]byte) error) error {
		for {
			read++
			if err := emit(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	out, err := endpoint.Sink(url+"/x", endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = source.To(out).Run(t.Context())
	if err == nil || err.Error() != "weir: stage upload: PUT "+url+"/x: 413 Request Entity Too Large: too large for us" {
		t.Errorf("got %v", err)
	}
	if read != 0 {
		t.Errorf("%d pieces of the source were read", read)
	}
	if err := send(t, url, nil, endpoint.SinkOptions{Exclusive: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive: %v", err)
	}
}

// TestUpload_AnswerWinsOverTheBrokenPipe refuses in the middle of the body and
// hangs up, as a server with a quota does.
func TestUpload_AnswerWinsOverTheBrokenPipe(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1<<20)
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		buf.WriteString("HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 5\r\n\r\nquota")
		buf.Flush()
		c.Close() // with unread data: a reset
	})
	for i := range 50 {
		err := send(t, url, make([]byte, 8<<20), endpoint.SinkOptions{Size: int64(i % 2 * 8 << 20)})
		var status *endpoint.StatusError
		if !errors.As(err, &status) || status.StatusCode != 413 || status.Text != "quota" {
			t.Fatalf("upload %d: %v", i, err)
		}
	}
}

func TestUpload_FailsWhenCut(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 100_000)
		panic(http.ErrAbortHandler)
	})
	for _, size := range []int64{0, 8 << 20} {
		err := send(t, url, make([]byte, 8<<20), endpoint.SinkOptions{Size: size})
		var se *weir.StageError
		if !errors.As(err, &se) || se.Stage != "upload" || !strings.Contains(err.Error(), "PUT "+url) {
			t.Errorf("got %v", err)
		}
	}
}

func TestUpload_SucceedsOnlyAfterTheAnswer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"refused at the end": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			http.Error(w, "disk full", http.StatusInsufficientStorage)
		},
		"no answer": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		},
		"success before the end": func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 10)
			c, buf, _ := http.NewResponseController(w).Hijack()
			buf.WriteString("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			buf.Flush()
			c.Close()
		},
	} {
		if err := send(t, serve(t, h), make([]byte, 2<<20), endpoint.SinkOptions{}); err == nil {
			t.Errorf("%s: the upload succeeded", name)
		}
	}
}

func TestUpload_OfTheWrongLengthFails(t *testing.T) {
	for _, n := range []int{99, 101} {
		whole := make(chan error, 1)
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err
		})
		if err := send(t, url, make([]byte, n), endpoint.SinkOptions{Size: 100}); err == nil || !strings.Contains(err.Error(), "announced") {
			t.Errorf("%d of 100 bytes: %v", n, err)
		}
		if err := <-whole; err == nil {
			t.Errorf("%d of 100 bytes: the server takes it for whole", n)
		}
	}
}

func TestUpload_IsAbortedWhenItsFlowFails(t *testing.T) {
	boom := errors.New("boom")
	for _, size := range []int64{0, 1 << 20} {
		server := make(chan error, 1)
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			server <- err
		})
		out, err := endpoint.Sink(url, endpoint.SinkOptions{Size: size})
		if err != nil {
			t.Fatal(err)
		}
		source := weir.Generate("source", func(_ context.Context, emit func([]byte) error) error {
			if err := emit(make([]byte, 100_000)); err != nil {
				return err
			}
			return boom
		})
		if err := source.To(out).Run(t.Context()); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		if err := <-server; err == nil {
			t.Error("the server takes what came for whole")
		}
	}
}

func TestUpload_EndsWithTheCauseOfACancelledFlow(t *testing.T) {
	why := errors.New("enough")
	for _, at := range []string{"before the body", "in the body", "before the answer"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		release := make(chan struct{})
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch at {
			case "in the body":
				io.CopyN(io.Discard, r.Body, 1000)
			case "before the answer":
				io.Copy(io.Discard, r.Body)
			}
			cancel(why)
			<-release // net/http tells a handler with an unread body nothing
		})
		n := 64 << 20
		if at == "before the answer" {
			n = 1000
		}
		out, err := endpoint.Sink(url, endpoint.SinkOptions{Size: int64(n)})
		if err != nil {
			t.Fatal(err)
		}
		err = weir.FromReader(bytes.NewReader(make([]byte, n))).To(out).Run(ctx)
		close(release)
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestUpload_ThatNobodyTakesIsEnded(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			io.Copy(io.Discard, r.Body)
		} else {
			r.Body.Read(make([]byte, 1))
		}
		<-release
	})
	defer close(release)
	o := endpoint.HTTPOptions{Stall: 50 * time.Millisecond, Answer: 50 * time.Millisecond}
	err := send(t, url+"/x", make([]byte, 64<<20), endpoint.SinkOptions{HTTP: o})
	if !errors.Is(err, weir.ErrStalled) || !strings.Contains(err.Error(), "took nothing for 50ms") {
		t.Errorf("got %v", err)
	}
	err = send(t, url+"/late", make([]byte, 10), endpoint.SinkOptions{HTTP: o})
	if !errors.Is(err, weir.ErrStalled) || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("got %v", err)
	}
}

func TestUpload_FollowsARedirectWithTheWholeBody(t *testing.T) {
	want := content(1 << 20)
	var got []byte
	var methods []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusMovedPermanently)
		case "/other":
			http.Redirect(w, r, "/here", http.StatusSeeOther)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusPermanentRedirect)
		case "/plain":
			if r.Header.Get("Expect") != "" {
				w.WriteHeader(http.StatusExpectationFailed)
				return
			}
			got, _ = io.ReadAll(r.Body)
		default:
			got, _ = io.ReadAll(r.Body)
		}
	})
	for _, path := range []string{"/moved", "/plain"} {
		got, methods = nil, nil
		if err := send(t, url+path, want, endpoint.SinkOptions{}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		if fmt.Sprint(methods) != "[PUT PUT]" {
			t.Errorf("%s: %v", path, methods)
		}
	}
	for path, text := range map[string]string{"/other": "303 See Other", "/loop": "10 redirects"} {
		if err := send(t, url+path, want, endpoint.SinkOptions{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
