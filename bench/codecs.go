package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// codecRow measures whole processes that pass a file through one codec: a stage
// of weir beside the library that it is made of, or could be.
func codecRow(e *env, name, title, suffix string, part float64, ours, peer string) row {
	size := int64(e.size(256<<20, 64<<20))
	plain := e.path(fmt.Sprintf("logs-%dM", size>>20))
	src, dst := plain+suffix, e.path("coded")
	verify := func(dst string) error { return unpacksTo(dst, plain, nil) }
	switch {
	case suffix != "":
		verify = func(dst string) error { return sameContents(dst, plain) }
	case name == "zstd":
		verify = func(dst string) error { return unzstdsTo(dst, plain) }
	}
	return row{
		name: name, title: fmt.Sprintf("%s, %d MiB of log lines, file to file, whole processes", title, size>>20),
		unit: seconds, base: "weir",
		prepare: func(_ context.Context, e *env) error {
			_, err := e.logs(size)
			switch suffix {
			case ".gz":
				_, err = e.gzipped(size)
			case ".zst":
				err = e.zstded(size)
			}
			return errors.Join(err, e.reserve(size))
		},
		contenders: []contender{
			command("weir", child(ours, src, dst), dst, verify),
			command("the library alone", child(peer, src, dst), dst, verify),
		},
		targets: []target{within("weir", part, "the library alone")},
	}
}

func codecRows(e *env) []row {
	return []row{
		codecRow(e, "gzip", "gzip, level 4, one worker, beside klauspost gzip at level 6, of the same size", "", 0.03, "gzip-weir-one", "gzip-bare"),
		codecRow(e, "gunzip", "gunzip, beside klauspost gzip", ".gz", 0.03, "gunzip-weir", "gunzip-bare"),
		codecRow(e, "zstd", "zstd, one worker, beside klauspost zstd", "", 0.03, "zstd-weir-one", "zstd-bare"),
		codecRow(e, "unzstd", "unzstd, beside klauspost zstd", ".zst", 0.03, "unzstd-weir", "unzstd-bare"),
		codecRow(e, "pgzip", "gzip, level 4, all cores, beside klauspost pgzip at level 6, of the same size", "", 0.05, "gzip-weir", "pgzip-bare"),
	}
}

// coded makes a child that passes a file through a stage.
func coded(stage func() weir.Stage[byte, byte]) func(args []string) error {
	return func(args []string) error {
		return runFlow(weir.File(args[0]).Through(stage()).To(weir.Create(args[1])))
	}
}

// bare makes a child that passes a file through a codec in one goroutine, as
// its documentation says.
func bare(reader func(io.Reader) (io.Reader, error), writer func(io.Writer) (io.WriteCloser, error)) func(args []string) error {
	return func(args []string) error {
		return withFiles(args[0], args[1], func(src, dst *os.File) error {
			w := bufio.NewWriterSize(dst, 64<<10)
			in, out := io.Reader(src), io.WriteCloser(nopCloser{w})
			var err error
			if reader != nil {
				if in, err = reader(bufio.NewReaderSize(src, 64<<10)); err != nil {
					return err
				}
			}
			if writer != nil {
				if out, err = writer(w); err != nil {
					return err
				}
			}
			if _, err := io.CopyBuffer(onlyWriter{out}, onlyReader{in}, make([]byte, 64<<10)); err != nil {
				return err
			}
			return errors.Join(out.Close(), w.Flush())
		})
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func bareGunzip(r io.Reader) (io.Reader, error)     { return gzip.NewReader(r) }
func bareGzip(w io.Writer) (io.WriteCloser, error)  { return gzip.NewWriterLevel(w, 6) }
func barePgzip(w io.Writer) (io.WriteCloser, error) { return pgzip.NewWriterLevel(w, 6) }
func bareUnzstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
}
func bareZstd(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
}
func gzipStage(w ...compress.Option) func() weir.Stage[byte, byte] {
	return func() weir.Stage[byte, byte] { return compress.Gzip(append(w, compress.Level(4))...) }
}
func zstdStage(w ...compress.Option) func() weir.Stage[byte, byte] {
	return func() weir.Stage[byte, byte] { return compress.Zstd(w...) }
}

// zstded makes the zstd file that belongs to n bytes of log lines.
func (e *env) zstded(n int64) error {
	src, err := e.logs(n)
	if err != nil {
		return err
	}
	return e.make(src+".zst", -1, func(w io.Writer) error {
		in, err := os.Open(src)
		if err != nil {
			return err
		}
		defer in.Close()
		z, err := zstd.NewWriter(w)
		if err != nil {
			return err
		}
		if _, err := io.Copy(z, in); err != nil {
			return err
		}
		return z.Close()
	})
}

func unzstdsTo(packed, plain string) error {
	return withTwo(packed, plain, func(x, y io.Reader) error {
		z, err := zstd.NewReader(x)
		if err != nil {
			return err
		}
		defer z.Close()
		return sameStreams(z, y, nil)
	})
}
