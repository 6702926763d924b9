package inflate

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/flate"
)

// gunzipped returns the deflate data of the gzip file that INFLATE_BENCH names,
// or of a sample.
func benchData(b *testing.B) []byte {
	if name := os.Getenv("INFLATE_BENCH"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		head := 10
		if data[3]&8 != 0 {
			head += bytes.IndexByte(data[head:], 0) + 1
		}
		return data[head:]
	}
	var packed bytes.Buffer
	z, _ := flate.NewWriter(&packed, 6)
	z.Write(bytes.Repeat(samples()["log"], 50))
	z.Close()
	return packed.Bytes()
}

func BenchmarkDecoder(b *testing.B) {
	data := benchData(b)
	d, in := new(Decoder), new(Input)
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(bytes.NewReader(data))
		d.Reset(in, nil)
		n, err := io.Copy(io.Discard, struct{ io.Reader }{d})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

func BenchmarkKlauspost(b *testing.B) {
	data := benchData(b)
	for b.Loop() {
		n, err := io.Copy(io.Discard, struct{ io.Reader }{flate.NewReader(bytes.NewReader(data))})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
