package compress_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/race"
)

// place is a place at which an encoder can be continued.
type place struct {
	in, out int64
	state   []byte
}

// encodeFrom runs an encoder from a place, and returns its output and the places
// behind it.
func encodeFrom(t *testing.T, encoder func(...compress.Option) weir.Stage[byte, byte], workers int, p place, data []byte) (out []byte, places []place) {
	t.Helper()
	var mu sync.Mutex
	st := encoder(compress.Workers(workers), compress.Resume(
		func() (int64, int64, []byte) { return p.in, p.out, p.state },
		func(in, out int64, state []byte) {
			mu.Lock()
			defer mu.Unlock()
			places = append(places, place{in, out, state})
		}))
	var b bytes.Buffer
	if err := weir.FromReader(bytes.NewReader(data[p.in:])).Through(st).To(weir.ToWriter(&b)).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), places
}

var resumable = map[string]func(...compress.Option) weir.Stage[byte, byte]{
	"gzip":    compress.Gzip,
	"zlib":    compress.Zlib,
	"deflate": compress.Deflate,
	"zstd":    compress.Zstd,
	"members": func(o ...compress.Option) weir.Stage[byte, byte] {
		return compress.Gzip(append(o, compress.Members())...)
	},
}

func TestResume_ContinuesByteForByteAtEveryPlace(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 4<<20+12345)
	for i := range data {
		data[i] = "weir, streams with backpressure\n"[random.IntN(32)&i]
	}
	for name, encoder := range resumable {
		for _, workers := range []int{1, 3} {
			if race.Enabled && (workers == 1 || name == "zlib" || name == "deflate") {
				continue // one worker has no races, and zlib and deflate share the code of gzip
			}
			t.Run(fmt.Sprintf("%s/%d", name, workers), func(t *testing.T) {
				t.Parallel()
				whole, places := encodeFrom(t, encoder, workers, place{}, data)
				if len(places) < 2 {
					t.Fatalf("%d places in %d bytes", len(places), len(data))
				}
				for _, p := range []place{places[0], places[len(places)-1]} {
					rest, _ := encodeFrom(t, encoder, 4-workers, p, data)
					if got := append(whole[:p.out:p.out], rest...); !bytes.Equal(got, whole) {
						t.Errorf("continued after %d bytes: another output", p.in)
					}
				}
				if plain := encodePlain(t, encoder, 3, data); !bytes.Equal(plain, whole) {
					t.Error("the output differs from that without Resume")
				}
			})
		}
	}
}

func encodePlain(t *testing.T, encoder func(...compress.Option) weir.Stage[byte, byte], workers int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := weir.FromReader(bytes.NewReader(data)).Through(encoder(compress.Workers(workers))).To(weir.ToWriter(&b)).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestResume_RefusesAPlaceThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]place{"within a block": {in: 5, out: 9}, "without its state": {in: 1 << 20, out: 400}} {
		st := compress.Gzip(compress.Resume(func() (int64, int64, []byte) { return p.in, p.out, p.state }, func(int64, int64, []byte) {}))
		if err := weir.Values(byte(1)).Through(st).To(weir.Discard[byte]()).Run(context.Background()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestResume_IsRefusedByDecodersAndNilFunctions(t *testing.T) {
	t.Parallel()
	from, at := func() (int64, int64, []byte) { return 0, 0, nil }, func(int64, int64, []byte) {}
	if st := compress.Gunzip(compress.Resume(from, at)); st.Err == nil && weir.Values(byte(1)).Through(st).To(weir.Discard[byte]()).Check() == nil {
		t.Error("gunzip takes Resume")
	}
	if st := compress.Gzip(compress.Resume(nil, at)); weir.Values(byte(1)).Through(st).To(weir.Discard[byte]()).Check() == nil {
		t.Error("nil function")
	}
}
