package main

import (
	"fmt"
	"net/http"

	"github.com/weir-go/weir/internal/deny"
)

// ownOrigin keeps pages of other origins from changing anything here: a browser
// sends their forms to servers on this machine too. It lets tools pass, which
// are no browsers, and pages of the origin that --cors names.
func ownOrigin(cors string, h http.Handler) (http.Handler, error) {
	if cors == "*" {
		return h, nil
	}
	p := http.NewCrossOriginProtection()
	if cors != "" {
		if err := p.AddTrustedOrigin(cors); err != nil {
			return nil, &failure{code: exitUsage, text: fmt.Sprintf("--cors %s is no origin", cors), try: "--cors https://example.org"}
		}
	}
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deny.Request(w, r, http.StatusForbidden, "a page of another origin may not do that")
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
