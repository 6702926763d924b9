package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
)

// gzipRows compare weir gzip with other programs, on kinds of data on which
// encoders differ: how long it takes, and how large the result is.
func gzipRows(e *env) []row {
	var rows []row
	for _, k := range gzipKinds() {
		rows = append(rows, gzipTimes(e, k), gzipSizes(e, k))
	}
	return rows
}

// gzipper is a program at a level.
type gzipper struct {
	name   string
	script string // with the source as its last argument, to standard output
	needs  string
}

func gzippers(weir string) []gzipper {
	return []gzipper{
		{"weir gzip -1", weir + " gzip -1 -q -c", ""},
		{"weir gzip -4", weir + " gzip -4 -q -c", ""},
		{"weir gzip -5", weir + " gzip -5 -q -c", ""},
		{"weir gzip -6", weir + " gzip -6 -q -c", ""},
		{"weir gzip -9", weir + " gzip -9 -q -c", ""},
		{"pigz -6", "pigz -6 -c", "pigz"},
		{"pigz -9", "pigz -9 -c", "pigz"},
		{"gzip -6", "gzip -6 -c", "gzip"},
		{"igzip -1", "igzip -1 -c", "igzip"},
		{"libdeflate-gzip -6", "libdeflate-gzip -6 -c", "libdeflate-gzip"},
	}
}

// gzipReady makes the files and the program that the rows of k need.
func gzipReady(k gzipData) func(ctx context.Context, e *env) error {
	return func(ctx context.Context, e *env) error {
		size, err := k.make(e)
		return errors.Join(err, buildWeir(ctx, e.path("weir")), e.reserve(size))
	}
}

func gzipTimes(e *env, k gzipData) row {
	src, dst := k.path(e), e.path("gzip-out")
	r := row{
		name: "gzip-" + k.name, title: "gzip of " + k.title + ", file to file, whole programs on all cores",
		unit: seconds, base: "weir gzip -6", prepare: gzipReady(k), most: 4,
		targets: []target{
			faster("weir gzip -5", 1.5, "pigz -6"),
			faster("weir gzip -4", 2.5, "pigz -6"),
		},
		notes: []string{"igzip and libdeflate-gzip use one core. Sizes are in the next row."},
	}
	for _, g := range gzippers(e.path("weir")) {
		c := command(g.name, []string{"sh", "-c", fmt.Sprintf("exec %s %s > %s", g.script, src, dst)}, dst, func(dst string) error { return unpacksTo(dst, src, nil) })
		r.contenders = append(r.contenders, withTool(c, g.needs))
	}
	return r
}

func gzipSizes(e *env, k gzipData) row {
	src, dst := k.path(e), e.path("gzip-out")
	r := row{
		name: "gzip-size-" + k.name, title: "gzip of " + k.title + ", size of the result",
		unit: mebibytes, base: "weir gzip -6", prepare: gzipReady(k), most: 1,
		targets: []target{
			atMost("weir gzip -4", 1.04, "pigz -6"),
			atMost("weir gzip -5", 1.01, "pigz -6"),
			atMost("weir gzip -9", 1.01, "pigz -9"),
			atMost("weir gzip -9", 1, "weir gzip -6"),
			atMost("weir gzip -6", 1, "weir gzip -5"),
			atMost("weir gzip -5", 1, "weir gzip -4"),
			atMost("weir gzip -4", 1, "weir gzip -1"),
		},
	}
	for _, g := range gzippers(e.path("weir")) {
		script := fmt.Sprintf("exec %s %s > %s", g.script, src, dst)
		c := contender{name: g.name, run: func(ctx context.Context, _ *env) (sample, error) {
			defer os.Remove(dst)
			if _, _, err := process(ctx, "sh", "-c", script); err != nil {
				return sample{}, err
			}
			info, err := os.Stat(dst)
			if err != nil {
				return sample{}, err
			}
			return sample{value: float64(info.Size()) / (1 << 20), allocs: math.NaN()}, nil
		}}
		r.contenders = append(r.contenders, withTool(c, g.needs))
	}
	return r
}

// withTool marks a contender as absent if the program that it needs is.
func withTool(c contender, tool string) contender {
	if tool == "" {
		return c
	}
	if _, err := exec.LookPath(tool); err != nil {
		c.absent = tool + " is not present"
	}
	return c
}
