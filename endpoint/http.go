package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-go/weir/internal/pause"
	"github.com/weir-go/weir/internal/units"
)

// HTTPOptions are the options for HTTP servers. The zero value has sensible
// limits.
type HTTPOptions struct {
	// Client sends the requests. Nil means a new client for each flow, whose
	// connections are closed at the end. It uses HTTP/1.1 and the proxy from the
	// environment.
	Client *http.Client

	// Header is added to each request. After a redirect to another host weir sends
	// none of it except User-Agent, because any field can hold a secret.
	Header http.Header

	// TLS, if not nil, has the TLS settings, such as the certificates to trust. It
	// is used only if Client is nil, and is cloned for each flow.
	TLS *tls.Config

	// Attempts is the maximum number of attempts of a download in a row without
	// progress. 0 means 5. An upload is tried once, because its bytes cannot be
	// read again.
	Attempts int

	// Backoff is the wait before attempt 2, 3, …; nil: 200 ms, doubling up to 10
	// s. Retry-After of the server can make it longer, up to MaxWait.
	Backoff func(attempt int) time.Duration

	// MaxWait is the longest Retry-After to wait for; a longer one ends the flow.
	// 0 means 1 minute.
	MaxWait time.Duration

	// Stall is the longest time a server can make no progress while the flow waits
	// for it. Time during which the flow itself is held back does not count. 0
	// means 1 minute; negative means no limit.
	Stall time.Duration

	// Answer is how long to wait for the response to an upload after its last
	// byte. 0 means 5 minutes; negative means no limit.
	Answer time.Duration
}

const maxRedirects = 10

func (o HTTPOptions) check() error {
	if o.Attempts < 0 {
		return fmt.Errorf("endpoint: %s: use 1 or more, or 0 for 5", units.Count(int64(o.Attempts), "attempt"))
	}
	return nil
}

func (o HTTPOptions) withDefaults() HTTPOptions {
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.Backoff == nil {
		o.Backoff = func(attempt int) time.Duration {
			return min(200*time.Millisecond<<min(attempt-2, 10), 10*time.Second)
		}
	}
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{{&o.MaxWait, time.Minute}, {&o.Stall, time.Minute}, {&o.Answer, 5 * time.Minute}} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	return o
}

func (o HTTPOptions) silence() error { return &stallError{"the server sent nothing", o.Stall} }

// client returns the client that sends the requests, and a function that closes
// its connections if they are ours.
func (o HTTPOptions) client(redirect func(*http.Request, []*http.Request) error) (c *http.Client, release func()) {
	if o.Client != nil {
		own := *o.Client
		if own.CheckRedirect == nil {
			own.CheckRedirect = redirect
		}
		return &own, func() {}
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer(),
		TLSHandshakeTimeout:    30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		// HTTP/2 would keep a window of 4 MiB of a slow flow in our memory,
		// which no ceiling knows of; HTTP/1.1 leaves it in the kernel.
		Protocols:       new(http.Protocols),
		TLSClientConfig: o.TLS.Clone(),
	}
	t.Protocols.SetHTTP1(true)
	return &http.Client{Transport: t, CheckRedirect: redirect}, t.CloseIdleConnections
}

// target is a parsed URL: the URL to request, its printable form, and the user.
type target struct {
	url  *url.URL // without user name and password
	name string   // safe to print
	user *url.Userinfo

	foreign bool // a redirect has led to another host
}

func newTarget(u *url.URL) (target, error) {
	t := target{url: new(*u), name: shown(u), user: u.User}
	t.url.User, t.url.Fragment, t.url.RawFragment = nil, "", ""
	if u.Hostname() == "" {
		return t, fmt.Errorf("endpoint: %s has no host", t.name)
	}
	return t, nil
}

// request makes a request. The password goes into a header, where a redirect
// to the same host keeps it and one to another host does not.
func (t target) request(ctx context.Context, method string, o HTTPOptions) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, t.name, bare(err))
	}
	if req.Header = o.Header.Clone(); req.Header == nil {
		req.Header = http.Header{}
	}
	if t.foreign {
		o.conceal(req.Header)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if t.user != nil {
		password, _ := t.user.Password()
		req.SetBasicAuth(t.user.Username(), password)
	}
	// A download that the server compresses cannot be resumed at an offset of the
	// file.
	req.Header.Set("Accept-Encoding", "identity")
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "weir")
	}
	return req, nil
}

