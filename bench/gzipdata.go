package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// gzipData is a kind of data that the rows of gzip and gunzip are measured with.
// The strengths of an encoder and a decoder differ from kind to kind.
type gzipData struct {
	name  string // "log"
	title string // "a log"
	fill  func(w io.Writer) error
	most  [2]int64 // bytes at most: full and quick
}

// gzipKinds returns the kinds: a log, source code, JSON and machine code. Log
// and JSON are generated and the same each time. The others come from the Go
// installation that runs this program, so figures are comparable on one machine
// only.
func gzipKinds() []gzipData {
	return []gzipData{
		{"log", "a log", fillLog, [2]int64{256 << 20, 16 << 20}},
		{"sources", "Go's sources as a tar", fillSources, [2]int64{1 << 30, 16 << 20}},
		{"json", "JSON", fillJSON, [2]int64{128 << 20, 16 << 20}},
		{"binary", "executables", fillBinary, [2]int64{1 << 30, 16 << 20}},
	}
}

// path returns the name of the file that make makes.
func (k gzipData) path(e *env) string { return e.path("gzip-data-" + k.name) }

// make makes the file unless it is there, reads it once, so that it is in the
// page cache, and returns its size.
func (k gzipData) make(e *env) (size int64, err error) {
	most := int64(e.size(int(k.most[0]), int(k.most[1])))
	if err := e.make(k.path(e), -1, func(w io.Writer) error {
		err := k.fill(&limitedWriter{w, most})
		if errors.Is(err, errFull) {
			return nil
		}
		return err
	}); err != nil {
		return 0, fmt.Errorf("%s: %w", k.title, err)
	}
	info, err := os.Stat(k.path(e))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

var errFull = errors.New("enough data")

// limitedWriter stops its writers with errFull once it has n bytes.
type limitedWriter struct {
	w io.Writer
	n int64
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	k := min(int64(len(p)), l.n)
	n, err := l.w.Write(p[:k])
	l.n -= int64(n)
	if err == nil && l.n == 0 {
		err = errFull
	}
	return n, err
}

// fillLog writes log lines without end, a block over and over. The block is
// far longer than the window of deflate.
func fillLog(w io.Writer) error {
	block := logBlock(16 << 20)
	for {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
}

// fillSources writes the tar archive of GOROOT/src.
func fillSources(w io.Writer) error {
	root := filepath.Join(runtime.GOROOT(), "src")
	t := tar.NewWriter(w)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		// The real time and owner depend on who unpacked the files.
		head := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: info.Size(), ModTime: time.Unix(1_700_000_000, 0)}
		if err := t.WriteHeader(head); err != nil {
			return err
		}
		_, err = io.Copy(t, f)
		return err
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// fillBinary writes the executables of the Go toolchain, one after the other.
func fillBinary(w io.Writer) error {
	var names []string
	for _, pattern := range []string{"bin/go*", "pkg/tool/*/*"} {
		found, err := filepath.Glob(filepath.Join(runtime.GOROOT(), pattern))
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return fmt.Errorf("no executables in %s", runtime.GOROOT())
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// fillJSON writes objects without end, one to a line, as an API exports them.
func fillJSON(w io.Writer) error {
	rng := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields(`order ship return customer late price stock blue small large cotton steel
		delivered damaged refund express priority gift invoice paid pending open closed north south warehouse
		the of and to in for with on from by at is was has not new`)
	first := strings.Fields("Ada Grace Alan Edsger Barbara Donald Niklaus Frances Ken Dennis Rob Margaret")
	last := strings.Fields("Lovelace Hopper Turing Dijkstra Liskov Knuth Wirth Allen Thompson Ritchie Pike Hamilton")
	cities := strings.Fields("London Berlin Madrid Lisbon Oslo Vienna Prague Dublin Athens Rome")
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b []byte
	for id := 100_000; ; id++ {
		at = at.Add(time.Duration(rng.IntN(90_000)) * time.Millisecond)
		f, l := pick(first), pick(last)
		b = fmt.Appendf(b[:0], `{"id":%d,"uuid":"%08x-%04x-4%03x-%04x-%012x","created_at":"%s","customer":{"name":"%s %s","email":"%s.%s%d@example.com","city":"%s","vip":%t},"items":[`,
			id, rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<12), rng.IntN(1<<16), rng.Int64N(1<<48), at.Format(time.RFC3339Nano),
			f, l, strings.ToLower(f), strings.ToLower(l), rng.IntN(1000), pick(cities), rng.IntN(10) == 0)
		for i := range 1 + rng.IntN(4) {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"sku":"%s-%d","quantity":%d,"price":%.2f,"tags":["%s","%s"]}`,
				strings.ToUpper(pick(words)), rng.IntN(5000), 1+rng.IntN(9), rng.ExpFloat64()*50, pick(words), pick(words))
		}
		b = append(b, `],"status":"`...)
		b = append(b, pick(words[14:22])...)
		b = append(b, `","note":"`...)
		for range rng.IntN(30) {
			b = append(append(b, pick(words)...), ' ')
		}
		b = append(b, `","location":{"lat":`...)
		b = strconv.AppendFloat(b, rng.Float64()*180-90, 'f', 6, 64)
		b = append(b, `,"lon":`...)
		b = strconv.AppendFloat(b, rng.Float64()*360-180, 'f', 6, 64)
		b = append(b, "}}\n"...)
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
}
