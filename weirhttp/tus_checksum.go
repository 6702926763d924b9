package weirhttp

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/tus/tusd/v2/pkg/handler"
)

// checksumNames are the algorithms of Upload-Checksum.
const checksumNames = "sha1,sha256,sha512,md5"

// statusChecksum is 460 Checksum Mismatch of tus.
const statusChecksum = 460

var errChecksum = handler.NewError("ERR_CHECKSUM_MISMATCH", "what arrived does not match its checksum", statusChecksum)

// checksum is what a client says of one piece of a resumable upload, in
// Upload-Checksum or Content-Digest. A piece whose checksum is wrong, or that did
// not come whole, is not kept.
type checksum struct {
	*digests
	r     *http.Request
	wrong error // the cause when it is
}

var (
	errChecksumSyntax    = &refusal{http.StatusBadRequest, "Upload-Checksum cannot be read"}
	errChecksumAlgorithm = &refusal{http.StatusBadRequest, "the algorithm of Upload-Checksum is not supported"}
)

// newChecksum returns nil if r has none.
func newChecksum(r *http.Request) (*checksum, error) {
	d, err := wanted(r.Header, r.Trailer, false)
	if err != nil {
		return nil, err
	}
	c := &checksum{d, r, errDigest}
	if s := r.Header.Get("Upload-Checksum"); s != "" {
		one, err := parseChecksum(s)
		if err != nil {
			return nil, err
		}
		d.want(one.algorithm)
		d.header = append(d.header, one)
		c.wrong = errChecksum
	}
	if len(d.hashes) == 0 {
		return nil, nil
	}
	return c, nil
}

// parseChecksum reads "sha1 base64".
func parseChecksum(s string) (digest, error) {
	name, sum, ok := strings.Cut(s, " ")
	want, err := base64.StdEncoding.DecodeString(strings.TrimSpace(sum))
	if !ok || err != nil {
		return digest{}, errChecksumSyntax
	}
	switch name {
	case "sha256":
		name = "sha-256"
	case "sha512":
		name = "sha-512"
	}
	if newHash(name) == nil {
		return digest{}, errChecksumAlgorithm
	}
	return digest{name, want}, nil
}

func (c *checksum) right() bool { return c.check(c.r.Trailer) == nil }
