package weirhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

func TestArchive_GoesWithoutWhatCannotBeRead(t *testing.T) {
	h := quiet(tree(t, map[string]string{"d/a": "a", "d/locked": "b", "d/sub/c": "c"}))
	visited := 0
	walk := walker{view: h.view(), ctx: t.Context(), visit: func(string, fs.FileInfo, *openfile.File) error { visited++; return nil }}
	for _, name := range []string{"d/a", "d/sub"} { // they go between the listing and the opening
		info, err := h.Root.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		walk.files = !info.IsDir()
		if err := walk.entry(fs.FileInfoToDirEntry(info), "gone", "as"); err != nil || visited != 0 || walk.leftOut != 0 {
			t.Errorf("%s is gone: %v, %d visited, %d left out", name, err, visited, walk.leftOut)
		}
	}
	h.Archive = true
	s := guarded(t, new(Guard), h)
	if err := os.Chmod(filepath.Join(h.Root.Name(), "d/locked"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(h.Root.Name(), "d/sub"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(h.Root.Name(), "d/sub"), 0o755)
	resp, body := s.fetch(t, browser(t), "GET", "/d/?archive=tar")
	if files := untar([]byte(body)); resp.StatusCode != 200 || files["d/a"] != "a" {
		t.Errorf("%s, %v", resp.Status, files)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/none/?archive=tar"); resp.StatusCode != 404 {
		t.Errorf("a folder that is not there: %s", resp.Status)
	}
}

func TestFiles_FolderThatCannotBeReadIsNotListedInPart(t *testing.T) {
	h := quiet(tree(t, map[string]string{"file": "x"}))
	r := httptest.NewRequest("GET", "/", nil)
	usual, err := selectionOf(nil, pageLength)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := openLister(h.view(), r, "file", usual); err == nil { // which opens, and has no names
		l.close()
		t.Errorf("%+v", l.Listing)
	}
	l, err := openLister(h.view(), r, ".", usual)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.finish(); err != nil || len(l.Entries) != 1 {
		t.Errorf("%+v, %v", l.Listing, err)
	}
}

func TestFiles_ClientThatLeavesTheQueueIsNotAnError(t *testing.T) {
	b := weir.NewBudget(1 << 20)
	if err := b.Acquire(t.Context(), b.Total()); err != nil {
		t.Fatal(err)
	}
	var log logged
	h := Files(tree(t, map[string]string{"big": pattern(1 << 20)}))
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	begun, ended := make(chan struct{}), make(chan any, 1)
	s := guarded(t, &Guard{Budget: b, Queue: time.Minute}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			e := recover()
			ended <- e
			panic(e)
		}()
		close(begun)
		h.ServeHTTP(w, r)
	}))
	c := s.dial(t, 0)
	fmt.Fprint(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	c.Close()
	if e := <-ended; e != http.ErrAbortHandler {
		t.Errorf("the handler ended with %v", e)
	}
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
}

func TestFiles_SeveralPartsCostAsMuchAsOne(t *testing.T) {
	b := weir.NewBudget(1 << 20)
	s := guarded(t, &Guard{Budget: b}, bigAndStream(t, 8<<20))
	c := s.dial(t, 8<<10)
	ask(t, c, bufio.NewReader(c), "/big", "Range", "bytes=0-1000,2000-")
	if n := b.Used(); n != parkedCost {
		t.Errorf("several parts cost %d", n)
	}
	c.Close()
	eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
}

func TestFiles_FailureIsNotDescribedAsTheAnswer(t *testing.T) {
	s := guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, k := range []string{"Cache-Control", "ETag", "Last-Modified"} {
			w.Header().Set(k, `"1"`)
		}
		chunks, err := []string{"text"}, io.EOF
		if r.URL.Path == "/fails" {
			chunks, err = nil, errors.New("broken")
		}
		Response{Type: "text/plain"}.Send(w, r, script{chunks: chunks, err: err}.stream())
	}))
	resp, _ := s.fetch(t, browser(t), "GET", "/fails")
	for _, k := range []string{"Cache-Control", "ETag", "Last-Modified"} {
		if v := resp.Header.Get(k); resp.StatusCode != 500 || v != "" {
			t.Errorf("%s with %s %q", resp.Status, k, v)
		}
	}
	for coding, want := range map[string]string{"gzip": `W/"1"`, "identity": `"1"`} {
		if resp, _ := s.fetch(t, browser(t), "GET", "/", "Accept-Encoding", coding); resp.Header.Get("ETag") != want {
			t.Errorf("%s: ETag %s, want %s", coding, resp.Header.Get("ETag"), want)
		}
	}
}

func TestFiles_StreamsThatTakeNoSmallAnswerAreDisconnected(t *testing.T) {
	const stall = 100 * time.Millisecond
	names := map[string]string{"small": pattern(8 << 10)}
	for i := range 100 {
		names[fmt.Sprintf("d/%d-%s", i, strings.Repeat("x", 180))] = ""
	}
	h := quiet(tree(t, names))
	h.List = true
	ended := make(chan struct{}, 1)
	s := guarded(t, &Guard{Stall: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		h.ServeHTTP(w, r)
	}), withTLS)
	c := browser(t)
	c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 10}
	for _, path := range []string{"/small", "/d/", "/d/?format=json"} {
		resp, err := c.Get(s.url(path))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: it was not cut off", path)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("%s: the client takes %d bytes for the whole", path, n)
		}
		resp.Body.Close()
	}
}
