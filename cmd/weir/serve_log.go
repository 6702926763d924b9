package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

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

// requestText formats a request for a terminal, most important fields first.
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
	for _, key := range []string{"file", "user"} {
		if v[key] != "" {
			text += "  " + key + "=" + v[key]
		}
	}
	if v["error"] != "" {
		text += "  ended early: " + v["error"]
	}
	return text
}

// valueText formats a value for a terminal. It quotes values with spaces or with characters
// that the terminal could interpret.
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

// requestMessage is the message of the line of a request.
const requestMessage = "request"

// requestLog logs each request when it has ended. A download that continues after its
// handler has returned is logged when it ends.
type requestLog struct {
	log *slog.Logger

	mu   sync.Mutex // guards open
	open map[*line]struct{}
}

func newRequestLog(log *slog.Logger) *requestLog {
	return &requestLog{log: log, open: map[*line]struct{}{}}
}

// around returns a handler that logs the requests to h.
func (g *requestLog) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := g.begin(r)
		lw := &logged{ResponseWriter: w, line: l}
		returned := false
		defer func() { l.leave(returned) }()
		ctx := context.WithValue(weirhttp.WithDone(r.Context(), l.ended), lineKey{}, l)
		h.ServeHTTP(lw, r.WithContext(ctx))
		returned = true
	})
}

func (g *requestLog) begin(r *http.Request) *line {
	l := &line{of: g, method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, client: r.RemoteAddr, proto: r.Proto, began: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[l] = struct{}{}
	return l
}

func (g *requestLog) forget(l *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, l)
}

// end writes the lines of requests whose handlers the server no longer waits for.
func (g *requestLog) end() {
	g.mu.Lock()
	open := slices.Collect(maps.Keys(g.open))
	g.mu.Unlock()
	for _, l := range open {
		l.abandon()
	}
}

type lineKey struct{}

// lineOf returns the log line of r, nil if it gets none.
func lineOf(r *http.Request) *line {
	l, _ := r.Context().Value(lineKey{}).(*line)
	return l
}

// line is the log line of a request. It keeps nothing of the request in memory, since a
// download can be long.
type line struct {
	of                  *requestLog
	method, path, query string
	client, proto       string
	began               time.Time
	sent                atomic.Int64 // bytes of the answer that the handler has written

	mu      sync.Mutex // guards the fields below
	user    string     // whose password was accepted
	status  int
	away    bool     // a download that continues without its handler
	upload  *int64   // bytes received, if the transfer is an upload
	files   []string // stored by the upload, or its name if it is not complete
	err     error
	written bool
}

// ended records the end of the transfer, if the request was one.
func (l *line) ended(t weirhttp.Transfer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if t.Direction == weirhttp.Upload {
		l.upload, l.files = &t.Moved, t.Files
	}
	if l.away {
		l.write(t.Moved)
	}
}

// leave records that the handler has returned or panicked.
func (l *line) leave(returned bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return
	}
	bytes := l.sent.Load()
	if l.upload != nil {
		bytes = *l.upload
	}
	if !returned && l.err == nil {
		l.err = errors.New("aborted")
	}
	if returned && l.status == 0 {
		l.status = http.StatusOK // net/http sends it if the handler writes nothing
	}
	l.write(bytes)
}

// abandon writes the line of a request that has not ended.
func (l *line) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = errAbandoned
	}
	l.write(l.sent.Load())
}

var errAbandoned = errors.New("unfinished when the server ended")

// accepts records whose password was accepted.
func (l *line) accepts(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.user = user
}

// polls reports whether the request is one of those that an open page of the monitor and
// weir top send every second. The caller holds mu.
func (l *line) polls() bool {
	name, of := strings.CutPrefix(l.path, "/_weir/")
	return of && (name == "transfer.json" || name == "status.json")
}

// write writes the line, once. The caller holds mu.
func (l *line) write(bytes int64) {
	if l.written {
		return
	}
	l.written = true
	l.of.forget(l)
	h, ctx := l.of.log.Handler(), context.Background()
	if !h.Enabled(ctx, slog.LevelInfo) || l.polls() && l.status < 400 {
		return
	}
	// Without a Logger, which would look up its caller.
	now := time.Now()
	rec := slog.NewRecord(now, slog.LevelInfo, requestMessage, 0)
	rec.AddAttrs(slog.String("method", l.method), slog.String("path", l.path), slog.String("client", l.client), slog.String("proto", l.proto),
		slog.Int("status", l.status), slog.Int64("bytes", bytes), slog.Float64("seconds", seconds(now.Sub(l.began))))
	if l.query != "" {
		rec.AddAttrs(slog.String("query", l.query)) // it changes the answer
	}
	if len(l.files) > 0 {
		rec.AddAttrs(slog.String("file", strings.Join(l.files, ", ")))
	}
	if l.user != "" {
		rec.AddAttrs(slog.String("user", l.user))
	}
	if l.err != nil {
		rec.AddAttrs(slog.String("error", l.err.Error()))
	}
	_ = h.Handle(ctx, rec)
}

// seconds returns a duration in seconds, to the microsecond.
func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

func (l *line) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == 0 && status >= 200 {
		l.status = status
	}
}

// leaves records that a download leaves its handler, and reports whether the request can be
// one. It is called before the download leaves, since that can end at once.
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

// logged is a ResponseWriter that records the answer. It keeps the abilities of the writer
// underneath: sendfile and Hijack.
type logged struct {
	http.ResponseWriter
	line *line
	told bool // the line knows the status
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
	l.line.sent.Add(int64(n))
	return n, err
}

func (l *logged) ReadFrom(src io.Reader) (int64, error) {
	l.tell(http.StatusOK)
	rf, ok := l.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{l}, src)
	}
	n, err := rf.ReadFrom(src)
	l.line.sent.Add(n)
	return n, err
}

func (l *logged) FlushError() error {
	l.tell(http.StatusOK)
	return http.NewResponseController(l.ResponseWriter).Flush()
}

// Hijack is called by a download that leaves (see [weirhttp.FileServer]), and to drop the
// rest of a refused body.
func (l *logged) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	leaves := l.line.leaves()
	c, rw, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if leaves && err != nil {
		l.line.stays()
	}
	return c, rw, err
}

// lines collects the lines of a log, so that not every request costs a write. It writes them
// when there are many, or after a moment.
type lines struct {
	out io.Writer

	mu  sync.Mutex // guards the fields below; held during writes to out
	buf []byte
	err error
}

const (
	linesMost  = 32 << 10
	linesDelay = 200 * time.Millisecond
)

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf)+len(p) > linesMost {
		l.write()
	}
	l.buf = append(l.buf, p...)
	return len(p), l.err
}

// flush writes the collected lines.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write()
}

// write is flush for a caller that holds mu.
func (l *lines) write() {
	if len(l.buf) > 0 {
		_, l.err = l.out.Write(l.buf)
		l.buf = l.buf[:0]
	}
}

// run flushes from time to time until ctx ends, and then once more.
func (l *lines) run(ctx context.Context) {
	ticker := time.NewTicker(linesDelay)
	defer ticker.Stop()
	defer l.flush()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.flush()
		}
	}
}

// serverLog is the log of net/http. It leaves out failed handshakes, which are common:
// browsers that do not trust the certificate, and programs that scan for open ports.
func serverLog(l *slog.Logger) *log.Logger { return log.New(serverErrors{l}, "", 0) }

type serverErrors struct{ log *slog.Logger }

func (s serverErrors) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("http: TLS handshake error")) && !bytes.Contains(p, []byte("error reading preface")) {
		s.log.Warn(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}
