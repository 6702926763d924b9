package weirhttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

// script is a source that yields chunks and then an error, io.EOF for the end.
type script struct {
	chunks []string
	err    error
	wait   <-chan struct{} // before the error
	closed *atomic.Int32
	ctx    context.Context
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 {
		if s.wait != nil {
			select {
			case <-s.wait:
			case <-s.ctx.Done():
				return 0, context.Cause(s.ctx)
			}
		}
		return 0, s.err
	}
	n := copy(p, s.chunks[0])
	if s.chunks[0] = s.chunks[0][n:]; s.chunks[0] == "" {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

func (s *script) Close() error {
	if s.closed != nil {
		s.closed.Add(1)
	}
	return nil
}

func (s script) stream() weir.Stream[byte] {
	return weir.From(weir.Source[byte]{Name: "script", Open: func(ctx context.Context) (weir.Reader[byte], error) {
		s.ctx = ctx
		return &s, nil
	}})
}

func TestRespond_FailureBeforeTheFirstByteHasAStatus(t *testing.T) {
	dir := t.TempDir()
	for _, accept := range []string{"", "gzip"} {
		for name, c := range map[string]struct {
			s    weir.Stream[byte]
			want int
		}{
			"absent":     {weir.File(filepath.Join(dir, "absent")), 404},
			"no access":  {script{err: fs.ErrPermission}.stream(), 403},
			"broken":     {script{err: errors.New("broken")}.stream(), 500},
			"not usable": {weir.FromReader(nil), 500},
			"whole":      {script{chunks: []string{"whole"}, err: io.EOF}.stream(), 200},
			"empty":      {script{err: io.EOF}.stream(), 200},
		} {
			s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Disposition", "attachment")
				Response{Type: "text/plain"}.Send(w, r, c.s)
			}))
			resp, body := s.fetch(t, browser(t), "GET", "/", "Accept-Encoding", accept)
			if resp.StatusCode != c.want || c.want != 200 && (resp.Header.Get("Content-Disposition") != "" || resp.Header.Get("Content-Encoding") != "") {
				t.Errorf("%s: %s %v %q", name, resp.Status, resp.Header, body)
			}
		}
	}
}

func TestRespond_FailureAfterTheFirstByteIsSeenByTheClient(t *testing.T) {
	boom := errors.New("boom")
	for _, p := range []Response{{}, {Type: "text/plain"}, {Type: "text/plain", Flush: -1}, {Plain: true}} {
		for _, accept := range []string{"identity", "gzip", "zstd"} {
			for _, change := range [][]func(*http.Server){nil, {withTLS}} {
				var got atomic.Pointer[error]
				g := &Guard{Transfers: &Transfers{Done: func(_ Transfer, err error) { got.Store(&err) }}}
				s := guarded(t, g, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p.Send(w, r, script{chunks: []string{pattern(1 << 20), pattern(1 << 20)}, err: boom}.stream())
				}), change...)
				req, _ := http.NewRequest("GET", s.url("/"), nil)
				req.Header.Set("Accept-Encoding", accept)
				resp, err := browser(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err == nil || n == 0 {
					t.Errorf("%+v, %s, tls %v: the client takes %d bytes for the whole", p, accept, s.tls, n)
				}
				eventually(t, func() bool { return got.Load() != nil && errors.Is(*got.Load(), boom) }, "the transfer does not tell what happened")
			}
		}
	}
}

