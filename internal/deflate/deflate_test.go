package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-go/weir/internal/race"
)

func inflate(t *testing.T, packed []byte) []byte {
	t.Helper()
	r := bytes.NewReader(packed)
	got, err := io.ReadAll(flate.NewReader(r))
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() > 0 {
		t.Errorf("%d bytes follow the end", r.Len())
	}
	return got
}

// mix returns n bytes of an alphabet of so many letters, some of them copies of
// what came up to 40,000 bytes before.
func mix(n, letters int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(letters)))
	b := make([]byte, 0, n+300)
	for len(b) < n {
		if len(b) > 100 && r.IntN(30) == 0 {
			at := len(b) - 1 - r.IntN(min(len(b), 40_000))
			b = append(b, b[at:min(len(b), at+r.IntN(300))]...)
			continue
		}
		b = append(b, byte(r.IntN(letters)))
	}
	return b[:n]
}

// input returns data in the memory that an encoder wants, with something behind
// it that must not matter.
func input(data []byte) (in *Input, n int) {
	in = new(Input)
	for i := copy(in[:], data); i < len(in); i++ {
		in[i] = byte(i)
	}
	return in, len(data)
}

func TestEncoder_WhatItCompressesComesBack(t *testing.T) {
	for level := range levels {
		e := NewEncoder(level)
		for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 100, 257, 258, 259, 1000, 5000, 70_000, MaxInput - 1, MaxInput} {
			for _, letters := range []int{1, 2, 30, 256} {
				if n > 100_000 && (level > 7 && letters == 1 || race.Enabled) {
					continue // one long match after the other, for many seconds
				}
				want := mix(n, letters)
				in, n := input(want)
				packed := e.Append([]byte("before"), in, n, true)
				if !bytes.HasPrefix(packed, []byte("before")) {
					t.Fatalf("level %d, %d bytes: what was there before has changed", level, n)
				}
				if packed = packed[6:]; len(packed) > n+Overhead {
					t.Errorf("level %d, %d bytes of %d letters: became %d, over the most of %d", level, n, letters, len(packed), n+Overhead)
				}
				if got := inflate(t, packed); !bytes.Equal(got, want) {
					t.Fatalf("level %d, %d bytes of %d letters: came back as %d bytes", level, n, letters, len(got))
				}
			}
		}
	}
}

func TestEncoder_PiecesCanBeJoined(t *testing.T) {
	markers := []byte{0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff}
	for level := range levels {
		e := NewEncoder(level)
		var packed, want []byte
		for _, n := range []int{0, 1, 70_001, 0, 500, 0} {
			data := mix(n, 40)
			in, _ := input(data)
			packed = e.Append(packed, in, n, false)
			if !bytes.HasSuffix(packed, markers) {
				t.Errorf("level %d, %d bytes: ends with %x, not with two empty stored blocks", level, n, packed[len(packed)-9:])
			}
			want = append(want, data...)
		}
		packed = e.Append(packed, new(Input), 0, true)
		if got := inflate(t, packed); !bytes.Equal(got, want) {
			t.Errorf("level %d: came back as %d bytes, want %d", level, len(got), len(want))
		}
	}
}

