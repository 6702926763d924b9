package s3

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"

	"github.com/weir-go/weir/endpoint"
)

// Names of headers of the protocol.
const (
	headerCRC64  = "x-amz-checksum-crc64nvme"
	headerType   = "x-amz-checksum-type"
	headerNonce  = "weir-upload" // of ours: x-amz-meta-weir-upload
	fullObject   = "FULL_OBJECT"
	headerMode   = "x-amz-checksum-mode"
	headerMethod = "x-amz-checksum-algorithm"
)

// checksum adds up the bytes of an object and compares the sum with the one that
// the store has noted.
type checksum struct {
	hash.Hash
	name string
	want []byte
}

// checksumOf finds a checksum of a whole object in the answer to a request about
// it, or returns nil. A checksum of the parts' checksums ends in their number and
// says nothing that we could compare.
func checksumOf(h http.Header, bucket string) *checksum {
	for _, a := range []struct {
		name string
		new  func() hash.Hash
	}{
		{"crc64nvme", func() hash.Hash { return crc64nvme.New() }},
		{"sha256", sha256.New},
		{"crc32c", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
		{"crc32", func() hash.Hash { return crc32.NewIEEE() }},
	} {
		sum := a.new()
		if want, err := base64.StdEncoding.DecodeString(h.Get("x-amz-checksum-" + a.name)); err == nil && len(want) == sum.Size() {
			return &checksum{sum, a.name, want}
		}
	}
	// An ETag is the MD5 of an object that was sent in one piece, unless it was
	// encrypted with a key that is not the store's own.
	kms := strings.Contains(h.Get("x-amz-server-side-encryption"), "kms") || h.Get("x-amz-server-side-encryption-customer-algorithm") != ""
	if want := md5Of(h.Get("ETag")); want != nil && !kms && !strings.HasSuffix(bucket, "--x-s3") {
		return &checksum{md5.New(), "md5", want}
	}
	return nil
}

// md5Of returns the MD5 that an ETag is, or nil.
func md5Of(etag string) []byte {
	want, err := hex.DecodeString(strings.Trim(etag, `"`))
	if err != nil || len(want) != md5.Size {
		return nil
	}
	return want
}

// check compares.
func (c *checksum) check() error {
	if got := c.Sum(nil); !bytes.Equal(got, c.want) {
		return fmt.Errorf("%w: %s is %x, and the store noted %x", endpoint.ErrDigest, c.name, got, c.want)
	}
	return nil
}

// crc64 returns a checksum as the protocol writes it.
func crc64(sum uint64) string {
	return base64.StdEncoding.EncodeToString([]byte{
		byte(sum >> 56), byte(sum >> 48), byte(sum >> 40), byte(sum >> 32), byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum),
	})
}

// md5Base64 returns a Content-MD5 of all that r has.
func md5Base64(r io.ReadSeeker) string {
	h := md5.New()
	_, err := r.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(h, r)
	}
	if err != nil {
		return "" // sending the body will fail with the same error
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// matchesETag reports whether etag, of an object of size bytes, matches the
// contents of r. It knows the ETags of objects sent in one piece, or in parts
// of a known size. For any other ETag it returns false without reading.
func matchesETag(s Store, r io.ReaderAt, size int64, etag string) (bool, error) {
	if want := md5Of(etag); want != nil {
		got, err := md5Section(r, 0, size)
		return err == nil && bytes.Equal(got, want), err
	}
	text, number, ok := strings.Cut(strings.Trim(etag, `"`), "-")
	want := md5Of(text)
	parts, err := strconv.ParseInt(number, 10, 64)
	if !ok || want == nil || err != nil || parts < 1 || parts > maxParts {
		return false, nil
	}
	sizes := []int64{
		s.partSize(size, filePart), s.partSize(size, heldPart), Store{}.partSize(size, filePart), Store{}.partSize(size, heldPart),
		8 << 20, 5 << 20, 16 << 20, 64 << 20,
	}
	slices.Sort(sizes)
	for _, part := range slices.Compact(sizes) {
		if (size+part-1)/part != parts {
			continue
		}
		all := md5.New()
		for at := int64(0); at < size; at += part {
			sum, err := md5Section(r, at, min(part, size-at))
			if err != nil {
				return false, err
			}
			all.Write(sum)
		}
		if hex.EncodeToString(all.Sum(nil)) == text {
			return true, nil
		}
	}
	return false, nil
}

func md5Section(r io.ReaderAt, from, n int64) ([]byte, error) {
	h := md5.New()
	if _, err := io.CopyN(h, io.NewSectionReader(r, from, n), n); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
