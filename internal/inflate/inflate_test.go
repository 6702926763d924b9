package inflate

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/klauspost/compress/flate"

	"github.com/weir-go/weir/internal/race"
)

// samples are kinds of data: text, matches that are long, near, far and over the
// end of the ring, and noise.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var log, far bytes.Buffer
	for log.Len() < 300_000 {
		fmt.Fprintf(&log, "2026-11-24T10:%02d:%02d 127.0.0.1 GET /static/%d.js HTTP/1.1 %d %d\n",
			r.IntN(60), r.IntN(60), r.IntN(500), 200+r.IntN(4)*100, r.IntN(100000))
	}
	noise := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for far.Len() < 400_000 {
		at := r.IntN(40_000)
		far.Write(noise[at : at+r.IntN(400)])
	}
	s := map[string][]byte{
		"nothing": nil, "one byte": {'x'}, "log": log.Bytes(), "noise": noise, "far": far.Bytes(),
		"zeros": make([]byte, 300_000), "mixed": slices.Concat(noise[:50_000], log.Bytes()[:90_000], make([]byte, 70_000), noise[:40_000]),
	}
	for _, n := range []int{2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 31, 257, 258, 259} {
		s[fmt.Sprint("every ", n)] = bytes.Repeat(noise[:n], 200_000/n)
	}
	return s
}

type writer interface {
	io.Writer
	Flush() error
	Close() error
}

var encoders = map[string]func(io.Writer, int) writer{
	"standard":  func(w io.Writer, level int) writer { z, _ := stdflate.NewWriter(w, level); return z },
	"klauspost": func(w io.Writer, level int) writer { z, _ := flate.NewWriter(w, level); return z },
}

// eachPacked calls f with each of the samples, packed in many ways.
func eachPacked(t *testing.T, f func(name string, plain, packed []byte)) {
	for name, plain := range samples() {
		for by, encoder := range encoders {
			for _, level := range []int{0, 1, 2, 5, 6, 9, stdflate.HuffmanOnly} {
				var b bytes.Buffer
				z := encoder(&b, level)
				z.Write(plain[:len(plain)/3])
				if level%2 == 0 {
					z.Flush()
				}
				z.Write(plain[len(plain)/3:])
				z.Close()
				f(fmt.Sprintf("%s by %s, level %d", name, by, level), plain, b.Bytes())
			}
		}
	}
}

// decode decodes as much of packed as it can, and returns how much of it was used.
func decode(d *Decoder, packed, dict []byte) (out []byte, used int, err error) {
	in, r := new(Input), bytes.NewReader(packed)
	in.Reset(r)
	d.Reset(in, dict)
	out, err = io.ReadAll(d)
	return out, len(packed) - r.Len() - in.Buffered(), err
}

func TestDecoder_ReturnsWhatWasPacked(t *testing.T) {
	d := new(Decoder)
	r := rand.New(rand.NewPCG(3, 4))
	eachPacked(t, func(name string, plain, packed []byte) {
		const behind = "behind the end"
		data := append(bytes.Clone(packed), behind...)
		if race.Enabled && len(packed) > 60_000 {
			return
		}
		for how, src := range map[string]io.Reader{
			"whole":        bytes.NewReader(data),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"with the end": iotest.DataErrReader(bytes.NewReader(data)),
			"in pieces":    &pieces{data, func() int { return 1 + r.IntN(300) }},
		} {
			in := new(Input)
			in.Reset(src)
			d.Reset(in, nil)
			got, err := io.ReadAll(d)
			rest, _ := io.ReadAll(in)
			if err != nil || !bytes.Equal(got, plain) || string(rest) != behind {
				t.Fatalf("%s, %s: %d bytes of %d, %v, and %q behind", name, how, len(got), len(plain), err, rest)
			}
			if !d.Ended() || d.Boundary() {
				t.Errorf("%s: ended %v, at a boundary %v", name, d.Ended(), d.Boundary())
			}
		}
	})
}

// pieces reads data in pieces of the given sizes.
type pieces struct {
	data []byte
	size func() int
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.data[:min(len(r.data), r.size())])
	r.data = r.data[n:]
	return n, nil
}

