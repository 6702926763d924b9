package weirhttp

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

// errDigest is the cause when a client sent something else than it says.
var errDigest = errors.New("the digest does not match what was sent")

// digests adds up what a client sends, in every way that it has a digest for.
// The zero digests adds up nothing.
type digests struct {
	hashes map[string]hash.Hash
	header []digest
	show   bool // the answer has the SHA-256
}

// digest is what a client says of its file.
type digest struct {
	algorithm string
	sum       []byte
}

// newHash makes the hash of an algorithm by its name in RFC 9530, and nil for
// one that is not known.
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

// wanted returns the digests that the header of a request asks for. A digest
// that may follow in the trailer is prepared for as SHA-256 and SHA-512.
func wanted(header, trailer http.Header, show bool) (*digests, error) {
	d := &digests{hashes: make(map[string]hash.Hash), show: show}
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

// want reports whether the algorithm is known.
func (d *digests) want(algorithm string) bool {
	if d.hashes[algorithm] == nil {
		h := newHash(algorithm)
		if h == nil {
			return false // a server may ignore digests that it does not know
		}
		d.hashes[algorithm] = h
	}
	return true
}

// Write adds p to all sums. It never fails.
func (d *digests) Write(p []byte) (int, error) {
	for _, h := range d.hashes {
		h.Write(p)
	}
	return len(p), nil
}

// check compares the sums with what the header and now the trailer say.
func (d *digests) check(trailer http.Header) error {
	said, err := parseDigests(trailer)
	if err != nil {
		return err
	}
	for _, s := range append(said, d.header...) {
		h := d.hashes[s.algorithm]
		if h != nil && !bytes.Equal(h.Sum(nil), s.sum) {
			return fmt.Errorf("%w (%s)", errDigest, s.algorithm)
		}
	}
	return nil
}

// sha256 returns the sum in hexadecimal, "" if it is not wanted.
func (d *digests) sha256() string {
	if !d.show {
		return ""
	}
	return hex.EncodeToString(d.hashes["sha-256"].Sum(nil))
}

// parseDigests reads Content-Digest and Repr-Digest (RFC 9530), which are the
// same for a body without Content-Encoding, and their elders Digest (RFC 3230)
// and Content-MD5.
func parseDigests(h http.Header) ([]digest, error) {
	var all []digest
	for _, name := range [...]string{"Content-Digest", "Repr-Digest", "Digest"} {
		for _, line := range h.Values(name) {
			for member := range strings.SplitSeq(line, ",") {
				one, err := parseDigest(member, name != "Digest")
				if err != nil {
					return nil, &refusal{http.StatusBadRequest, name + " cannot be read"}
				}
				all = append(all, one)
			}
		}
	}
	if s := h.Get("Content-Md5"); s != "" {
		sum, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, &refusal{http.StatusBadRequest, "Content-MD5 cannot be read"}
		}
		all = append(all, digest{"md5", sum})
	}
	return all, nil
}

var errSyntax = errors.New("not a digest")

// parseDigest reads "sha-256=:base64:", or without the colons where they are not
// wanted. What an unknown algorithm says is not looked at.
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
		value, _, _ = strings.Cut(value, ";") // parameters, of which there are none yet
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
