package s3

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/pause"
)

// policy says how long to try.
type policy struct {
	attempts int                             // in a row without progress
	backoff  func(attempt int) time.Duration // before attempt 2, 3, …
	maxWait  time.Duration                   // the longest Retry-After that is waited for
	patience
}

// policyOf is o with the defaults for stores.
func policyOf(o endpoint.HTTPOptions) policy {
	p := policy{attempts: o.Attempts, backoff: o.Backoff, maxWait: cmp.Or(o.MaxWait, time.Minute)}
	if p.attempts <= 0 {
		p.attempts = 7
	}
	if p.backoff == nil {
		// The waits differ, so that clients which a store has slowed down do not
		// return together.
		p.backoff = func(attempt int) time.Duration {
			d := min(200*time.Millisecond<<min(attempt-2, 10), 10*time.Second)
			return d/2 + rand.N(d/2+1)
		}
	}
	p.stall, p.answer = cmp.Or(o.Stall, time.Minute), cmp.Or(o.Answer, 5*time.Minute)
	return p
}

// stale is the age at which an unfinished upload counts as abandoned.
const stale = 24 * time.Hour

// beginning is how long after it has announced it, by the clock of the store, a
// durable sink can have begun an upload. The request is repeated while it fails.
const beginning = time.Minute

// client talks to a store about one bucket. Its methods can be called
// concurrently.
type client struct {
	address
	policy
	core *minio.Core
	own  *http.Transport // nil: it belongs to somebody else
}

