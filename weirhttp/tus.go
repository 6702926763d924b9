package weirhttp

import (
	"context"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"github.com/weir-go/weir/internal/deny"
	"github.com/weir-go/weir/weirhttp/internal/budget"
)

// tusHandler receives uploads by tus 1.0. tusd implements the protocol. tusHandler adds the
// extensions checksum and expiration, and a store that keeps the promises of Uploads.
type tusHandler struct {
	store   *tusStore
	set     *settings
	handler http.Handler
}

func newTus(u *resumption) (*tusHandler, error) {
	t := &tusHandler{store: &tusStore{u}, set: u.set}
	parts := handler.NewStoreComposer()
	parts.UseCore(t.store)
	parts.UseTerminater(t.store)
	parts.UseLengthDeferrer(t.store)
	h, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer:  parts,
		BasePath:       "/",
		MaxSize:        t.set.maxSize,
		Cors:           &handler.CorsConfig{Disable: true}, // left to the code that mounts the handler
		Logger:         slog.New(noLog{}),                  // tusd logs four lines for every request
		NetworkTimeout: t.set.stall,
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

// checksumNames are the algorithms of Upload-Checksum.
const checksumNames = "sha1,sha256,sha512,md5"

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
	if method != http.MethodPost && method != http.MethodOptions && !isUploadID(id) {
		deny.Tell(tw, r, http.StatusNotFound, "Not Found", isLast(r))
		return
	}
	req := &tusRequest{uploadRequest: newUploadRequest(r), method: method, offset: offsetOf(r)}
	defer req.end()
	defer func() {
		if req.s != nil {
			req.s.end()
		}
	}()
	if err := t.accept(req); err != nil {
		status, text := uploadStatus(err)
		if status == http.StatusUnsupportedMediaType {
			tw.Header().Set("Accept-Encoding", "identity")
		}
		deny.Tell(tw, r, status, text, isLast(r))
		return
	}
	if method == http.MethodPost || method == http.MethodPatch {
		req.x = begin(r, Upload, unnamedUpload, r.ContentLength)
		defer req.x.end(errPanicked) // unless it has ended
	}
	inner := r.WithContext(context.WithValue(r.Context(), tusRequestKey{}, req))
	target := *r.URL
	target.Path = id
	inner.URL = &target
	t.handler.ServeHTTP(tw, inner)
	if req.x != nil {
		defer func() { req.x.end(tw.failure(req)) }()
	}
	// A client whose creation fails does not learn the Location, so nobody can continue
	// the upload.
	if req.created != "" && tw.status >= 400 {
		if err := t.withdraw(req); err != nil {
			t.set.log.Error("cannot remove a failed upload", "error", err)
		}
	}
}

// withdraw removes the upload that the request has created.
func (t *tusHandler) withdraw(req *tusRequest) error {
	s := req.s
	if s == nil {
		var err error
		s, err = t.store.u.take(context.Background(), req.created, nil, func(uploadState) error { return nil })
		if err != nil {
			return err
		}
	}
	req.s = nil
	return s.remove(context.Background())
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
	if most := t.set.maxRequest; most > 0 && req.r.ContentLength > most {
		return errRequest(most)
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
	expire, expires := w.t.set.expiry()
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
		h.Set("Upload-Limit", w.t.set.limits("max-age")) // for clients of the other protocol
	}
	if status == http.StatusServiceUnavailable {
		tellRetry(h, budget.RetryAfter(w.t.set.queue))
	}
	if status >= 200 && h.Get("Content-Length") == "" && !bodyless(w.r, status) {
		// tusd sets the length of its bodies, so this one is empty. Without a length,
		// linger could not tell that the answer is complete.
		h.Set("Content-Length", "0")
	}
	if status >= 200 && w.status == 0 {
		w.status = status
		closeBehind(h, w.r)
		if expires && status < 300 && (w.r.Method == http.MethodPost || w.r.Method == http.MethodPatch) {
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
