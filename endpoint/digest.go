package endpoint

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

// algorithms are those we can check, the strongest first.
var algorithms = []struct {
	name string
	new  func() hash.Hash
}{
	{"sha-512", sha512.New},
	{"sha-256", sha256.New},
	{"sha", sha1.New},
	{"md5", md5.New},
}

// digest adds bytes up and compares the sum with the one that the server has
// announced.
type digest struct {
	hash.Hash
	name string
	want []byte
}

// announced finds the strongest digest that the header of a whole answer
// announces, or returns nil. Values that make no sense are no digests.
func announced(h http.Header) *digest {
	found := map[string][]byte{}
	for _, key := range []string{"Repr-Digest", "Content-Digest", "Digest"} {
		for field := range strings.SplitSeq(strings.Join(h.Values(key), ","), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			if key != "Digest" { // a structured field: :base64:
				value, _, _ = strings.Cut(value, ";")
				value = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(value), ":"), ":")
			}
			if sum, err := base64.StdEncoding.DecodeString(value); err == nil {
				found[strings.ToLower(name)] = sum
			}
		}
	}
	if sum, err := base64.StdEncoding.DecodeString(h.Get("Content-MD5")); err == nil && found["md5"] == nil {
		found["md5"] = sum
	}
	for _, a := range algorithms {
		if sum := a.new(); len(found[a.name]) == sum.Size() {
			return &digest{sum, a.name, found[a.name]}
		}
	}
	return nil
}

func (d *digest) check() error {
	if got := d.Sum(nil); !bytes.Equal(got, d.want) {
		return fmt.Errorf("%w: %s is %x, and the server announced %x", ErrDigest, d.name, got, d.want)
	}
	return nil
}
