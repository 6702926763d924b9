package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
)

// env is the environment that the rows share.
type env struct {
	dir   string // generated files
	quick bool
	keep  bool
	// checks holds the checksums of the row that runs now.
	checks map[int]uint64
}

// path returns the name of a file in the data folder.
func (e *env) path(name string) string { return filepath.Join(e.dir, name) }

// size picks the size of a row.
func (e *env) size(full, quick int) int {
	if e.quick {
		return quick
	}
	return full
}

// cleanup removes the generated files unless they are to be kept.
func (e *env) cleanup() {
	if !e.keep {
		os.RemoveAll(e.dir)
	}
}

// reserve fails if fewer than n bytes, and a tenth of that, are free on disk.
func (e *env) reserve(n int64) error {
	free, err := freeSpace(e.dir)
	if err != nil {
		return err
	}
	if free < n+n/10 {
		return fmt.Errorf("%d MiB are needed in %s and %d MiB are free: use -dir, or -quick", (n+n/10)>>20, e.dir, free>>20)
	}
	return nil
}

// logs makes a file of n bytes of log lines, the same each time, and reads it
// once, so that it is in the page cache. It returns its path.
func (e *env) logs(n int64) (string, error) {
	path := e.path(fmt.Sprintf("logs-%dM", n>>20))
	return path, e.make(path, n, func(w io.Writer) error {
		block := logBlock(16 << 20)
		for rest := n; rest > 0; {
			k := min(rest, int64(len(block)))
			if _, err := w.Write(block[:k]); err != nil {
				return err
			}
			rest -= k
		}
		return nil
	})
}

// gzipped makes a gzip file of n bytes of log lines and returns its path.
func (e *env) gzipped(n int64) (string, error) {
	src, err := e.logs(n)
	if err != nil {
		return "", err
	}
	return src + ".gz", e.make(src+".gz", -1, func(w io.Writer) error {
		in, err := os.Open(src)
		if err != nil {
			return err
		}
		defer in.Close()
		z := gzip.NewWriter(w)
		if _, err := io.Copy(z, in); err != nil {
			return err
		}
		return z.Close()
	})
}

// make creates the file path unless it exists with the wanted size; size -1
// accepts any size. The data is on the disk before make returns, so that
// writing it back does not disturb the measurement.
func (e *env) make(path string, size int64, fill func(io.Writer) error) error {
	if st, err := os.Stat(path); err == nil && (size < 0 || st.Size() == size) {
		return warm(path)
	}
	if size > 0 {
		if err := e.reserve(size); err != nil {
			return err
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return warm(path)
}

func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return err
}

// logBlock returns n bytes of lines as a web server writes them: ASCII, about
// five times smaller when compressed, never the same twice.
func logBlock(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	paths := []string{"/", "/index.html", "/api/v1/orders", "/api/v1/orders/%d", "/static/app.%d.js", "/search?q=%d", "/images/%d.png", "/login"}
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", "curl/8.5.0", "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Safari/605.1.15", "Go-http-client/2.0"}
	codes := []int{200, 200, 200, 200, 200, 304, 302, 404, 500}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	b.Grow(n + 512)
	for b.Len() < n {
		at = at.Add(time.Duration(rng.IntN(50)) * time.Millisecond)
		path := paths[rng.IntN(len(paths))]
		if bytes.ContainsRune([]byte(path), '%') {
			path = fmt.Sprintf(path, rng.IntN(1_000_000))
		}
		fmt.Fprintf(&b, "%d.%d.%d.%d - - [%s] \"GET %s HTTP/1.1\" %d %d %.3f \"%s\"\n",
			10, rng.IntN(256), rng.IntN(256), rng.IntN(256), at.Format("02/Jan/2006:15:04:05.000"),
			path, codes[rng.IntN(len(codes))], rng.IntN(60000), rng.ExpFloat64()/20, agents[rng.IntN(len(agents))])
	}
	return b.Bytes()[:n]
}
