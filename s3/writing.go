package s3

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// writing writes one object, with one request or a multipart upload. Only
// sendPart, sent and arrived can be called concurrently.
type writing struct {
	c         *client
	ctx       context.Context
	stop      context.CancelCauseFunc
	partCtx   context.Context // for requests that send parts: a canceled request could still arrive after the abort
	partStop  func()
	key       string
	exclusive bool
	nonce     string // the mark that distinguishes our object from others

	id    string // of the multipart upload; empty: there is none
	plain bool   // the store takes no checksums

	partsMu sync.Mutex // guards parts
	parts   []sentPart // by number, from 1 on
	count   int
}

// newWriting returns the writing of an object before its first request.
func newWriting(ctx context.Context, c *client, key string, exclusive bool) *writing {
	w := &writing{c: c, key: key, exclusive: exclusive, nonce: rand.Text()}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	w.partCtx, w.partStop = outlive(w.ctx)
	return w
}

// outlive returns a context for requests that had better not be cut off when ctx
// ends: it ends a moment later. release must be called.
func outlive(ctx context.Context) (_ context.Context, release func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		timer := time.NewTimer(patienceAtEnd)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		cancel(nil)
		if !stop() {
			<-ended
		}
	}
}

// sentPart is a part that the store has.
type sentPart struct {
	number int
	etag   string
	sums
	size  int64
	there bool
}

// sent notes a part that has arrived.
func (w *writing) sent(p sentPart) {
	w.partsMu.Lock()
	defer w.partsMu.Unlock()
	for len(w.parts) < p.number {
		w.parts = append(w.parts, sentPart{})
	}
	p.there = true
	w.parts[p.number-1] = p
	w.count++
}

// arrived returns how many parts the store has.
func (w *writing) arrived() int {
	w.partsMu.Lock()
	defer w.partsMu.Unlock()
	return w.count
}

// headers returns the headers that mark the object. sum can be empty.
func (w *writing) headers(more ...string) map[string]string {
	h := map[string]string{headerNonce: w.nonce}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// refusesChecksums reports whether err says that the store does not know the
// headers of checksums.
func refusesChecksums(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch {
	case e.StatusCode == http.StatusNotImplemented:
		return true
	case e.StatusCode != http.StatusBadRequest || e.Code == "BadDigest":
		return false
	}
	switch e.Code {
	case "InvalidArgument", "InvalidRequest", "NotImplemented":
		return true
	}
	return strings.Contains(strings.ToLower(e.Message), "checksum")
}

// put stores the object by one request, from body, which is size bytes long.
func (w *writing) put(body io.ReadSeeker, size int64, sum sums, md5 func() string) error {
	lost := false // an attempt may have had its effect
	attempt := func(ctx context.Context) error {
		o := minio.PutObjectOptions{UserMetadata: w.headers(), DisableContentSha256: true}
		digest := ""
		if w.plain {
			digest = md5()
		} else {
			o.UserMetadata[headerCRC64] = crc64(sum.crc)
		}
		if w.exclusive {
			o.SetMatchETagExcept("*")
		}
		_, err := w.c.core.PutObject(ctx, w.c.bucket, w.key, body, size, digest, sum.sha, o)
		if e := (*Error)(nil); errors.As(refusal(ctx, "write", w.c.url(w.key), w.exclusive, err), &e) && !e.answered() {
			lost = true
		}
		return err
	}
	err := w.c.request(w.ctx, "write", w.key, w.exclusive, attempt)
	if err != nil && !w.plain && refusesChecksums(err) {
		w.plain = true
		err = w.c.request(w.ctx, "write", w.key, w.exclusive, attempt)
	}
	for n := 1; isConflict(err) && n < uploadAttempts; n++ {
		if err = w.settled(err); isConflict(err) {
			err = w.c.request(w.ctx, "write", w.key, w.exclusive, attempt)
		}
	}
	if err != nil && (lost || context.Cause(w.ctx) != nil) && w.isThere() {
		return nil
	}
	return w.settled(err)
}

// isConflict reports whether err says that the store refused a conditional request
// because another writer of the same key was in the middle of one. It says nothing
// about whether the other one will succeed.
func isConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.create && e.Code == "ConditionalRequestConflict"
}

// settled returns the error for an object that exists, if err is a conflict and the
// other writer has succeeded.
func (w *writing) settled(err error) error {
	if isConflict(err) {
		if exists := w.c.refuseExisting(w.ctx, w.key); exists != nil {
			return exists
		}
	}
	return err
}