func TestEncoder_TheOutputDependsOnNothingButTheInput(t *testing.T) {
	data, other := mix(300_000, 60), mix(400_000, 50)
	for level := range levels {
		in, n := input(data)
		want := NewEncoder(level).Append(nil, in, n, true)

		used := NewEncoder(level)
		before, m := input(other)
		used.Append(nil, before, m, false)
		in, n = input(data)
		if got := used.Append(nil, in, n, true); !bytes.Equal(got, want) {
			t.Errorf("level %d: an encoder that was used before gives %d bytes, not %d", level, len(got), len(want))
		}

		old := NewEncoder(level)
		old.base = 1<<31 - 1
		old.Append(nil, before, m, false)
		in, n = input(data)
		if got := old.Append(nil, in, n, true); !bytes.Equal(got, want) {
			t.Errorf("level %d: after 2 GiB there are %d bytes, not %d", level, len(got), len(want))
		}

		clean := new(Input)
		copy(clean[:], data)
		if got := used.Append(nil, clean, n, true); !bytes.Equal(got, want) {
			t.Errorf("level %d: what lies behind the input matters", level)
		}

		var out bytes.Buffer
		buf, err := used.WriteTo(&out, make([]byte, 0, BlockOutput), clean, n, true)
		if err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("level %d: WriteTo writes %d bytes, not %d, %v", level, out.Len(), len(want), err)
		}
		if cap(buf) != BlockOutput {
			t.Errorf("level %d: the buffer grew to %d bytes", level, cap(buf))
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestEncoder_WriteToReturnsTheErrorOfItsWriter(t *testing.T) {
	boom := errors.New("boom")
	noise := mix(MaxInput, 256)
	for level := range levels {
		in, n := input(noise)
		e := NewEncoder(level)
		buf, err := e.WriteTo(failing{boom}, make([]byte, 0, BlockOutput), in, n, true)
		if !errors.Is(err, boom) || cap(buf) != BlockOutput {
			t.Errorf("level %d: %v, buffer of %d bytes", level, err, cap(buf))
		}
		var out bytes.Buffer
		if _, err := e.WriteTo(&out, buf, in, n, true); err != nil || !bytes.Equal(inflate(t, out.Bytes()), noise) {
			t.Errorf("level %d, afterwards: %v", level, err)
		}
	}
}

// samples are kinds of data on which levels are compared.
func samples(t *testing.T) map[string][]byte {
	r := rand.New(rand.NewPCG(7, 8))
	var log, json bytes.Buffer
	for log.Len() < 1<<20 {
		fmt.Fprintf(&log, "2026-11-%02dT10:%02d:%02dZ host-%d app[%d]: level=info msg=\"request handled\" path=/api/v%d/items/%d status=%d duration=%d.%dms\n",
			1+r.IntN(28), r.IntN(60), r.IntN(60), r.IntN(12), 100+r.IntN(900), 1+r.IntN(3), r.IntN(5000), 200+100*r.IntN(4), r.IntN(300), r.IntN(1000))
	}
	for json.Len() < 1<<20 {
		fmt.Fprintf(&json, `{"id":%d,"key":"%08x","name":"customer %d","price":%.2f,"tags":["t%d","t%d"],"active":%t}`+"\n",
			r.IntN(1e6), r.Uint32(), r.IntN(300), r.ExpFloat64()*50, r.IntN(20), r.IntN(20), r.IntN(3) == 0)
	}
	all := map[string][]byte{"log": log.Bytes(), "json": json.Bytes()}
	if name, err := os.Executable(); err == nil {
		if program, err := os.ReadFile(name); err == nil {
			all["program"] = program[:min(len(program), 1<<20)]
		}
	}
	// Of a small file, a higher level can give a byte more by chance.
	files, err := filepath.Glob("../../*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all["source"] = append(all["source"], text...)
	}
	return all
}

func TestLevels_AHigherOneNeverGivesMore(t *testing.T) {
	if race.Enabled {
		t.Skip("it computes in one goroutine, for many seconds")
	}
	for name, data := range samples(t) {
		last := 0
		for level := range levels {
			e := NewEncoder(level)
			size := 0
			for at := 0; at < len(data); at += MaxInput {
				in, n := input(data[at:min(len(data), at+MaxInput)])
				size += len(e.Append(nil, in, n, true))
			}
			if t.Logf("%-8s level %d: %8d of %8d bytes", name, level, size, len(data)); level > 0 && size > last {
				t.Errorf("%s: level %d gives %d bytes, level %d %d", name, level, size, level-1, last)
			}
			last = size
		}
	}
}

func TestCode_NoSymbolIsLongerThanAllowed(t *testing.T) {
	for _, most := range []int{mostPreBits, mostLitBits, mostDistBits} {
		for symbols := 0; symbols <= 24; symbols++ {
			var c code
			a, b := uint32(1), uint32(1) // Fibonacci's numbers give the deepest tree
			for sym := range symbols {
				c.freq[sym] = a
				a, b = b, a+b
			}
			c.build(most)
			sum := 0
			for sym, n := range c.size {
				if int(n) > most || n == 0 && c.freq[sym] > 0 {
					t.Errorf("%d symbols: symbol %d has %d bits of %d", symbols, sym, n, most)
				}
				if n > 0 {
					sum += 1 << (most - int(n))
				}
			}
			if sum != 1<<most {
				t.Errorf("%d symbols in up to %d bits: the code is not complete: %d of %d", symbols, most, sum, 1<<most)
			}
		}
	}
}

func FuzzEncoder_RoundTrip(f *testing.F) {
	f.Add([]byte(""), 6)
	f.Add([]byte("abcabcabcabcabcabcabcabcabcabcabcabcabcab"), 1)
	f.Add(mix(3000, 4), 4)
	f.Add(mix(3000, 250), 9)
	encoders := make([]*Encoder, len(levels))
	for level := range encoders {
		encoders[level] = NewEncoder(level)
	}
	in := new(Input)
	f.Fuzz(func(t *testing.T, data []byte, level int) {
		if level < 0 || level > MaxLevel || len(data) > MaxInput {
			return
		}
		n := copy(in[:], data)
		packed := encoders[level].Append(nil, in, n, false)
		packed = encoders[level].Append(packed, in, n, true)
		if got := inflate(t, packed); !bytes.Equal(got, append(bytes.Clone(data), data...)) {
			t.Errorf("level %d: %d bytes came back as %d", level, 2*n, len(got))
		}
	})
}
