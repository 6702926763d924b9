package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shared returns the files that are the same for every system. host is a weir
// that runs here.
func (r *release) shared(host string) (entries []entry, err error) {
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		data, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, data: data, mode: 0o644})
	}
	licences, err := r.licences()
	if err != nil {
		return nil, err
	}
	entries = append(entries, entry{name: "THIRD-PARTY-LICENSES.txt", data: licences, mode: 0o644})
	for shell, name := range map[string]string{"bash": "weir.bash", "zsh": "_weir", "fish": "weir.fish", "powershell": "weir.ps1"} {
		text, err := output(r.root, nil, host, "completion", shell)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: "completions/" + name, data: []byte(text + "\n"), mode: 0o644})
	}
	dir, err := os.MkdirTemp("", "weir-man-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := output(r.root, nil, host, "man", dir); err != nil {
		return nil, err
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		data, err := os.ReadFile(filepath.Join(dir, p.Name()))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: "man/" + p.Name(), data: data, mode: 0o644})
	}
	if len(pages) == 0 {
		return nil, errors.New("weir man wrote no pages")
	}
	return entries, nil
}

// licences returns the licence texts of everything that is linked into weir, on
// any system: their terms ask for it.
func (r *release) licences() ([]byte, error) {
	modules := map[string]string{} // path and version, to folder
	for _, t := range targets {
		env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOOS=" + t.os, "GOARCH=" + t.arch}
		list, err := output(r.root, env, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/weir")
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(list, "\n") {
			if name, dir, ok := strings.Cut(line, "\t"); ok {
				modules[name] = dir
			}
		}
	}
	goroot, err := output(r.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules["Go, its standard library"] = goroot
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	var text bytes.Buffer
	text.WriteString("weir contains code of the projects below, under their licences.\n")
	for _, name := range names {
		found := false
		for _, pattern := range []string{"LICEN[SC]E*", "COPYING*", "NOTICE*"} {
			files, err := filepath.Glob(filepath.Join(modules[name], pattern))
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				data, err := os.ReadFile(f)
				if err != nil {
					return nil, err
				}
				found = true
				fmt.Fprintf(&text, "\n%s\n%s: %s\n%[1]s\n\n%[4]s\n", strings.Repeat("=", 78), name, filepath.Base(f), bytes.TrimSpace(data))
			}
		}
		if !found {
			return nil, fmt.Errorf("no licence found for %s", name)
		}
	}
	return text.Bytes(), nil
}
