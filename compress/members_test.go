package compress_test

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

const member = 1 << 20 // of input

// gunzip returns all that was handed on before an error. A writer has a pipe of
// its own, which an error leaves behind.
func gunzip(in []byte, opts ...compress.Option) (out []byte, err error) {
	err = weir.FromReader(bytes.NewReader(in)).Through(compress.Gunzip(append(opts, compress.Workers(3))...)).
		To(weir.EachBatch(func(_ context.Context, b []byte) error { out = append(out, b...); return nil })).Run(context.Background())
	return out, err
}

func TestMembers_ComeBackWhole(t *testing.T) {
	text := logText(2*member + 12345)
	sizes := map[int][]int{
		0: {0, member + 1},
		1: {1, member - 1, member, 2*member + 1},
		6: {len(text)},
		9: {1000},
	}
	for level, sizes := range sizes {
		for i, n := range sizes {
			packed := mustRun(t, text[:n], compress.Gzip(compress.Members(), compress.Level(level), compress.Workers(1+i%3)))
			for _, workers := range []int{1, 2 + i} {
				if got := mustRun(t, packed, compress.Gunzip(compress.Workers(workers))); !bytes.Equal(got, text[:n]) {
					t.Errorf("level %d, %d bytes, %d workers: came back as %d bytes", level, n, workers, len(got))
				}
			}
			zr, err := stdgzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(zr); err != nil || !bytes.Equal(got, text[:n]) {
				t.Errorf("level %d, %d bytes: the standard library has %d bytes, %v", level, n, len(got), err)
			}
		}
	}
}

// cutMembers follows the recorded sizes.
func cutMembers(t *testing.T, packed []byte) (members [][]byte) {
	t.Helper()
	for len(packed) > 0 {
		if len(packed) < 24 || string(packed[12:16]) != "WR\x08\x00" {
			t.Fatalf("member %d records no sizes: %.24x", len(members), packed)
		}
		n := int(binary.LittleEndian.Uint32(packed[16:]))
		if n > len(packed) {
			t.Fatalf("member %d has %d bytes, and %d are there", len(members), n, len(packed))
		}
		members, packed = append(members, packed[:n:n]), packed[n:]
	}
	return members
}

func TestMembers_RecordTheirSizes(t *testing.T) {
	text := logText(2*member + 777)
	for _, n := range []int{0, 1, member, len(text)} {
		members := cutMembers(t, mustRun(t, text[:n], compress.Gzip(compress.Members())))
		if want := max(1, (n+member-1)/member); len(members) != want {
			t.Errorf("%d bytes: %d members, want %d", n, len(members), want)
		}
		at := 0
		for i, m := range members {
			zr, err := stdgzip.NewReader(bytes.NewReader(m))
			if err != nil {
				t.Fatal(err)
			}
			zr.Multistream(false)
			got, err := io.ReadAll(zr)
			plain := int(binary.LittleEndian.Uint32(m[20:]))
			if err != nil || plain != len(got) || !bytes.Equal(got, text[at:at+plain]) {
				t.Errorf("member %d: %d bytes, recorded as %d, %v", i, len(got), plain, err)
			}
			at += plain
		}
	}
}

func TestMembers_AreReadByTheRealTools(t *testing.T) {
	for _, n := range []int{0, member + 5} {
		text := logText(n)
		packed := mustRun(t, text, compress.Gzip(compress.Members()))
		for _, tool := range []string{
			"gzip -dc", "pigz -dc", "bgzip -dc", "zcat",
			"python3 -c import~gzip,sys;sys.stdout.buffer.write(gzip.GzipFile(fileobj=sys.stdin.buffer).read())",
		} {
			args := strings.Fields(tool)
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Log(args[0], "is not installed")
				continue
			}
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "~", " ")
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdin = bytes.NewReader(packed)
			if got, err := cmd.Output(); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s of %d bytes: %d bytes, %v", args[0], n, len(got), err)
			}
		}
	}
}

