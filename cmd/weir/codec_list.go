package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// listing is --list: a row for each file, as gzip(1) prints it. It decompresses
// the file to count its bytes, because the size stored at the end is only the
// size of the last member, modulo 4 GiB.
type listing struct {
	run           *codecRun
	rows          int
	packed, plain int64 // of all rows
}

// listed makes st print its row when it has read the whole file.
func (l *listing) listed(st *step) {
	st.run = func(ctx context.Context) error {
		if err := st.flow.Run(ctx); err != nil {
			return err
		}
		packed, plain := st.bytes(st.flow.Report())
		name, overhead := st.src, int64(0)
		var head gzipHeader
		if st.src == "-" {
			name = "stdout"
		} else {
			if base, s, ok := l.run.cutSuffix(st.src); ok {
				name = base + s.plain
			}
			head = headerOf(st.src)
			if info, err := os.Stat(st.src); err == nil && info.Mode().IsRegular() {
				packed = info.Size() // includes data after the last member
			}
		}
		if l.run.gzip {
			if overhead = max(head.size, gzipFixed) + 8; l.run.names > 0 && head.safeName() != "" {
				name = filepath.Join(filepath.Dir(st.src), head.safeName())
			}
		}
		if l.rows == 0 && !l.run.listQuiet {
			fmt.Fprintf(l.run.stdout, "%19s %19s  ratio uncompressed_name\n", "compressed", "uncompressed")
		}
		l.rows++
		l.packed, l.plain = l.packed+packed, l.plain+plain
		return l.row(packed, plain, overhead, name)
	}
}

// row prints one line. The ratio is the share that compression saved, computed
// as in gzip(1), without header and trailer.
func (l *listing) row(packed, plain, overhead int64, name string) error {
	ratio := 0.0
	if plain > 0 {
		ratio = 100 * float64(plain-(packed-overhead)) / float64(plain)
	}
	_, err := fmt.Fprintf(l.run.stdout, "%19d %19d %5.1f%% %s\n", packed, plain, ratio, name)
	if err != nil {
		return &failure{code: exitDestination, text: fmt.Sprintf("cannot write standard output: %v", innermost(err))}
	}
	return nil
}

// end prints the totals of several files.
func (l *listing) end() error {
	if l.rows < 2 || l.run.listQuiet {
		return nil
	}
	return l.row(l.packed, l.plain, 0, "(totals)")
}
