package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

// logger writes lines for people to a terminal, and JSON to everything else.
func (s *serving) logger() *slog.Logger {
	level := slog.LevelInfo
	if s.quiet {
		level = slog.LevelError
	}
	if isTerminal(s.stderr) {
		return slog.New(&lineHandler{out: s.stderr, level: level, mu: new(sync.Mutex)})
	}
	return slog.New(slog.NewJSONHandler(s.stderr, &slog.HandlerOptions{Level: level}))
}

// lineHandler writes a record as a line: time, text, values.
type lineHandler struct {
	out   io.Writer
	level slog.Level
	attrs string
	mu    *sync.Mutex // guards out, of all copies
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05") + "  ")
	if r.Level >= slog.LevelWarn {
		b.WriteString(strings.ToLower(r.Level.String()) + ": ")
	}
	b.WriteString(r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attr(a))
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintln(h.out, b.String())
	return err
}

func attr(a slog.Attr) string {
	text := a.Value.String()
	switch a.Key {
	case "bytes", "size":
		text = weir.FormatBytes(a.Value.Int64())
	case "took":
		text = fmt.Sprint(a.Value.Duration().Round(time.Millisecond))
	}
	if strings.ContainsAny(text, " \t\n\"") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		text = fmt.Sprintf("%q", text)
	}
	return "  " + a.Key + "=" + text
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += attr(a)
	}
	return &c
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }

// logRequests logs each request when it has ended: a download that goes on
// when its handler has returned, when the download ends.
func logRequests(log *slog.Logger, transfers *weirhttp.Transfers, h http.Handler) http.Handler {
	var away sync.Map // client → *logged
	transfers.Done = func(t weirhttp.Transfer, err error) {
		l, ok := away.LoadAndDelete(t.Client)
		if !ok {
			return
		}
		l.(*logged).write(log, t.Moved, err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := &logged{ResponseWriter: w, r: r, began: time.Now(), left: func(l *logged) { away.Store(r.RemoteAddr, l) }}
		var err error
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("aborted: %v", v)
				l.write(log, l.bytes, err)
				panic(v)
			}
			if !l.hijacked {
				l.write(log, l.bytes, err)
			}
		}()
		h.ServeHTTP(l, r)
	})
}

// logged is a ResponseWriter that knows what it answered. It keeps what the
// one underneath can do: sendfile, and being taken over.
type logged struct {
	http.ResponseWriter
	r        *http.Request
	began    time.Time
	status   int
	bytes    int64
	hijacked bool
	left     func(*logged)
}

func (l *logged) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *logged) WriteHeader(status int) {
	if l.status == 0 && status >= 200 {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *logged) Write(p []byte) (int, error) {
	if l.status == 0 {
		l.status = http.StatusOK
	}
	n, err := l.ResponseWriter.Write(p)
	l.bytes += int64(n)
	return n, err
}

func (l *logged) ReadFrom(src io.Reader) (int64, error) {
	if l.status == 0 {
		l.status = http.StatusOK
	}
	rf, ok := l.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{l}, src)
	}
	n, err := rf.ReadFrom(src)
	l.bytes += n
	return n, err
}

func (l *logged) Flush() { _ = http.NewResponseController(l.ResponseWriter).Flush() }

// Hijack is called by a download that leaves; see [weirhttp.FileServer].
func (l *logged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	l.left(l) // before: it may end at once
	c, rw, err := http.NewResponseController(l.ResponseWriter).Hijack()
	l.hijacked = err == nil
	return c, rw, err
}

func (l *logged) write(log *slog.Logger, bytes int64, err error) {
	args := []any{"client", l.r.RemoteAddr, "status", l.status, "bytes", bytes, "took", time.Since(l.began)}
	level := slog.LevelInfo
	if err != nil {
		args = append(args, "error", err.Error())
	}
	log.Log(context.Background(), level, l.r.Method+" "+l.r.URL.EscapedPath(), args...)
}

// slowAfter is how long a client must have been waited for to be called slow.
const slowAfter = 10 * time.Second

// watchSlow tells of each transfer once that it waits for a slow client.
func (s *serving) watchSlow(ctx context.Context) {
	ticker := time.NewTicker(slowAfter / 4)
	defer ticker.Stop()
	told := map[uint64]bool{}
	log := s.logger()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		live := map[uint64]bool{}
		for _, t := range s.guard.Transfers.List() {
			live[t.ID] = told[t.ID]
			age := time.Since(t.Start)
			if told[t.ID] || t.State != "waiting for the client" || age < slowAfter {
				continue
			}
			live[t.ID] = true
			log.Info("slow client", "client", t.Client, "path", t.Name, "bytes", t.Moved, "size", t.Size,
				"rate", rate(t.Moved, age), "took", age)
		}
		told = live
	}
}
