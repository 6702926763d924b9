package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

func inflate(t *testing.T, packed []byte) []byte {
	t.Helper()
	got, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEncoder_RoundTrips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for level := range 7 {
		e := NewEncoder(level)
		for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 10, 100, 1000, 9999, 70000, MaxInput - 1, MaxInput} {
			for _, alpha := range []int{1, 2, 5, 30, 256} {
				in := new(Input)
				for i := range n {
					in[i] = byte(r.IntN(alpha))
					if i > 400 && r.IntN(40) == 0 {
						// repeats
						copy(in[i:n], in[i-r.IntN(min(i, 40000)-1)-1:][:r.IntN(300)])
					}
				}
				want := bytes.Clone(in[:n])
				packed := e.Append(nil, in, n, true)
				if got := inflate(t, packed); !bytes.Equal(got, want) {
					t.Fatalf("level %d n %d alpha %d: %d bytes", level, n, alpha, len(got))
				}
				if len(packed) > n+Overhead {
					t.Errorf("%d", len(packed))
				}
				packed = append(e.Append(nil, in, n, false), e.Append(nil, in, n, true)...)
				if got := inflate(t, packed); !bytes.Equal(got, append(want, want...)) {
					t.Fatalf("twice level %d n %d alpha %d: %d bytes", level, n, alpha, len(got))
				}
			}
		}
	}
}
