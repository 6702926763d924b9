package compress

import (
	"bytes"
	stdflate "compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/race"
)

// blocks packs plain as one member of independent blocks, each of which is ended
// by two empty stored blocks, as pigz -i does.
func blocks(plain []byte, size, level int) []byte {
	var b bytes.Buffer
	b.Write(appendGzipHead(nil, level, 0))
	for part := range slices.Chunk(plain, size) {
		z, _ := flate.NewWriter(&b, level)
		z.Write(part)
		z.Flush()
		b.Write([]byte{0, 0, 0, 0xff, 0xff})
	}
	return member(b.Bytes(), []byte{3, 0}, plain)
}

// member appends the last block and the trailer.
func member(b, last, plain []byte) []byte {
	b = append(b, last...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(b, uint32(len(plain)))
}

// These are for tests in another package.
var (
	Blocks   = blocks
	GunzipOn = func(workers int, data []byte) ([]byte, error) { return gunzipOn(workers, data) }
	Mark     = mark
)

func GunzipAhead(data []byte) ([]byte, error) {
	out, _, err := gunzipAhead(data)
	return out, err
}

func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%d %x the same words, again and again %d\n", r.IntN(1000), r.Uint64(), r.IntN(50))
	}
	return b.Bytes()[:n]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}

// stored packs plain into stored blocks, the last of which is final.
func stored(plain []byte) []byte {
	b := appendGzipHead(nil, 0, 0)
	for rest := plain; ; {
		n := min(len(rest), 60_000)
		var final byte
		if n == len(rest) {
			final = 1
		}
		b = append(b, final, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		b = append(b, rest[:n]...)
		if rest = rest[n:]; final == 1 {
			return member(b, nil, plain)
		}
	}
}

func deflated(plain []byte, level int) []byte {
	b := bytes.NewBuffer(appendGzipHead(nil, level, 0))
	z, _ := flate.NewWriter(b, level)
	z.Write(plain)
	z.Close()
	return member(b.Bytes(), nil, plain)
}

// collector takes what the splitting side hands on.
type collector struct{ chunks []*chunk }

func (w *collector) Write(batch []*chunk) (int, error) {
	for _, c := range batch {
		if c.seg == nil && c.work == nil {
			w.chunks[0].work.plain.Add(-1) // it does not wait
		}
		w.chunks = append(w.chunks, c)
	}
	return len(batch), nil
}

// forward gives the chunks to the joining side. It hands each segment but the
// first on only when a worker has decompressed it.
type forward struct {
	chunks []*chunk
	begun  bool
	work   *work
}

func (r *forward) Read(dst []*chunk) (int, error) {
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	c := r.chunks[0]
	if c.work != nil {
		r.work = c.work
	}
	if c.first && r.begun && !r.work.giveUp.Load() {
		<-c.seg.done
	}
	r.begun = r.begun || c.first
	dst[0], r.chunks = c, r.chunks[1:]
	return 1, nil
}

// gunzipAhead decompresses data so that workers do all that they may do ahead.
func gunzipAhead(data []byte, opts ...Option) (out []byte, segments []*segment, err error) {
	t := &split{in: newInput(), ctx: context.Background(), work: &work{
		queue: make(chan *segment, 1<<16), fewer: make(chan struct{}, 1), gone: make(chan struct{}),
	}}
	t.in.reset(bytes.NewReader(data))
	var w collector
	t.w = &w
	if err := t.run(); err != nil {
		return nil, nil, err
	}
	for _, c := range w.chunks {
		if c.first {
			segments = append(segments, c.seg)
		}
	}
	var b bytes.Buffer
	c := configure("gunzip", append(opts, Workers(2)), "MaxOutput", "MaxRatio", "OnTrailing", "Workers")
	err = unsplit(c, &forward{chunks: w.chunks}, &b)
	return b.Bytes(), segments, err
}

func gunzipOn(workers int, data []byte, opts ...Option) ([]byte, error) {
	var out bytes.Buffer
	err := weir.FromReader(bytes.NewReader(data)).Through(Gunzip(append(opts, Workers(workers))...)).To(weir.ToWriter(&out)).Run(context.Background())
	return out.Bytes(), err
}

// sameAsSerial compares all ways to decompress data, and returns what workers
// made of the segments.
func sameAsSerial(t *testing.T, name string, data []byte, opts ...Option) []*segment {
	t.Helper()
	want, wantErr := gunzipOn(1, data, opts...)
	got, segments, err := gunzipAhead(data, opts...)
	if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) || err != nil && wantErr.Error() != fmt.Sprintf("weir: stage gunzip: %v", err) {
		t.Errorf("%s: %d bytes, %v; in one goroutine %d, %v", name, len(got), err, len(want), wantErr)
	}
	got, err = gunzipOn(3, data, opts...)
	if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%s, with three workers: %d bytes, %v; in one goroutine %d, %v", name, len(got), err, len(want), wantErr)
	}
	return segments
}

