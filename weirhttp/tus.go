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
	"github.com/weir-go/weir/weirhttp/internal/budget"
)

// tusHandler receives resumable uploads. tusd implements the protocols. tusHandler adds the
// extensions checksum and expiration, and a store that keeps the promises of Uploads.
type tusHandler struct {
	d       *folder
	store   *tusStore
	handler http.Handler

	mu   sync.Mutex     // guards busy; held while expired uploads are removed
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
		MaxSize:                    d.set.maxSize,
		EnableExperimentalProtocol: true,
		Cors:                       &handler.CorsConfig{Disable: true}, // left to the code that mounts the handler
		Logger:                     slog.New(noLog{}),                  // tusd logs four lines for every request
		NetworkTimeout:             d.set.stall,
		// This delays the end of a context that the store does not use.
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

// noLog discards all records.
type noLog struct{}

func (noLog) Enabled(context.Context, slog.Level) bool { return false }

func (noLog) Handle(context.Context, slog.Record) error { return nil }

func (n noLog) WithAttrs([]slog.Attr) slog.Handler { return n }

func (n noLog) WithGroup(string) slog.Handler { return n }

func (t *tusHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := path.Base(r.URL.Path)
	tw := &tusWriter{ResponseWriter: w, t: t, r: r}
	defer func() {
		if tw.status >= 200 {
			linger(w, r, tw.status)
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
	req, end := newTusRequest(r, method)
	defer end()
	if err := t.accept(req); err != nil {
		status, text := uploadStatus(err)
		if status == http.StatusUnsupportedMediaType {
			tw.Header().Set("Accept-Encoding", "identity")
		}
		deny.Tell(tw, r, status, text, isLast(r))
		return
	}
	if method == http.MethodPost || method == http.MethodPatch {
		req.x = begin(r, Upload, id, r.ContentLength)
		defer func() { req.x.end(tw.failure(req)) }()
	}
	inner := r.WithContext(context.WithValue(r.Context(), tusRequestKey{}, req))
	target := *r.URL
	target.Path = id
	inner.URL = &target
	t.handler.ServeHTTP(tw, inner)
	// A client whose creation fails does not learn the Location, so nobody can continue
	// the upload. A client of the draft has read it in a 104.
	if up := req.created; up != nil && tw.status >= 400 && !isDraft(r) {
		if err := up.Terminate(r.Context()); err != nil {
			t.d.set.log.Error("cannot remove a failed upload", "error", err)
		}
	}
}

// accept refuses requests that the store cannot serve, and prepares the checksum of the
// others.
func (t *tusHandler) accept(req *tusRequest) error {
	if req.method != http.MethodPost && req.method != http.MethodPatch {
		return nil
	}
	if err := acceptable(req.r); err != nil {
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

// begin keeps the upload from expiring until end is called.
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

// tusWriter adds header fields to the answers of tusd.
type tusWriter struct {
	http.ResponseWriter
	t      *tusHandler
	r      *http.Request
	status int
}

// Unwrap is for http.ResponseController.
func (w *tusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// SetWriteDeadline does nothing. The deadline that tusd sets would stay with the
// connection and break off later answers.
func (w *tusWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *tusWriter) WriteHeader(status int) {
	h := w.Header()
	expire, expires := w.t.d.set.expiry()
	if id := h.Get("Location"); id != "" {
		// tusd does not know where the handler is mounted.
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
		tellRetry(h, budget.RetryAfter(w.t.d.set.queue))
	}
	if status >= 200 && h.Get("Content-Length") == "" && !bodyless(w.r, status) {
		// tusd sets the length of its bodies, so this one is empty. Without a length,
		// linger could not tell that the answer is complete.
		h.Set("Content-Length", "0")
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

// failure returns the error of a request that was refused, for the registry of transfers.
// For requests that tusd itself refuses there is only a status.
func (w *tusWriter) failure(req *tusRequest) error {
	switch {
	case w.status < 400:
		return nil
	case req.cause != nil:
		return req.cause
	}
	return &refusal{w.status, http.StatusText(w.status)}
}

// tusLocker interrupts the request that holds a lock when another request wants it.
type tusLocker struct{ handler.Locker }

// NewLock is for tusd.
func (l tusLocker) NewLock(id string) (handler.Lock, error) {
	lock, err := l.Locker.NewLock(id)
	return tusLock{lock}, err
}

type tusLock struct{ lock handler.Lock }

// Lock interrupts the request before tusd ends its reading, so that the request knows why.
func (l tusLock) Lock(ctx context.Context, release func()) error {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return err
	}
	return l.lock.Lock(ctx, func() {
		req.interrupt()
		release()
	})
}

// Unlock is for tusd.
func (l tusLock) Unlock() error { return l.lock.Unlock() }

// expireOld removes uploads that no request has continued since before.
func (t *tusHandler) expireOld(before time.Time) error {
	ids, err := t.store.list()
	for _, id := range ids {
		if uerr := t.expire(id, before); uerr != nil {
			err = errors.Join(err, uerr)
		}
	}
	return err
}

func (t *tusHandler) expire(id string, before time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[id] > 0 {
		return nil
	}
	for _, name := range [...]string{tusData(id), tusRecord(id)} {
		if st, err := t.d.root.Lstat(name); err == nil && !st.ModTime().Before(before) {
			return nil
		}
	}
	up := &tusUpload{s: t.store, id: id}
	if err := up.remove(); err != nil {
		return err
	}
	t.store.dropHold(id)
	return nil
}
