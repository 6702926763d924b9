package compress_test

import (
	"bytes"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// logText returns n bytes that compress like a log. They are not to be changed:
// making them takes a while, and they are made once.
func logText(n int) []byte {
	if n > len(madeText) {
		madeText = makeText(max(n, 4<<20))
	}
	return madeText[:n:n]
}

var madeText []byte

func makeText(n int) []byte {
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

func TestCodecs_RoundTrip(t *testing.T) {
	text := logText(300_000)
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
				for _, n := range []int{0, 1, 256 << 10, 256<<10 + 1, len(text)} {
					packed := mustRun(t, text[:n], c.encode(opts...))
					if got := mustRun(t, packed, c.decode()); !bytes.Equal(got, text[:n]) {
						t.Errorf("%s level %d, %d workers, %d bytes: came back as %d bytes", c.name, level, workers, n, len(got))
					}
				}
			}
		}
	}
}

func TestZstd_FramesComeBackWhole(t *testing.T) {
	const frame = 2 << 20
	text := logText(2*frame + 1)
	for _, n := range []int{frame - 1, frame, frame + 1, 2 * frame, len(text)} {
		packed := mustRun(t, text[:n], compress.Zstd(compress.Workers(2), compress.Level(1)))
		if got := mustRun(t, packed, compress.Unzstd()); !bytes.Equal(got, text[:n]) {
			t.Errorf("%d bytes: came back as %d bytes", n, len(got))
		}
	}
}

