package endpoint_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/text"
)

func TestDownload_IsWholeAndKnown(t *testing.T) {
	want := content(1 << 20)
	changed := time.Now().Add(-time.Hour)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding is %q", got)
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "x.bin", changed, bytes.NewReader(want))
	})
	in := input(t, url+"/a/big%20file.bin?sig=1", endpoint.SourceOptions{})
	known, err := in.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if known.Name != "big file.bin" || known.Size != 1<<20 || known.Validator != `"v1"` || !known.Resumable || known.Modified.Unix() != changed.Unix() {
		t.Errorf("Stat: %+v", known)
	}
	for range 2 { // a flow can be run again
		got, err := fetch(t, in)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if in.Info() != known {
		t.Errorf("Info: %+v", in.Info())
	}
}

func TestStat_AsksWithGetWhereHeadIsNotKnown(t *testing.T) {
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		a.add(r)
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Disposition", `attachment; filename="../../.bashrc"`)
		w.Header().Set("Content-Length", "5")
		w.Write([]byte("hello"))
	})
	known, err := input(t, url+"/x", endpoint.SourceOptions{HTTP: quick}).Stat(t.Context())
	if err != nil || known.Size != 5 || known.Name != "bashrc" || known.Resumable {
		t.Errorf("%+v, %v", known, err)
	}
	if n := len(a.all()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestDownload_SurvivesManyCuts(t *testing.T) {
	want := content(1 << 20)
	old := time.Now().Add(-time.Hour)
	for _, strong := range []string{"ETag", "Last-Modified"} {
		t.Run(strong, func(t *testing.T) {
			before := descriptors(t)
			var a asked
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				n := a.add(r)
				var changed time.Time
				if strong == "ETag" {
					w.Header().Set("ETag", `"v1"`)
				} else {
					changed = old
				}
				if n <= 8 {
					w = &cutter{w, 100_000}
				}
				http.ServeContent(w, r, "", changed, bytes.NewReader(want))
			})
			in := input(t, url+"/x", endpoint.SourceOptions{HTTP: endpoint.HTTPOptions{Attempts: 2, Backoff: quick.Backoff}})
			got, err := fetch(t, in)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if n := len(a.all()); n != 9 {
				t.Errorf("%d requests, not 9", n)
			}
			for i, r := range a.all() {
				if i > 0 && (!strings.HasPrefix(r.Header.Get("Range"), "bytes=") || r.Header.Get("If-Range") == "") {
					t.Errorf("request %d: Range %q, If-Range %q", i, r.Header.Get("Range"), r.Header.Get("If-Range"))
				}
			}
			if after := descriptors(t); after > before+4 { // the server's own
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestDownload_OfAChangedFileIsErrChangedAndLeavesNothing(t *testing.T) {
	want := content(300_000)
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := a.add(r)
		w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, n))
		http.ServeContent(&cutter{w, 100_000}, r, "", time.Time{}, bytes.NewReader(want))
	})
	dst := filepath.Join(t.TempDir(), "x")
	out, err := endpoint.Sink(dst, endpoint.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = input(t, url+"/x?secret=1", endpoint.SourceOptions{HTTP: quick}).Stream().To(out).Run(t.Context())
	if !errors.Is(err, endpoint.ErrChanged) || !strings.Contains(err.Error(), "at byte 100000") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	left, _ := os.ReadDir(filepath.Dir(dst))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := len(a.all()); n != 2 {
		t.Errorf("%d requests, not 2", n)
	}
}

func TestDownload_BeginsAnewWithoutRanges(t *testing.T) {
	want := content(300_000)
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", "300000")
		if a.add(r) < 3 {
			w = &cutter{w, 100_000 * len(a.all())}
		}
		w.Write(want)
	})
	got, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: quick}))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestDownload_IsNotContinuedWithoutAStrongValidator(t *testing.T) {
	want := content(300_000)
	for _, header := range [][2]string{{"ETag", `W/"v1"`}, {"Last-Modified", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, {"X", "y"}} {
		var a asked
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			a.add(r)
			w.Header().Set(header[0], header[1])
			http.ServeContent(&cutter{w, 100_000}, r, "", time.Time{}, bytes.NewReader(want))
		})
		_, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: quick}))
		if err == nil || !strings.Contains(err.Error(), "at byte 100000 of 300000") || !strings.Contains(err.Error(), "cannot resume") {
			t.Errorf("%v: got %v", header, err)
		}
		if n := len(a.all()); n != 1 {
			t.Errorf("%v: %d requests", header, n)
		}
	}
}