// count returns how many segments workers decompressed with success.
func count(segments []*segment) (n int) {
	for _, s := range segments {
		if s.ok {
			n++
		}
	}
	return n
}

func TestGunzip_DecompressesBlocksAheadOfTheirTurn(t *testing.T) {
	plain := text(4<<20 + 77)
	for _, c := range []struct{ level, size int }{{0, 128 << 10}, {1, 1 << 20}, {6, 128 << 10}, {6, 1 << 20}} {
		packed := blocks(plain, c.size, c.level)
		all := sameAsSerial(t, fmt.Sprintf("level %d, blocks of %d", c.level, c.size), packed)
		// The first block is in no segment, and the second one is decompressed
		// in turn if no worker is there in time.
		if got, want := count(all), len(plain)/c.size-2; got < want || got == 0 {
			t.Errorf("level %d, blocks of %d: workers decompressed %d of %d segments", c.level, c.size, got, len(all))
		}
	}
	two := slices.Concat(blocks(plain, 1<<20, 6), blocks(plain, 1<<20, 6))
	if n := count(sameAsSerial(t, "two members", two)); n < 5 {
		t.Errorf("two members: workers decompressed %d segments", n)
	}
	if pigz, err := exec.LookPath("pigz"); err == nil {
		cmd := exec.Command(pigz, "-i", "-c")
		cmd.Stdin = bytes.NewReader(plain)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if n := count(sameAsSerial(t, "pigz -i", packed)); n < 10 {
			t.Errorf("pigz -i: workers decompressed %d segments", n)
		}
	}
}

func TestGunzip_IsNotDeceivedByMarksThatAreData(t *testing.T) {
	inner := blocks(text(3<<20), 128<<10, 6)
	noise := random(100_000)
	five := []byte("cdefg")
	for name, data := range map[string][]byte{
		"a mark five bytes before the end":          stored(slices.Concat(noise, mark, five)),
		"one that more members follow":              slices.Concat(stored(slices.Concat(noise, mark, five)), stored(noise), blocks(text(1<<20), 64<<10, 6)),
		"a final block behind a mark":               stored(slices.Concat(noise[:30_000], mark, []byte{1, 5, 0, 0xfa, 0xff}, five)),
		"blocks within a stored block":              stored(inner[10:]),
		"the gzip of a file of blocks":              deflated(inner, 6),
		"the same, stored":                          stored(inner),
		"blocks of blocks":                          blocks(inner, 128<<10, 6),
		"blocks of blocks, stored":                  blocks(inner, 50_000, 0),
		"a mark at the very end":                    append(blocks(text(1<<20), 128<<10, 6), mark...),
		"a mark behind the last block":              slices.Concat(blocks(text(300_000), 128<<10, 6), make([]byte, 20), mark, noise),
		"nothing but a mark":                        slices.Concat(appendGzipHead(nil, 6, 0), mark),
		"a mark in the header":                      slices.Concat([]byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 9, 0}, mark, blocks(text(1<<20), 128<<10, 6)[10:]),
		"a mark in a header, with a segment behind": slices.Concat(blocks(text(1<<20), 128<<10, 6), []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 9, 0}, mark, blocks(text(1<<20), 128<<10, 6)[10:]),
	} {
		sameAsSerial(t, name, data)
	}
}

// Blocks that refer to what was before them are what pigz writes without -i.
func TestGunzip_DecompressesBlocksThatReferToOthersInTurn(t *testing.T) {
	plain := text(3 << 20)
	var b bytes.Buffer
	b.Write(appendGzipHead(nil, 6, 0))
	z, _ := stdflate.NewWriter(&b, 6)
	for part := range slices.Chunk(plain, 128<<10) {
		z.Write(part)
		z.Flush()
		b.Write([]byte{0, 0, 0, 0xff, 0xff})
	}
	data := member(b.Bytes(), []byte{3, 0}, plain)
	all := sameAsSerial(t, "blocks that refer back", data)
	if count(all) > 0 {
		t.Errorf("%d segments were decompressed without what they refer to", count(all))
	}
	checkEffort(t, "blocks that refer back", data, all)
}

