package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/minio/crc64nvme"

	"github.com/weir-go/weir/s3/internal/access"
)

// sums are what a request says about the content that it sends.
type sums struct {
	crc uint64 // CRC-64/NVME
	sha string // SHA-256 in hex, which the signature covers; empty: it does not
}

// digest computes sums.
type digest struct {
	crc hash.Hash64
	sha hash.Hash // nil if the signature does not cover the content
}

func newDigest(c *client) *digest {
	d := &digest{crc: crc64nvme.New()}
	if access.SignsContent(c.core) {
		d.sha = sha256.New()
	}
	return d
}

func (d *digest) Write(p []byte) (int, error) {
	if d.sha != nil {
		d.sha.Write(p)
	}
	return d.crc.Write(p)
}

func (d *digest) Reset() {
	d.crc.Reset()
	if d.sha != nil {
		d.sha.Reset()
	}
}

// sums returns the sums of what was written.
func (d *digest) sums() sums {
	s := sums{crc: d.crc.Sum64()}
	if d.sha != nil {
		s.sha = hex.EncodeToString(d.sha.Sum(nil))
	}
	return s
}
