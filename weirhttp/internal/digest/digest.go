// Package digest checks uploads against the digests that their clients send
// (RFC 9530, RFC 3230, Content-MD5, and Upload-Checksum of tus).
package digest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

// ErrMismatch is the cause when an upload does not match its digest.
var ErrMismatch = errors.New("content does not match its digest")

// HeaderError is the cause when a header field cannot be used.
type HeaderError struct {
	Field       string
	Unsupported bool // the algorithm is unknown; else the value is malformed
}

func (e *HeaderError) Error() string {
	if e.Unsupported {
		return "unsupported algorithm in " + e.Field
	}
	return "malformed " + e.Field
}

// Set computes the sums of an upload, one for each algorithm that its client uses. The
// zero Set computes nothing. It is for one goroutine.
type Set struct {
	hashes map[string]hash.Hash
	header []digest
	show   bool // SHA256 was asked for
}

// digest is one sum that a client has sent.
type digest struct {
	algorithm string
	sum       []byte
}

// newHash returns the hash with this name in RFC 9530, nil if it is unknown.
func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha-256":
		return sha256.New()
	case "sha-512":
		return sha512.New()
	case "sha", "sha1":
		return sha1.New()
	case "md5":
		return md5.New()
	}
	return nil
}

// New returns a Set for the digests in the header of a request. If the trailer
// announces a digest, the Set computes SHA-256 and SHA-512. show asks for SHA256.
func New(header, trailer http.Header, show bool) (*Set, error) {
	d := &Set{hashes: make(map[string]hash.Hash), show: show}
	if show {
		d.want("sha-256")
	}
	said, err := parseDigests(header)
	if err != nil {
		return nil, err
	}
	for _, s := range said {
		if d.want(s.algorithm) {
			d.header = append(d.header, s)
		}
	}
	for name := range trailer {
		switch name {
		case "Content-Digest", "Repr-Digest", "Digest":
			d.want("sha-256")
			d.want("sha-512")
		}
	}
	return d, nil
}

// want adds an algorithm, and reports whether it is known.
func (d *Set) want(algorithm string) bool {
	if d.hashes[algorithm] == nil {
		h := newHash(algorithm)
		if h == nil {
			return false // the RFC lets a server ignore unknown digests
		}
		d.hashes[algorithm] = h
	}
	return true
}

// IsEmpty reports whether the Set computes nothing.
func (d *Set) IsEmpty() bool { return len(d.hashes) == 0 }

// HasHeader reports whether the header had a digest of a known algorithm.
func (d *Set) HasHeader() bool { return len(d.header) > 0 }

// AddChecksum adds the value of a tus Upload-Checksum field.
func (d *Set) AddChecksum(value string) error {
	one, err := parseChecksum(value)
	if err != nil {
		return err
	}
	d.want(one.algorithm)
	d.header = append(d.header, one)
	return nil
}

// Write adds p to all sums. It never fails.
func (d *Set) Write(p []byte) (int, error) {
	for _, h := range d.hashes {
		h.Write(p)
	}
	return len(p), nil
}

// Check compares the sums with the digests of the header and of the trailer.
func (d *Set) Check(trailer http.Header) error {
	said, err := parseDigests(trailer)
	if err != nil {
		return err
	}
	for _, s := range append(said, d.header...) {
		h := d.hashes[s.algorithm]
		if h != nil && !bytes.Equal(h.Sum(nil), s.sum) {
			return fmt.Errorf("%w (%s)", ErrMismatch, s.algorithm)
		}
	}
	return nil
}

// SHA256 returns the sum in hexadecimal, "" if New was not asked for it.
func (d *Set) SHA256() string {
	if !d.show {
		return ""
	}
	return hex.EncodeToString(d.hashes["sha-256"].Sum(nil))
}

// parseDigests reads Content-Digest and Repr-Digest (RFC 9530), which are the same for
// a body without Content-Encoding, and the older Digest (RFC 3230) and Content-MD5.
func parseDigests(h http.Header) ([]digest, error) {
	var all []digest
	for _, name := range [...]string{"Content-Digest", "Repr-Digest", "Digest"} {
		for _, line := range h.Values(name) {
			for member := range strings.SplitSeq(line, ",") {
				one, err := parseDigest(member, name != "Digest")
				if err != nil {
					return nil, &HeaderError{Field: name}
				}
				all = append(all, one)
			}
		}
	}
	if s := h.Get("Content-Md5"); s != "" {
		sum, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, &HeaderError{Field: "Content-MD5"}
		}
		all = append(all, digest{"md5", sum})
	}
	return all, nil
}

var errSyntax = errors.New("not a digest")

// parseDigest reads "sha-256=:base64:", or the same without the colons. It does not
// look at the value of an unknown algorithm.
func parseDigest(s string, colons bool) (digest, error) {
	algorithm, value, ok := strings.Cut(strings.TrimSpace(s), "=")
	if !ok {
		return digest{}, errSyntax
	}
	one := digest{algorithm: strings.ToLower(strings.TrimSpace(algorithm))}
	if newHash(one.algorithm) == nil {
		return one, nil
	}
	if colons {
		value, _, _ = strings.Cut(value, ";") // parameters: none are defined yet
		value = strings.TrimSpace(value)
		if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
			return digest{}, errSyntax
		}
		value = value[1 : len(value)-1]
	}
	var err error
	one.sum, err = base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	return one, err
}

// parseChecksum reads "sha1 base64".
func parseChecksum(s string) (digest, error) {
	name, sum, ok := strings.Cut(s, " ")
	want, err := base64.StdEncoding.DecodeString(strings.TrimSpace(sum))
	if !ok || err != nil {
		return digest{}, &HeaderError{Field: "Upload-Checksum"}
	}
	switch name {
	case "sha256":
		name = "sha-256"
	case "sha512":
		name = "sha-512"
	}
	if newHash(name) == nil {
		return digest{}, &HeaderError{Field: "Upload-Checksum", Unsupported: true}
	}
	return digest{name, want}, nil
}
