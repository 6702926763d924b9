package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir/weirhttp"
)

func TestServe_LinesInATerminalAreForPeople(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 22, 38, 5, 0, time.Local)
	request := []slog.Attr{slog.String("method", "GET"), slog.String("path", "/a%20b.txt"), slog.String("client", "192.0.2.1:5"),
		slog.String("proto", "HTTP/1.1"), slog.Int("status", 206), slog.Int64("bytes", 3<<20/2), slog.Float64("seconds", 1.2345678)}
	for _, c := range []struct {
		level slog.Level
		text  string
		attrs []slog.Attr
		want  string
	}{
		{slog.LevelInfo, "request", request, "22:38:05  206 GET /a%20b.txt  1.5 MiB in 1.235s  192.0.2.1:5"},
		{slog.LevelInfo, "request", append(request, slog.String("error", "reset")),
			"22:38:05  206 GET /a%20b.txt  1.5 MiB in 1.235s  192.0.2.1:5  ended early: reset"},
		{slog.LevelInfo, "request", append(request, slog.String("query", "archive=zip")),
			"22:38:05  206 GET /a%20b.txt?archive=zip  1.5 MiB in 1.235s  192.0.2.1:5"},
		{slog.LevelInfo, "slow client", []slog.Attr{slog.Int64("size", 2<<30), slog.Float64("seconds", 12), slog.Int("n", 7)},
			`22:38:05  slow client  size="2 GiB"  seconds=12s  n=7`},
		{slog.LevelWarn, "refused", []slog.Attr{slog.String("reason", "too many")}, `22:38:05  warn: refused  reason="too many"`},
		{slog.LevelError, "broken", []slog.Attr{slog.Any("err", errors.New("oh"))}, "22:38:05  error: broken  err=oh"},
		{slog.LevelWarn, "names", []slog.Attr{slog.String("path", "\x1b[2J\n\x7f\xff")}, `22:38:05  warn: names  path="\x1b[2J\n\x7f\xff"`},
		{slog.LevelWarn, "names", []slog.Attr{slog.String("path", `日本 "x`)}, `22:38:05  warn: names  path="日本 \"x"`},
	} {
		var out bytes.Buffer
		r := slog.NewRecord(at, c.level, c.text, 0)
		r.AddAttrs(c.attrs...)
		if err := (&lineHandler{out: &out, mu: new(sync.Mutex)}).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want+"\n" {
			t.Errorf("got  %swant %s", &out, c.want)
		}
	}
}

func TestServe_LinesInATerminalKeepWhatTheirLoggerKnows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := slog.New(&lineHandler{out: &out, level: slog.LevelWarn, mu: new(sync.Mutex)})
	l.Info("nothing of this")
	l.With("folder", "in box").With("n", 1).Warn("full", "left", 2)
	_, text, _ := strings.Cut(out.String(), "  ")
	if text != "warn: full  folder=\"in box\"  n=1  left=2\n" {
		t.Errorf("%q", out.String())
	}
}

// heldAnswer is an answer that its client takes nothing of until it is let go.
type heldAnswer struct {
	*httptest.ResponseRecorder
	letGo chan struct{}
}

func (h heldAnswer) Write(p []byte) (int, error) {
	<-h.letGo
	return h.ResponseRecorder.Write(p)
}

func TestServe_SlowClientIsToldOfOnceAndNotTooSoon(t *testing.T) {
	dir := t.TempDir()
	put(t, noise(1<<20), dir, "a.bin")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files := weirhttp.Files(root)
	synctest.Test(t, func(t *testing.T) {
		var out requestLines
		said := func() string {
			out.mu.Lock()
			defer out.mu.Unlock()
			return out.b.String()
		}
		s := &serving{stderr: &out}
		s.guard = &weirhttp.Guard{Transfers: &weirhttp.DefaultTransfers} // that of handlers without a guard
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.watchSlow(ctx) })
		answer := heldAnswer{httptest.NewRecorder(), make(chan struct{})}
		r := httptest.NewRequest(http.MethodGet, "/a.bin", nil)
		work.Go(func() { files.ServeHTTP(answer, r) })

		told := func() int { return strings.Count(said(), `"msg":"slow client"`) }
		time.Sleep(slowAfter - time.Millisecond)
		synctest.Wait()
		if n := told(); n != 0 {
			t.Errorf("it is told of too soon: %s", said())
		}
		time.Sleep(slowAfter / 2)
		synctest.Wait()
		if text := said(); told() != 1 || !strings.Contains(text, `"path":"a.bin"`) || !strings.Contains(text, `"size":1048576`) ||
			!strings.Contains(text, `writing (client) took`) {
			t.Errorf("it says %q", text)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := told(); n != 1 {
			t.Errorf("it is told of %d times", n)
		}
		close(answer.letGo)
		stop()
		work.Wait()
	})
}

// TestServe_SlowClientsAreWatched takes as long as a client must be slow.
func TestServe_SlowClientsAreWatched(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	dir := t.TempDir()
	put(t, noise(16<<20), dir, "a.bin")
	s := startServe(t, dir)
	s.call(t).get(t, "/a.bin")
	s.hears(t, `"msg":"slow client"`)
}