// judge returns what the standard library makes of packed, and how many bytes it
// used.
func judge(packed []byte) (out []byte, used int, err error) {
	r := bytes.NewReader(packed)
	out, err = io.ReadAll(stdflate.NewReader(r))
	return out, len(packed) - r.Len(), err
}

// agrees compares a Decoder with the standard library on any data.
func agrees(t *testing.T, d *Decoder, name string, data []byte) {
	t.Helper()
	want, used, wantErr := judge(data)
	got, at, err := decode(d, data, nil)
	if err != nil && err != io.ErrUnexpectedEOF && err != ErrCorrupt || (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: %v, the standard library %v", name, err, wantErr)
	}
	// Where the data breaks off, the standard library may wait for bits that it
	// would not need, and so deliver a few symbols less or miss an error.
	brokenOff := wantErr == io.ErrUnexpectedEOF
	if !brokenOff && err == io.ErrUnexpectedEOF {
		t.Fatalf("%s: %v, the standard library %v", name, err, wantErr)
	}
	if !bytes.HasPrefix(got, want) || len(got) != len(want) && (!brokenOff || len(got) > len(want)+15*longest) {
		t.Fatalf("%s: %d bytes, %v, the standard library %d, %v", name, len(got), err, len(want), wantErr)
	}
	// The standard library may have read what it did not need for an error.
	if at > used || at < used-4 || err == nil && at != used {
		t.Fatalf("%s: %v at byte %d, the standard library at %d", name, err, at, used)
	}
}

func TestDecoder_JudgesDamageLikeTheStandardLibrary(t *testing.T) {
	d := new(Decoder)
	r := rand.New(rand.NewPCG(5, 6))
	eachPacked(t, func(name string, plain, packed []byte) {
		if len(packed) > 60_000 {
			return
		}
		cuts, flips := 8, 25
		if race.Enabled {
			cuts, flips = 2, 4
		}
		for range cuts {
			n := r.IntN(len(packed) + 1)
			agrees(t, d, fmt.Sprintf("%s, cut to %d", name, n), packed[:n])
		}
		for range flips {
			bad := bytes.Clone(packed)
			at := r.IntN(len(bad))
			if r.IntN(2) == 0 {
				at = r.IntN(min(len(bad), 100)) // in a header
			}
			bit := byte(1) << r.IntN(8)
			bad[at] ^= bit
			agrees(t, d, fmt.Sprintf("%s, byte %d ^ %d", name, at, bit), bad)
		}
	})
}

func TestDecoder_FitsInto128KiB(t *testing.T) {
	n := unsafe.Sizeof(Decoder{}) + unsafe.Sizeof(Input{})
	t.Logf("%d bytes for a Decoder, %d with its Input", unsafe.Sizeof(Decoder{}), n)
	if n > 128<<10 {
		t.Errorf("a Decoder and its Input have %d bytes", n)
	}
	if n := unsafe.Sizeof(Decoder{}); n > Holds {
		t.Errorf("a Decoder has %d bytes, and states %d", n, Holds)
	}
	if n := unsafe.Sizeof(Input{}); n > InputHolds {
		t.Errorf("an Input has %d bytes, and states %d", n, InputHolds)
	}
}

