package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// cliRows measure the weir command beside the tools that people use instead.
// Each is a whole process, or a shell pipeline of some.
func cliRows(e *env) []row {
	size := int64(e.size(512<<20, 64<<20))
	src, dst := e.path(fmt.Sprintf("logs-%dM", size>>20)), e.path("cli-out")
	weir := e.path("weir")
	ready := func(ctx context.Context, e *env) error {
		_, err := e.logs(size)
		_, zerr := e.gzipped(size)
		return errors.Join(err, zerr, buildWeir(ctx, weir), e.reserve(size))
	}
	sh := func(name, script string, verify func(string) error, needs ...string) contender {
		if !strings.Contains(script, "|") {
			script = "exec " + script // measure the peak of the command, not of the shell
		}
		c := command(name, []string{"sh", "-c", script}, dst, verify)
		for _, tool := range needs {
			if _, err := exec.LookPath(tool); err != nil {
				c.absent = tool + " is not present"
			}
		}
		return c
	}
	same := func(dst string) error { return sameContents(src, dst) }
	gunzips := func(dst string) error { return unpacksTo(dst, src, nil) }
	mib := fmt.Sprintf("%d MiB of log lines", size>>20)
	own := src + ".own.gz"
	return []row{
		{
			name: "cli-copy", title: "weir copy, " + mib, unit: seconds, base: "weir copy", prepare: ready,
			contenders: []contender{
				sh("weir copy", fmt.Sprintf("%s copy %s %s -q", weir, src, dst), same),
				command("cp", []string{"cp", src, dst}, dst, same),
			},
			targets: []target{atMost("weir copy", 1.05, "cp")},
		},
		{
			name: "cli-pipe", title: "through standard input and output, " + mib, unit: seconds, base: "cat | weir copy - -", prepare: ready,
			contenders: []contender{
				sh("cat | weir copy - -", fmt.Sprintf("cat %s | %s copy - - -q > %s", src, weir, dst), same),
				sh("cat | cat", fmt.Sprintf("cat %s | cat > %s", src, dst), same),
				sh("cat | pv", fmt.Sprintf("cat %s | pv -q > %s", src, dst), same, "pv"),
			},
			targets: []target{atMost("cat | weir copy - -", 1.1, "cat | cat"), faster("cat | weir copy - -", 1, "cat | pv")},
		},
		{
			name: "cli-gzip", title: "weir gzip, " + mib, unit: seconds, base: "weir gzip", prepare: ready,
			contenders: []contender{
				sh("weir gzip", fmt.Sprintf("%s gzip -c %s -q > %s", weir, src, dst), gunzips),
				sh("weir gzip --level 4", fmt.Sprintf("%s gzip --level 4 -c %s -q > %s", weir, src, dst), gunzips),
				sh("pigz -6 -p2", fmt.Sprintf("pigz -6 -p2 -c %s > %s", src, dst), gunzips, "pigz"),
				sh("gzip -6", fmt.Sprintf("gzip -6 -c %s > %s", src, dst), gunzips, "gzip"),
			},
			targets: []target{faster("weir gzip", 1.5, "pigz -6 -p2"), faster("weir gzip --level 4", 2.5, "pigz -6 -p2"), faster("weir gzip", 3, "gzip -6")},
		},
		{
			name: "cli-gunzip", title: "weir gunzip of what gzip wrote, " + mib, unit: seconds, base: "weir gunzip", prepare: ready,
			contenders: []contender{
				sh("weir gunzip", fmt.Sprintf("%s gunzip -c %s.gz -q > %s", weir, src, dst), same),
				sh("gzip -d", fmt.Sprintf("gzip -dc %s.gz > %s", src, dst), same, "gzip"),
			},
			targets: []target{faster("weir gunzip", 1.5, "gzip -d")},
		},
		{
			name: "cli-gunzip-own", title: "weir gunzip of what weir gzip wrote, " + mib, unit: seconds, base: "weir gunzip",
			prepare: func(ctx context.Context, e *env) error {
				if err := ready(ctx, e); err != nil {
					return err
				}
				return exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("%s gzip -c %s -q > %s", weir, src, own)).Run()
			},
			contenders: []contender{
				sh("weir gunzip", fmt.Sprintf("%s gunzip -c %s -q > %s", weir, own, dst), same),
				sh("gzip -d", fmt.Sprintf("gzip -dc %s > %s", own, dst), same, "gzip"),
			},
			targets: []target{faster("weir gunzip", 3, "gzip -d")},
		},
		{
			name: "cli-zstd", title: "weir zstd, " + mib, unit: seconds, base: "weir zstd", prepare: ready,
			contenders: []contender{
				sh("weir zstd", fmt.Sprintf("%s zstd -c %s -q > %s", weir, src, dst), nil),
				sh("zstd -3 -T2", fmt.Sprintf("zstd -q -3 -T2 -c %s > %s", src, dst), nil, "zstd"),
			},
			targets: []target{faster("weir zstd", 0.8, "zstd -3 -T2")},
		},
		treeRow(e, weir),
		startRow(weir),
	}
}