// bgzf writes a file as bgzip(1) does.
func bgzf(t *testing.T, text []byte) (packed []byte) {
	t.Helper()
	for at := 0; ; at += 0xff00 {
		at = min(at, len(text))
		part := text[at:min(at+0xff00, len(text))]
		var deflated bytes.Buffer
		w, err := stdflate.NewWriter(&deflated, 6)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(part)
		w.Close()
		packed = append(packed, 0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 'B', 'C', 2, 0)
		packed = binary.LittleEndian.AppendUint16(packed, uint16(18+deflated.Len()+8-1))
		packed = append(packed, deflated.Bytes()...)
		packed = binary.LittleEndian.AppendUint32(packed, crc32.ChecksumIEEE(part))
		packed = binary.LittleEndian.AppendUint32(packed, uint32(len(part)))
		if len(part) == 0 {
			return packed
		}
	}
}

func TestGunzip_CutsBGZFByItsSizes(t *testing.T) {
	text := logText(700_000)
	packed := bgzf(t, text)
	if got := mustRun(t, packed, compress.Gunzip(compress.Workers(3))); !bytes.Equal(got, text) {
		t.Errorf("came back as %d bytes", len(got))
	}
	// That a wrong size is noticed shows that sizes are used.
	packed[16]--
	if _, err := run(bytes.NewReader(packed), compress.Gunzip(compress.Workers(3))); !isCorrupt(err) {
		t.Error(err)
	}
	if _, err := exec.LookPath("bgzip"); err != nil {
		t.Skip("bgzip is not installed")
	}
	cmd := exec.Command("bgzip", "-c")
	cmd.Stdin = bytes.NewReader(text)
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, packed, compress.Gunzip(compress.Workers(3))); !bytes.Equal(got, text) {
		t.Errorf("bgzip's came back as %d bytes", len(got))
	}
}

func isCorrupt(err error) bool {
	var ce *compress.CorruptError
	return errors.As(err, &ce) && ce.Format == "gzip"
}

func TestMembers_WithAndWithoutSizesMayBeMixed(t *testing.T) {
	text := logText(member + 99)
	sized := mustRun(t, text, compress.Gzip(compress.Members()))
	plain := mustRun(t, text, compress.Gzip())
	var named bytes.Buffer
	zw := stdgzip.NewWriter(&named)
	zw.Name, zw.Extra = "a name", []byte("WR\x08\x00\xff\x00\x00\x00\xff\x00\x00\x00")
	zw.Write(text)
	zw.Close()
	parts := [][]byte{sized, plain, bgzf(t, text), named.Bytes(), sized, plain}
	want := bytes.Repeat(text, len(parts))
	for _, workers := range []int{1, 4} {
		if got := mustRun(t, bytes.Join(parts, nil), compress.Gunzip(compress.Workers(workers))); !bytes.Equal(got, want) {
			t.Errorf("%d workers: came back as %d bytes, want %d", workers, len(got), len(want))
		}
	}
}

func TestMembers_WrongSizeIsAnErrorOrIgnored(t *testing.T) {
	text := logText(2*member - 100)
	packed := mustRun(t, text, compress.Gzip(compress.Members()))
	last := len(cutMembers(t, packed)[0])
	for _, c := range []struct {
		field int // offset in the header
		value func(uint32) uint32
		whole bool
	}{
		{16, func(n uint32) uint32 { return n - 1 }, false},
		{16, func(n uint32) uint32 { return n + 1 }, false},
		{16, func(n uint32) uint32 { return n / 2 }, false},
		{16, func(n uint32) uint32 { return n + 1000 }, false},
		{16, func(uint32) uint32 { return 34 }, false},
		{20, func(n uint32) uint32 { return n - 1 }, false},
		{20, func(uint32) uint32 { return 0 }, false},
		// What cannot be true, or not be held, is as if it were not there.
		{16, func(uint32) uint32 { return 0 }, true},
		{16, func(uint32) uint32 { return 33 }, true},
		{16, func(uint32) uint32 { return 1<<32 - 1 }, true},
		{20, func(uint32) uint32 { return 1<<32 - 1 }, true},
		{20, func(uint32) uint32 { return member + 1 }, true},
	} {
		for _, at := range []int{0, last} {
			lying := bytes.Clone(packed)
			field := lying[at+c.field:]
			binary.LittleEndian.PutUint32(field, c.value(binary.LittleEndian.Uint32(field)))
			got, err := gunzip(lying)
			name := fmt.Sprintf("%d instead of %d in the member at %d",
				binary.LittleEndian.Uint32(field), binary.LittleEndian.Uint32(packed[at+c.field:]), at)
			if c.whole && (err != nil || !bytes.Equal(got, text)) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			if !c.whole && !isCorrupt(err) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			before := map[int]int{0: 0, last: member}[at]
			if !bytes.HasPrefix(text, got) || len(got) < before {
				t.Errorf("%s: %d bytes that are wrong or too few, want at least %d", name, len(got), before)
			}
		}
	}
}

