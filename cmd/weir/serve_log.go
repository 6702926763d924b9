package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

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
	if s.forPeople() {
		return slog.New(&lineHandler{out: s.stderr, level: level, mu: &s.logging})
	}
	return s.inJSON(s.stderr, level)
}

// requestLogger is for the lines of requests. Where they are for programs they
// are gathered.
func (s *serving) requestLogger() *slog.Logger {
	if s.forPeople() {
		return s.logger()
	}
	return s.inJSON(&s.lines, slog.LevelInfo)
}

func (s *serving) forPeople() bool { return !s.json && isTerminal(s.stderr) }

// inJSON writes records as JSON. With --json they have the two fields of every
// line of weir.
func (s *serving) inJSON(out io.Writer, level slog.Level) *slog.Logger {
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}))
	if s.json {
		log = log.With("v", 1, "type", "log")
	}
	return log
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
	if q := v["query"]; q != "" {
		v["path"] += "?" + q
	}
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
	case "bytes", "size", "unsent", "sent", "received", "memory", "ceiling":
		text = weir.FormatBytes(a.Value.Int64())
	case "seconds":
		text = fmt.Sprint(time.Duration(a.Value.Float64() * float64(time.Second)).Round(time.Millisecond))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || r == utf8.RuneError || !strconv.IsPrint(r) }) {
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

// logRequests logs each request when it has ended: a download that goes on when
// its handler has returned, when the download ends.
func logRequests(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := &line{log: log, method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, client: r.RemoteAddr, proto: r.Proto, began: time.Now()}
		lw := &logged{ResponseWriter: w, line: l}
		returned := false
		defer func() { l.leave(lw.bytes, returned) }()
		h.ServeHTTP(lw, r.WithContext(weirhttp.WithDone(r.Context(), l.ended)))
		returned = true
	})
}

// line is what is logged of a request. It keeps nothing of the request alive,
// since a download may be long.
type line struct {
	log                 *slog.Logger
	method, path, query string
	client, proto       string
	began               time.Time

	mu     sync.Mutex // guards what follows
	status int
	away   bool   // it is a download that goes on without its handler
	upload *int64 // bytes that came, if its transfer was one
	err    error
}

// ended is told of the transfer of the request, if it was one.
func (l *line) ended(t weirhttp.Transfer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if t.Direction == weirhttp.Upload {
		l.upload = &t.Moved
	}
	if l.away {
		l.write(t.Moved)
	}
}

// leave is told that the handler has written so many bytes, and has returned or
// panicked.
func (l *line) leave(bytes int64, returned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return
	}
	if l.upload != nil {
		bytes = *l.upload
	}
	if !returned && l.err == nil {
		l.err = errors.New("aborted")
	}
	if returned && l.status == 0 {
		l.status = http.StatusOK // net/http says it for a handler that says nothing
	}
	l.write(bytes)
}

// write writes the line. The caller holds mu.
func (l *line) write(bytes int64) {
	h, ctx := l.log.Handler(), context.Background()
	if !h.Enabled(ctx, slog.LevelInfo) {
		return
	}
	// By hand, since a Logger finds out who calls it, which nobody asks here.
	now := time.Now()
	rec := slog.NewRecord(now, slog.LevelInfo, requestMessage, 0)
	rec.AddAttrs(slog.String("method", l.method), slog.String("path", l.path), slog.String("client", l.client), slog.String("proto", l.proto),
		slog.Int("status", l.status), slog.Int64("bytes", bytes), slog.Float64("seconds", seconds(now.Sub(l.began))))
	if l.query != "" {
		rec.AddAttrs(slog.String("query", l.query)) // it decides what was sent
	}
	if l.err != nil {
		rec.AddAttrs(slog.String("error", l.err.Error()))
	}
	_ = h.Handle(ctx, rec)
}

// seconds is a duration as the log has it, to the microsecond.
func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

func (l *line) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == 0 && status >= 200 {
		l.status = status
	}
}

// leaves is called before a download leaves its handler, since it may end at
// once, and reports whether the request is one that can.
func (l *line) leaves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = l.method == http.MethodGet && l.status < 400
	return l.away
}

func (l *line) stays() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = false
}

// logged is a ResponseWriter that knows what it answered. It keeps what the
// one underneath can do: sendfile, and being taken over.
type logged struct {
	http.ResponseWriter
	line  *line
	told  bool // the line knows the status
	bytes int64
}

func (l *logged) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *logged) WriteHeader(status int) {
	l.tell(status)
	l.ResponseWriter.WriteHeader(status)
}

func (l *logged) tell(status int) {
	if !l.told {
		l.told = status >= 200
		l.line.answers(status)
	}
}

func (l *logged) Write(p []byte) (int, error) {
	l.tell(http.StatusOK)
	n, err := l.ResponseWriter.Write(p)
	l.bytes += int64(n)
	return n, err
}

func (l *logged) ReadFrom(src io.Reader) (int64, error) {
	l.tell(http.StatusOK)
	rf, ok := l.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{l}, src)
	}
	n, err := rf.ReadFrom(src)
	l.bytes += n
	return n, err
}

func (l *logged) FlushError() error {
	l.tell(http.StatusOK)
	return http.NewResponseController(l.ResponseWriter).Flush()
}

// Hijack is called by a download that leaves (see [weirhttp.FileServer]), and
// to listen to a client that was refused.
func (l *logged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	leaves := l.line.leaves()
	c, rw, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if leaves && err != nil {
		l.line.stays()
	}
	return c, rw, err
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
			if told[t.ID] || t.State != weirhttp.StateClient || age < slowAfter {
				continue
			}
			live[t.ID] = true
			log.Info("slow client", s.describe(t)...)
		}
		told = live
	}
}
