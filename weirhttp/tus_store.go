package weirhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/tus/tusd/v2/pkg/handler"

	"github.com/weir-go/weir/weirhttp/internal/precondition"
)

// tusStore is tusd's view of the uploads in progress. tusd calls it for one request at a
// time; a request that wants an upload takes it over in GetUpload.
type tusStore struct{ u *resumption }

// tusRequest is what the store knows about the request that it works for.
type tusRequest struct {
	*uploadRequest
	method  string // the client can override the method of r
	offset  int64  // Upload-Offset of a PATCH
	s       *session
	created string // the id of the upload that the request has created
	cause   error  // why the store refused it; nil: it did not
}

type tusRequestKey struct{}

func tusRequestOf(ctx context.Context) (*tusRequest, error) {
	if req, ok := ctx.Value(tusRequestKey{}).(*tusRequest); ok {
		return req, nil
	}
	return nil, errors.New("weirhttp: resumable upload without its request")
}

// tusUpload is an upload during one request.
type tusUpload struct {
	req    *tusRequest
	u      *resumption
	id     string
	state  uploadState // if the request has no session
	broken bool        // the bytes of this request were refused
}

// now returns the state of the upload.
func (up *tusUpload) now() uploadState {
	if up.req.s != nil {
		return up.req.s.state
	}
	return up.state
}

// NewUpload reserves space for an upload and creates it, unless it could not get its name
// if it was complete now.
func (t *tusStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	state := uploadState{
		Size: info.Size, Deferred: info.SizeIsDeferred, Metadata: info.MetaData,
		Terms: precondition.Of(req.r.Header),
	}
	if state.Folder, err = t.u.set.folderOf(req.r); err != nil {
		return nil, t.failed(req, err)
	}
	if err := t.u.store.allows(wantedName("", &state), t.u.set.rule(state.Terms)); err != nil {
		return nil, t.failed(req, err)
	}
	s, err := t.u.begin(context.WithoutCancel(ctx), req.uploadRequest, state)
	if err != nil {
		return nil, t.failed(req, err)
	}
	req.s, req.created = s, s.id
	return &tusUpload{req: req, u: t.u, id: s.id}, nil
}

// GetUpload finds an upload and takes it over. It refuses a PATCH with the wrong offset
// before that. HEAD takes over an upload only if a request holds it and receives nothing:
// a client of tus can ask how far a transfer has come without having given it up.
//
// If the upload is complete but has no name yet, because the server stopped at that moment
// or the name was taken, GetUpload gives it its name, except before a DELETE. If that fails
// the client gets the error: an offset equal to the length would say that the file is
// stored.
func (t *tusStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return nil, err
	}
	// A context that ends although its client is still there would make the answer one
	// that clients give up after.
	ctx = context.WithoutCancel(ctx)
	up := &tusUpload{req: req, u: t.u, id: id}
	if req.method == http.MethodHead && !t.u.isHeld(id) {
		if up.state, err = t.u.look(ctx, id); err == nil && !up.state.isReady() {
			return up, nil
		}
	}
	var own *uploadRequest
	if req.method == http.MethodPatch {
		own = req.uploadRequest
	}
	s, err := t.u.take(ctx, id, own, func(state uploadState) error {
		switch {
		case req.method == http.MethodPatch && req.offset != state.Offset:
			return handler.ErrMismatchOffset
		case req.method == http.MethodDelete && state.Phase == uploadDone:
			return errComplete
		}
		return nil
	})
	if err != nil {
		return nil, t.failed(req, err)
	}
	req.s = s
	if req.method != http.MethodDelete && s.state.isReady() {
		up.state = s.state
		got, _, err := s.finish()
		req.s = nil
		if err != nil {
			return nil, t.failed(req, err)
		}
		up.state.Size, up.state.Offset, up.state.Phase = got.Size, got.Size, uploadDone
	}
	return up, nil
}

// failed turns an error of the store into one that tusd answers with. It keeps err for the
// registry of transfers, and logs it if the server is to blame.
func (t *tusStore) failed(req *tusRequest, err error) error {
	req.cause = err
	var known handler.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return handler.ErrNotFound
	}
	status, text := uploadStatus(err)
	if status >= http.StatusInternalServerError {
		t.u.set.log.Log(context.Background(), failureLevel(status), "upload failed", "status", status, "error", err)
	}
	return handler.NewError("ERR_UPLOAD", text, status)
}

// AsTerminatableUpload is for tusd.
func (t *tusStore) AsTerminatableUpload(up handler.Upload) handler.TerminatableUpload {
	return up.(*tusUpload)
}

// AsLengthDeclarableUpload is for tusd.
func (t *tusStore) AsLengthDeclarableUpload(up handler.Upload) handler.LengthDeclarableUpload {
	return up.(*tusUpload)
}

// GetReader is not supported: nothing reads an upload before it is complete.
func (up *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// GetInfo tells tusd how far the upload has come.
func (up *tusUpload) GetInfo(context.Context) (handler.FileInfo, error) {
	state := up.now()
	return handler.FileInfo{
		ID: up.id, Size: state.Size, SizeIsDeferred: state.Deferred,
		Offset: state.Offset, MetaData: state.Metadata,
	}, nil
}

// failed calls the method of the store.
func (up *tusUpload) failed(err error) error { return (&tusStore{up.u}).failed(up.req, err) }

// WriteChunk appends the bytes of one request. It reads them from the body itself, not from
// tusd's reader around it. That reader ends early where the body fails, and returns the
// failure to tusd only.
func (up *tusUpload) WriteChunk(context.Context, int64, io.Reader) (int64, error) {
	s := up.req.s
	if s == nil || s.data == nil {
		return 0, up.failed(errTaken)
	}
	most := s.most()
	if m := up.u.set.maxRequest; m > 0 {
		most = min(most, s.data.size()+m)
	}
	n, err := s.append(up.req.uploadRequest, most, false)
	if err != nil {
		up.broken = !isBrokenOff(err)
		err = up.failed(err)
	}
	return n, err
}

// DeclareLength sets the length of an upload that was created without one.
func (up *tusUpload) DeclareLength(ctx context.Context, n int64) error {
	if up.req.s == nil {
		return up.failed(errTaken)
	}
	if err := up.req.s.declare(ctx, n); err != nil {
		return up.failed(err)
	}
	return nil
}

// Terminate removes the upload.
func (up *tusUpload) Terminate(ctx context.Context) error {
	if up.req.s == nil {
		return up.failed(errTaken)
	}
	if err := up.req.s.remove(context.WithoutCancel(ctx)); err != nil {
		return up.failed(err)
	}
	return nil
}

// FinishUpload gives the file its name.
func (up *tusUpload) FinishUpload(context.Context) error {
	// tusd calls this even if the last piece has failed, and then reports that failure.
	if up.req.s == nil || up.broken || up.req.s.state.Phase == uploadDone {
		return nil
	}
	s := up.req.s
	up.state, up.req.s = s.state, nil
	if _, _, err := s.finish(); err != nil {
		return up.failed(err)
	}
	return nil
}

// offsetOf returns the Upload-Offset of r, -1 if it has none that tusd accepts.
func offsetOf(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
