package weirhttp

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"golang.org/x/exp/slog"

	"github.com/weir-go/weir/internal/deny"
)

// tusHandler takes resumable uploads. The protocols are tusd's; what is added
// here are the extensions checksum and expiration, and a store that keeps the
// promises of Uploads.
type tusHandler struct {
	d       *folder
	store   *tusStore
	handler http.Handler

	mu   sync.Mutex     // guards busy, and is held while expired uploads are removed
	busy map[string]int // requests under way, by upload
}

func newTus(d *folder) (*tusHandler, error) {
	t := &tusHandler{d: d, store: newTusStore(d), busy: make(map[string]int)}
	if err := t.store.adopt(); err != nil {
		return nil, err
	}
	parts := handler.NewStoreComposer()
	parts.UseCore(t.store)
	parts.UseTerminater(t.store)
	parts.UseLengthDeferrer(t.store)
	parts.UseLocker(tusLocker{memorylocker.New()})
	h, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer:              parts,
		BasePath:                   "/",
		MaxSize:                    d.u.MaxSize,
		EnableExperimentalProtocol: true,
		Cors:                       &handler.CorsConfig{Disable: true}, // is for whoever mounts the handler
		Logger:                     slog.New(noLog{}),                  // every request would be four lines
		NetworkTimeout:             d.u.stall(),
		// The store does not look at the context that this delays the end of.
		GracefulRequestCompletionTimeout: time.Nanosecond,
	})
	if err != nil {
		return nil, err
	}
	t.handler = h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			h.PostFile(w, r)
		case http.MethodHead:
			h.HeadFile(w, r)
		case http.MethodPatch:
			h.PatchFile(w, r)
		case http.MethodDelete:
			h.DelFile(w, r)
		default:
			w.Header().Set("Allow", "POST, HEAD, PATCH, DELETE, OPTIONS")
			deny.Tell(w, r, http.StatusMethodNotAllowed, "Method Not Allowed", isLast(r))
		}
	}))
	return t, nil
}

// noLog is a log that nobody reads.
type noLog struct{}

func (noLog) Enabled(context.Context, slog.Level) bool  { return false }
func (noLog) Handle(context.Context, slog.Record) error { return nil }
func (n noLog) WithAttrs([]slog.Attr) slog.Handler      { return n }
func (n noLog) WithGroup(string) slog.Handler           { return n }

// isResumable reports whether r is part of a resumable upload. A POST of a
// version of the draft that is not known is an ordinary one, which the draft
// provides for.
func isResumable(r *http.Request) bool {
	switch r.Method {
	case http.MethodHead, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodPost:
		return r.Header.Get("Tus-Resumable") != "" || isDraft(r)
	}
	return false
}

func isDraft(r *http.Request) bool {
	switch r.Header.Get("Upload-Draft-Interop-Version") {
	case "3", "4", "5", "6":
		return true
	}
	return false
}

// isPart reports whether r says that more of the file follows. It must not be
// taken for the whole by who does not know how that is sent.
func isPart(r *http.Request) bool {
	return (r.Method == http.MethodPost || r.Method == http.MethodPut) &&
		(strings.HasPrefix(r.Header.Get("Upload-Complete"), "?0") || strings.HasPrefix(r.Header.Get("Upload-Incomplete"), "?1"))
}

// tusRequest is what the store knows of the request that it works for.
type tusRequest struct {
	r         *http.Request
	method    string // which the client may have overridden
	x         *transfer
	checksum  *checksum       // nil: none
	ctx       context.Context // ends with the request, or with errInterrupted as its cause
	interrupt context.CancelCauseFunc
	created   *tusUpload // by the request; nil: none
	cause     error      // why the store refused it; nil: it did not
}

type tusRequestKey struct{}

func tusRequestOf(ctx context.Context) (*tusRequest, error) {
	if req, ok := ctx.Value(tusRequestKey{}).(*tusRequest); ok {
		return req, nil
	}
	return nil, errors.New("weirhttp: a resumable upload without its request")
}

