package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir/internal/units"
)

// input is a source of one of the compression commands, after a look at it.
type input struct {
	name   string
	info   fs.FileInfo // nil for standard input that is no file
	sniff  []byte      // its first bytes, if it is a regular file to decompress
	failed *failure    // why it is left alone
}

// regular reports whether the input is a regular file, so that it has a size.
func (in input) regular() bool { return in.info != nil && in.info.Mode().IsRegular() }

func skipped(try, format string, args ...any) *failure {
	return &failure{code: exitUsage, text: fmt.Sprintf(format, args...), try: try, skipped: true}
}

// inputs finds the files for the names: with --recursive also the files in
// folders, and a.log.gz for an a.log that does not exist.
func (r *codecRun) inputs(names []string) (list []input) {
	for _, name := range names {
		switch name {
		case "-":
			list = append(list, r.standardInput())
			continue
		case "":
			list = append(list, input{failed: &failure{code: exitUsage, text: "empty file name", try: "weir " + r.name + " FILE"}})
			continue
		}
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && r.expands {
			if name, info = r.packedName(name); info != nil {
				err = nil
			}
		}
		switch {
		case err != nil:
			list = append(list, r.unreadable(name, err))
		case info.IsDir() && r.recursive:
			list = append(list, r.below(name)...)
		default:
			list = append(list, r.look(name, info))
		}
	}
	return list
}

func (r *codecRun) standardInput() input {
	in := input{name: "-"}
	if r.expands && !r.force && isTerminal(os.Stdin) {
		in.failed = &failure{code: exitUsage, text: "refusing to read compressed data from the terminal", try: "a FILE, or --force"}
	}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode().IsRegular() {
		in.info = info
	}
	return in
}

// packedName returns the compressed file that name can mean.
func (r *codecRun) packedName(name string) (string, fs.FileInfo) {
	if _, _, ok := r.cutSuffix(name); ok {
		return name, nil
	}
	for _, s := range r.known() {
		if s.plain != "" {
			continue
		}
		if info, err := os.Stat(name + s.packed); err == nil {
			return name + s.packed, info
		}
	}
	return name, nil
}

// below finds the files in a folder. Those that are compressed already, or not,
// are nothing that the user has named.
func (r *codecRun) below(dir string) (list []input) {
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			list = append(list, r.unreadable(name, err))
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if _, _, packed := r.cutSuffix(name); packed != r.expands {
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 && !r.force {
			list = append(list, input{name: name, failed: skipped("--force, to follow it", "%s is a symbolic link and was skipped", name)})
			return nil
		}
		info, err := os.Stat(name)
		if err != nil {
			list = append(list, r.unreadable(name, err))
			return nil
		}
		list = append(list, r.look(name, info))
		return nil
	})
	if err != nil {
		list = append(list, r.unreadable(dir, err))
	}
	return list
}

func (r *codecRun) unreadable(name string, err error) input {
	f := &failure{code: exitSource, text: fmt.Sprintf("cannot read %s: %v", name, innermost(err))}
	f.try = advice(&step{src: name}, f.code, "-", err)
	if url := cmp.Or(withSlashes(name), name); !isLocal(url) {
		f.text, f.try = fmt.Sprintf("cannot read %s: weir %s takes files", name, r.name), fmt.Sprintf("weir pipe %s %s DST", quoted(url), r.stage)
	}
	return input{name: name, failed: f}
}

// look decides whether a file is one to work on, as gzip(1) does.
func (r *codecRun) look(name string, info fs.FileInfo) input {
	in := input{name: name, info: info}
	mode := info.Mode()
	switch beside := !r.toStdout && !r.test && !r.list; {
	case mode.IsDir():
		in.failed = skipped("--recursive", "%s is a folder and was skipped", name)
		if !r.expands {
			in.failed.try = fmt.Sprintf("--recursive, or: tar -c %s | weir %s > %s", quoted(name), r.name, quoted(filepath.Base(name)+".tar"+r.suffixes[0].packed))
		}
	case !beside || r.force && mode&fs.ModeDevice == 0:
	case !mode.IsRegular():
		in.failed = skipped("--stdout", "%s is %s and was skipped", name, kindOf(mode))
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		in.failed = skipped("--force", "%s is set-user-ID or set-group-ID on execution and was skipped", name)
	case r.gzip && mode&fs.ModeSticky != 0:
		in.failed = skipped("--force", "%s has the sticky bit set and was skipped", name)
	case r.gzip && links(info) > 1:
		in.failed = skipped("--force", "%s has %s and was skipped", name, units.Count(links(info)-1, "other link"))
	case r.remove && isSymlink(name):
		in.failed = skipped("--force, to remove the link", "%s is a symbolic link and was skipped, because of --rm", name)
	}
	if in.failed == nil && r.expands && mode.IsRegular() {
		in.sniff = firstBytes(name)
		in.failed = r.foreign(name, in.sniff)
	}
	return in
}

func isSymlink(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// firstBytes returns the beginning of a file; empty if it cannot be read, which
// the run will report.
func firstBytes(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, 6)
	n, _ := io.ReadFull(f, b)
	return b[:n]
}

// foreign names the format of a file that another program reads.
func (r *codecRun) foreign(name string, b []byte) *failure {
	if r.mayPass() {
		return nil
	}
	for _, f := range []struct{ magic, format, try string }{
		{"\x1f\x9d", "in compress format (.Z, LZW)", "gzip -dc NAME"},
		{"\x1f\xa0", "in the format of SCO compress -H (LZH)", "gzip -dc NAME"},
		{"\x1f\x1e", "in the format of pack (.z)", "gzip -dc NAME"},
		{"PK\x03\x04", "a zip archive", "unzip NAME"},
		{"BZh", "in bzip2 format", "bzip2 -dc NAME"},
		{"\xfd7zXZ\x00", "in xz format", "xz -dc NAME"},
		{"\x28\xb5\x2f\xfd", "in zstd format", "weir unzstd NAME"},
		{"\x1f\x8b", "in gzip format", "weir gunzip NAME"},
	} {
		if own := map[bool]string{true: "\x1f\x8b", false: "\x28\xb5\x2f\xfd"}[r.gzip]; f.magic == own || !bytes.HasPrefix(b, []byte(f.magic)) {
			continue
		}
		return &failure{
			code: exitFailed, text: fmt.Sprintf("%s is %s, which weir %s does not read", name, f.format, r.typed),
			try: strings.ReplaceAll(f.try, "NAME", quoted(name)),
		}
	}
	return nil
}

// mayPass reports whether data in no known format is passed on as it is, as
// zcat -f does.
func (r *codecRun) mayPass() bool { return r.expands && r.force && r.toStdout }

// passes reports whether the input is such data.
func (r *codecRun) passes(in input) bool {
	if !r.mayPass() || !in.regular() || in.name == "-" {
		return false
	}
	magics := []string{"\x1f\x8b"}
	if !r.gzip {
		magics = []string{"\x28\xb5\x2f\xfd"}
		if len(in.sniff) >= 4 && in.sniff[0]&0xf0 == 0x50 && string(in.sniff[1:4]) == "\x2a\x4d\x18" {
			return false // a skippable frame
		}
	}
	for _, m := range magics {
		if bytes.HasPrefix(in.sniff, []byte(m)) {
			return false
		}
	}
	return true
}
