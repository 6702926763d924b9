package inflate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// zlibProgram answers each stream, which has its length in front, with whether it
// is whole (0), cut off (1) or wrong (2), how many bytes were used, the output and
// the error.
const zlibProgram = `
import struct, sys, zlib
i, o = sys.stdin.buffer, sys.stdout.buffer
while True:
    n = i.read(4)
    if not n:
        break
    data = i.read(struct.unpack("<I", n)[0])
    d, out, why, status = zlib.decompressobj(-15), b"", b"", 1
    try:
        out = d.decompress(data)
        if d.eof:
            status = 0
    except zlib.error as e:
        status, why = 2, str(e).encode()
    o.write(struct.pack("<IIII", status, len(data) - len(d.unused_data), len(out), len(why)) + out + why)
    o.flush()
`

// The decoder accepts the same input as zlib, with the same output. There are
// two exceptions, which the standard library has too: a code for the lengths of
// codes can have one symbol, and a block need not be able to end.
func TestDecoder_AgreesWithZlib(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3, which has zlib")
	}
	if out, err := exec.Command(python, "-c", "import zlib").CombinedOutput(); err != nil {
		t.Skipf("python3 has no zlib: %v, %s", err, out)
	}
	cmd := exec.Command(python, "-c", zlibProgram)
	to, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		to.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	from := bufio.NewReader(out)
	d, count := new(Decoder), [3]int{}
	compare := func(name string, data []byte) {
		if _, err := to.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...)); err != nil {
			t.Fatal(err)
		}
		var head [4]uint32
		if err := binary.Read(from, binary.LittleEndian, &head); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, head[2]+head[3])
		if _, err := io.ReadFull(from, body); err != nil {
			t.Fatal(err)
		}
		want, why := body[:head[2]], string(body[head[2]:])
		count[head[0]]++
		got, used, err := decode(d, data, nil)
		var ok bool
		switch head[0] {
		case 0:
			ok = err == nil && used == int(head[1]) && bytes.Equal(got, want)
		case 1: // zlib does not tell whether what it has is wrong
			ok = err == io.ErrUnexpectedEOF && bytes.HasPrefix(got, want)
		case 2:
			ok = err == ErrCorrupt || err != nil && len(data)-used < 8 ||
				strings.Contains(why, "invalid code lengths set") || strings.Contains(why, "missing end-of-block")
		}
		if !ok {
			t.Errorf("%s: %d bytes, %d used, %v; zlib: status %d, %d bytes, %d used, %s", name, len(got), used, err, head[0], len(want), head[1], why)
		}
	}
	r := rand.New(rand.NewPCG(9, 10))
	eachPacked(t, func(name string, plain, packed []byte) {
		if len(packed) > 60_000 {
			return
		}
		compare(name, packed)
		compare(name+", cut", packed[:r.IntN(len(packed))])
		for range 4 {
			bad := bytes.Clone(packed)
			at, bit := r.IntN(min(len(bad), 200)), byte(1)<<r.IntN(8)
			bad[at] ^= bit
			compare(fmt.Sprintf("%s, byte %d ^ %d", name, at, bit), bad)
		}
	})
	for i := range 500 {
		compare(fmt.Sprint("codes ", i), anyBlocks(r))
	}
	t.Logf("%d whole, %d cut off, %d wrong", count[0], count[1], count[2])
}
