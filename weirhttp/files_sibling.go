package weirhttp

import (
	"encoding/binary"
	"io"
	"net/http"
)

// precompressed opens what stands in for the file f called name.
func (s *FileServer) precompressed(r *http.Request, name string, f *file, shared bool) (*file, string) {
	accept := r.Header.Values("Accept-Encoding")
	if len(accept) == 0 {
		return nil, ""
	}
	for _, c := range [...]struct {
		coding, suffix string
		whole          func(sibling io.ReaderAt, size, plain int64) bool // nil: clients read all there is
	}{{"zstd", ".zst", nil}, {"gzip", ".gz", oneMember}} {
		if !accepts(accept, c.coding) {
			continue
		}
		info, err := s.stat(name + c.suffix)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(f.modified) {
			continue
		}
		better, err := s.openFile(name+c.suffix, shared)
		if err != nil {
			continue
		}
		// The name may lead to another file than a moment ago.
		if better.modified.Before(f.modified) || c.whole != nil && !c.whole(better, better.size, f.size) {
			better.release()
			continue
		}
		return better, c.coding
	}
	return nil, ""
}

const (
	gzipHead  = 10 // bytes of a gzip header without optional fields
	gzipLeast = 18 // bytes of a gzip header and trailer, with nothing between
)

// oneMember reports whether a gzip file of size bytes can hold, in its first
// member, all of a file of plain bytes. It reads the two ends of the file and
// inflates nothing.
//
// The last four bytes are the size, modulo 2³², of what the last member holds.
// Where a file is so large that the last of its members has by chance the
// size that is looked for, the header may still tell: members of bgzip and of
// compress.Members record there how long they are.
func oneMember(gz io.ReaderAt, size, plain int64) bool {
	var tail [4]byte
	if size < gzipLeast {
		return false
	}
	if n, _ := gz.ReadAt(tail[:], size-int64(len(tail))); n < len(tail) || binary.LittleEndian.Uint32(tail[:]) != uint32(plain) {
		return false
	}
	var head [64]byte
	n, _ := gz.ReadAt(head[:min(size, int64(len(head)))], 0)
	if n < gzipHead || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 {
		return false
	}
	member, told := memberSize(head[:n])
	return !told || member == size
}

// memberSize returns the length that the member which begins with head records
// in its extra field, as compress.Members ("WR") and bgzip ("BC") do.
func memberSize(head []byte) (n int64, ok bool) {
	const flagExtra = 4
	if head[3]&flagExtra == 0 || len(head) < gzipHead+2 {
		return 0, false
	}
	extra := head[gzipHead+2:]
	extra = extra[:min(len(extra), int(binary.LittleEndian.Uint16(head[gzipHead:])))]
	for len(extra) >= 4 {
		id, n := string(extra[:2]), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			break
		}
		switch {
		case id == "WR" && n == 8:
			return int64(binary.LittleEndian.Uint32(extra)), true
		case id == "BC" && n == 2:
			return int64(binary.LittleEndian.Uint16(extra)) + 1, true
		}
		extra = extra[n:]
	}
	return 0, false
}
