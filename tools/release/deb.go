package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	"github.com/goreleaser/nfpm/v2/files"
)

// debPlaces says where a Debian package has the files of an archive.
func debPlaces(name string) (place string, packed bool) {
	dir, base := path.Split(name)
	switch {
	case name == "weir":
		return "/usr/bin/weir", false
	case dir == "man/":
		return "/usr/share/man/man" + strings.TrimPrefix(path.Ext(base), ".") + "/" + base + ".gz", true
	case name == "completions/weir.bash":
		return "/usr/share/bash-completion/completions/weir", false
	case name == "completions/_weir":
		return "/usr/share/zsh/vendor-completions/_weir", false
	case name == "completions/weir.fish":
		return "/usr/share/fish/vendor_completions.d/weir.fish", false
	case name == "README.md":
		return "/usr/share/doc/weir/README.md", false
	case name == "CHANGELOG.md":
		return "/usr/share/doc/weir/changelog.gz", true
	case name == "systemd/weir.service":
		return "/lib/systemd/system/weir.service", false
	case name == "systemd/weir.sysusers":
		return "/usr/lib/sysusers.d/weir.conf", false
	case name == "systemd/weir.default":
		return "/etc/default/weir", false
	}
	return "", false // nothing for a Debian system, or part of the copyright file
}

// deb writes a Debian package of an archive's entries.
func (r *release) deb(t target, entries []entry) error {
	stage, err := os.MkdirTemp("", "weir-deb-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	info := &nfpm.Info{
		Name: "weir", Arch: t.arch, Platform: "linux", Version: r.debVersion(), VersionSchema: "none", Release: "1", Section: "utils", Priority: "optional",
		Maintainer: "weir authors <weir@weir-go.invalid>",
		Homepage:   "https://github.com/weir-go/weir",
		License:    "Apache-2.0",
		Description: "copy, compress and serve files in bounded memory\n" +
			"weir copies files and folders, passes them through stages such as gzip,\n" +
			"zstd and grep, and serves them over HTTP. It states the most memory that a\n" +
			"run can need before it starts, and reports which part of it was slow.",
		MTime: r.date, DisableGlobbing: true,
	}
	add := func(place string, data []byte, mode os.FileMode, kind string) error {
		source := filepath.Join(stage, fmt.Sprint(len(info.Contents)))
		if err := os.WriteFile(source, data, 0o600); err != nil {
			return err
		}
		info.Contents = append(info.Contents, &files.Content{
			Source: source, Destination: place, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.date},
		})
		return nil
	}
	var others []byte
	for _, e := range entries {
		if e.name == "THIRD-PARTY-LICENSES.txt" {
			others = e.data
		}
		place, packed := debPlaces(e.name)
		if place == "" {
			continue
		}
		data, kind := e.data, files.TypeFile
		if packed {
			if data, err = gzipped(data); err != nil {
				return err
			}
		}
		if strings.HasPrefix(place, "/etc/") {
			kind = files.TypeConfigNoReplace
		}
		if err := add(place, data, e.mode, kind); err != nil {
			return err
		}
	}
	copyright := fmt.Sprintf(debCopyright, info.Homepage, others)
	changes, err := gzipped(fmt.Appendf(nil, "weir (%s-%s) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n",
		info.Version, info.Release, info.Maintainer, r.date.Format(time.RFC1123Z)))
	if err != nil {
		return err
	}
	overrides, err := os.ReadFile(filepath.Join(r.root, "packaging", "lintian-overrides"))
	if err != nil {
		return err
	}
	if err := add("/usr/share/lintian/overrides/weir", overrides, 0o644, files.TypeFile); err != nil {
		return err
	}
	if err := add("/usr/share/doc/weir/changelog.Debian.gz", changes, 0o644, files.TypeFile); err != nil {
		return err
	}
	if err := add("/usr/share/doc/weir/copyright", []byte(copyright), 0o644, files.TypeFile); err != nil {
		return err
	}
	scripts := filepath.Join(r.root, "packaging")
	info.Scripts.PostInstall = filepath.Join(scripts, "postinst")
	info.Scripts.PreRemove = filepath.Join(scripts, "prerm")
	info.Scripts.PostRemove = filepath.Join(scripts, "postrm")
	// The programs that read the completions and pages come with them; weir
	// itself needs nothing, but certificates where it fetches from https.
	info.Recommends = []string{"ca-certificates"}
	info.Deb.Compression = "xz"
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	p, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := p.Package(info, &out); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, p.ConventionalFileName(info)), out.Bytes(), 0o644)
}

const debCopyright = `weir, %s
Copyright: the authors of weir

Licensed under the Apache License, Version 2.0. On Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

%s`

// debVersion returns the version in Debian's order, where ~ sorts before nothing as
// - does in a semantic version.
func (r *release) debVersion() string {
	v := strings.Replace(r.number(), "-", "~", 1)
	return strings.ReplaceAll(v, "-", ".")
}

// gzipped compresses without a name or a time, so that the result is the same
// every time.
func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
