// Release builds the files of a release into a folder: an archive for each
// system, Debian packages, and SHA256SUMS. Run it in a checkout, as
//
//	make release
//
// It takes the version from the tag of the commit, or from -version. Two runs
// from the same commit with the same Go give the same bytes, wherever the
// checkout lies: paths are trimmed, and every timestamp is the time of the
// commit, or SOURCE_DATE_EPOCH if that is set.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A target is a system that a release is built for.
type target struct {
	os, arch, variant string // variant: GOARM
	note              string // the note in the archive if nobody has run its program
}

const notRun = `This weir was built on Linux for this system, and go vet found nothing in it.
It was not run: the project has no such machine. Its tests run on linux/amd64,
linux/arm64 and windows/amd64, the latter two under emulation.
Please report what does not work.
`

var targets = []target{
	{os: "linux", arch: "amd64"},
	{os: "linux", arch: "arm64"},
	{os: "linux", arch: "386"},
	{os: "linux", arch: "arm", variant: "7"},
	{os: "darwin", arch: "amd64", note: notRun},
	{os: "darwin", arch: "arm64", note: notRun},
	{os: "windows", arch: "amd64"},
	{os: "windows", arch: "arm64", note: notRun},
}

// name returns the name of the system in file names: linux_armv7.
func (t target) name() string {
	if t.variant != "" {
		return t.os + "_" + t.arch + "v" + t.variant
	}
	return t.os + "_" + t.arch
}

func (t target) program() string {
	if t.os == "windows" {
		return "weir.exe"
	}
	return "weir"
}

// A release has the facts that all its files share.
type release struct {
	root    string // of the checkout
	out     string
	version string // as the tag: v1.2.3
	commit  string
	date    time.Time // of the commit, and of every file
}

// number returns the version without its v, as file names have it.
func (r *release) number() string { return strings.TrimPrefix(r.version, "v") }

func main() {
	out := flag.String("o", "dist", "folder to write to; its contents are removed first")
	version := flag.String("version", "", "version, such as v1.2.3 (default: from git)")
	only := flag.String("only", "", "build only these systems, separated by commas: linux_amd64,windows_amd64")
	flag.Parse()
	if err := run(*out, *version, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out, version, only string) error {
	root, err := output(".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(root, out)
	}
	r := &release{root: root, out: out, version: version}
	if err := r.identify(); err != nil {
		return err
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	// A program of this machine writes the completions and manual pages.
	host := filepath.Join(out, "bin", "host", "weir")
	if err := r.build(target{}, host); err != nil {
		return err
	}
	shared, err := r.shared(host)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(host)); err != nil {
		return err
	}
	// The container needs them too, and takes files of this folder only.
	for _, e := range shared {
		if strings.HasSuffix(e.name, "LICENSE") || strings.HasSuffix(e.name, "LICENSES.txt") {
			if err := os.WriteFile(filepath.Join(out, e.name), e.data, 0o644); err != nil {
				return err
			}
		}
	}
	for _, t := range chosen {
		if err := r.deliver(t, shared); err != nil {
			return fmt.Errorf("%s: %w", t.name(), err)
		}
	}
	return r.sums()
}

// choose returns the targets that only names, or all of them.
func choose(only string) ([]target, error) {
	if only == "" {
		return targets, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown system %q", name)
		}
		chosen = append(chosen, targets[i])
	}
	return chosen, nil
}

// identify asks git for the version, the commit and its date.
func (r *release) identify() (err error) {
	if r.commit, err = output(r.root, nil, "git", "rev-parse", "HEAD"); err != nil {
		return err
	}
	seconds, err := output(r.root, nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds = epoch
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.date = time.Unix(n, 0).UTC()
	if r.version == "" {
		r.version, err = output(r.root, nil, "git", "describe", "--tags", "--exact-match", "--match", "v[0-9]*")
		if err != nil { // no tag: the name that Go gives to such a commit
			r.version = "v0.0.0-" + r.date.Format("20060102150405") + "-" + r.commit[:12]
		}
		changed, err := output(r.root, nil, "git", "status", "--porcelain")
		if err != nil {
			return err
		}
		if changed != "" {
			r.version += "+dirty"
		}
	}
	if !strings.HasPrefix(r.version, "v") {
		return fmt.Errorf("invalid version %q; begin it with v", r.version)
	}
	return nil
}

// build compiles weir for t, or for this machine if t is empty.
func (r *release) build(t target, file string) error {
	ldflags := "-s -w -buildid= -X main.releaseVersion=" + r.version +
		" -X main.releaseCommit=" + r.commit +
		" -X main.releaseDate=" + r.date.Format(time.RFC3339)
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GO386=", "GOAMD64=", "GOARM64=", "GOEXPERIMENT="}
	if t.os != "" {
		env = append(env, "GOOS="+t.os, "GOARCH="+t.arch, "GOARM="+t.variant)
	}
	_, err := output(r.root, env, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", file, "./cmd/weir")
	return err
}

// deliver builds weir for t, puts it into an archive, and into a Debian package
// where there is one.
func (r *release) deliver(t target, shared []entry) error {
	file := filepath.Join(r.out, "bin", t.name(), t.program())
	if err := r.build(t, file); err != nil {
		return err
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	entries := slices.Clone(shared)
	entries = append(entries, entry{name: t.program(), data: program, mode: 0o755})
	if t.note != "" {
		entries = append(entries, entry{name: "BUILT-NOT-RUN.txt", data: []byte(t.note), mode: 0o644})
	}
	if t.os == "linux" {
		for _, name := range []string{"weir.service", "weir.sysusers", "weir.default"} {
			data, err := os.ReadFile(filepath.Join(r.root, "packaging", name))
			if err != nil {
				return err
			}
			entries = append(entries, entry{name: "systemd/" + name, data: data, mode: 0o644})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	folder := "weir_" + r.number() + "_" + t.name()
	if t.os == "windows" {
		err = writeZip(filepath.Join(r.out, folder+".zip"), folder, entries, r.date)
	} else {
		err = writeTar(filepath.Join(r.out, folder+".tar.gz"), folder, entries, r.date)
	}
	if err == nil && t.os == "linux" && (t.arch == "amd64" || t.arch == "arm64") {
		err = r.deb(t, entries)
	}
	return err
}

// sums writes SHA256SUMS, for sha256sum -c.
func (r *release) sums() error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var list bytes.Buffer
	for _, f := range files {
		if f.IsDir() || !strings.HasPrefix(f.Name(), "weir_") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	fmt.Print(list.String())
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), list.Bytes(), 0o644)
}

// output runs a command in dir and returns its standard output, without the
// last line's end. Its error has the command's standard error.
func output(dir string, env []string, name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", c, err, bytes.TrimSpace(exit.Stderr))
	}
	return strings.TrimRight(string(out), "\n"), err
}
