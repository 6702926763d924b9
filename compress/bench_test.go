package compress_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

func benchStage(b *testing.B, in []byte, st weir.Stage[byte, byte]) {
	b.SetBytes(int64(len(in)))
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

func BenchmarkGunzipBareLibrary(b *testing.B) {
	packed := pack(b)
	b.SetBytes(int64(len(packed)))
	for b.Loop() {
		zr, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, zr)
	}
}

func BenchmarkGunzip(b *testing.B) { benchStage(b, pack(b), compress.Gunzip()) }

func pack(b *testing.B) []byte {
	packed, err := run(bytes.NewReader(logText(32<<20)), compress.Gzip())
	if err != nil {
		b.Fatal(err)
	}
	return packed
}
