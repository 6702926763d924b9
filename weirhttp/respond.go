package weirhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// Response says how a stream becomes an answer. The zero Response is what
// [Respond] uses.
type Response struct {
	Type string // Content-Type; "": that of w's header, or by how the stream begins
	Size int64  // bytes of the whole stream; 0: not known. A stream of another length breaks the connection.
	Name string // what Transfers call it; "": the request's path

	// Plain sends the stream as it is. Otherwise it is compressed with zstd or
	// gzip if the client asks for it, the type is one that gets smaller, and
	// w's header has no Content-Encoding.
	Plain bool

	// Flush is how long bytes may wait for more before they are sent: 50 ms if
	// 0. If it is negative they wait until there are enough of them, which
	// compresses a little better and is best for a stream that does not pause.
	Flush time.Duration

	// Limit is that of the flow's pipes: 64 KiB if zero.
	Limit weir.Limit
}

// Respond answers r with the bytes of s. It blocks until they are sent.
//
// The header of the answer is sent with the first byte. What goes wrong before
// that has a status of its own: 404 for fs.ErrNotExist, 403 for
// fs.ErrPermission, else 500. What goes wrong later breaks the connection, with
// a panic of [http.ErrAbortHandler], so that no client takes a part for the
// whole. When the client leaves, the flow ends at once.
//
// Fields of w's header that were set before are kept. Under a [Guard] the
// memory of the flow is taken from its Budget, and the answer is 503 if there is
// none in time.
func Respond(w http.ResponseWriter, r *http.Request, s weir.Stream[byte]) {
	Response{}.Send(w, r, s)
}

// Send is Respond with the settings of p.
func (p Response) Send(w http.ResponseWriter, r *http.Request, s weir.Stream[byte]) {
	if p.Name == "" {
		p.Name = r.URL.Path
	}
	c := newClient(w, r, p)
	if c.coding = c.choose(); c.coding != "" && p.Flush < 0 {
		// A stage that never flushes does it, as part of the flow.
		if c.coding == "zstd" {
			s = s.Through(compress.Zstd(compress.Workers(1)))
		} else {
			s = s.Through(compress.Gzip(compress.Workers(1)))
		}
	}
	f := s.To(weir.Sink[byte]{Name: "client", Open: c.open})
	f.Name, f.Limit = p.Name, p.Limit
	if p.Limit == (weir.Limit{}) {
		f.Limit = weir.Bytes(64 << 10)
	}
	err := c.run(f)
	switch {
	case err == nil:
	case c.begun, r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	default:
		c.fail(err)
	}
}

// run runs the flow as a transfer.
func (c *client) run(f *weir.Flow) (err error) {
	x := begin(c.r, Download, c.p.Name, c.size())
	c.x = x
	defer func() { x.end(err) }()
	ceiling, err := f.Ceiling()
	if err != nil {
		return err
	}
	need := ceiling.Bytes
	if c.coding != "" && c.p.Flush >= 0 {
		need += encoderHolds
	}
	release, err := c.guard.reserve(c.r.Context(), need)
	if err != nil {
		return err
	}
	defer release()
	x.watch(f)
	if conn := connOf(c.r); conn != nil {
		x.watchConn(conn, c.r)
	}
	return f.Run(c.r.Context())
}

func (c *client) size() int64 {
	if c.p.Size > 0 {
		return c.p.Size
	}
	return -1
}

// fail answers with the status of err, in place of what was to come.
func (c *client) fail(err error) {
	h := c.w.Header()
	status := statusOf(err)
	if status == http.StatusServiceUnavailable && c.guard != nil {
		tellRetry(h, retryAfter(c.guard.Queue))
	}
	if status >= 500 {
		logOf(c.guard).Error("no answer", "path", c.r.URL.Path, "client", c.r.RemoteAddr, "error", err)
	}
	c.wire.arm()
	httpError(c.w, status)
}

func logOf(g *Guard) *slog.Logger {
	if g != nil {
		return g.log()
	}
	return slog.Default()
}

// choose decides on the coding as far as it can before the first byte.
func (c *client) choose() string {
	h := c.w.Header()
	if c.p.Plain || h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" {
		return ""
	}
	t := c.p.Type
	if t == "" {
		t = h.Get("Content-Type")
	}
	// An unknown type is decided by how the stream begins, which is too late
	// for a stage of the flow.
	if t == "" && c.p.Flush < 0 || t != "" && !compressible(t) {
		return ""
	}
	if t != "" {
		h.Add("Vary", "Accept-Encoding")
	}
	if c.p.Size > 0 && c.p.Size < 1<<10 {
		return ""
	}
	return coding(c.r.Header.Values("Accept-Encoding"))
}

// errLength is the cause when a stream is not as long as was promised.
var errLength = errors.New("the stream does not have the length that was promised")

func (c *client) open(ctx context.Context) (weir.Writer[byte], error) {
	c.ctx = ctx
	return c, nil
}
