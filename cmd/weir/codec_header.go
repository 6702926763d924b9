package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

// gzipHeader has the fields of the header of a gzip file (RFC 1952, 2.3).
type gzipHeader struct {
	name string    // of the source; empty if not stored
	time time.Time // last change of the source; zero if not stored
	size int64     // of the header in bytes
}

// Flags of a gzip header.
const (
	gzipHasCRC = 1 << (iota + 1)
	gzipHasExtra
	gzipHasName
	gzipHasComment
)

const gzipFixed = 10 // bytes of a header without optional fields

// longestName is the longest stored name to read. No file system has longer
// names.
const longestName = 4 << 10

var errNoGzip = errors.New("not in gzip format")

// readGzipHeader reads the header at the beginning of r.
func readGzipHeader(r io.Reader) (gzipHeader, error) {
	var h gzipHeader
	b := bufio.NewReader(r)
	var fixed [gzipFixed]byte
	if _, err := io.ReadFull(b, fixed[:]); err != nil || fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 {
		return h, errNoGzip
	}
	h.size = gzipFixed
	if sec := binary.LittleEndian.Uint32(fixed[4:]); sec != 0 {
		h.time = time.Unix(int64(sec), 0)
	}
	flags := fixed[3]
	if flags&gzipHasExtra != 0 {
		var n [2]byte
		if _, err := io.ReadFull(b, n[:]); err != nil {
			return h, errNoGzip
		}
		extra := int(binary.LittleEndian.Uint16(n[:]))
		if _, err := b.Discard(extra); err != nil {
			return h, errNoGzip
		}
		h.size += 2 + int64(extra)
	}
	text := func() (string, error) {
		var s []byte
		for {
			c, err := b.ReadByte()
			if err != nil || len(s) > longestName {
				return "", errNoGzip
			}
			h.size++
			if c == 0 {
				return string(s), nil
			}
			s = append(s, c)
		}
	}
	var err error
	if flags&gzipHasName != 0 {
		if h.name, err = text(); err != nil {
			return h, err
		}
	}
	if flags&gzipHasComment != 0 {
		if _, err = text(); err != nil {
			return h, err
		}
	}
	if flags&gzipHasCRC != 0 {
		h.size += 2
	}
	return h, nil
}

// headerOf reads the header of a file. It returns an empty header if the file
// has none.
func headerOf(name string) gzipHeader {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return gzipHeader{} // opening a named pipe would wait for its other end
	}
	f, err := os.Open(name)
	if err != nil {
		return gzipHeader{}
	}
	defer f.Close()
	h, err := readGzipHeader(f)
	if err != nil {
		return gzipHeader{}
	}
	return h
}

// safeName returns the last element of the stored name, so that no archive
// chooses the folder of its contents. It is empty if no usable name is stored.
func (h gzipHeader) safeName() string {
	name := h.name[strings.LastIndexByte(h.name, '/')+1:]
	if runtime.GOOS == "windows" {
		name = name[strings.LastIndexAny(name, `\:`)+1:]
	}
	if name == "." || name == ".." || !filepath.IsLocal(name) {
		return ""
	}
	return name
}

// gzipTime returns t as a gzip header stores it. ok is false if the header
// cannot hold t: before 1970 or after 2106.
func gzipTime(t time.Time) (sec uint32, ok bool) {
	if t.IsZero() {
		return 0, true
	}
	if s := t.Unix(); s >= 0 && s <= math.MaxUint32 {
		return uint32(s), true
	}
	return 0, false
}

// nameStage adds a name and a time to the gzip header of the data that it
// passes on. It leaves out an empty name and a zero time.
func nameStage(name string, sec uint32) byteStage {
	var head []byte // collected until the header is complete
	done := false
	return weir.Do("header", func(_ context.Context, in []byte, emit func([]byte) error) error {
		if done {
			return emit(in)
		}
		if head = append(head, in...); len(head) < gzipFixed {
			return nil
		}
		done = true
		return emit(named(head, name, sec))
	}, func(_ context.Context, emit func([]byte) error) error {
		if done || len(head) == 0 {
			return nil
		}
		return emit(head) // an incomplete header is passed on unchanged
	})
}

// named returns data, which begins with a gzip header, with a name and a time
// in the header.
func named(data []byte, name string, sec uint32) []byte {
	if data[0] != 0x1f || data[1] != 0x8b || data[3]&^1 != 0 { // our encoder leaves optional fields out
		return data
	}
	out := bytes.Clone(data[:gzipFixed])
	binary.LittleEndian.PutUint32(out[4:], sec)
	if name != "" {
		out[3] |= gzipHasName
		out = append(append(out, name...), 0)
	}
	return append(out, data[gzipFixed:]...)
}