func TestDownload_GoesOnAtAnOffset(t *testing.T) {
	want := content(300_000)
	tag := `"v1"`
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
	})
	dst := filepath.Join(t.TempDir(), "x")
	for _, have := range []int{1, 200_000, 300_000} {
		if err := os.WriteFile(dst, want[:have], 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := endpoint.Sink(dst, endpoint.SinkOptions{Offset: int64(have)})
		if err != nil {
			t.Fatal(err)
		}
		in := input(t, url, endpoint.SourceOptions{Offset: int64(have), Validator: `"v1"`, HTTP: quick})
		if err := in.Stream().To(out).Run(t.Context()); err != nil {
			t.Fatalf("at %d: %v", have, err)
		}
		if got, _ := os.ReadFile(dst); !bytes.Equal(got, want) {
			t.Errorf("at %d: the file has %d bytes", have, len(got))
		}
		if i := in.Info(); i.Size != 300_000 || i.Validator != `"v1"` || !i.Resumable {
			t.Errorf("at %d: %+v", have, i)
		}
	}
	if _, err := fetch(t, input(t, url, endpoint.SourceOptions{Offset: 300_001, Validator: `"v1"`, HTTP: quick})); !errors.Is(err, endpoint.ErrChanged) {
		t.Errorf("behind the end: %v", err)
	}
	tag = `"v2"`
	for _, have := range []int64{1, 300_000} {
		got, err := fetch(t, input(t, url, endpoint.SourceOptions{Offset: have, Validator: `"v1"`, HTTP: quick}))
		if !errors.Is(err, endpoint.ErrChanged) || len(got) != 0 {
			t.Errorf("at %d of another version: %d bytes, %v", have, len(got), err)
		}
	}
}

