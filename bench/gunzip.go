package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// gunzipRows compare weir gunzip with other programs, on kinds of data on which
// decoders differ: of one stream, as GNU gzip writes it, and of independent
// blocks, as pigz -i and weir gzip write them.
func gunzipRows(e *env) []row {
	var rows []row
	for _, k := range gzipKinds() {
		rows = append(rows,
			gunzipRow(e, k, "gunzip-"+k.name, "what gzip -6 made of "+k.title, "gzip", "gzip -6 -n -c"),
			gunzipRow(e, k, "gunzip-blocks-"+k.name, "what pigz -i made of "+k.title, "pigz", "pigz -6 -i -n -c"),
		)
	}
	return rows
}

// gunzipRow decompresses data compressed by packer, a command that writes to
// standard output.
func gunzipRow(e *env, k gzipData, name, title, tool, packer string) row {
	src, dst, weir := k.path(e), e.path("gunzip-out"), e.path("weir")
	packed := e.path(name + ".gz")
	same := func(dst string) error { return sameContents(src, dst) }
	r := row{
		name: name, title: "gunzip of " + title + ", file to file, whole programs",
		unit: seconds, base: "weir gunzip",
		prepare: func(ctx context.Context, e *env) error {
			if _, err := exec.LookPath(tool); err != nil {
				return nil // no contender can run
			}
			size, err := k.make(e)
			if err := errors.Join(err, buildWeir(ctx, weir), e.reserve(size)); err != nil {
				return err
			}
			return exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("%s %s > %s", packer, src, packed)).Run()
		},
		notes: []string{"pigz uses other threads for reading, writing and the checksum. igzip is written in assembly, and libdeflate-gunzip needs the whole file in memory."},
	}
	for _, c := range []struct{ name, command, tool string }{
		{"weir gunzip", weir + " gunzip -q -c", tool},
		{"pigz -d", "pigz -dc", "pigz"},
		{"gzip -d", "gzip -dc", "gzip"},
		{"igzip -d", "igzip -dc", "igzip"},
		{"libdeflate-gunzip", "libdeflate-gunzip -c", "libdeflate-gunzip"},
	} {
		one := command(c.name, []string{"sh", "-c", fmt.Sprintf("exec %s %s > %s", c.command, packed, dst)}, dst, same)
		for _, needs := range []string{c.tool, tool} {
			if _, err := exec.LookPath(needs); err != nil {
				one.absent = needs + " is not present"
			}
		}
		r.contenders = append(r.contenders, one)
	}
	times := 1.5
	if k.name == "json" || k.name == "binary" {
		times = 1.3
	}
	r.targets = []target{faster("weir gunzip", times, "pigz -d")}
	return r
}
