package digest

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// The digests of "hello".
const (
	sha256Hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	sha256B64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
	md5B64    = "XUFAKrxLKna5cZ2REBfFkg=="
	sha1B64   = "qvTGHdzF6KLavt4PO0gs2a6pQ00="
)

func TestSet_ChecksEveryFormOfDigest(t *testing.T) {
	for field, value := range map[string]string{
		"Content-Digest": "sha-256=:" + sha256B64 + ":",
		"Repr-Digest":    "unknown=x, SHA-256=:" + sha256B64 + ":;later=1",
		"Digest":         "sha-256=" + sha256B64 + ", md5=" + md5B64,
		"Content-Md5":    md5B64,
	} {
		for content, want := range map[string]error{"hello": nil, "hullo": ErrMismatch} {
			d, err := New(http.Header{field: {value}}, nil, false)
			if err != nil || d.IsEmpty() || !d.HasHeader() || d.SHA256() != "" {
				t.Fatalf("%s: %v, %+v", field, err, d)
			}
			io.WriteString(d, content)
			if err := d.Check(nil); !errors.Is(err, want) {
				t.Errorf("%s of %q: %v, want %v", field, content, err, want)
			}
		}
	}
}

func TestSet_ChecksDigestsOfTheTrailer(t *testing.T) {
	d, err := New(nil, http.Header{"Repr-Digest": nil}, true)
	if err != nil || d.HasHeader() {
		t.Fatal(err, d)
	}
	io.WriteString(d, "hello")
	if err := d.Check(http.Header{"Repr-Digest": {"sha-256=:" + md5B64 + ":"}}); !errors.Is(err, ErrMismatch) {
		t.Errorf("a wrong trailer: %v", err)
	}
	if err := d.Check(http.Header{"Repr-Digest": {"sha-256=:" + sha256B64 + ":"}}); err != nil || d.SHA256() != sha256Hex {
		t.Errorf("%v, %s", err, d.SHA256())
	}
}

func TestSet_RefusesMalformedFields(t *testing.T) {
	for field, values := range map[string][]string{
		"Content-Digest": {"sha-256", "sha-256=abc", "sha-256=:?:"},
		"Content-Md5":    {"?"},
	} {
		for _, value := range values {
			var e *HeaderError
			if _, err := New(http.Header{field: {value}}, nil, false); !errors.As(err, &e) || e.Unsupported {
				t.Errorf("%s %q: %v", field, value, err)
			}
		}
	}
	if d, err := New(http.Header{"Digest": {"unknown=x"}}, nil, false); err != nil || !d.IsEmpty() {
		t.Errorf("an unknown algorithm: %v, %+v", err, d)
	}
}

func TestSet_TakesChecksumsOfTus(t *testing.T) {
	for value, want := range map[string]string{
		"sha1 " + sha1B64: "", "sha256 " + sha256B64: "", "sha1": "malformed Upload-Checksum", "sha1 ?": "malformed Upload-Checksum",
		"crc32 AAAA": "unsupported algorithm in Upload-Checksum",
	} {
		d, _ := New(nil, nil, false)
		got := ""
		if err := d.AddChecksum(value); err != nil {
			got = err.Error()
		} else if io.WriteString(d, "hello"); d.Check(nil) != nil {
			got = d.Check(nil).Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
