package compress_test

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/race"
)

// again reads data over and over, up to n bytes.
func again(data []byte, n int64) io.Reader { return io.LimitReader(&repeater{data: data}, n) }

type repeater struct {
	data []byte
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.data[r.at:])
	r.at = (r.at + n) % len(r.data)
	return n, nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// Goroutines that are left behind are found when all tests are done.
func TestCodecs_EndWithTheirFlow(t *testing.T) {
	data := noise(3 << 20)
	for _, c := range codecs {
		packed := mustRun(t, data, c.encode())
		for _, st := range []weir.Stage[byte, byte]{c.encode(), c.decode()} {
			in := data
			if st.Name != c.name {
				in = packed
			}
			why := errors.New("enough of it")
			ctx, cancel := context.WithCancelCause(context.Background())
			err := weir.FromReader(again(in, 1<<40)).Through(st).To(weir.EachBatch(func(context.Context, []byte) error {
				cancel(why)
				return nil
			})).Run(ctx)
			if !errors.Is(err, why) {
				t.Errorf("%s: %v", st.Name, err)
			}
		}
	}
}

// stalled runs a flow into a sink that takes nothing, calls f when nothing
// moves any more, and ends the flow.
func stalled(t *testing.T, in io.Reader, st weir.Stage[byte, byte], f func(*weir.Flow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		flow := weir.FromReader(in).Through(st).To(weir.EachBatch(func(ctx context.Context, _ []byte) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		var wg sync.WaitGroup
		wg.Go(func() { flow.Run(ctx) })
		synctest.Wait()
		f(flow)
		cancel()
		wg.Wait()
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // pools let go at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Noise fills every block and buffer to the brim.
func TestCodecs_StayBelowTheirCeiling(t *testing.T) {
	if race.Enabled {
		t.Skip("it looks for no races, and takes long under their detector")
	}
	data := noise(4 << 20)
	for _, c := range codecs {
		levels := c.levels
		if c.name == "zstd" {
			levels = append(levels, 19)
		}
		for _, level := range levels {
			for _, workers := range []int{1, 3} {
				opts := []compress.Option{compress.Level(level)}
				if c.name != "s2" {
					opts = append(opts, compress.Workers(workers))
				}
				name := fmt.Sprintf("%s level %d, %d workers", c.name, level, workers)
				before := heap()
				stalled(t, again(data, 1<<40), c.encode(opts...), func(f *weir.Flow) { checkCeiling(t, name, f, before) })
			}
		}
		packed := mustRun(t, data, c.encode())
		before := heap()
		stalled(t, again(packed, 1<<40), c.decode(), func(f *weir.Flow) { checkCeiling(t, "un"+c.name, f, before) })
	}
}

func checkCeiling(t *testing.T, name string, f *weir.Flow, before int64) {
	t.Helper()
	most, err := f.Ceiling()
	if err != nil {
		t.Fatal(err)
	}
	ceiling, held := most.Bytes, heap()-before
	if most.Holders != 0 || most.Uncovered != nil {
		t.Errorf("%s: the ceiling of a flow of bytes is %v", name, most)
	}
	t.Logf("%-24s holds %8d KiB, ceiling %8d KiB", name, held>>10, ceiling>>10)
	const own = 256 << 10 // what a flow is made of
	if held > ceiling+own {
		t.Errorf("%s: holds %d bytes, above its ceiling of %d", name, held, ceiling)
	}
}

func TestMaxWindow_RefusesALargerFrame(t *testing.T) {
	text := logText(1 << 20)
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(16<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	w.Close()
	if _, err := run(bytes.NewReader(packed.Bytes()), compress.Unzstd()); !errors.Is(err, compress.ErrWindow) {
		t.Error(err)
	}
	if got := mustRun(t, packed.Bytes(), compress.Unzstd(compress.MaxWindow(16<<20))); !bytes.Equal(got, text) {
		t.Error("came back as", len(got), "bytes")
	}
}

func TestZstd_OfAKilledWriterIsSeenToBeIncomplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		var out bytes.Buffer
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := weir.FromReader(pr).Through(compress.Zstd(compress.Workers(2))).To(weir.ToWriter(&out)).Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
		text := logText(5 << 20)
		pw.Write(text)
		synctest.Wait()
		got, err := run(bytes.NewReader(bytes.Clone(out.Bytes())), compress.Unzstd())
		if len(got) < 1<<20 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("so far: %d bytes, %v", len(got), err)
		}
		pw.Close()
		wg.Wait()
		if got, err := run(&out, compress.Unzstd()); err != nil || !bytes.Equal(got, text) {
			t.Errorf("at the end: %d bytes, %v", len(got), err)
		}
	})
}

// Wherever the input stops for a while, all is delivered that the standard
// library makes of what has come so far.
func TestDecoders_DeliverWhatThereIsBeforeTheyWait(t *testing.T) {
	text := logText(700_000)
	judges := map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) },
		"zlib":    func(r io.Reader) (io.Reader, error) { return stdzlib.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return stdflate.NewReader(r), nil },
	}
	for _, c := range codecs[:3] {
		for name, packed := range map[string][]byte{
			"one stream": mustRun(t, text, c.encode(compress.Workers(1))),
			"stored":     mustRun(t, noise(300_000), c.encode(compress.Workers(1))),
			"blocks":     compress.Blocks(text, 100_000, 6),
		} {
			if name == "blocks" && c.name != "gzip" {
				continue
			}
			for _, opts := range [][]compress.Option{nil, {compress.Workers(1)}, {compress.Workers(4)}} {
				if opts != nil && c.name != "gzip" {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					pr, pw := io.Pipe()
					var out bytes.Buffer
					var wg sync.WaitGroup
					wg.Go(func() {
						if err := weir.FromReader(pr).Through(c.decode(opts...)).To(weir.ToWriter(&out)).Run(context.Background()); err != nil {
							t.Error(err)
						}
					})
					for at := 0; at < len(packed); {
						n := min(len(packed)-at, 1+len(packed)/7)
						pw.Write(packed[at : at+n])
						at += n
						synctest.Wait()
						r, err := judges[c.name](bytes.NewReader(packed[:at]))
						if err != nil {
							t.Fatal(err)
						}
						if want, _ := io.ReadAll(r); !bytes.HasPrefix(out.Bytes(), want) {
							t.Errorf("%s, %s: %d bytes of %d of the input there, %d bytes delivered, want %d", c.name, name, at, len(packed), out.Len(), len(want))
						}
					}
					pw.Close()
					wg.Wait()
				})
			}
		}
	}
}

func TestGunzip_DeliversAMemberBeforeTheNextIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		var out bytes.Buffer
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := weir.FromReader(pr).Through(compress.Gunzip()).To(weir.ToWriter(&out)).Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
		pw.Write(mustRun(t, []byte("first"), compress.Gzip(compress.Workers(1))))
		synctest.Wait()
		if out.String() != "first" {
			t.Errorf("before the second: %q", &out)
		}
		pw.Write(mustRun(t, []byte(", second"), compress.Gzip(compress.Workers(1))))
		pw.Close()
		wg.Wait()
		if out.String() != "first, second" {
			t.Errorf("%q", &out)
		}
	})
}