func TestMembers_TruncationIsAnErrorBehindTheData(t *testing.T) {
	text := logText(2*member + 5000)
	packed := mustRun(t, text, compress.Gzip(compress.Members()))
	members := cutMembers(t, packed)
	second, last := len(members[0]), len(members[0])+len(members[1])
	for _, c := range []struct{ at, least int }{
		{1, 0}, {11, 0}, {23, 0}, {24, 0}, {25, 0}, {second / 2, member / 3},
		{second - 9, member * 9 / 10}, {second - 8, member}, {second - 1, member},
		{second + 1, member}, {second + 17, member}, {second + 24, member}, {last - 1, 2 * member},
		{last + 30, 2 * member}, {len(packed) - 1, len(text)},
		// Where a chunk of the input ends.
		{64 << 10, member / 4}, {128 << 10, member / 2}, {second + 64<<10, member + member/4},
	} {
		got, err := gunzip(packed[:c.at])
		var ce *compress.CorruptError
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &ce) || ce.Offset != int64(c.at) {
			t.Errorf("cut to %d: %v", c.at, err)
		}
		if len(got) < c.least || !bytes.HasPrefix(text, got) {
			t.Errorf("cut to %d: %d bytes, want at least %d", c.at, len(got), c.least)
		}
	}
}

func TestMembers_DamageIsAnErrorBehindTheOthers(t *testing.T) {
	text := logText(3 * member)
	packed := mustRun(t, text, compress.Gzip(compress.Members()))
	members := cutMembers(t, packed)
	end := len(members[0]) + len(members[1])
	for name, at := range map[string]int{"checksum": end - 8, "length": end - 4} {
		bad := bytes.Clone(packed)
		bad[at] ^= 1
		got, err := gunzip(bad)
		if !errors.Is(err, compress.ErrChecksum) || !isCorrupt(err) || !bytes.Equal(got, text[:2*member]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	bad := bytes.Clone(packed)
	copy(bad[len(members[0])+1000:], noise(2000))
	got, err := gunzip(bad)
	var ce *compress.CorruptError
	if !errors.As(err, &ce) || ce.Offset <= int64(len(members[0])) || ce.Offset > int64(end) {
		t.Errorf("noise: %v", err)
	}
	if len(got) < member || !bytes.Equal(got[:member], text[:member]) {
		t.Errorf("noise: %d bytes", len(got))
	}
}

func TestMembers_TrailingBytesAreTold(t *testing.T) {
	text := logText(member + 1)
	packed := mustRun(t, text, compress.Gzip(compress.Members()))
	var at int64
	n := 0
	got, err := gunzip(append(bytes.Clone(packed), "\x00\x00garbage"...),
		compress.OnTrailing(func(o int64) error { at = o; n++; return compress.ErrTrailing }))
	if !bytes.Equal(got, text) || !errors.Is(err, compress.ErrTrailing) || at != int64(len(packed)+2) || n != 1 {
		t.Errorf("%d bytes, %v, told %d times, of %d", len(got), err, n, at)
	}
}

func TestMembers_BombIsStopped(t *testing.T) {
	const size = 5 << 20
	packed := mustRun(t, make([]byte, size), compress.Gzip(compress.Members()))
	for _, c := range []struct {
		opt  compress.Option
		want int
		err  error
	}{
		{compress.MaxOutput(0), 0, compress.ErrTooLarge},
		{compress.MaxOutput(100_000), 100_000, compress.ErrTooLarge},
		{compress.MaxOutput(3*member + 1), 3*member + 1, compress.ErrTooLarge},
		{compress.MaxOutput(size - 1), size - 1, compress.ErrTooLarge},
		{compress.MaxOutput(size), size, nil},
		{compress.MaxRatio(1e300), size, nil},
	} {
		got, err := gunzip(packed, c.opt)
		if len(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d bytes, %v, want %d, %v", len(got), err, c.want, c.err)
		}
	}
	if got, err := run(bytes.NewReader(packed), compress.Gunzip(compress.Workers(3), compress.MaxRatio(2))); !errors.Is(err, compress.ErrTooLarge) || len(got) > 2<<20 {
		t.Errorf("ratio of 2: %d bytes, %v", len(got), err)
	}
}

func TestMembers_OfAKilledWriterAreSeenToBeIncomplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		var out bytes.Buffer
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := weir.FromReader(pr).Through(compress.Gzip(compress.Members())).To(weir.ToWriter(&out)).Run(context.Background()); err != nil {
				t.Error(err)
			}
		})
		pw.Write(logText(3*member + 10))
		synctest.Wait()
		got, err := run(bytes.NewReader(bytes.Clone(out.Bytes())), compress.Gunzip(compress.Workers(2)))
		if len(got) < 2*member || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("so far: %d bytes, %v", len(got), err)
		}
		pw.Close()
		wg.Wait()
	})
}

