package s3

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/endpoint"
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

// client talks to a store about one bucket. Its methods may be called
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

// bare removes the URL from an error of package http, because the message
// around it names the object already.
func bare(err error) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	return err
}
