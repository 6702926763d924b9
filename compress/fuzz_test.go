package compress_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/weir-go/weir/compress"
)

func FuzzCodecs_StayWithinTheirLimit(f *testing.F) {
	for _, c := range codecs {
		if packed, err := run(bytes.NewReader([]byte("some text, some text")), c.encode()); err == nil {
			f.Add(packed)
		}
	}
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x00\x45\x00\x00\x08\x00\x02\x00\x2f\x43\x0b\xae")) // a match with offset 0
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

func FuzzCodecs_RoundTrip(f *testing.F) {
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
func FuzzGunzip_AllCoresAgreeWithOne(f *testing.F) {
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

// However a file of blocks is damaged, what workers make of it ahead is used only
// where it is what one goroutine makes of it.
func FuzzGunzip_DecompressesBlocksAsInOneGoroutine(f *testing.F) {
	f.Add(uint32(0), byte(0), uint32(0), uint32(0), byte(6))
	f.Add(uint32(70_000), byte(1), uint32(0), uint32(50_000), byte(1))
	f.Add(uint32(10), byte(4), uint32(60_000), uint32(0), byte(0))
	plain := append(append(bytes.Clone(logText(150_000)), noise(60_000)...), logText(100_000)...)
	packed := map[int][]byte{}
	f.Fuzz(func(t *testing.T, at uint32, bits byte, cut, mark uint32, level byte) {
		l := int(level % 10)
		if packed[l] == nil {
			packed[l] = compress.Blocks(plain, 70_000, l)
		}
		data := bytes.Clone(packed[l])
		copy(data[int(mark)%len(data):], compress.Mark) // overwrites some bytes
		if mark%2 == 0 {
			data = bytes.Clone(packed[l])
		}
		data[int(at)%len(data)] ^= bits
		data = data[:len(data)-int(cut)%len(data)]
		want, wantErr := compress.GunzipOn(1, data)
		for name, decode := range map[string]func([]byte) ([]byte, error){
			"three workers": func(b []byte) ([]byte, error) { return compress.GunzipOn(3, b) },
			"all ahead":     compress.GunzipAhead,
		} {
			got, err := decode(data)
			if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s: %d bytes, %v; in one goroutine %d, %v", name, len(got), err, len(want), wantErr)
			}
		}
	})
}

// What the standard library reads is read, and the reverse.
func FuzzGunzip_AgreesWithTheStandardLibrary(f *testing.F) {
	small, _ := run(bytes.NewReader([]byte("some text, some text")), compress.Gzip())
	f.Add(small)
	f.Add(bytes.Join([][]byte{small, small}, nil))
	var named bytes.Buffer
	zw := stdgzip.NewWriter(&named)
	zw.Name, zw.Comment, zw.Extra = "a name", "a comment", []byte("extra")
	zw.Write([]byte("hello"))
	zw.Close()
	f.Add(named.Bytes())
	f.Add([]byte("\x1f\x8b\x08\x02\x00\x00\x00\x00\x00\x03\xff\xff"))
	f.Add(append([]byte("\x1f\x8b\x08\x80"), small[4:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The standard library ignores reserved flags, and weir must not: see
		// TestGunzip_ReadsHeadersAsRFC1952Says.
		data = bytes.Clone(data)
		for i := range data {
			if bytes.HasPrefix(data[i:], []byte("\x1f\x8b\x08")) && i+3 < len(data) {
				data[i+3] &^= 0xe0
			}
		}
		var want []byte
		zr, wantErr := stdgzip.NewReader(bytes.NewReader(data))
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(zr, 1<<20))
		}
		got, err := run(bytes.NewReader(data), compress.Gunzip(compress.Workers(1), compress.MaxOutput(1<<20), compress.OnTrailing(func(int64) error { return nil })))
		switch {
		case wantErr == nil && len(want) < 1<<20 && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("%d bytes, %v; the standard library %d", len(got), err, len(want))
		// It demands that a member follows a member, where zeros or garbage may,
		// and that names have at most 511 bytes.
		case wantErr != nil && err == nil && !bytes.Equal(got, want) && !(wantErr == stdgzip.ErrHeader && len(data) > 512):
			t.Errorf("%d bytes; the standard library %d, %v", len(got), len(want), wantErr)
		}
	})
}
