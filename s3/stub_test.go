package s3_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

// stub answers requests as a store might, to test what weir sends and how it
// takes an answer. Whether that works with a store, the tests in e2e find out.
type stub struct {
	s3.Store
	t *testing.T
	// object answers requests for objects; the key is without the bucket.
	object func(w http.ResponseWriter, r *http.Request, key string)
	keys   []string // what a listing shows, in this order, with the key as contents

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

func newStub(t *testing.T) *stub {
	s := &stub{t: t}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.Store = s3.Store{Endpoint: server.URL, AccessKeyID: "id", SecretAccessKey: "secret"}
	s.object = s.serve
	return s
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if r.URL.Query().Has("list-type") {
		s.list(w, r)
		return
	}
	if r.Method == http.MethodPut && r.Header.Get("Authorization") != "" {
		r.Body = &signedBody{ReadCloser: r.Body, t: s.t, stated: r.Header.Get("X-Amz-Content-Sha256"), sum: sha256.New()}
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.object(w, r, key)
}

// signedBody compares what is sent with what the signature covers: over HTTP without TLS,
// the SHA-256 of all of it.
type signedBody struct {
	io.ReadCloser
	t      *testing.T
	stated string
	sum    hash.Hash
}

func (b *signedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.sum.Write(p[:n])
	if sum := hex.EncodeToString(b.sum.Sum(nil)); err == io.EOF && sum != b.stated {
		b.t.Errorf("the signature covers content with the SHA-256 %s; sent was one with %s", b.stated, sum)
	}
	return n, err
}

// seen returns the requests with this method.
func (s *stub) seen(method string) (list []*http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.Method == method {
			list = append(list, r)
		}
	}
	return list
}

var written = time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC)

func (s *stub) list(w http.ResponseWriter, r *http.Request) {
	after := r.URL.Query().Get("start-after")
	fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>`)
	for _, key := range s.keys {
		if key > after {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><ETag>"etag"</ETag><LastModified>%s</LastModified></Contents>`,
				url.QueryEscape(key), len(key), written.Format(time.RFC3339))
		}
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

// serve answers with the key as contents, and accepts any upload.
func (s *stub) serve(w http.ResponseWriter, r *http.Request, key string) {
	switch r.Method {
	case http.MethodPut:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"etag"`)
	default:
		w.Header().Set("ETag", `"etag"`)
		http.ServeContent(w, r, "", written, strings.NewReader(key))
	}
}

// refuse answers with an error of the protocol.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	xml.NewEncoder(w).Encode(struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: message})
}

// quick makes retries quick, so that tests are.
var quick = endpoint.HTTPOptions{Backoff: func(int) time.Duration { return time.Microsecond }}