func TestDecoder_AllocatesNothingOnceItIsThere(t *testing.T) {
	var packed bytes.Buffer
	z, _ := stdflate.NewWriter(&packed, 6)
	z.Write(samples()["mixed"])
	z.Close()
	d, in, src, buf := new(Decoder), new(Input), new(bytes.Reader), make([]byte, 64<<10)
	if n := testing.AllocsPerRun(20, func() {
		src.Reset(packed.Bytes())
		in.Reset(src)
		d.Reset(in, nil)
		for {
			if _, err := d.Read(buf); err != nil {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDecoder_RefersToItsDictionary(t *testing.T) {
	noise := samples()["noise"]
	for _, n := range []int{1, 100, window - 1, window, window + 1, 50_000} {
		dict := noise[:n]
		plain := slices.Concat(dict, dict)
		var packed bytes.Buffer
		z, _ := stdflate.NewWriterDict(&packed, 9, dict)
		z.Write(plain)
		z.Close()
		d := new(Decoder)
		if got, _, err := decode(d, packed.Bytes(), dict); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d of %d, %v", n, len(got), len(plain), err)
		}
		// A decoder that had one forgets it.
		if 100 <= n && n <= window {
			if _, _, err := decode(d, packed.Bytes(), nil); err != ErrCorrupt {
				t.Errorf("%d bytes, without them: %v", n, err)
			}
		}
	}
}

// errPause ends a source that has more later.
var errPause = errors.New("no more for now")

// pausing reads data up to a byte, and fails then.
type pausing struct{ data []byte }

func (r *pausing) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, errPause
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// Wherever the source stops for a while, all is delivered that the bytes so far
// stand for, and decompression can go on.
func TestDecoder_DeliversAllThatIsThereBeforeItWaits(t *testing.T) {
	for _, plain := range [][]byte{samples()["mixed"][49_000:52_000], samples()["far"][:3000], make([]byte, 2000)} {
		for _, level := range []int{0, 1, 9, stdflate.HuffmanOnly} {
			var b bytes.Buffer
			z, _ := stdflate.NewWriter(&b, level)
			z.Write(plain[:1000])
			z.Flush()
			z.Write(plain[1000:])
			z.Close()
			packed := b.Bytes()
			d, in := new(Decoder), new(Input)
			in.Reset(&pausing{})
			d.Reset(in, nil)
			var got []byte
			for i := range packed {
				in.Resume(&pausing{packed[i : i+1]})
				more, err := io.ReadAll(d)
				got = append(got, more...)
				if last := i == len(packed)-1; last && err != nil || !last && err != errPause {
					t.Fatalf("level %d, at byte %d of %d: %v", level, i, len(packed), err)
				}
				// The standard library waits for at most 25 bits more than that.
				if want, _, _ := judge(packed[:i+1]); !bytes.HasPrefix(got, want) {
					t.Fatalf("level %d, at byte %d of %d: %d bytes, the standard library %d", level, i, len(packed), len(got), len(want))
				}
			}
			if !bytes.Equal(got, plain) {
				t.Errorf("level %d: %d bytes of %d", level, len(got), len(plain))
			}
		}
	}
}

func TestDecoder_KnowsWhereABlockEnds(t *testing.T) {
	// Blocks of all kinds, each ended by an empty stored one.
	var b bytes.Buffer
	ends := map[int]bool{0: true}
	data := samples()["mixed"]
	for i, level := range []int{6, 0, stdflate.HuffmanOnly, 9, 1} {
		var block bytes.Buffer
		z, _ := stdflate.NewWriter(&block, level)
		z.Write(data[i*1000 : i*1000+1000])
		z.Flush()
		b.Write(block.Bytes())
		ends[b.Len()] = true
		b.Write([]byte{0, 0, 0, 0xff, 0xff}) // as pigz -i
		ends[b.Len()] = true
	}
	// A final stored block with what looks like one more end.
	fake := []byte("ab\x00\x00\xff\xff" + "cdefg")
	b.Write([]byte{1, byte(len(fake)), 0, ^byte(len(fake)), 0xff})
	b.Write(fake)

	packed := b.Bytes()
	d, in := new(Decoder), new(Input)
	for i := range packed {
		in.Reset(&pausing{packed[:i]})
		d.Reset(in, nil)
		if _, err := io.ReadAll(d); err != errPause {
			t.Fatalf("up to byte %d: %v", i, err)
		}
		at := d.Boundary() && in.Buffered() == 0
		// A stored block's payload may end where its length is not seen to
		// begin another: only these are sure.
		if ends[i] && !at {
			t.Errorf("byte %d is the end of a block", i)
		}
		if at && !ends[i] && !endsBlock(packed[:i]) {
			t.Errorf("byte %d is not the end of a block", i)
		}
	}
	in.Reset(bytes.NewReader(packed))
	d.Reset(in, nil)
	if _, err := io.ReadAll(d); err != nil || d.Boundary() || !d.Ended() {
		t.Errorf("behind the last block: %v, at a boundary %v, ended %v", err, d.Boundary(), d.Ended())
	}
}

// endsBlock asks the standard library whether a block ends with data: whether a
// final empty block may follow, and all that is decompressed is there already.
func endsBlock(data []byte) bool {
	out, _, err := judge(append(bytes.Clone(data), 1, 0, 0, 0xff, 0xff))
	less, _, _ := judge(data)
	return err == nil && bytes.Equal(out, less)
}

// bitWriter writes the lowest bits first.
type bitWriter struct {
	out  []byte
	free uint
}

func (w *bitWriter) write(v, n uint) {
	for range n {
		if w.free == 0 {
			w.out, w.free = append(w.out, 0), 8
		}
		w.out[len(w.out)-1] |= byte(v&1) << (8 - w.free)
		v >>= 1
		w.free--
	}
}

// block writes a block with these code lengths, and without a body.
func (w *bitWriter) block(final uint, lit, dist []uint8) {
	w.write(final|2<<1, 3)
	w.write(uint(len(lit)-257), 5)
	w.write(uint(len(dist)-1), 5)
	w.write(19-4, 4)
	for _, sym := range preOrder {
		if sym < 16 {
			w.write(4, 3)
		} else {
			w.write(0, 3)
		}
	}
	for _, n := range slices.Concat(lit, dist) {
		var code uint // first bit lowest
		for i := range 4 {
			code |= uint(n) >> i & 1 << (3 - i)
		}
		w.write(code, 4)
	}
}

// anyLengths returns the lengths of a code of n symbols: mostly a complete one,
// and sometimes one that is degenerate or wrong.
func anyLengths(r *rand.Rand, n int) []uint8 {
	lens := make([]uint8, n)
	switch r.IntN(12) {
	case 0:
		return lens
	case 1:
		lens[r.IntN(n)] = 1
		return lens
	case 2:
		lens[r.IntN(n)] = uint8(2 + r.IntN(14))
		return lens
	case 3:
		for i := range lens {
			lens[i] = uint8(r.IntN(16))
		}
		return lens
	}
	// Split codes at random until there are enough symbols.
	codes := []uint8{1, 1}
	most := 2 + r.IntN(n)
	for tries := 0; len(codes) < min(most, n) && tries < 3000; tries++ {
		i := r.IntN(len(codes))
		if r.IntN(3) == 0 {
			i = len(codes) - 1 // some long ones
		}
		if codes[i] < maxCode {
			codes[i]++
			codes = append(codes, codes[i])
		}
	}
	if r.IntN(10) == 0 {
		codes[r.IntN(len(codes))]++ // no longer complete
	}
	for i, sym := range r.Perm(n)[:min(n, len(codes))] {
		lens[sym] = min(codes[i], maxCode)
	}
	return lens
}

// anyBlocks returns blocks with any codes, behind a stored one that all distances
// may refer to.
func anyBlocks(r *rand.Rand) []byte {
	w := bitWriter{out: append([]byte{0, 0xff, 0x7f, 0, 0x80}, make([]byte, window-1)...)}
	for b := range uint(3) {
		lit := anyLengths(r, 257+r.IntN(30))
		if i := slices.IndexFunc(lit, func(n uint8) bool { return n > 0 }); i >= 0 && lit[256] == 0 {
			lit[256], lit[i] = lit[i], 0 // a block can end
		}
		w.block(b/2, lit, anyLengths(r, 1+r.IntN(30)))
		for range r.IntN(40) {
			w.write(uint(r.Uint32()), 32)
		}
	}
	for range 100 {
		w.write(uint(r.Uint32()), 32)
	}
	return w.out
}

func TestDecoder_JudgesCodesLikeTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	d := new(Decoder)
	accepted := 0
	for i := range 1500 {
		data := anyBlocks(r)
		agrees(t, d, fmt.Sprint("case ", i), data)
		if _, _, err := judge(data); err == nil {
			accepted++
		}
	}
	t.Log(accepted, "of them are valid")
	if accepted < 10 {
		t.Errorf("only %d are valid", accepted)
	}
}
