package inflate

import (
	"bytes"
	stdflate "compress/flate"
	"io"
	"testing"

	"github.com/klauspost/compress/flate"
)

// The corpus in testdata/fuzz has short streams of all kinds, and such that are
// damaged.
func FuzzDecoder_AgreesWithTheStandardLibrary(f *testing.F) {
	for _, plain := range [][]byte{nil, []byte("some text, some text, some more text"), make([]byte, 1000), samples()["far"][:500]} {
		for _, level := range []int{0, 1, 9, stdflate.HuffmanOnly} {
			for _, encoder := range encoders {
				var b bytes.Buffer
				z := encoder(&b, level)
				z.Write(plain)
				z.Flush()
				z.Write(plain)
				z.Close()
				f.Add(b.Bytes(), byte(0))
			}
		}
	}
	d := new(Decoder)
	f.Fuzz(func(t *testing.T, data []byte, size byte) {
		agrees(t, d, "as a whole", data)
		whole, _, wantErr := decode(d, data, nil)
		in := new(Input)
		in.Reset(&pieces{data, func() int { return 1 + int(size) }})
		d.Reset(in, nil)
		got, err := io.ReadAll(d)
		if !bytes.Equal(got, whole) || err != wantErr {
			t.Errorf("in pieces of %d: %d bytes, %v; as a whole %d, %v", 1+int(size), len(got), err, len(whole), wantErr)
		}
		if wantErr == nil {
			old, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
			if err != nil || !bytes.Equal(old, got) {
				t.Errorf("%d bytes; klauspost/compress: %d, %v", len(got), len(old), err)
			}
		}
	})
}

// What is packed in any way comes back.
func FuzzDecoder_ReturnsWhatWasPacked(f *testing.F) {
	f.Add([]byte("some text, some text"), 1, byte(1))
	f.Add(make([]byte, 300), 9, byte(200))
	d := new(Decoder)
	f.Fuzz(func(t *testing.T, piece []byte, level int, times byte) {
		plain := bytes.Repeat(piece, 1+int(times))
		if len(plain) > 1<<18 {
			return
		}
		for name, encoder := range encoders {
			var b bytes.Buffer
			z := encoder(&b, -2+int(uint(level)%12))
			z.Write(plain)
			z.Close()
			if got, used, err := decode(d, b.Bytes(), nil); err != nil || !bytes.Equal(got, plain) || used != b.Len() {
				t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(plain), err)
			}
		}
	})
}