func (t *tusHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := path.Base(r.URL.Path)
	tw := &tusWriter{ResponseWriter: w, t: t, r: r}
	defer func() {
		if tw.status >= 200 {
			linger(w, r)
		}
	}()
	method := r.Method
	if m := r.Header.Get("X-HTTP-Method-Override"); method == http.MethodPost && m != "" {
		method = m
	}
	if method != http.MethodPost && method != http.MethodOptions {
		if !isTusID(id) {
			deny.Tell(tw, r, http.StatusNotFound, "Not Found", isLast(r))
			return
		}
		t.begin(id)
		defer t.end(id)
	}
	req := &tusRequest{r: r, method: method}
	if err := t.accept(req); err != nil {
		status, text := uploadStatus(err)
		if status == http.StatusUnsupportedMediaType {
			tw.Header().Set("Accept-Encoding", "identity")
		}
		deny.Tell(tw, r, status, text, isLast(r))
		return
	}
	req.ctx, req.interrupt = context.WithCancelCause(r.Context())
	defer req.interrupt(nil)
	if method == http.MethodPost || method == http.MethodPatch {
		req.x = begin(r, Upload, id, r.ContentLength)
		defer func() { req.x.end(tw.failure(req)) }()
	}
	inner := r.WithContext(context.WithValue(r.Context(), tusRequestKey{}, req))
	target := *r.URL
	target.Path = id
	inner.URL = &target
	t.handler.ServeHTTP(tw, inner)
	// The client of a creation that fails is not told where it could go on, but
	// for that of a draft, who has read it in a 104.
	if up := req.created; up != nil && tw.status >= 400 && !isDraft(r) {
		if err := up.Terminate(r.Context()); err != nil {
			t.d.u.log().Error("a broken upload could not be removed", "upload", up.id, "error", err)
		}
	}
}

// accept refuses what would be stored as something else than it is, and
// prepares for the digests of the rest.
func (t *tusHandler) accept(req *tusRequest) error {
	if req.method != http.MethodPost && req.method != http.MethodPatch {
		return nil
	}
	if err := t.d.u.acceptable(req.r); err != nil {
		return err
	}
	if req.r.Header.Get("Upload-Concat") != "" {
		return &refusal{http.StatusNotImplemented, "Upload-Concat is not supported"}
	}
	for _, name := range [...]string{"Repr-Digest", "Digest", "Content-Md5"} {
		_, later := req.r.Trailer[name]
		if later || req.r.Header.Get(name) != "" {
			return &refusal{http.StatusBadRequest, name + " is not supported for resumable uploads"}
		}
	}
	var err error
	req.checksum, err = newChecksum(req.r)
	return err
}

// begin keeps the upload from being removed as expired.
func (t *tusHandler) begin(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy[id]++
}

func (t *tusHandler) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[id]--; t.busy[id] == 0 {
		delete(t.busy, id)
	}
}

// tusWriter adds to the answers of tusd what it does not know of.
type tusWriter struct {
	http.ResponseWriter
	t      *tusHandler
	r      *http.Request
	status int
}

// Unwrap is for http.ResponseController.
func (w *tusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// SetWriteDeadline does nothing. The deadline that tusd sets would stay with the
// connection and cut what is sent over it later.
func (w *tusWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *tusWriter) WriteHeader(status int) {
	h := w.Header()
	expire, expires := w.t.d.u.expire()
	if id := h.Get("Location"); id != "" {
		// tusd does not know where it is mounted.
		h.Set("Location", strings.TrimSuffix(requestPath(w.r), "/")+"/"+path.Base(id))
	}
	if ext := h.Get("Tus-Extension"); ext != "" {
		ext += ",checksum"
		if expires {
			ext += ",expiration"
		}
		h.Set("Tus-Extension", ext)
		h.Set("Tus-Checksum-Algorithm", checksumNames)
	}
	if status == http.StatusServiceUnavailable {
		tellRetry(h, retryAfter(w.t.d.u.Queue))
	}
	if status >= 200 && w.status == 0 {
		w.status = status
		closeBehind(h, w.r)
		if expires && status < 300 && (w.r.Method == http.MethodPost || w.r.Method == http.MethodPatch) && !isDraft(w.r) {
			h.Set("Upload-Expires", httpTime(time.Now().Add(expire)))
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *tusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// failure is the error of a request that was refused, for the registry. tusd
// has only a status for what it refuses itself.
func (w *tusWriter) failure(req *tusRequest) error {
	switch {
	case w.status < 400:
		return nil
	case req.cause != nil:
		return req.cause
	}
	return &refusal{w.status, http.StatusText(w.status)}
}
