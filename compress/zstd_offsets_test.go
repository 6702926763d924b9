package compress

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The reference decoder calls an offset of 0 corruption (off0.bin.zst is from its
// own corpus); the library reads it as 1.
func TestUnzstd_RefusesAnOffsetOfZero(t *testing.T) {
	for name, tt := range map[string]struct{ in, good string }{
		"off0.bin.zst":                {"28b52ffd 0000 450000 08000200 2f430bae", ""},
		"behind a block that is well": {"28b52ffd 0000 180000 616263 3d0000 00015400 010003", "abc"},
		"behind a frame that is well": {"28b52ffd 0000 190000 616263 28b52ffd 0000 180000 616263 3d0000 00015400 010003", "abcabc"},
	} {
		for _, chunk := range []int{1, 1 << 16} {
			src := weir.FromReader(smallReads{bytes.NewReader(unhex(t, tt.in)), chunk})
			got, err := weir.Collect(context.Background(), weir.Via(src, Unzstd()), 1<<20)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !errors.Is(err, errZeroOffset) {
				t.Errorf("%s: %v", name, err)
			}
			if string(got) != tt.good {
				t.Errorf("%s: %q arrived before the error, want %q", name, got, tt.good)
			}
		}
	}
}

type smallReads struct {
	r    io.Reader
	most int
}

func (s smallReads) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.most)]) }

// Every block must be understood: what cannot be followed is not checked.
func TestZstdOffsets_FollowsWhateverAnEncoderWrites(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var inputs [][]byte
	for _, name := range []string{"zstd_offsets.go", "blocks.go", "../go.sum"} {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, b, bytes.Repeat(b, 20))
	}
	mixed := make([]byte, 0, 1<<20)
	for len(mixed) < 1<<20 {
		if n := len(mixed); n > 1000 && rnd.IntN(3) > 0 {
			from := rnd.IntN(n - 500)
			mixed = append(mixed, mixed[from:from+3+rnd.IntN(400)]...)
		} else {
			mixed = append(mixed, byte(rnd.IntN(256)), byte(rnd.IntN(4)))
		}
	}
	inputs = append(inputs, mixed, bytes.Repeat([]byte{7}, 1<<20))
	blocks := 0
	for _, data := range inputs {
		for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
			var out bytes.Buffer
			e, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			var z frameReader
			in := newInput()
			in.reset(&out)
			z.reset(in)
			buf := make([]byte, 1000)
			for {
				_, err := z.Read(buf)
				if z.packed && z.element == zstdBlockHead {
					blocks++
				}
				if z.offsets.lost {
					t.Fatalf("level %v: it lost its way", level)
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if blocks < 50 {
		t.Errorf("only %d compressed blocks were read", blocks)
	}
}
