package compress_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// benchStage counts uncompressed bytes, 32 MiB, in both directions.
func benchStage(b *testing.B, in []byte, st weir.Stage[byte, byte]) {
	b.SetBytes(32 << 20)
	for b.Loop() {
		if err := weir.FromReader(bytes.NewReader(in)).Through(st).To(weir.ToWriter(io.Discard)).Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGzipBareLibrary(b *testing.B) {
	text := logText(32 << 20)
	b.SetBytes(int64(len(text)))
	w, _ := gzip.NewWriterLevel(io.Discard, 6)
	for b.Loop() {
		w.Reset(io.Discard)
		w.Write(text)
		w.Close()
	}
}

func BenchmarkGzipSerial(b *testing.B) {
	benchStage(b, logText(32<<20), compress.Gzip(compress.Workers(1)))
}

func BenchmarkGzipParallel(b *testing.B) { benchStage(b, logText(32<<20), compress.Gzip()) }

func BenchmarkGzipMembers(b *testing.B) {
	benchStage(b, logText(32<<20), compress.Gzip(compress.Members()))
}

func BenchmarkZstdBareLibrary(b *testing.B) {
	text := logText(32 << 20)
	b.SetBytes(int64(len(text)))
	w, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1))
	for b.Loop() {
		w.Reset(io.Discard)
		w.Write(text)
		w.Close()
	}
}

func BenchmarkZstdSerial(b *testing.B) {
	benchStage(b, logText(32<<20), compress.Zstd(compress.Workers(1)))
}

func BenchmarkZstdParallel(b *testing.B) { benchStage(b, logText(32<<20), compress.Zstd()) }

// What a server allocates for each short flow.
func BenchmarkShortFlows(b *testing.B) {
	text := logText(1000)
	for _, c := range codecs {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var opts []compress.Option
			if c.name != "s2" {
				opts = append(opts, compress.Workers(1))
			}
			for b.Loop() {
				err := weir.FromReader(bytes.NewReader(text)).Through(c.encode(opts...), c.decode()).To(weir.ToWriter(io.Discard)).Run(b.Context())
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGunzipBareLibrary(b *testing.B) {
	packed := pack(b)
	b.SetBytes(32 << 20)
	for b.Loop() {
		zr, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, zr)
	}
}

func BenchmarkGunzipSerial(b *testing.B) {
	benchStage(b, pack(b), compress.Gunzip(compress.Workers(1)))
}

func BenchmarkGunzipOneMember(b *testing.B) { benchStage(b, pack(b), compress.Gunzip()) }

func BenchmarkGunzipMembers(b *testing.B) {
	benchStage(b, pack(b, compress.Members()), compress.Gunzip())
}

func pack(b *testing.B, opts ...compress.Option) []byte {
	packed, err := run(bytes.NewReader(logText(32<<20)), compress.Gzip(opts...))
	if err != nil {
		b.Fatal(err)
	}
	return packed
}
