package weirhttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"hash"
	"net/http"
	"strings"

	"github.com/tus/tusd/v2/pkg/handler"
)

// checksumNames are the algorithms of Upload-Checksum.
const checksumNames = "sha1,sha256,sha512,md5"

// statusChecksum is 460 Checksum Mismatch of tus.
const statusChecksum = 460

var errChecksum = handler.NewError("ERR_CHECKSUM_MISMATCH", "what arrived does not match its checksum", statusChecksum)

// checksum is what a client says of one piece of a resumable upload. A piece
// whose checksum is wrong, or that did not come whole, is not kept.
type checksum struct {
	hash.Hash
	want []byte
}

var (
	errChecksumSyntax    = errors.New("Upload-Checksum cannot be read")
	errChecksumAlgorithm = errors.New("the algorithm of Upload-Checksum is not supported")
)

// newChecksum reads "sha1 base64" from the header, and returns nil if there is
// none.
func newChecksum(r *http.Request) (*checksum, error) {
	s := r.Header.Get("Upload-Checksum")
	if s == "" {
		return nil, nil
	}
	name, sum, ok := strings.Cut(s, " ")
	want, err := base64.StdEncoding.DecodeString(strings.TrimSpace(sum))
	if !ok || err != nil {
		return nil, errChecksumSyntax
	}
	switch name {
	case "sha256":
		name = "sha-256"
	case "sha512":
		name = "sha-512"
	}
	h := newHash(name)
	if h == nil {
		return nil, errChecksumAlgorithm
	}
	return &checksum{h, want}, nil
}

func (c *checksum) right() bool { return bytes.Equal(c.Sum(nil), c.want) }