// redirected returns the target of a redirect. Credentials go only to the same
// host.
func (t target) redirected(resp *http.Response, hops int) (target, error) {
	to, err := resp.Location()
	if err != nil {
		return t, bare(err)
	}
	if err := mayFollow(t.url, to, hops); err != nil {
		return t, err
	}
	next, err := newTarget(to)
	next.foreign = t.foreign || !sameHost(t.url, to)
	if next.user == nil && !next.foreign {
		next.user = t.user
	}
	return next, err
}

// bare takes the URL off an error of package http: it may hold a secret.
func bare(err error) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	return err
}

// conceal removes the fields from h that another host must not see. Referer is
// one, because the previous URL can contain a signature.
func (o HTTPOptions) conceal(h http.Header) {
	for name := range o.Header {
		if name = http.CanonicalHeaderKey(name); name != "User-Agent" {
			h.Del(name)
		}
	}
	for _, name := range []string{"Authorization", "Cookie", "Referer"} {
		h.Del(name)
	}
}

// followed limits the number of redirects, and refuses redirects from https to
// http. After a redirect to another host, no later request has secret fields.
func (o HTTPOptions) followed(req *http.Request, via []*http.Request) error {
	for _, r := range append(via[1:len(via):len(via)], req) {
		if !sameHost(via[0].URL, r.URL) {
			o.conceal(req.Header)
			break
		}
	}
	return mayFollow(via[len(via)-1].URL, req.URL, len(via))
}

// sameHost reports whether the server at to may see the secrets for from: it
// has the same name and port, or it is the same server over TLS.
func sameHost(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	port := func(u *url.URL) string {
		switch {
		case u.Port() != "":
			return u.Port()
		case u.Scheme == "https":
			return "443"
		}
		return "80"
	}
	return port(from) == port(to) || from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
}

func mayFollow(from, to *url.URL, hops int) error {
	switch {
	case hops > maxRedirects:
		return final{fmt.Errorf("gave up after %s", units.Count(maxRedirects, "redirect"))}
	case to.Scheme != "http" && to.Scheme != "https":
		return final{fmt.Errorf("redirect to %s refused: not http or https", shown(to))}
	case from.Scheme == "https" && to.Scheme == "http":
		return final{fmt.Errorf("redirect from https to %s refused", shown(to))}
	}
	return nil
}

// final marks an error that another attempt would meet again.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// worth reports whether to retry after err. met says that the server has
// answered before. Until then, a host that does not exist counts as a typo, so
// there is no retry.
func worth(err error, met bool) bool {
	var status *StatusError
	var dns *net.DNSError
	switch {
	case errors.As(err, new(final)), isHandshake(err):
		return false
	case errors.As(err, &status):
		return status.Temporary()
	case errors.As(err, &dns) && dns.IsNotFound, isRefused(err):
		return met
	}
	return true
}

// tries counts attempts in a row without progress.
type tries struct {
	o      HTTPOptions
	failed int
}

// next waits before the next attempt, or returns err if there is none.
func (t *tries) next(ctx context.Context, err error, met bool) error {
	t.failed++
	if !worth(err, met) {
		return err
	}
	if t.failed >= t.o.Attempts {
		if t.failed > 1 {
			err = fmt.Errorf("%w (%s)", err, units.Count(int64(t.failed), "attempt"))
		}
		return err
	}
	delay := t.o.Backoff(t.failed + 1)
	var status *StatusError
	if errors.As(err, &status) && status.RetryAfter > delay {
		if delay = status.RetryAfter; delay > t.o.MaxWait {
			return fmt.Errorf("%w (the server asks to wait %v; at most %v are allowed)", err, delay.Round(time.Second), t.o.MaxWait)
		}
	}
	return pause.For(ctx, delay)
}
