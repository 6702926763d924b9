package weirhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/tus/tusd/v2/pkg/handler"

	"github.com/weir-go/weir/weirhttp/internal/digest"
)

// tusRequest is what the store knows about the request that it works for.
type tusRequest struct {
	r         *http.Request
	method    string // the client can override that of r
	x         *transfer
	checksum  *checksum                  // nil: none
	ctx       context.Context            // ends with the request, or with stop
	stop      context.Context            // ends when another request interrupts this one
	interrupt func()                     // ends stop
	created   handler.TerminatableUpload // the upload that the request has created; nil: none
	cause     error                      // why the store refused it; nil: it did not
}

type tusRequestKey struct{}

// newTusRequest returns a request whose context the store finds it in. The caller must
// call end.
func newTusRequest(r *http.Request, method string) (req *tusRequest, end func()) {
	req = &tusRequest{r: r, method: method}
	var stop, cancel context.CancelCauseFunc
	req.ctx, cancel = context.WithCancelCause(r.Context())
	req.stop, stop = context.WithCancelCause(context.WithoutCancel(r.Context()))
	req.interrupt = func() { stop(errInterrupted); cancel(errInterrupted) }
	return req, func() { stop(nil); cancel(nil) }
}

func tusRequestOf(ctx context.Context) (*tusRequest, error) {
	if req, ok := ctx.Value(tusRequestKey{}).(*tusRequest); ok {
		return req, nil
	}
	return nil, errors.New("weirhttp: resumable upload without its request")
}

// body returns the body of the request.
func (req *tusRequest) body() *requestBody { return req.r.Body.(*requestBody) }

// errInterrupted is the cause when another request wants the upload. The bytes so far are
// kept, so the status must be one after which clients retry. tusd itself would answer
// 400.
var errInterrupted = handler.NewError("ERR_UPLOAD_INTERRUPTED", "another request has taken over the upload", http.StatusLocked)

// checksumNames are the algorithms of Upload-Checksum.
const checksumNames = "sha1,sha256,sha512,md5"

// statusChecksum is the status 460 Checksum Mismatch of tus.
const statusChecksum = 460

var errChecksum = handler.NewError("ERR_CHECKSUM_MISMATCH", "content does not match its checksum", statusChecksum)

// checksum is the digest that a client sends for one piece of a resumable upload, in
// Upload-Checksum or Content-Digest. A piece that does not match, or is incomplete, is not
// kept.
type checksum struct {
	*digest.Set
	r        *http.Request
	mismatch error // the error to answer with
}

// newChecksum returns nil if r has no checksum.
func newChecksum(r *http.Request) (*checksum, error) {
	d, err := digest.New(r.Header, r.Trailer, false)
	if err != nil {
		return nil, err
	}
	c := &checksum{d, r, digest.ErrMismatch}
	if s := r.Header.Get("Upload-Checksum"); s != "" {
		if err := d.AddChecksum(s); err != nil {
			return nil, err
		}
		c.mismatch = errChecksum
	}
	if d.IsEmpty() {
		return nil, nil
	}
	return c, nil
}

func (c *checksum) matches() bool { return c.Check(c.r.Trailer) == nil }