// isThere reports whether the object is the one that w makes. It is asked when an
// answer was lost, also if the flow is being ended at this moment.
func (w *writing) isThere() bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanup)
	defer cancel()
	f, err := w.c.stat(ctx, w.key)
	return err == nil && f.nonce == w.nonce
}

// patienceAtEnd is how long a request that must not be interrupted may continue
// after the end of the flow.
const patienceAtEnd = 5 * time.Second

// cleanup is how long to try to find out, or to put in order, how a request
// ended.
const cleanup = 30 * time.Second

// begin starts the multipart upload. The request is not interrupted: nobody
// would know which upload to abort.
func (w *writing) begin() error {
	ctx, release := outlive(w.ctx)
	defer release()
	attempt := func(ctx context.Context) (err error) {
		o := minio.PutObjectOptions{UserMetadata: w.headers()}
		if !w.plain {
			o.UserMetadata[headerMethod], o.UserMetadata[headerType] = "CRC64NVME", fullObject
		}
		w.id, err = w.c.core.NewMultipartUpload(ctx, w.c.bucket, w.key, o)
		return err
	}
	err := w.c.request(ctx, "write", w.key, false, attempt)
	if err != nil && !w.plain && refusesChecksums(err) {
		w.plain = true
		err = w.c.request(ctx, "write", w.key, false, attempt)
	}
	if err == nil && w.id == "" {
		err = errors.New("the store gave the upload no id")
	}
	return err
}

// sendPart sends a part, whose number, sums and size are set, and notes its ETag in p.
// It returns how many attempts that took, and can be called concurrently.
func (w *writing) sendPart(ctx context.Context, p *sentPart, body io.ReadSeeker, md5 func() string) (attempts int, err error) {
	err = w.c.request(ctx, "write", w.key, false, func(ctx context.Context) error {
		attempts++
		ctx = context.WithValue(w.partCtx, attemptKey{}, attemptOf(ctx))
		o := minio.PutObjectPartOptions{Sha256Hex: p.sha, DisableContentSha256: true}
		if w.plain {
			o.Md5Base64 = md5()
		} else {
			o.CustomHeader = http.Header{http.CanonicalHeaderKey(headerCRC64): {crc64(p.crc)}}
		}
		got, err := w.c.core.PutObjectPart(ctx, w.c.bucket, w.key, w.id, p.number, body, p.size, o)
		p.etag = got.ETag
		return err
	})
	return attempts, err
}

// complete makes an object of all parts that were sent. sum is the checksum of
// the whole, of size bytes.
func (w *writing) complete(sum uint64, size int64) error {
	parts := make([]minio.CompletePart, len(w.parts))
	for i, p := range w.parts {
		if !p.there {
			return errors.New("a part is missing") // it cannot be: Prepare counts them
		}
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: p.etag}
		if !w.plain {
			parts[i].ChecksumCRC64NVME = crc64(p.crc)
		}
	}
	lost := false
	err := w.c.request(w.ctx, "write", w.key, w.exclusive, func(ctx context.Context) error {
		var o minio.PutObjectOptions
		if !w.plain {
			o.UserMetadata = map[string]string{
				headerCRC64: crc64(sum), headerType: fullObject, "x-amz-mp-object-size": strconv.FormatInt(size, 10),
			}
		}
		if w.exclusive {
			o.SetMatchETagExcept("*")
		}
		_, err := w.c.core.CompleteMultipartUpload(ctx, w.c.bucket, w.key, w.id, parts, o)
		if e := (*Error)(nil); errors.As(refusal(ctx, "write", w.c.url(w.key), w.exclusive, err), &e) && !e.answered() {
			lost = true
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case (lost || context.Cause(w.ctx) != nil) && w.isThere():
		return nil
	}
	return w.settled(err)
}

// merged returns the checksum of the whole object, computed from the checksums
// of the parts.
func (w *writing) merged() uint64 {
	var parts []minio.ObjectPart
	for i, p := range w.parts {
		parts = append(parts, minio.ObjectPart{PartNumber: i + 1, Size: p.size, ChecksumCRC64NVME: crc64(p.crc)})
	}
	sum, err := minio.ChecksumCRC64NVME.FullObjectChecksum(parts)
	if err != nil || len(sum.Raw()) != 8 {
		return 0 // the store refuses it
	}
	return binary.BigEndian.Uint64(sum.Raw())
}

// abort removes the parts that the store has. It does not use the context of the
// flow, which may have ended.
func (w *writing) abort() error {
	if w.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanup)
	defer cancel()
	return w.c.abort(ctx, w.key, w.id)
}