func TestGunzip_OnAllCoresStaysBelowItsCeiling(t *testing.T) {
	for name, data := range map[string][]byte{"noise": noise(3 << 20), "text": logText(3 << 20)} {
		for _, opts := range [][]compress.Option{{compress.Members()}, nil} {
			packed := mustRun(t, data, compress.Gzip(opts...))
			for _, workers := range []int{2, 7} {
				before := heap()
				stalled(t, again(packed, 1<<40), compress.Gunzip(compress.Workers(workers)), func(f *weir.Flow) {
					checkCeiling(t, fmt.Sprintf("%s, %d workers", name, workers), f, before)
				})
			}
		}
	}
}

// Between marks the size of the output is not known in advance.
func TestGunzip_StaysBelowItsCeilingWithBlocksOfAnySize(t *testing.T) {
	plain := slices.Concat(noise(100_000), make([]byte, 3<<20), logText(3<<20), noise(200_000), make([]byte, 9<<20))
	for _, size := range []int{128 << 10, 1 << 20, 4 << 20, 16 << 20} {
		packed := compress.Blocks(plain, size, 6)
		for _, workers := range []int{2, 5} {
			before := heap()
			stalled(t, again(packed, 1<<40), compress.Gunzip(compress.Workers(workers)), func(f *weir.Flow) {
				checkCeiling(t, fmt.Sprintf("blocks of %d, %d workers", size, workers), f, before)
			})
			// A budget of exactly that is enough.
			var n int64
			flow := weir.FromReader(bytes.NewReader(packed)).Through(compress.Gunzip(compress.Workers(workers))).
				To(weir.EachBatch(func(_ context.Context, b []byte) error { n += int64(len(b)); return nil }))
			most, err := flow.Ceiling()
			if err != nil {
				t.Fatal(err)
			}
			flow.Budget = weir.NewBudget(most.Bytes)
			if err := flow.Run(t.Context()); err != nil || n != int64(len(plain)) {
				t.Errorf("blocks of %d, %d workers, a budget of %v: %d bytes of %d, %v", size, workers, most, n, len(plain), err)
			}
		}
	}
}

func TestMembers_EndWithTheirFlow(t *testing.T) {
	packed := mustRun(t, noise(4<<20), compress.Gzip(compress.Members()))
	why := errors.New("enough of it")
	for name, st := range map[string]weir.Stage[byte, byte]{
		"gzip":   compress.Gzip(compress.Members(), compress.Workers(3)),
		"gunzip": compress.Gunzip(compress.Workers(3)),
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		err := weir.FromReader(again(packed, 1<<40)).Through(st).To(weir.EachBatch(func(context.Context, []byte) error {
			cancel(why)
			return nil
		})).Run(ctx)
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		if err := weir.FromReader(again(packed, 1<<40)).Through(st).To(weir.EachBatch(func(context.Context, []byte) error { return weir.ErrStop })).Run(t.Context()); err != nil {
			t.Errorf("%s, stopped: %v", name, err)
		}
	}
}
