package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/text"
)

// recodeRow measures whole processes in which several stages have work to do:
// file → gunzip → upper → gzip (level 1) → file.
func recodeRow(e *env) row {
	size := int64(e.size(256<<20, 64<<20))
	plain := e.path(fmt.Sprintf("logs-%dM", size>>20))
	src, dst := plain+".gz", e.path("recoded.gz")
	verify := func(dst string) error { return unpacksTo(dst, plain, upper) }
	return row{
		name: "recode", title: fmt.Sprintf("file → gunzip → upper → gzip (level 1) → file, %d MiB of log lines, whole processes", size>>20),
		unit: seconds, base: "weir",
		prepare: func(_ context.Context, e *env) error {
			if _, err := e.gzipped(size); err != nil {
				return err
			}
			return e.reserve(size)
		},
		contenders: []contender{
			command("weir", child("recode-weir", src, dst), dst, verify),
			command("weir, gzip with one worker", child("recode-weir-one", src, dst), dst, verify),
			command("io.Copy chain", child("recode-serial", src, dst), dst, verify),
			command("goroutines, bufio and io.Pipe", child("recode-pipes", src, dst), dst, verify),
			command("Node pipeline", nodeScript(e, "recode.mjs", src, dst), dst, verify),
		},
		targets: []target{
			atMost("weir", 0.6, "io.Copy chain"),
			atMost("weir", 0.75, "goroutines, bufio and io.Pipe"),
			atMost("weir", 0.5, "Node pipeline"),
		},
		notes: []string{"The Go peers use the same gzip as weir (klauspost/compress) and an upper that knows ASCII only and changes bytes where they lie."},
	}
}

func recodeWeir(opts ...compress.Option) func(args []string) error {
	return func(args []string) error {
		opts := append([]compress.Option{compress.Level(1)}, opts...)
		return runFlow(weir.File(args[0]).
			Through(compress.Gunzip(), text.Upper(), compress.Gzip(opts...)).
			To(weir.Create(args[1])))
	}
}

// recodeSerial is one goroutine: readers inside readers, and io.Copy.
func recodeSerial(args []string) error {
	return withFiles(args[0], args[1], func(src, dst *os.File) error {
		in, err := gzip.NewReader(bufio.NewReaderSize(src, 64<<10))
		if err != nil {
			return err
		}
		w := bufio.NewWriterSize(dst, 64<<10)
		out, err := gzip.NewWriterLevel(w, 1)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(onlyWriter{upperWriter{out}}, onlyReader{in}, make([]byte, 64<<10)); err != nil {
			return err
		}
		return errors.Join(out.Close(), w.Flush())
	})
}

// recodePipes has a goroutine for each stage, with buffers around io.Pipe as
// people put them there.
func recodePipes(args []string) error {
	return withFiles(args[0], args[1], func(src, dst *os.File) error {
		plain, plainW := io.Pipe()
		upperR, upperW := io.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			in, err := gzip.NewReader(bufio.NewReaderSize(src, 64<<10))
			if err == nil {
				err = copyBuffered(plainW, in)
			}
			plainW.CloseWithError(err)
		})
		wg.Go(func() {
			w := bufio.NewWriterSize(upperW, 64<<10)
			_, err := io.CopyBuffer(onlyWriter{upperWriter{w}}, onlyReader{plain}, make([]byte, 64<<10))
			upperW.CloseWithError(errors.Join(err, w.Flush()))
		})
		w := bufio.NewWriterSize(dst, 64<<10)
		out, err := gzip.NewWriterLevel(w, 1)
		if err == nil {
			_, err = io.CopyBuffer(onlyWriter{out}, onlyReader{upperR}, make([]byte, 64<<10))
		}
		plain.CloseWithError(err)
		upperR.CloseWithError(err)
		wg.Wait()
		return errors.Join(err, out.Close(), w.Flush())
	})
}

func copyBuffered(dst io.Writer, src io.Reader) error {
	w := bufio.NewWriterSize(dst, 64<<10)
	_, err := io.CopyBuffer(onlyWriter{w}, onlyReader{src}, make([]byte, 64<<10))
	return errors.Join(err, w.Flush())
}

// onlyReader and onlyWriter hide shortcuts, so that io.CopyBuffer uses its
// buffer.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

// upperWriter changes the slice that it is given, which its callers here allow.
type upperWriter struct{ w io.Writer }

func (u upperWriter) Write(p []byte) (int, error) {
	upper(p)
	return u.w.Write(p)
}

func upper(p []byte) {
	for i, c := range p {
		if 'a' <= c && c <= 'z' {
			p[i] = c - ('a' - 'A')
		}
	}
}

// unpacksTo checks that the gzip file packed holds plain, changed by change.
func unpacksTo(packed, plain string, change func([]byte)) error {
	return withTwo(packed, plain, func(x, y io.Reader) error {
		z, err := gzip.NewReader(bufio.NewReaderSize(x, 1<<20))
		if err != nil {
			return err
		}
		return sameStreams(z, y, change)
	})
}