func TestGzip_IsReadByTheStandardLibrary(t *testing.T) {
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

func TestCodecs_AreReadByTheRealTools(t *testing.T) {
	text := logText(5_000_000)
	for tool, packed := range map[string][]byte{
		"gzip": mustRun(t, text, compress.Gzip(compress.Workers(3))),
		"zstd": mustRun(t, text, compress.Zstd(compress.Workers(3))),
		"pigz": mustRun(t, text, compress.Zlib(compress.Workers(3))),
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

func TestCodecs_TruncatedInputIsAnError(t *testing.T) {
	for _, c := range codecs {
		packed := mustRun(t, logText(2000), c.encode())
		for n := range packed {
			if c.name == "s2" && (n == 0 || n == 10) {
				continue // behind its mark an s2 stream may end, and an empty one is empty
			}
			_, err := run(bytes.NewReader(packed[:n]), c.decode())
			var ce *compress.CorruptError
			if !errors.As(err, &ce) || !errors.Is(err, io.ErrUnexpectedEOF) || ce.Offset != int64(n) {
				t.Errorf("%s cut to %d of %d bytes: %v", c.name, n, len(packed), err)
			} else if want := fmt.Sprintf("%s data ends too early, after %d byte", c.name, n); n > 0 && !strings.Contains(err.Error(), want) {
				t.Errorf("%v: want %q in it", err, want)
			}
		}
	}
}

func TestCodecs_WrongChecksumIsAnError(t *testing.T) {
	for name, fromEnd := range map[string]int{"gzip": 8, "zlib": 4, "zstd": 4} {
		for _, c := range codecs {
			if c.name != name {
				continue
			}
			packed := mustRun(t, logText(100_000), c.encode())
			packed[len(packed)-fromEnd] ^= 1
			_, err := run(bytes.NewReader(packed), c.decode())
			var ce *compress.CorruptError
			if !errors.Is(err, compress.ErrChecksum) || !errors.As(err, &ce) || ce.Format != name {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	packed := mustRun(t, logText(1000), compress.S2())
	packed[10+4] ^= 1 // behind the stream's mark and the block's head
	if _, err := run(bytes.NewReader(packed), compress.UnS2()); !errors.Is(err, compress.ErrChecksum) {
		t.Errorf("s2: %v", err)
	}
}

func TestCodecs_ForeignInputIsAnError(t *testing.T) {
	for _, c := range codecs {
		out, err := run(strings.NewReader("this is no archive at all, whatever it may look like"), c.decode())
		var ce *compress.CorruptError
		if !errors.As(err, &ce) || ce.Format != c.name || errors.Is(err, io.ErrUnexpectedEOF) || len(out) > 0 {
			t.Errorf("%s: %q, %v", c.name, out, err)
		}
	}
}

func TestMaxOutputAndMaxRatio_StopABomb(t *testing.T) {
	zeros := make([]byte, 4<<20)
	for _, c := range codecs {
		packed := mustRun(t, zeros, c.encode())
		got, err := run(bytes.NewReader(packed), c.decode(compress.MaxOutput(100_000)))
		if !errors.Is(err, compress.ErrTooLarge) || len(got) > 100_000 {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if got, err := run(bytes.NewReader(packed), c.decode(compress.MaxOutput(4<<20))); err != nil || len(got) != 4<<20 {
			t.Errorf("%s at exactly its size: %d bytes, %v", c.name, len(got), err)
		}
		if got, err := run(bytes.NewReader(packed), c.decode(compress.MaxRatio(2))); !errors.Is(err, compress.ErrTooLarge) || len(got) > 3<<20 {
			t.Errorf("%s with a ratio: %d bytes, %v", c.name, len(got), err)
		}
	}
}

func TestCodecs_PassOnFailuresAroundThem(t *testing.T) {
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

func TestOption_IsCheckedBeforeAnythingOpens(t *testing.T) {
	for name, st := range map[string]weir.Stage[byte, byte]{
		"level 99":       compress.Gzip(compress.Level(99)),
		"-1 workers":     compress.Zstd(compress.Workers(-1)),
		"maximum output": compress.Gunzip(compress.MaxOutput(-1)),
		"Level means":    compress.Gunzip(compress.Level(1)),
		"Members means":  compress.Zlib(compress.Members()),
		"-2 workers":     compress.Gunzip(compress.Workers(-2)),
		"ratio of 0.5":   compress.Unzstd(compress.MaxRatio(0.5)),
		"5000 workers":   compress.Gzip(compress.Workers(5000)),
		"is nil":         compress.Gunzip(compress.OnTrailing(nil)),
		"window of 5":    compress.Unzstd(compress.MaxWindow(5)),
	} {
		f := weir.File("/does/not/exist").Through(st).To(weir.Discard[byte]())
		if err := f.Run(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCodecs_TakeOneByteAtATime(t *testing.T) {
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

// A file in another format is no damaged one.
func TestDecoders_TellAnotherFormatFromDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		unpack weir.Stage[byte, byte]
		begins string // as data of the format does
	}{
		{"gzip", compress.Gunzip(), "\x1f\x8b"},
		{"gzip", compress.Gunzip(compress.Workers(1)), "\x1f\x8b"},
		{"zlib", compress.Unzlib(), "\x78"},
		{"zstd", compress.Unzstd(), "\x28\xb5\x2f"},
		{"s2", compress.UnS2(), "\xff\x06"},
	} {
		run := func(text string) error {
			return weir.FromReader(strings.NewReader(text)).Through(c.unpack).To(weir.Discard[byte]()).Run(t.Context())
		}
		for _, text := range []string{"?", "xy", "not compressed", strings.Repeat("long text\n", 100_000)} {
			err := run(text)
			var ce *compress.CorruptError
			if !errors.As(err, &ce) || !errors.Is(err, compress.ErrFormat) || ce.Error() != "not in "+c.name+" format" {
				t.Errorf("%s of %.20q: %v", c.name, text, err)
			}
		}
		if err := run(c.begins); errors.Is(err, compress.ErrFormat) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s of %q: %v", c.name, c.begins, err)
		}
		err := run("")
		if want := "empty input, not in " + c.name + " format"; c.name != "s2" && (!errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s of nothing: %v", c.name, err)
		}
	}
}

// RFC 1952, section 2.3.1: five flags say which fields there are, and a member with
// one of the other three is an error.
func TestGunzip_ReadsHeadersAsRFC1952Says(t *testing.T) {
	text := []byte("some text, some text")
	plain := mustRun(t, text, compress.Gzip())
	member := func(method, flags byte, sum uint16) []byte {
		head := []byte{0x1f, 0x8b, method, flags, 1, 2, 3, 4, 0, 255}
		if flags&4 != 0 {
			head = append(head, 5, 0)
			head = append(head, "extra"...)
		}
		if flags&8 != 0 {
			head = append(head, strings.Repeat("name", 1000)+"\x00"...)
		}
		if flags&16 != 0 {
			head = append(head, "\xa9 comment\x00"...)
		}
		if flags&2 != 0 {
			head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head))+sum)
		}
		return append(head, plain[10:]...)
	}
	check := func(name string, packed []byte, cause string) {
		for _, workers := range []int{1, 3} {
			for _, before := range []int{0, 2} {
				got, err := run(bytes.NewReader(append(bytes.Repeat(plain, before), packed...)), compress.Gunzip(compress.Workers(workers)))
				want := bytes.Repeat(text, before)
				if cause == "" {
					want = append(want, text...)
				}
				if !bytes.Equal(got, want) || (err == nil) != (cause == "") || err != nil && !(isCorrupt(err) && strings.HasSuffix(err.Error(), cause)) {
					t.Errorf("%s, %d workers, %d members before it: %q, %v, want an error %q", name, workers, before, got, err, cause)
				}
			}
		}
	}
	for flags := range 256 {
		cause := ""
		if flags>>5 != 0 {
			cause = "its header has flags that RFC 1952 reserves"
		}
		check(fmt.Sprintf("flags %08b", flags), member(8, byte(flags), 0), cause)
	}
	check("another method", member(7, 0, 0), "its header names another method than deflate")
	check("a wrong checksum", member(8, 2, 1), "the checksum of its header does not match")
	check("a wrong checksum of all fields", member(8, 31, 1), "the checksum of its header does not match")
}