func TestDownload_RefusesAnswersThatContradictThemselves(t *testing.T) {
	for name, answer := range map[string]string{
		"another part":       "HTTP/1.1 206 X\r\nContent-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n3456789",
		"no part named":      "HTTP/1.1 206 X\r\nContent-Length: 5\r\n\r\n56789",
		"length against":     "HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 4\r\n\r\n5678",
		"more than the part": "HTTP/1.1 206 X\r\nContent-Range: bytes 5-8/10\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n56789\r\n0\r\n\r\n",
		"end before last":    "HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/9\r\nContent-Length: 5\r\n\r\n56789",
		"backwards":          "HTTP/1.1 206 X\r\nContent-Range: bytes 9-5/10\r\nContent-Length: 5\r\n\r\n56789",
		"words":              "HTTP/1.1 206 X\r\nContent-Range: all of it\r\nContent-Length: 5\r\n\r\n56789",
	} {
		got, err := fetch(t, input(t, script(t, answer), endpoint.SourceOptions{Offset: 5, HTTP: quick}))
		if err == nil || !strings.Contains(err.Error(), "the server ") || len(got) != 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// The same server after a cut: another size, or another tag.
	first := "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n01234"
	for name, answer := range map[string]string{
		"another size": "HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/11\r\nContent-Length: 5\r\n\r\n56789",
		"another tag":  "HTTP/1.1 206 X\r\nETag: \"b\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789",
		"shorter now":  "HTTP/1.1 416 X\r\nContent-Range: bytes */3\r\nContent-Length: 0\r\n\r\n",
		"ends here":    "HTTP/1.1 416 X\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n",
	} {
		got, err := fetch(t, input(t, script(t, first, answer), endpoint.SourceOptions{HTTP: quick}))
		if !errors.Is(err, endpoint.ErrChanged) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestDownload_ShortBodyIsNeverAShortFile(t *testing.T) {
	for name, answers := range map[string][]string{
		"length": {"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n01234"},
		"chunks": {"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"},
		"parts of chunks": {"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n01234",
			"HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/10\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n56\r\n0\r\n\r\n"},
	} {
		_, err := fetch(t, input(t, script(t, answers...), endpoint.SourceOptions{HTTP: quick}))
		var se *weir.StageError
		if err == nil || !errors.As(err, &se) || se.Stage != "download" || !strings.Contains(err.Error(), "5 attempts") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDownload_JoinsSmallParts(t *testing.T) {
	url := script(t,
		"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n01234",
		"HTTP/1.1 206 X\r\nContent-Range: bytes 5-6/10\r\nContent-Length: 2\r\n\r\n56",
		"HTTP/1.1 206 X\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\n789")
	got, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: endpoint.HTTPOptions{Attempts: 2, Backoff: quick.Backoff}}))
	if err != nil || string(got) != "0123456789" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDigest_IsChecked(t *testing.T) {
	want := content(100_000)
	sum, sum5 := sha256.Sum256(want), md5.Sum(want)
	b64 := base64.StdEncoding.EncodeToString
	good, good5 := b64(sum[:]), b64(sum5[:])
	bad, bad5 := b64(make([]byte, 32)), b64(make([]byte, 16))
	for _, c := range []struct {
		key, value string
		ok         bool
	}{
		{"Repr-Digest", "sha-256=:" + good + ":", true},
		{"Repr-Digest", "sha-256=:" + bad + ":", false},
		{"Repr-Digest", "unixsum=:AAAA:, sha-256=:" + bad + ":", false},
		{"Content-Digest", "sha-256=:" + good + ":", true},
		{"Content-Digest", "sha-256=:" + bad + ":", false},
		{"Digest", "md5=" + bad5 + ",SHA-256=" + good, true},
		{"Digest", "SHA-256=" + bad, false},
		{"Content-MD5", good5, true},
		{"Content-MD5", bad5, false},
		{"Repr-Digest", "sha-256=:AAAA:", true}, // no sha-256 at all
	} {
		var a asked
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set(c.key, c.value)
			if a.add(r) == 1 {
				w = &cutter{w, 50_000}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
		})
		_, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: quick}))
		if c.ok && err != nil || !c.ok && !errors.Is(err, endpoint.ErrDigest) {
			t.Errorf("%s: %s: %v", c.key, c.value, err)
		}
	}
}

func TestStatusError_SaysWhatAndWhere(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/html":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<html>")
		case "/esc":
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "no\x1b[2Jcoffee", strings.Repeat("x", 1000), "\nmore")
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	})
	withUser := strings.Replace(url, "http://", "http://me:hush@", 1)
	for path, want := range map[string]string{
		"/none?hush=1": "GET " + url + "/none?…: 404 Not Found: 404 page not found",
		"/html":        "GET " + url + "/html: 403 Forbidden",
		"/empty":       "GET " + url + "/empty: 204 No Content",
	} {
		_, err := fetch(t, input(t, withUser+path, endpoint.SourceOptions{HTTP: quick}))
		if err == nil || err.Error() != "weir: stage download: "+want {
			t.Errorf("%s: %v", path, err)
		}
	}
	_, err := fetch(t, input(t, url+"/none", endpoint.SourceOptions{}))
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.StatusCode != 404 || !errors.Is(err, fs.ErrNotExist) || status.Temporary() {
		t.Errorf("got %#v", err)
	}
	_, err = fetch(t, input(t, url+"/esc", endpoint.SourceOptions{}))
	if err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 350 {
		t.Errorf("got %q", err)
	}
	if _, err := input(t, url+"/none", endpoint.SourceOptions{}).Stat(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
}

