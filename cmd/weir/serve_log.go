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
	return s.leveled(level)
}

func (s *serving) leveled(level slog.Level) *slog.Logger {
	if isTerminal(s.stderr) {
		return slog.New(&lineHandler{out: s.stderr, level: level, mu: &s.logging})
	}
	return slog.New(slog.NewJSONHandler(s.stderr, &slog.HandlerOptions{Level: level}))
}

// lineHandler writes a record as a line: time, text, values.
type lineHandler struct {
	out   io.Writer
	level slog.Level
	attrs string
	mu    *sync.Mutex // guards out, of all loggers
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05") + "  ")
	if r.Level >= slog.LevelWarn {
		b.WriteString(strings.ToLower(r.Level.String()) + ": ")
	}
	if r.Message == requestMessage {
		b.WriteString(requestText(r))
	} else {
		b.WriteString(r.Message + h.attrs)
		r.Attrs(func(a slog.Attr) bool {
			b.WriteString("  " + a.Key + "=" + valueText(a))
			return true
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintln(h.out, b.String())
	return err
}

// requestText tells of a request what people look for, in that order.
func requestText(r slog.Record) string {
	v := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		v[a.Key] = valueText(a)
		return true
	})
	text := fmt.Sprintf("%s %s %s  %s in %s  %s", v["status"], v["method"], v["path"], strings.Trim(v["bytes"], `"`), v["seconds"], v["client"])
	if v["error"] != "" {
		text += "  ended early: " + v["error"]
	}
	return text
}

// valueText is a value for people. It quotes what could be taken for more than
// one word, or for an order to the terminal.
func valueText(a slog.Attr) string {
	text := a.Value.String()
	switch a.Key {
	case "bytes", "size":
		text = weir.FormatBytes(a.Value.Int64())
	case "seconds":
		text = fmt.Sprint(time.Duration(a.Value.Float64() * float64(time.Second)).Round(time.Millisecond))
	}
	if strings.ContainsAny(text, " \t\n\"") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q", text)
	}
	return text
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += "  " + a.Key + "=" + valueText(a)
	}
	return &c
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }

// requestMessage is what the line of a request is called.
const requestMessage = "request"

// requestLog logs each request when it has ended: a download that goes on
// when its handler has returned, when the download ends.
type requestLog struct {
	log   *slog.Logger
	away  sync.Map // client → line
	moved sync.Map // client → ending, until its handler returns
}

// ending is how a transfer ended.
type ending struct {
	t   weirhttp.Transfer
	err error
}

// ended is told of each transfer. Over HTTP/2 the requests of a connection that
// end in the same moment share what is told; the rest of their lines is right.
func (q *requestLog) ended(t weirhttp.Transfer, err error) {
	if l, ok := q.away.LoadAndDelete(t.Client); ok {
		l.(line).write(q.log, t.Moved, err)
		return
	}
	q.moved.Store(t.Client, ending{t, err})
}

func (q *requestLog) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := &logged{ResponseWriter: w, away: &q.away, line: line{
			method: r.Method, path: r.URL.EscapedPath(), client: r.RemoteAddr, proto: r.Proto, began: time.Now(),
		}}
		defer func() {
			v := recover()
			if !l.left {
				l.write(q.log, v, q.endingOf(r.RemoteAddr))
			}
			if v != nil {
				panic(v)
			}
		}()
		h.ServeHTTP(l, r)
	})
}

func (q *requestLog) endingOf(client string) ending {
	e, _ := q.moved.LoadAndDelete(client)
	end, _ := e.(ending)
	return end
}

// line is what is logged of a request. It keeps nothing of the request alive,
// since a download may be long.
type line struct {
	method, path, client, proto string
	began                       time.Time
	status                      int
}

func (l line) write(log *slog.Logger, bytes int64, err error) {
	args := []any{"method", l.method, "path", l.path, "client", l.client, "proto", l.proto,
		"status", l.status, "bytes", bytes, "seconds", time.Since(l.began).Seconds()}
	if err != nil {
		args = append(args, "error", err.Error())
	}
	log.Info(requestMessage, args...)
}

// logged is a ResponseWriter that knows what it answered. It keeps what the
// one underneath can do: sendfile, and being taken over.
type logged struct {
	http.ResponseWriter
	line
	bytes int64
	left  bool // it is a download that goes on without its handler
	away  *sync.Map
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

// Hijack is called by a download that leaves (see [weirhttp.FileServer]), and
// to listen to a client that was refused.
func (l *logged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	leaves := l.method == http.MethodGet && l.status < 400
	if leaves {
		l.away.Store(l.client, l.line) // before: it may end at once
	}
	c, rw, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if l.left = leaves && err == nil; leaves && err != nil {
		l.away.Delete(l.client)
	}
	return c, rw, err
}

// write logs a request whose handler has returned, or panicked with v.
func (l *logged) write(log *slog.Logger, v any, end ending) {
	if end.t.Kind == weirhttp.Upload {
		l.bytes = end.t.Moved
	}
	if v != nil && end.err == nil {
		end.err = fmt.Errorf("aborted: %v", v)
	}
	l.line.write(log, l.bytes, end.err)
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
				"rate", rate(t.Moved, age), "seconds", age.Seconds())
		}
		told = live
	}
}
