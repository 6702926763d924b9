package compress_test

import (
	"bytes"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logText makes n bytes that compress like a log.
func logText(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "2026-11-24T10:%02d:%02d 127.0.0.1 GET /static/%d.js HTTP/1.1 %d %d\n",
			r.IntN(60), r.IntN(60), r.IntN(500), 200+r.IntN(4)*100, r.IntN(100000))
	}
	return b.Bytes()[:n]
}

func run(r io.Reader, stages ...weir.Stage[byte, byte]) ([]byte, error) {
	var out bytes.Buffer
	err := weir.FromReader(r).Through(stages...).To(weir.ToWriter(&out)).Run(context.Background())
	return out.Bytes(), err
}

func mustRun(t *testing.T, data []byte, stages ...weir.Stage[byte, byte]) []byte {
	t.Helper()
	out, err := run(bytes.NewReader(data), stages...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type codec struct {
	name   string
	encode func(...compress.Option) weir.Stage[byte, byte]
	decode func(...compress.Option) weir.Stage[byte, byte]
	levels []int
}

var codecs = []codec{
	{"gzip", compress.Gzip, compress.Gunzip, []int{0, 1, 6, 9}},
	{"zlib", compress.Zlib, compress.Unzlib, []int{1, 6}},
	{"deflate", compress.Deflate, compress.Inflate, []int{1, 6}},
	{"zstd", compress.Zstd, compress.Unzstd, []int{1, 3, 9}},
	{"s2", compress.S2, compress.UnS2, []int{1, 2, 3}},
}

func TestRoundTrip(t *testing.T) {
	text := logText(600_000)
	for _, c := range codecs {
		for _, level := range c.levels {
			for _, workers := range []int{1, 3} {
				if c.name == "s2" && workers > 1 {
					continue
				}
				opts := []compress.Option{compress.Level(level)}
				if c.name != "s2" {
					opts = append(opts, compress.Workers(workers))
				}
				for _, n := range []int{0, 1, 1000, 256 << 10, 256<<10 + 1, len(text)} {
					packed := mustRun(t, text[:n], c.encode(opts...))
					if got := mustRun(t, packed, c.decode()); !bytes.Equal(got, text[:n]) {
						t.Errorf("%s level %d, %d workers, %d bytes: came back as %d bytes", c.name, level, workers, n, len(got))
					}
				}
			}
		}
	}
}

func TestTheStandardLibraryReadsWhatWeWrite(t *testing.T) {
	text := logText(1_000_000)
	for _, workers := range []int{1, 4} {
		zr, err := stdgzip.NewReader(bytes.NewReader(mustRun(t, text, compress.Gzip(compress.Workers(workers)))))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(zr); err != nil || !bytes.Equal(got, text) {
			t.Error("gzip", workers, err)
		}
		lr, err := stdzlib.NewReader(bytes.NewReader(mustRun(t, text, compress.Zlib(compress.Workers(workers)))))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(lr); err != nil || !bytes.Equal(got, text) {
			t.Error("zlib", workers, err)
		}
	}
}

func TestTheRealToolsReadWhatWeWrite(t *testing.T) {
	text := logText(5_000_000)
	for tool, packed := range map[string][]byte{
		"gzip": mustRun(t, text, compress.Gzip(compress.Workers(3))),
		"zstd": mustRun(t, text, compress.Zstd(compress.Workers(3))),
	} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip(tool, "is not installed")
			}
			cmd := exec.Command(tool, "-dc")
			cmd.Stdin = bytes.NewReader(packed)
			if got, err := cmd.Output(); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%v, %d bytes", err, len(got))
			}
		})
	}
}

func TestMembersZerosAndGarbageAreReadAsGzipDoes(t *testing.T) {
	a, b := mustRun(t, []byte("hello "), compress.Gzip()), mustRun(t, []byte("world"), compress.Gzip(compress.Workers(1)))
	two := append(bytes.Clone(a), b...)
	if got := mustRun(t, two, compress.Gunzip()); string(got) != "hello world" {
		t.Errorf("two members: %q", got)
	}
	for _, zeros := range []int{1, 2, 511, 100_000} {
		if got := mustRun(t, append(bytes.Clone(two), make([]byte, zeros)...), compress.Gunzip()); string(got) != "hello world" {
			t.Errorf("%d zeros behind: %q", zeros, got)
		}
	}
	for _, garbage := range []string{"g", "garbage", "\x00\x00garbage", strings.Repeat("\x00", 70_000) + "x"} {
		in := append(bytes.Clone(two), garbage...)
		if got := mustRun(t, in, compress.Gunzip()); string(got) != "hello world" {
			t.Errorf("garbage %.10q behind: %q", garbage, got)
		}
		_, refused := run(bytes.NewReader(in), compress.Gunzip(compress.OnTrailing(func(int64) error { return compress.ErrTrailing })))
		var ce *compress.CorruptError
		if !errors.Is(refused, compress.ErrTrailing) || !errors.As(refused, &ce) {
			t.Errorf("garbage %.10q refused: %v", garbage, refused)
		}
		var at int64
		got, err := run(bytes.NewReader(in), compress.Gunzip(compress.OnTrailing(func(o int64) error { at = o; return nil })))
		want := int64(len(two) + strings.IndexFunc(garbage, func(r rune) bool { return r != 0 }))
		if err != nil || string(got) != "hello world" || at != want {
			t.Errorf("garbage %.10q, told: %q, %v, at %d, want %d", garbage, got, err, at, want)
		}
	}
	if _, err := run(bytes.NewReader(append(bytes.Clone(two), 0x1f, 0x8b, 9, 9)), compress.Gunzip()); err == nil {
		t.Error("a broken member behind a good one was accepted")
	}
}