func TestDownload_AsksABusyServerAgain(t *testing.T) {
	want := content(1000)
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch a.add(r) {
		case 1, 3:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Retry-After", "0")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		default:
			w.Write(want)
		}
	})
	var waits []int
	o := endpoint.HTTPOptions{Backoff: func(attempt int) time.Duration { waits = append(waits, attempt); return 0 }}
	got, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: o}))
	if err != nil || !bytes.Equal(got, want) || !slices.Equal(waits, []int{2, 3, 4}) {
		t.Errorf("%d bytes, %v, waits before attempts %v", len(got), err, waits)
	}
}

func TestRetryAfter_TooLongEndsTheDownload(t *testing.T) {
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		a.add(r)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: quick}))
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.RetryAfter != time.Hour || !strings.Contains(err.Error(), "asks to wait 1h0m0s") || len(a.all()) != 1 {
		t.Errorf("%v after %d requests", err, len(a.all()))
	}
}

func TestAttempts_EndAndAFlowDoesNotWaitThemOut(t *testing.T) {
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		a.add(r)
		w.WriteHeader(http.StatusBadGateway)
	})
	_, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: endpoint.HTTPOptions{Attempts: 3, Backoff: quick.Backoff}}))
	if err == nil || !strings.Contains(err.Error(), "(3 attempts)") || len(a.all()) != 3 {
		t.Errorf("%v after %d requests", err, len(a.all()))
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := endpoint.HTTPOptions{Backoff: func(int) time.Duration { cancel(why); return time.Hour }}
	if err := input(t, url, endpoint.SourceOptions{HTTP: o}).Stream().To(weir.Discard[byte]()).Run(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestAttempts_DoNotRepeatASlipInTheHost(t *testing.T) {
	tried := 0
	o := endpoint.HTTPOptions{Backoff: func(int) time.Duration { tried++; return 0 }}
	_, err := fetch(t, input(t, "http://me:hush@127.0.0.1:1/x", endpoint.SourceOptions{HTTP: o}))
	if err == nil || tried != 0 || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "GET http://127.0.0.1:1/x: ") {
		t.Errorf("%v, tried again %d times", err, tried)
	}
}

func TestStall_IsEndedAndTheDownloadGoesOn(t *testing.T) {
	want := content(300_000)
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		switch a.add(r) {
		case 1: // no header
			<-r.Context().Done()
		case 2: // half a body
			w.Header().Set("Content-Length", "300000")
			w.Write(want[:100_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
		}
	})
	o := quick
	o.Stall = 50 * time.Millisecond
	got, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: o}))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := len(a.all()); n < 3 {
		t.Errorf("%d requests", n)
	}
}

func TestStall_NamesAServerThatSendsNothing(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := endpoint.HTTPOptions{Attempts: 2, Backoff: quick.Backoff, Stall: 20 * time.Millisecond}
	_, err := fetch(t, input(t, url, endpoint.SourceOptions{HTTP: o}))
	if !errors.Is(err, weir.ErrStalled) || !strings.Contains(err.Error(), "the server sent nothing for 20ms (2 attempts)") {
		t.Errorf("got %v", err)
	}
	if _, err := input(t, url, endpoint.SourceOptions{HTTP: o}).Stat(t.Context()); !errors.Is(err, weir.ErrStalled) {
		t.Errorf("Stat: %v", err)
	}
}

func TestDownload_EndsWithTheCauseOfACancelledFlow(t *testing.T) {
	gone := make(chan struct{})
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 1000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	sink := weir.EachBatch(func(context.Context, []byte) error { cancel(why); return nil })
	err := input(t, url, endpoint.SourceOptions{}).Stream().To(sink).Run(ctx)
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	<-gone
}

func TestDownload_EndsWellWhenEnoughWasRead(t *testing.T) {
	gone := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	var got bytes.Buffer
	s := input(t, url, endpoint.SourceOptions{}).Stream().Through(text.Head(10))
	if err := s.To(weir.ToWriter(&got)).Run(t.Context()); err != nil || got.Len() != 10 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	<-gone
}
