package compress_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir/compress"
)

func TestMembers_AreReadOneAfterTheOther(t *testing.T) {
	a, b := mustRun(t, []byte("hello "), compress.Gzip()), mustRun(t, []byte("world"), compress.Gzip(compress.Workers(1)))
	empty := mustRun(t, nil, compress.Gzip())
	if got := mustRun(t, bytes.Join([][]byte{empty, a, empty, b, empty}, nil), compress.Gunzip()); string(got) != "hello world" {
		t.Errorf("%q", got)
	}
}

// What may follow a gzip member, and what gzip(1) makes of it.
const (
	whole   = 0 // as if it were not there
	broken  = 1 // an error
	garbage = 2 // ignored, with a warning
)

var trailers = []struct {
	behind string
	want   int
}{
	{"\x00", whole},
	{"\x00\x00\x00", whole},
	{strings.Repeat("\x00", 100_000), whole},
	{"garbage", garbage},
	{"ga", garbage},
	{"\x00g", garbage},
	{"\x00\x00garbage", garbage},
	{strings.Repeat("\x00", 70_000) + "x", garbage},
	{"\x1fz", garbage},
	{"\x00\x1f\x8b\x08", garbage},
	{"PK\x03\x04", garbage},
	{"\x1f", broken},
	{"\x1f\x8b", broken},
	{"\x1f\x8b\x08", broken},
	{"\x1f\x8b\x09\x00\x00\x00\x00\x00\x00\x00", broken},
	{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff", broken},
}

func TestTrailing_IsTreatedAsGzipDoes(t *testing.T) {
	gzip, err := exec.LookPath("gzip")
	if err != nil {
		t.Log("gzip is not installed: what it does is not compared")
	}
	member := mustRun(t, []byte("hello"), compress.Gzip())
	for i, c := range trailers {
		in := append(bytes.Clone(member), c.behind...)
		got, at, err := gunzipTelling(in, 1)
		if got3, at3, err3 := gunzipTelling(in, 3); err == nil && got3 != got || at3 != at || fmt.Sprint(err3) != fmt.Sprint(err) {
			t.Errorf("case %d: with three workers %q, at %d, %v; with one %q, at %d, %v", i, got3, at3, err3, got, at, err)
		}
		status := whole
		switch {
		case err != nil:
			status = broken
		case at >= 0:
			status = garbage
		}
		if status != c.want || status != broken && got != "hello" {
			t.Errorf("%.10q behind: %q, at %d, %v; want %d", c.behind, got, at, err, c.want)
		}
		if status == garbage {
			if want := int64(len(member) + strings.IndexFunc(c.behind, func(r rune) bool { return r != 0 })); at != want {
				t.Errorf("%.10q behind: told of offset %d, want %d", c.behind, at, want)
			}
			plain, err := run(bytes.NewReader(in), compress.Gunzip())
			if string(plain) != "hello" || !isTrailing(err, at) {
				t.Errorf("%.10q behind, without OnTrailing: %q, %v", c.behind, plain, err)
			}
		}
		if gzip != "" {
			cmd := exec.Command(gzip, "-dc")
			cmd.Stdin = bytes.NewReader(in)
			out, _ := cmd.Output()
			if status != broken && string(out) != got || cmd.ProcessState.ExitCode() != status {
				t.Errorf("%.10q behind: gzip says %q, status %d; we %q, status %d", c.behind, out, cmd.ProcessState.ExitCode(), got, status)
			}
		}
	}
}

func gunzipTelling(in []byte, workers int) (out string, at int64, err error) {
	at = -1
	got, err := run(bytes.NewReader(in), compress.Gunzip(compress.Workers(workers), compress.OnTrailing(func(o int64) error { at = o; return nil })))
	return string(got), at, err
}

func TestOnTrailing_CanRefuseGarbage(t *testing.T) {
	refuse := compress.OnTrailing(func(int64) error { return compress.ErrTrailing })
	for _, c := range codecs[:3] {
		packed := mustRun(t, []byte("hello"), c.encode())
		if got := mustRun(t, append(bytes.Clone(packed), 0, 0), c.decode(refuse)); string(got) != "hello" {
			t.Errorf("%s, zeros behind: %q", c.name, got)
		}
		_, err := run(bytes.NewReader(append(bytes.Clone(packed), "\x00garbage"...)), c.decode(refuse))
		var ce *compress.CorruptError
		if !errors.Is(err, compress.ErrTrailing) || !errors.As(err, &ce) || ce.Offset != int64(len(packed)+1) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// isTrailing reports whether err says that other data begins at an offset.
func isTrailing(err error, at int64) bool {
	var ce *compress.CorruptError
	return errors.Is(err, compress.ErrTrailing) && errors.As(err, &ce) && ce.Offset == at
}

// endless never ends, and counts what was taken.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n += int64(len(p))
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// marking are the codecs whose formats mark where the data ends.
var marking = codecs[:4]

func TestTrailing_IsNotRead(t *testing.T) {
	for _, c := range marking {
		packed, more := mustRun(t, []byte("hello"), c.encode()), new(endless)
		got, err := run(io.MultiReader(bytes.NewReader(packed), more), c.decode())
		if string(got) != "hello" || !isTrailing(err, int64(len(packed))) || more.n > 1<<20 {
			t.Errorf("%s: %q, %v, %d bytes of other data read", c.name, got, err, more.n)
		}
	}
}

func TestTrailing_IsReportedByEveryDecoderBehindAllData(t *testing.T) {
	text := logText(200_000)
	for _, c := range marking {
		packed := mustRun(t, text, c.encode())
		for _, behind := range []string{"g", "ga", "garbage, and more of it", "\x00g", strings.Repeat("\x00", 70_000) + "g", "\x00\x00\x00\x28\xb5\x2f\xfd"} {
			in := append(bytes.Clone(packed), behind...)
			at := int64(len(packed) + strings.IndexFunc(behind, func(r rune) bool { return r != 0 }))
			if got, err := run(bytes.NewReader(in), c.decode()); !bytes.Equal(got, text) || !isTrailing(err, at) {
				t.Errorf("%s, %.10q behind: %d bytes, %v; want all %d and ErrTrailing at %d", c.name, behind, len(got), err, len(text), at)
			}
			told := int64(-1)
			if got := mustRun(t, in, c.decode(compress.OnTrailing(func(o int64) error { told = o; return nil }))); !bytes.Equal(got, text) || told != at {
				t.Errorf("%s, %.10q behind: OnTrailing was told of %d, want %d", c.name, behind, told, at)
			}
		}
		for _, zeros := range []int{1, 2, 3, 4, 5, 511, 100_000} {
			if got := mustRun(t, append(bytes.Clone(packed), make([]byte, zeros)...), c.decode()); !bytes.Equal(got, text) {
				t.Errorf("%s, %d zeros behind: %d bytes", c.name, zeros, len(got))
			}
		}
	}
}

// A bit that is flipped where the second part of a file begins must not make the
// first part look like all of it.
func TestTrailing_NoFlippedBitHidesTheSecondPart(t *testing.T) {
	first, second := logText(3000), []byte("the second part, which must not be lost")
	for _, c := range codecs {
		if c.name == "zlib" || c.name == "deflate" {
			continue // they have a single part
		}
		packed := mustRun(t, first, c.encode())
		at := len(packed)
		packed = append(packed, mustRun(t, second, c.encode())...)
		for bit := range 8 * (len(packed) - at) {
			damaged := bytes.Clone(packed)
			damaged[at+bit/8] ^= 1 << (bit % 8)
			got, err := run(bytes.NewReader(damaged), c.decode())
			if err == nil && len(got) < len(first)+len(second) {
				if c.name == "s2" && bytes.Equal(damaged[at:at+4], packed[at:at+4]) {
					continue // the format skips blocks of unknown types
				}
				t.Errorf("%s, bit %d of the second part flipped: %d of %d bytes and no error", c.name, bit, len(got), len(first)+len(second))
			}
			if !bytes.HasPrefix(got, first) {
				t.Errorf("%s, bit %d of the second part flipped: %d bytes came, less than the first part has", c.name, bit, len(got))
			}
		}
	}
}

func TestUnzstd_ReadsFramesOfEveryShape(t *testing.T) {
	text := logText(300_000)
	skippable := []byte("\x5a\x2a\x4d\x18\x05\x00\x00\x00other")
	empty := []byte("\x50\x2a\x4d\x18\x00\x00\x00\x00")
	var frames [][]byte
	for _, opts := range [][]zstd.EOption{
		{zstd.WithEncoderCRC(true)}, {zstd.WithEncoderCRC(false)}, {zstd.WithSingleSegment(true)},
		{zstd.WithWindowSize(1 << 10)}, {zstd.WithWindowSize(8 << 20)}, {zstd.WithEncoderLevel(zstd.SpeedBestCompression)},
	} {
		enc, err := zstd.NewWriter(nil, append(opts, zstd.WithZeroFrames(true))...)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 255, 256, 70_000, len(text)} {
			frames = append(frames, enc.EncodeAll(text[:n], nil))
		}
		frames = append(frames, enc.EncodeAll(make([]byte, 300_000), nil), skippable, empty)
		enc.Close()
	}
	dec, _ := zstd.NewReader(nil)
	defer dec.Close()
	all := bytes.Join(frames, nil)
	want, err := dec.DecodeAll(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, all, compress.Unzstd()); !bytes.Equal(got, want) {
		t.Errorf("all frames: %d bytes, want %d", len(got), len(want))
	}
	for i, frame := range frames {
		want, _ := dec.DecodeAll(frame, nil)
		at := int64(len(frame))
		if got, err := run(iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(frame), 'x'))), compress.Unzstd()); !bytes.Equal(got, want) || !isTrailing(err, at) {
			t.Errorf("frame %d: %d bytes, %v; want %d and ErrTrailing at %d", i, len(got), err, len(want), at)
		}
		for _, cut := range []int{1, 4, len(frame) - 1} {
			if _, err := run(bytes.NewReader(append(bytes.Clone(frame), frame[:cut]...)), compress.Unzstd()); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("frame %d and its first %d bytes again: %v, want an unexpected EOF", i, cut, err)
			}
		}
	}
}