func TestTruncatedInputIsAnError(t *testing.T) {
	text := logText(100_000)
	for _, c := range codecs {
		packed := mustRun(t, text, c.encode())
		for _, n := range []int{0, 1, 2, 5, 9, 12, len(packed) / 2, len(packed) - 9, len(packed) - 4, len(packed) - 1} {
			_, err := run(bytes.NewReader(packed[:n]), c.decode())
			var ce *compress.CorruptError
			if n == 0 && c.name == "s2" {
				continue // an empty s2 stream is empty
			}
			if !errors.As(err, &ce) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d of %d bytes: %v", c.name, n, len(packed), err)
			}
		}
	}
}

func TestCorruptInputIsAnError(t *testing.T) {
	packed := mustRun(t, logText(100_000), compress.Gzip())
	packed[len(packed)-6] ^= 1
	if _, err := run(bytes.NewReader(packed), compress.Gunzip()); !errors.Is(err, compress.ErrChecksum) {
		t.Error(err)
	}
	for _, c := range codecs {
		_, err := run(strings.NewReader("this is no archive at all, whatever it may look like"), c.decode())
		var ce *compress.CorruptError
		if !errors.As(err, &ce) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestABombIsStopped(t *testing.T) {
	zeros := make([]byte, 20<<20)
	for _, c := range codecs {
		packed := mustRun(t, zeros, c.encode())
		got, err := run(bytes.NewReader(packed), c.decode(compress.MaxOutput(100_000)))
		if !errors.Is(err, compress.ErrTooLarge) || len(got) > 100_000 {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if got, err := run(bytes.NewReader(packed), c.decode(compress.MaxOutput(20<<20))); err != nil || len(got) != 20<<20 {
			t.Errorf("%s at exactly its size: %d bytes, %v", c.name, len(got), err)
		}
		if got, err := run(bytes.NewReader(packed), c.decode(compress.MaxRatio(2))); !errors.Is(err, compress.ErrTooLarge) || len(got) > 8<<20 {
			t.Errorf("%s with a ratio: %d bytes, %v", c.name, len(got), err)
		}
	}
}

func TestFailuresAroundACodecArePassedOn(t *testing.T) {
	boom := errors.New("boom")
	text := logText(800_000)
	for _, c := range codecs {
		in := io.MultiReader(bytes.NewReader(text), iotest.ErrReader(boom))
		if _, err := run(in, c.encode()); !errors.Is(err, boom) {
			t.Errorf("%s, source fails: %v", c.name, err)
		}
		packed := mustRun(t, text, c.encode())
		in = io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(boom))
		var ce *compress.CorruptError
		if _, err := run(in, c.decode()); !errors.Is(err, boom) || errors.As(err, &ce) {
			t.Errorf("%s, packed source fails: %v", c.name, err)
		}
		for _, st := range []weir.Stage[byte, byte]{c.encode(), c.decode()} {
			in := text
			if st.Name != c.name {
				in = packed
			}
			err := weir.FromReader(bytes.NewReader(in)).Through(st).To(weir.EachBatch(func(context.Context, []byte) error { return boom })).Run(context.Background())
			if !errors.Is(err, boom) || errors.As(err, &ce) {
				t.Errorf("%s, sink fails: %v", st.Name, err)
			}
		}
	}
}

func TestWrongOptionsAreToldBeforeAnythingOpens(t *testing.T) {
	for name, st := range map[string]weir.Stage[byte, byte]{
		"level 99":       compress.Gzip(compress.Level(99)),
		"-1 workers":     compress.Zstd(compress.Workers(-1)),
		"maximum output": compress.Gunzip(compress.MaxOutput(-1)),
		"Level means":    compress.Gunzip(compress.Level(1)),
		"ratio of 0.5":   compress.Unzstd(compress.MaxRatio(0.5)),
	} {
		f := weir.File("/does/not/exist").Through(st).To(weir.Discard[byte]())
		if err := f.Run(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneByteAtATime(t *testing.T) {
	text := logText(30_000)
	for _, c := range codecs {
		packed, err := run(iotest.OneByteReader(bytes.NewReader(text)), c.encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := run(iotest.OneByteReader(bytes.NewReader(packed)), c.decode())
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
}
