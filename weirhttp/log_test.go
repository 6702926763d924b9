package weirhttp

import (
	"bufio"
	"fmt"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// says waits for a line with all of the words.
func (l *logged) says(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, func() bool {
		for line := range strings.Lines(l.String()) {
			has := true
			for _, w := range words {
				has = has && strings.Contains(line, w)
			}
			if has {
				return true
			}
		}
		return false
	}, fmt.Sprintf("no line with %q", words))
	if t.Failed() {
		t.Logf("the log: %s", l.String())
	}
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestLog_ClientThatIsDisconnectedIsLoggedWithItsAddress(t *testing.T) {
	for _, kind := range []string{"HTTP/1", "HTTP/2"} {
		t.Run(kind, func(t *testing.T) {
			var log logged
			g := &Guard{Stall: 200 * time.Millisecond, Log: log.logger()}
			if kind == "HTTP/1" {
				s := guarded(t, g, bigAndStream(t, 16<<20))
				c := s.dial(t, 8<<10)
				ask(t, c, bufio.NewReader(c), "/big")
				log.says(t, "level=WARN", "client disconnected", c.LocalAddr().String(), errSlow.Error(), "stall=200ms")
				return
			}
			s := guarded(t, g, bigAndStream(t, 16<<20), withTLS)
			resp, err := browser(t).Get(s.url("/big"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			log.says(t, "level=WARN", "client disconnected", "client=127.0.0.1:", "path=/big", errSlow.Error(), "stall=200ms")
		})
	}
}

func TestLog_ConnectionThatIsRefusedIsLogged(t *testing.T) {
	var log logged
	s := guarded(t, &Guard{MaxConns: 1, Log: log.logger()}, bigAndStream(t, 1))
	first := s.dial(t, 0)
	ask(t, first, bufio.NewReader(first), "/absent")
	c := s.dial(t, 0)
	log.says(t, "level=WARN", "connection refused", c.LocalAddr().String(), "too many connections")
}

func TestLog_AnswerThatGetsNoMemoryIsLogged(t *testing.T) {
	var guardLog, filesLog logged
	b := weir.NewBudget(1 << 20)
	if err := b.Acquire(t.Context(), b.Total()); err != nil {
		t.Fatal(err)
	}
	files := Files(tree(t, map[string]string{"big": pattern(1 << 20)}))
	files.Log = filesLog.logger()
	s := guarded(t, &Guard{Budget: b, Queue: -1, Log: guardLog.logger()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			Respond(w, r, weir.FromReader(strings.NewReader("text")))
			return
		}
		files.ServeHTTP(w, r)
	}))
	for path, log := range map[string]*logged{"/big": &filesLog, "/stream": &guardLog} {
		if resp, _ := s.fetch(t, browser(t), "GET", path); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", path, resp.Status)
		}
		log.says(t, "path="+path, "client=127.0.0.1:", budget.ErrBusy.Error())
	}
	filesLog.says(t, "level=WARN", "download refused")
	guardLog.says(t, "level=ERROR", "no answer")
}

func TestLog_DownloadWhoseFileGetsShorterIsLogged(t *testing.T) {
	for kind, change := range map[string][]func(*http.Server){"parked": nil, "HTTP/1": nil, "HTTP/2": {withTLS}} {
		t.Run(kind, func(t *testing.T) {
			var log logged
			root := tree(t, map[string]string{"shrinks": pattern(8 << 20)})
			files := Files(root)
			files.Log = log.logger()
			s := guarded(t, &Guard{Log: files.Log}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if kind != "parked" { // it stays with its handler
					w = struct{ http.ResponseWriter }{w}
				}
				files.ServeHTTP(w, r)
			}), change...)
			resp, err := browser(t).Get(s.url("/shrinks"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 100_000); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(root.Name(), "shrinks"), 200_000); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("the client takes %d bytes for the whole", n)
			}
			log.says(t, "level=WARN", "download aborted", "shrinks", "client=127.0.0.1:", ErrTruncated.Error())
		})
	}
}

func TestLog_UploadThatFailsIsLogged(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 3, Quota: 2})
	for body, words := range map[string][]string{
		"long": {"level=INFO", "upload failed", "status=413", "method=PUT", "path=/upload/long", "client=127.0.0.1:"},
		"big":  {"level=WARN", "upload failed", "status=507", "method=PUT", "path=/upload/big", quota.ErrNoSpace.Error()},
	} {
		in.do("PUT", "/upload/"+body, strings.NewReader(body))
		var log logged
		io.WriteString(&log, in.log.String())
		log.says(t, words...)
	}
}
