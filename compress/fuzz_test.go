package compress_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/weir-go/weir/compress"
)

func FuzzDecodersStayWithinTheirLimit(f *testing.F) {
	for _, c := range codecs {
		if packed, err := run(bytes.NewReader([]byte("some text, some text")), c.encode()); err == nil {
			f.Add(packed)
		}
	}
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		for _, c := range codecs {
			out, err := run(bytes.NewReader(data), c.decode(compress.MaxOutput(most)))
			if len(out) > most {
				t.Errorf("%s: %d bytes", c.name, len(out))
			}
			var ce *compress.CorruptError
			if err != nil && !errors.As(err, &ce) && !errors.Is(err, compress.ErrTooLarge) && !errors.Is(err, compress.ErrWindow) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(""), byte(0))
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		c := codecs[int(which)%len(codecs)]
		packed, err := run(bytes.NewReader(data), c.encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := run(bytes.NewReader(packed), c.decode())
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes became %d, %v", c.name, len(data), len(got), err)
		}
	})
}

// What all cores make of a file is what one makes of it, except that a wrong
// size in a header may be an error.
func FuzzAllCoresAgreeWithOne(f *testing.F) {
	sized := func(s string) []byte {
		packed, err := run(bytes.NewReader([]byte(s)), compress.Gzip(compress.Members()))
		if err != nil {
			f.Fatal(err)
		}
		return packed
	}
	a, b := sized("some text, some text"), sized("")
	f.Add(a)
	f.Add(bytes.Join([][]byte{a, b, a}, nil))
	f.Add(append(bytes.Clone(a), "\x00\x00garbage"...))
	f.Add(append(bytes.Clone(a), a[:len(a)-3]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		one, oneErr := run(bytes.NewReader(data), compress.Gunzip(compress.Workers(1), compress.MaxOutput(most)))
		all, allErr := run(bytes.NewReader(data), compress.Gunzip(compress.Workers(3), compress.MaxOutput(most)))
		if !bytes.HasPrefix(one, all) && !bytes.HasPrefix(all, one) {
			t.Errorf("%q and %q", one, all)
		}
		if allErr == nil && (oneErr != nil || len(one) != len(all)) {
			t.Errorf("one: %d bytes, %v; all: %d bytes", len(one), oneErr, len(all))
		}
		var ce *compress.CorruptError
		if allErr != nil && oneErr == nil && !(errors.As(allErr, &ce) && ce.Format == "gzip") {
			t.Errorf("one: %d bytes; all: %v", len(one), allErr)
		}
	})
}