func TestRespond_AnswerIsCompressedAsTheClientLikesIt(t *testing.T) {
	text := strings.Repeat("some text, and more of it\n", 40_000)
	for _, flush := range []time.Duration{0, -1} {
		for _, c := range []struct{ accept, kind, want string }{
			{"gzip", "text/plain", "gzip"}, {"zstd", "application/json", "zstd"}, {"gzip, zstd", "text/plain", "zstd"},
			{"gzip;q=1, zstd;q=0.5", "text/plain", "gzip"}, {"gzip;q=0", "text/plain", ""}, {"", "text/plain", ""},
			{"gzip", "image/png", ""}, {"br, deflate", "text/plain", ""},
		} {
			s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				Response{Type: c.kind, Flush: flush, Size: int64(len(text))}.Send(w, r, weir.FromReader(strings.NewReader(text)))
			}))
			resp, body := s.fetch(t, browser(t), "GET", "/", "Accept-Encoding", c.accept)
			got := decode(t, resp, body)
			if got != text || resp.Header.Get("Content-Encoding") != c.want {
				t.Errorf("%+v: %v, %d bytes", c, resp.Header, len(got))
			}
			if c.want == "" && resp.ContentLength != int64(len(text)) || c.want != "" && len(body) > len(text)/10 {
				t.Errorf("%+v: %d bytes were sent, Content-Length %d", c, len(body), resp.ContentLength)
			}
			if c.kind != "image/png" && resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%+v: Vary %q", c, resp.Header.Get("Vary"))
			}
			head, none := s.fetch(t, browser(t), "HEAD", "/", "Accept-Encoding", c.accept)
			if none != "" || head.StatusCode != 200 || head.Header.Get("Content-Encoding") != c.want || head.ContentLength != resp.ContentLength && c.want == "" {
				t.Errorf("%+v: HEAD %s %v", c, head.Status, head.Header)
			}
		}
	}
}

func decode(t *testing.T, resp *http.Response, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	switch resp.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRespond_TrickleArrives waits for each line before the next is made.
func TestRespond_TrickleArrives(t *testing.T) {
	for _, accept := range []string{"identity", "gzip", "zstd"} {
		r, w := weir.NewPipe[byte](weir.Bytes(1 << 10))
		s := guarded(t, &Guard{}, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			Response{Type: "text/plain", Flush: time.Millisecond}.Send(rw, req, weir.FromPipe(r))
		}))
		io.WriteString(w, "line 0\n")
		req, _ := http.NewRequest("GET", s.url("/"), nil)
		req.Header.Set("Accept-Encoding", accept)
		resp, err := browser(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = resp.Body
		switch accept {
		case "gzip":
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		case "zstd":
			z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			body = z
		}
		br := bufio.NewReader(body)
		for i := range 5 {
			if line, err := br.ReadString('\n'); line != fmt.Sprintf("line %d\n", i) || err != nil {
				t.Fatalf("%s: %q, %v", accept, line, err)
			}
			if i < 4 {
				fmt.Fprintf(w, "line %d\n", i+1)
			}
		}
		w.Close()
		if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
			t.Errorf("%s: %q, %v at the end", accept, rest, err)
		}
		resp.Body.Close()
	}
}

func TestRespond_ReadingStopsWhenTheClientLeaves(t *testing.T) {
	for _, accept := range []string{"identity", "gzip"} {
		for _, change := range [][]func(*http.Server){nil, {withTLS}} {
			var closed atomic.Int32
			never := make(chan struct{})
			s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				Response{Type: "text/plain"}.Send(w, r, script{chunks: []string{"first"}, err: io.EOF, wait: never, closed: &closed}.stream())
			}), change...)
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, "GET", s.url("/"), nil)
			req.Header.Set("Accept-Encoding", accept)
			resp, err := browser(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			resp.Body.Close()
			eventually(t, func() bool { return closed.Load() == 1 }, "the source was not closed")
		}
	}
}

func TestRespond_StreamOfAnotherLengthThanPromisedIsAborted(t *testing.T) {
	for _, size := range []int64{5, 11, 12} {
		s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			Response{Size: size, Plain: true}.Send(w, r, script{chunks: []string{"hello ", "world"}, err: io.EOF}.stream())
		}))
		resp, err := browser(t).Get(s.url("/"))
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if whole := size == 11; (err == nil) != whole || whole && string(body) != "hello world" {
			t.Errorf("size %d: %q, %v", size, body, err)
		}
	}
}

func TestRespond_TransfersNameWhoIsSlow(t *testing.T) {
	s := guarded(t, &Guard{}, bigAndStream(t, 32<<20))
	c := s.dial(t, 8<<10)
	resp := ask(t, c, bufio.NewReader(c), "/stream")
	if _, err := io.CopyN(io.Discard, resp.Body, 200<<10); err != nil { // and then nothing more
		t.Fatal(err)
	}
	eventually(t, func() bool {
		l := s.g.Transfers.List()
		return len(l) == 1 && l[0].State == StateClient && l[0].Moved > 0 && l[0].Unsent > 0
	}, "the client is not named")
	resp.Body.Close()
	c.Close()
}