func newClient(a address, o endpoint.HTTPOptions) (*client, error) {
	c := &client{address: a, policy: policyOf(o)}
	var err error
	to := a.store.Transport
	if to == nil && o.Client != nil {
		to = o.Client.Transport
	}
	if to == nil {
		c.own = newTransport()
		to = c.own
		if c.own.TLSClientConfig = o.TLS.Clone(); o.TLS == nil {
			if c.own.TLSClientConfig, err = trust(); err != nil {
				return nil, err
			}
		}
	}
	c.core, err = a.store.connect(&watched{c.patience, to})
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Op, e.URL = "connect to", a.String()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// url names an object of the bucket in errors.
func (c *client) url(key string) string { return address{bucket: c.bucket, key: key}.String() }

// final marks an error that another attempt would meet again.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// worthRetrying reports whether an attempt that got no answer, because of err,
// may get one the next time.
func worthRetrying(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil, errors.As(err, new(final)), errors.As(err, &cert), errors.As(err, &unknown):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// facts are the properties of an object.
type facts struct {
	size     int64
	etag     string // without quotes; empty if the store has none
	modified time.Time
	sum      func() *checksum // a new one for each download; nil: none to compare with
	nonce    string           // the mark of the upload that made it
}

// tries counts attempts in a row without progress.
type tries struct {
	p      policy
	failed int
}

// next waits before the next attempt, or returns err if there is none.
func (t *tries) next(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var e *Error
	if !errors.As(err, &e) || errors.As(err, new(final)) || !e.temporary() {
		return err
	}
	t.failed++
	// Where nothing listens at all, waiting seldom helps: say so sooner.
	if t.failed >= t.p.attempts || isRefused(err) && t.failed >= 3 {
		if t.failed > 1 {
			return fmt.Errorf("%w (%d attempts)", err, t.failed)
		}
		return err
	}
	delay := t.p.backoff(t.failed + 1)
	if a := attemptOf(ctx); a != nil {
		if after := a.retryAfter(); after > t.p.maxWait {
			return fmt.Errorf("%w (the store asks to wait %v, longer than the %v that are allowed)", err, after, t.p.maxWait)
		} else if after > delay {
			delay = after
		}
	}
	return pause.For(ctx, delay)
}

// isRefused reports whether nothing listens at the address of the store.
func isRefused(err error) bool { return errno.Is(err, syscall.ECONNREFUSED) }

// request calls f until it succeeds, or has failed in a way that cannot be
// repaired. op, key and create describe it in errors.
func (c *client) request(ctx context.Context, op, key string, create bool, f func(ctx context.Context) error) error {
	ctx = context.WithValue(ctx, attemptKey{}, &attempt{})
	t := tries{p: c.policy}
	for {
		err := refusal(ctx, op, c.url(key), create, f(ctx))
		if err == nil {
			return nil
		}
		if err = t.next(ctx, err); err != nil {
			return err
		}
	}
}

// stat asks for the facts of an object.
func (c *client) stat(ctx context.Context, key string) (facts, error) {
	var info minio.ObjectInfo
	err := c.request(ctx, "read", key, false, func(ctx context.Context) (err error) {
		var o minio.GetObjectOptions
		o.Set(headerMode, "ENABLED")
		info, err = c.core.StatObject(ctx, c.bucket, key, o)
		return err
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.StatusCode >= 400 && e.StatusCode < 500 {
		// An answer to HEAD has no body that says why. One to GET has.
		why := c.request(ctx, "read", key, false, func(ctx context.Context) error {
			body, _, _, err := c.core.GetObject(ctx, c.bucket, key, minio.GetObjectOptions{})
			if err == nil {
				body.Close()
			}
			return err
		})
		if why != nil {
			err = why
		}
	}
	if err != nil {
		return facts{}, err
	}
	return factsOf(info, c.bucket), nil
}

func factsOf(info minio.ObjectInfo, bucket string) facts {
	f := facts{size: info.Size, etag: strings.Trim(info.ETag, `"`), modified: info.LastModified, nonce: info.Headers.Get("x-amz-meta-" + headerNonce)}
	if h := info.Headers; checksumOf(h, bucket) != nil {
		f.sum = func() *checksum { return checksumOf(h, bucket) }
	}
	return f
}

// refuseExisting fails if there is an object with this key.
func (c *client) refuseExisting(ctx context.Context, key string) error {
	_, err := c.stat(ctx, key)
	switch {
	case err == nil:
		return &Error{Op: "write", URL: c.url(key), Code: "PreconditionFailed", StatusCode: http.StatusPreconditionFailed, create: true}
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	}
	return nil // the upload finds out any other error
}

// abort removes a multipart upload. A part that was in flight at that moment can
// still arrive, so it looks whether any is left.
func (c *client) abort(ctx context.Context, key, id string) error {
	for range 3 {
		err := c.request(ctx, "abort upload to", key, false, func(ctx context.Context) error {
			return c.core.AbortMultipartUpload(ctx, c.bucket, key, id)
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		left, err := c.core.ListObjectParts(ctx, c.bucket, key, id, 0, 1)
		if err != nil || len(left.ObjectParts) == 0 {
			return nil // gone, or nobody may look
		}
	}
	return errors.New("parts keep arriving")
}

// sweep removes multipart uploads to keys that begin with prefix which a killed
// process of ours has left. It ignores errors: a failed sweep is no reason for
// an upload to fail. writes reports whether the caller writes a key.
func (c *client) sweep(ctx context.Context, prefix string, writes func(key string) bool) {
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	_ = c.sweepUntil(ctx, prefix, time.Now().Add(-stale), func(key string, empty bool) bool {
		return empty && writes(key)
	})
}

// sweepUntil removes those that have received nothing since before. The size of the
// parts says which uploads weir began. Of the others, ours selects those that only
// weir can have begun, by the key and by whether there are no parts: a process that
// was killed right after it had begun an upload leaves such a one.
func (c *client) sweepUntil(ctx context.Context, prefix string, before time.Time, ours func(key string, empty bool) bool) error {
	for u, err := range c.uploads(ctx, prefix) {
		if err != nil {
			return err
		}
		if u.Initiated.Before(before) && c.isAbandoned(ctx, u.Key, u.UploadID, before, ours) {
			_ = c.abort(ctx, u.Key, u.UploadID)
		}
	}
	return nil
}

// uploads lists the unfinished uploads to keys that begin with prefix. An error is
// the last value.
func (c *client) uploads(ctx context.Context, prefix string) iter.Seq2[minio.ObjectMultipartInfo, error] {
	return func(yield func(minio.ObjectMultipartInfo, error) bool) {
		keyMarker, idMarker := "", ""
		for {
			list, err := c.core.ListMultipartUploads(ctx, c.bucket, prefix, keyMarker, idMarker, "", 1000)
			if err != nil {
				yield(minio.ObjectMultipartInfo{}, err)
				return
			}
			for _, u := range list.Uploads {
				if !yield(u, nil) {
					return
				}
			}
			if !list.IsTruncated || list.NextKeyMarker == keyMarker && list.NextUploadIDMarker == idMarker {
				return
			}
			keyMarker, idMarker = list.NextKeyMarker, list.NextUploadIDMarker
		}
	}
}

// isAbandoned reports whether an unfinished upload is ours, has received nothing
// since before, and no flow can continue it. For ours see sweepUntil.
func (c *client) isAbandoned(ctx context.Context, key, id string, before time.Time, ours func(key string, empty bool) bool) bool {
	marker, marked, empty := 0, false, true
	for {
		list, err := c.core.ListObjectParts(ctx, c.bucket, key, id, marker, 1000)
		if err != nil {
			return false
		}
		for _, p := range list.ObjectParts {
			empty = false
			marked = marked || p.Size%partUnit == partMark && p.Size >= minPart
			if !p.LastModified.Before(before) {
				return false
			}
		}
		if !list.IsTruncated || list.NextPartNumberMarker <= marker {
			if marked || ours(key, empty) { // somebody may want to continue it
				s, err := readFlowState(ctx, c, key)
				return errors.Is(err, fs.ErrNotExist) || err == nil && s.Upload != id
			}
			return false
		}
		marker = list.NextPartNumberMarker
	}
}

// unrecorded returns the uploads to key that a run which died before it could
// store the id may have begun. It stored its state at announced, right before. An
// upload outside of that minute, or with parts, is somebody else's.
func (c *client) unrecorded(ctx context.Context, key string, announced time.Time) (ids []string, err error) {
	err = c.request(ctx, "list uploads to", key, false, func(ctx context.Context) error {
		ids = ids[:0]
		for u, err := range c.uploads(ctx, key) {
			if err != nil {
				return err
			}
			// The time of an object has no fractions of a second.
			if after := u.Initiated.Sub(announced); u.Key != key || after < -time.Second || after > beginning {
				continue
			}
			list, err := c.core.ListObjectParts(ctx, c.bucket, key, u.UploadID, 0, 1)
			if err == nil && len(list.ObjectParts) == 0 {
				ids = append(ids, u.UploadID)
			}
		}
		return nil
	})
	return ids, err
}

// bare removes the URL from an error of package http, because the message
// around it names the object already.
func bare(err error) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	return err
}