// weirIsBuilt says that this process has built the command. One that an earlier
// run has left behind may be of another source.
var weirIsBuilt bool

// buildWeir builds the command from the source beside this module, once.
func buildWeir(ctx context.Context, bin string) error {
	if weirIsBuilt {
		return nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/weir-go/weir").Output()
	if err != nil {
		return fmt.Errorf("finding the source of weir: run this command in its bench folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/weir")
	cmd.Dir = strings.TrimSpace(string(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building weir: %w: %s", err, out)
	}
	weirIsBuilt = true
	return nil
}

// treeRow copies many small files.
func treeRow(e *env, weir string) row {
	n := e.size(20_000, 4_000)
	src, dst := e.path("small-files"), e.path("small-copy")
	folder := func(name string, argv ...string) contender {
		c := command(name, argv, dst, nil)
		if _, err := exec.LookPath(argv[0]); err != nil {
			c.absent = argv[0] + " is not present"
		}
		one := c.run
		c.run = func(ctx context.Context, e *env) (sample, error) {
			if err := os.RemoveAll(dst); err != nil {
				return sample{}, err
			}
			defer os.RemoveAll(dst)
			return one(ctx, e)
		}
		return c
	}
	return row{
		name: "cli-folder", title: fmt.Sprintf("a folder of %d files of 4 KiB", n), unit: seconds, base: "weir copy",
		prepare: func(ctx context.Context, _ *env) error {
			if err := buildWeir(ctx, weir); err != nil {
				return err
			}
			block := []byte(strings.Repeat("0123456789abcde\n", 256))
			for i := range n {
				name := filepath.Join(src, fmt.Sprint(i/200), fmt.Sprint(i))
				if i%200 == 0 {
					if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
						return err
					}
				}
				if err := os.WriteFile(name, block, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		contenders: []contender{
			folder("weir copy", "sh", "-c", fmt.Sprintf("exec %s copy %s %s -q", weir, src, dst)),
			folder("cp -r", "cp", "-r", src, dst),
			folder("rclone copy", "rclone", "copy", src, dst),
		},
		targets: []target{atMost("weir copy", 1, "cp -r")},
	}
}

// startRow measures how long it takes until something happens.
func startRow(weir string) row {
	out := weir + "-started"
	return row{
		name: "cli-start", title: "start of a process", unit: seconds, base: "weir version",
		prepare: func(ctx context.Context, _ *env) error {
			return errors.Join(buildWeir(ctx, weir), os.WriteFile(weir+"-line", []byte("one line\n"), 0o644))
		},
		contenders: []contender{
			command("weir version", []string{"sh", "-c", "exec " + weir + " version"}, out, nil),
			command("weir pipe, to the first byte and the end", []string{"sh", "-c", "exec " + weir + " pipe " + weir + "-line upper - -q"}, out, nil),
			command("true", []string{"sh", "-c", "exec true"}, out, nil),
		},
		targets: []target{
			below("weir version", 0.010, "s"),
			below("weir pipe, to the first byte and the end", 0.015, "s"),
		},
	}
}