// checkEffort checks that speculation that never succeeded was given up.
func checkEffort(t *testing.T, name string, data []byte, segments []*segment) {
	t.Helper()
	if most := len(data)/segmentLeast + 1; len(segments) > most {
		t.Errorf("%s: %d segments in %d bytes, want at most %d", name, len(segments), len(data), most)
	}
	tried, made := 0, 0
	for _, s := range segments {
		if s.used > 0 {
			tried++
			made += s.size
		}
		if s.size > outMost+window {
			t.Errorf("%s: a segment became %d bytes", name, s.size)
		}
	}
	// One in the hands of each worker, when it is given up.
	if most := mostMisses + 2; tried > most || made > most*(outMost+window) {
		t.Errorf("%s: %d segments were decompressed to %d bytes for nothing, want at most %d", name, tried, made, most)
	}
}

const window = 32 << 10

func TestGunzip_GivesUpWhereMarksAreFalse(t *testing.T) {
	marks := bytes.Repeat(mark, 8<<20/len(mark))
	block := bytes.Repeat(blocks(text(100_000), 100_000, 6)[10:], 60)
	for name, plain := range map[string][]byte{"marks": marks, "blocks": block} {
		for kind, data := range map[string][]byte{
			"stored": stored(plain), "packed": deflated(plain, 1), "only literals": deflated(plain, flate.HuffmanOnly),
		} {
			checkEffort(t, name+", "+kind, data, sameAsSerial(t, name+", "+kind, data))
		}
	}
}

func TestGunzip_DecompressesABombInABlockInTurn(t *testing.T) {
	zeros := make([]byte, 12<<20)
	noise := random(60_000) // makes the segments large enough
	plain := slices.Concat(noise, zeros, noise, zeros, noise)
	packed := blocks(plain, len(zeros)+len(noise), 6)
	all := sameAsSerial(t, "a bomb", packed)
	checkEffort(t, "a bomb", packed, all)
	for _, most := range []int64{0, 1000, 1 << 20, 13 << 20, int64(len(plain)) - 1} {
		sameAsSerial(t, fmt.Sprint("a bomb, at most ", most), packed, MaxOutput(most))
	}
	sameAsSerial(t, "a bomb, with a ratio", packed, MaxRatio(10))
}

func TestGunzip_ReportsDamageInBlocksAsInOneGoroutine(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	packed := blocks(text(1<<20), 100_000, 6)
	tries := 40
	if race.Enabled {
		tries = 8
	}
	for range tries {
		n := r.IntN(len(packed))
		sameAsSerial(t, fmt.Sprint("cut to ", n), packed[:n])
		bad := bytes.Clone(packed)
		at, bit := r.IntN(len(bad)), byte(1)<<r.IntN(8)
		bad[at] ^= bit
		sameAsSerial(t, fmt.Sprintf("byte %d ^ %d", at, bit), bad)
	}
	for at := bytes.Index(packed, mark); at >= 0; {
		bad := bytes.Clone(packed)
		bad[at+4] ^= 1 // in a mark
		sameAsSerial(t, fmt.Sprintf("the mark at %d", at), bad)
		next := bytes.Index(packed[at+1:], mark)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	for _, n := range []int{8, 7, 1} {
		sameAsSerial(t, fmt.Sprintf("%d bytes missing", n), packed[:len(packed)-n])
	}
}

func TestGunzip_JoinsChecksums(t *testing.T) {
	data := random(5000)
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		n := r.IntN(len(data) + 1)
		m := n + r.IntN(len(data)+1-n)
		if got, want := crcJoin(crc32.ChecksumIEEE(data[:n]), crc32.ChecksumIEEE(data[n:m]), int64(m-n)), crc32.ChecksumIEEE(data[:m]); got != want {
			t.Fatalf("%d and %d bytes: %08x, want %08x", n, m-n, got, want)
		}
	}
	big := random(5 << 20)
	if got := crcJoin(crc32.ChecksumIEEE(data), crc32.ChecksumIEEE(big), int64(len(big))); got != crc32.ChecksumIEEE(slices.Concat(data, big)) {
		t.Errorf("%08x", got)
	}
}

func TestSplit_FindsMarksWhereverTheChunksEnd(t *testing.T) {
	data := slices.Concat(random(200), mark, []byte{7, 0, 0}, mark, mark[4:], random(30), mark, random(10))
	var want []int
	for at := 0; ; {
		i := bytes.Index(data[at:], mark)
		if i < 0 {
			break
		}
		at += i + len(mark)
		want = append(want, at)
	}
	for size := 1; size < 60; size++ {
		s := &split{work: new(work)}
		var got []int
		for at := 0; at < len(data); {
			b := data[at:min(len(data), at+size)]
			if i := s.find(b); i >= 0 {
				at += i
				got = append(got, at)
			} else {
				at += len(b)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("chunks of %d: marks end at %v, want %v", size, got, want)
		}
	}
}