// TestRespond_TransfersMayBeListedByManyAtOnce is for the race detector.
func TestRespond_TransfersMayBeListedByManyAtOnce(t *testing.T) {
	s := guarded(t, &Guard{}, bigAndStream(t, 4<<20))
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				s.g.Transfers.List()
				s.g.Transfers.Totals()
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	for _, path := range []string{"/stream", "/big"} {
		if resp, body := s.fetch(t, browser(t), "GET", path); resp.StatusCode != 200 || len(body) != 4<<20 {
			t.Errorf("%s: %s, %d bytes", path, resp.Status, len(body))
		}
	}
	close(ended)
	wg.Wait()
}

func TestRespond_FolderIsSentAsAnArchive(t *testing.T) {
	files := map[string]string{"d/a.txt": "a", "d/e/b.bin": pattern(1 << 20), "d/.hidden": "h", "other": "o"}
	root := tree(t, files)
	if err := os.Symlink("/etc/passwd", filepath.Join(root.Name(), "d/link")); err != nil {
		t.Skip(err)
	}
	h := quiet(root)
	h.Archive = true
	s := guarded(t, &Guard{}, h)
	for kind, read := range map[string]func([]byte) map[string]string{"tar": untar, "tar.gz": ungzip, "tar.zst": unzstd, "zip": unzip} {
		for path, want := range map[string]map[string]string{
			"/d/": {"d/a.txt": "a", "d/e/b.bin": files["d/e/b.bin"], "d/": "", "d/e/": ""},
			"/":   {"files/d/a.txt": "a", "files/d/e/b.bin": files["d/e/b.bin"], "files/other": "o", "files/": "", "files/d/": "", "files/d/e/": ""},
		} {
			resp, body := s.fetch(t, browser(t), "GET", path+"?archive="+kind, "Accept-Encoding", "gzip")
			got := read([]byte(body))
			if fmt.Sprint(len(got)) != fmt.Sprint(len(want)) {
				t.Errorf("%s of %s: %d names, want %d", kind, path, len(got), len(want))
			}
			for name, b := range want {
				if got[name] != b {
					t.Errorf("%s of %s: %s is wrong, %d bytes", kind, path, name, len(got[name]))
				}
			}
			if resp.Header.Get("Content-Encoding") != "" || !strings.Contains(resp.Header.Get("Content-Disposition"), "."+kind) {
				t.Errorf("%s: %v", kind, resp.Header)
			}
		}
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/d/?archive=rar"); resp.StatusCode != 400 {
		t.Errorf("an unknown archive: %s", resp.Status)
	}
}

func TestRespond_RefusalReachesAClientThatGoesOnSending(t *testing.T) {
	s := guarded(t, &Guard{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, _ = withBody(w, r, time.Minute)
		tellRetry(w.Header(), 1500*time.Millisecond)
		refuse(w, r, http.StatusRequestEntityTooLarge, "too large")
	}))
	c := s.dial(t, 0)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 3<<20)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for range 3 << 20 / len(chunk) { // all of it, before the answer is read
		if _, err := c.Write(chunk); err != nil {
			t.Fatalf("the server does not read: %v", err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 413 || string(text) != "too large\n" || err != nil || resp.Header.Get("Retry-After") != "2" || !resp.Close {
		t.Errorf("%s %v %q %v", resp.Status, resp.Header, text, err)
	}
	expect := s.dial(t, 0)
	io.WriteString(expect, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if b, err := io.ReadAll(expect); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 413")) {
		t.Errorf("a client that waits to send: %q, %v", b, err)
	}
}

func TestRespond_StreamOverHTTP2MayPauseForLongerThanAStall(t *testing.T) {
	atOnce(t)
	const stall = 200 * time.Millisecond
	pause := make(chan struct{})
	s := guarded(t, &Guard{Stall: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Respond(w, r, weir.Generate("pauses", func(ctx context.Context, emit func([]byte) error) error {
			for range 2 {
				select { // before the first byte too
				case <-pause:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				if err := emit([]byte("some")); err != nil {
					return err
				}
			}
			return nil
		}))
	}), withTLS)
	go func() {
		for range 2 {
			time.Sleep(3 * stall)
			pause <- struct{}{}
		}
	}()
	resp, body := s.fetch(t, browser(t), "GET", "/")
	if resp.ProtoMajor != 2 || body != "somesome" {
		t.Errorf("%s, %q", resp.Proto, body)
	}
}
