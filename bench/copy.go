package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/weir-go/weir"
)

// copyRow measures whole processes that copy a file which is in the page cache.
func copyRow(e *env) row {
	size := int64(e.size(2<<30, 256<<20))
	src, dst := e.path(fmt.Sprintf("logs-%dM", size>>20)), e.path("copy")
	verify := func(dst string) error { return sameContents(src, dst) }
	r := row{
		name: "copy", title: fmt.Sprintf("copy of a file of %d MiB, page cache warm, whole processes", size>>20),
		unit: seconds, base: "weir",
		prepare: func(_ context.Context, e *env) error {
			if _, err := e.logs(size); err != nil {
				return err
			}
			return e.reserve(size)
		},
		contenders: []contender{
			command("weir", child("copy-weir", src, dst), dst, verify),
			command("cp", []string{"cp", src, dst}, dst, verify),
			command("io.Copy", child("copy-io", src, dst), dst, verify),
			command("weir, through a stage", child("copy-weir-stage", src, dst), dst, verify),
			command("Go loop, 64 KiB", child("copy-loop", src, dst), dst, verify),
			command("pv", []string{"sh", "-c", "exec pv -q " + src + " > " + dst}, dst, verify),
			command("Node pipeline", nodeScript(e, "copy.mjs", src, dst), dst, verify),
		},
		targets: []target{
			atMost("weir", 1.05, "cp"),
			faster("weir", 4, "Node pipeline"),
		},
		notes: []string{"The destination is removed before each run. Through a stage, every byte passes through a pipe and a function instead of the kernel's own path."},
	}
	return r
}

func copyWeir(args []string) error {
	return runFlow(weir.File(args[0]).To(weir.Create(args[1])))
}

// copyWeirStage copies through a stage that sees every byte.
func copyWeirStage(args []string) error {
	return runFlow(weir.File(args[0]).Through(passOn()).To(weir.Create(args[1])))
}

func copyIO(args []string) error {
	return withFiles(args[0], args[1], func(src, dst *os.File) error {
		_, err := io.Copy(dst, src)
		return err
	})
}

func copyLoop(args []string) error {
	return withFiles(args[0], args[1], func(src, dst *os.File) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 64<<10))
		return err
	})
}

// withFiles opens src, creates dst, calls f and closes both.
func withFiles(src, dst string, f func(src, dst *os.File) error) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	return errors.Join(f(in, out), out.Close())
}

func sameContents(a, b string) error {
	return withTwo(a, b, func(x, y io.Reader) error { return sameStreams(x, y, nil) })
}

// sameStreams compares x with y, changed by change if that is not nil.
func sameStreams(x, y io.Reader, change func([]byte)) error {
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(x, p)
		m, merr := io.ReadFull(y, q)
		if change != nil {
			change(q[:m])
		}
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return errors.New("it differs from what it should be")
		}
		if err != nil || merr != nil {
			return nil
		}
	}
}

func withTwo(a, b string, f func(x, y io.Reader) error) error {
	x, err := os.Open(a)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return err
	}
	defer y.Close()
	return f(x, y)
}
