package crcpair

import (
	"hash/crc32"
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestUpdate_ContinuesFromItsValue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	want := uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))<<32 | uint64(crc32.ChecksumIEEE(data))
	if got := Update(0, data); got != want {
		t.Errorf("%016x, want %016x", got, want)
	}
	for range 200 {
		sum, rest := uint64(0), data
		for len(rest) > 0 {
			n := min(r.IntN(40_000), len(rest))
			sum, rest = Update(sum, rest[:n]), rest[n:]
		}
		if sum != want {
			t.Fatalf("%016x in pieces, want %016x", sum, want)
		}
	}
	if Update(want, nil) != want {
		t.Error("no bytes change the sum")
	}
}

func BenchmarkUpdate(b *testing.B) {
	data, table := make([]byte, 64<<10), crc64.MakeTable(crc64.ECMA)
	b.Run("crcpair", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			Update(1, data)
		}
	})
	b.Run("crc64", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			crc64.Update(1, table, data)
		}
	})
}
