package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deny"
)

// ownHost refuses requests whose Host header is neither an address nor a name of this
// server. It stops DNS rebinding: for the browser such a page has the same origin as this
// server, but its requests carry the name of the page.
func ownHost(listen string, more []string, h http.Handler) http.Handler {
	if slices.Contains(more, "*") {
		return h
	}
	names := map[string]bool{"localhost": true}
	for _, name := range more {
		names[plainHost(name)] = true
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		names[plainHost(host)] = true
	}
	if name, err := os.Hostname(); err == nil {
		name = plainHost(name)
		short, _, _ := strings.Cut(name, ".")
		names[name], names[short], names[short+".local"] = true, true, true
	}
	var usual atomic.Pointer[string] // the first name that was accepted; a fast path
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := usual.Load(); u != nil && *u == r.Host {
			h.ServeHTTP(w, r)
			return
		}
		host := plainHost(r.Host)
		_, err := netip.ParseAddr(host)
		// Browsers always send Host; a request without one is not from a browser.
		if err == nil || host == "" || names[host] || strings.HasSuffix(host, ".localhost") {
			name := strings.Clone(r.Host)
			usual.CompareAndSwap(nil, &name)
			h.ServeHTTP(w, r)
			return
		}
		deny.Request(w, r, http.StatusMisdirectedRequest,
			fmt.Sprintf("%.255s is not a name of this server; allow it with weir serve --host NAME", host))
	})
}

// plainHost returns a host in lower case, without port, brackets and final dot.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// ownOrigin keeps pages of other origins from changing anything: a browser sends their forms
// to servers on this machine too. Programs that are not browsers pass, and so do pages of
// the origin that --cors names.
func ownOrigin(cors string, h http.Handler) (http.Handler, error) {
	if cors == "*" {
		return h, nil
	}
	p := http.NewCrossOriginProtection()
	if cors != "" {
		if err := p.AddTrustedOrigin(cors); err != nil {
			return nil, invalid("origin", cors, "cors", "", "https://example.org")
		}
	}
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deny.Request(w, r, http.StatusForbidden, "pages of another origin must not do this")
	}))
	return p.Handler(h), nil
}

// allowOrigin lets the pages of one origin, or of all, use the server (CORS).
func allowOrigin(origin string, h http.Handler) http.Handler {
	const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	const asks = "Authorization, Content-Type, Content-Disposition, Range, If-Range, If-None-Match, " +
		"Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Upload-Checksum, Upload-Defer-Length, Upload-Concat, X-HTTP-Method-Override, " +
		"Upload-Draft-Interop-Version, Upload-Complete, Upload-Incomplete, Content-Digest, Repr-Digest, Digest, Content-MD5"
	const tells = "Location, ETag, Content-Range, Content-Length, Accept-Ranges, Retry-After, " +
		"Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, " +
		"Upload-Defer-Length, Upload-Complete, Upload-Limit, Tus-Checksum-Algorithm"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Add("Vary", "Origin")
		from := r.Header.Get("Origin")
		if from == "" || origin != "*" && from != origin {
			h.ServeHTTP(w, r)
			return
		}
		head.Set("Access-Control-Allow-Origin", origin)
		head.Set("Access-Control-Expose-Headers", tells)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			head.Set("Access-Control-Allow-Methods", methods)
			head.Set("Access-Control-Allow-Headers", asks)
			head.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// health answers /healthz and /readyz. The zero health is ready.
type health struct {
	stopping atomic.Bool
	asked    atomic.Int64 // when anyone last asked /readyz, in nanoseconds; 0: never
}

// watchedFor is how long after a question at /readyz another one is expected.
const watchedFor = time.Minute

// stop makes /readyz answer 503, and reports whether anyone is likely to see that.
func (h *health) stop(now time.Time) bool {
	h.stopping.Store(true)
	last := h.asked.Load()
	return last != 0 && now.Sub(time.Unix(0, last)) <= watchedFor
}

// before serves /healthz and /readyz before next.
func (h *health) before(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		h.asked.Store(time.Now().UnixNano())
		w.Header().Set("Cache-Control", "no-store")
		if h.stopping.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "stopping\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

// limitRequests refuses requests with a body of more than most bytes, and announces that
// limit to clients that can send less. 0 is no limit.
func limitRequests(most int64, h http.Handler) http.Handler {
	if most == 0 {
		return h
	}
	text := fmt.Sprintf("A request can have %s at most; send larger files in pieces, with tus or resumable HTTP uploads", weir.FormatBytes(most))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > most {
			w.Header().Set("Upload-Limit", fmt.Sprintf("max-append-size=%d", most))
			deny.Request(w, r, http.StatusRequestEntityTooLarge, text)
			return
		}
		if r.ContentLength < 0 {
			limited := *r
			limited.Body = http.MaxBytesReader(w, r.Body, most)
			r = &limited
		}
		h.ServeHTTP(w, r)
	})
}

// resourcePolicy keeps pages of other origins from embedding content of h, as an image
// for one. A browser asks nobody before it embeds, so CORS does not do that. With --cors
// for one origin its pages can fetch, and embed with the attribute crossorigin.
func resourcePolicy(cors string, h http.Handler) http.Handler {
	policy := []string{"same-origin"}
	if cors == "*" {
		policy = []string{"cross-origin"}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Cross-Origin-Resource-Policy"] = policy
		h.ServeHTTP(w, r)
	})
}

// fingerprintOf returns the SHA-256 of a certificate as browsers and openssl show it.
func fingerprintOf(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// selfSigned generates a certificate for the names of this machine. It is valid for a week
// and never written to a file.
func selfSigned(listen string, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "weir serve"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if name, err := os.Hostname(); err == nil {
		t.DNSNames = append(t.DNSNames, name)
	}
	for _, name := range hosts {
		if name = plainHost(name); name != "*" {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
