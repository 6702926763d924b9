package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/tree"
)

// storeFolder prepares the copy of a folder to an object store, or from one.
// The prefix means the contents of the folder.
func (c *copying) storeFolder(src, dst string) (*step, error) {
	down := s3.IsFolder(src)
	refuse := func(text, try string) (*step, error) { return nil, &failure{code: exitUsage, text: text, try: try} }
	local := src
	if down {
		local = dst
	}
	path, isLocal := endpoint.Local(local)
	switch {
	case !isLocal || path == "-":
		return refuse(fmt.Sprintf("%s is a folder of an object store and needs a local folder on the other side, not %s", shown(src), shown(dst)), "weir copy s3://bucket/prefix/ DIR")
	case c.preserve:
		return refuse("--preserve does not work with folders of an object store: it keeps no permissions and owners", "leave out --preserve")
	case c.verify:
		return refuse("--verify does not work with folders of an object store; the store checks what it receives", "leave out --verify")
	case c.rate != "":
		return refuse("--rate does not work with folders of an object store", "leave out --rate")
	case c.sync:
		return refuse("--sync does not work with folders of an object store", "leave out --sync")
	case c.keep:
		return refuse("--keep-partial does not work with folders of an object store; copied files stay anyway", "leave out --keep-partial")
	}
	st := &step{src: shown(src), dst: shown(dst), isTree: true, deletes: c.delete}
	if down {
		dst = filepath.Clean(path)
		if c.goOn {
			dst = filepath.Join(dst, lastName(src))
		}
		st.dst, st.target = dst, dst
	} else {
		src = path
		if abs, err := filepath.Abs(src); err == nil && c.goOn && !isContents(src, abs) {
			dst = below(dst, filepath.Base(abs))
		}
		st.src, st.dst = src, shown(dst)
	}
	var cp *s3.Copy
	st.build = func(frugal bool) (*weir.Flow, error) {
		cp = &s3.Copy{
			From: src, To: dst, Exclude: c.exclude, Delete: c.delete, NoClobber: c.noClobber, Checksum: c.checksum, HTTP: c.remote.options,
			Skip: func(path string, mode fs.FileMode) {
				st.warned = true
				c.warn("%s is %s and is not copied", path, kindIn(mode))
			},
			Changed: func(path, how string) { c.warn("%s %s while it was copied", path, how) },
			Failed:  func(err error) { st.failed(explain(st, report.Report{}, err)) },
		}
		if c.verbose {
			cp.Deleted = func(path string) { c.warn("deleted %s", path) }
		}
		if frugal {
			cp.Workers = 1
		}
		st.holds = cp.Memory()
		return cp.Flow(), nil
	}
	st.preview = func() (tree.Plan, error) { return cp.Plan(context.Background()) }
	st.run = func(ctx context.Context) error {
		err := cp.Run(ctx)
		st.over = true
		return err
	}
	st.moved = func() (in, out int64) {
		p := cp.Progress()
		n := p.Bytes - p.EqualBytes
		return n, n
	}
	st.tree = func() (tree.Progress, string) { return cp.Progress(), cp.Current() }
	st.merges = func() bool { return true }
	st.note = func() string {
		text, p := "", cp.Progress()
		if p.Equal > 0 {
			text += thereAlready(p.Equal)
		}
		if p.Deleted > 0 {
			text += fmt.Sprintf(", %d deleted", p.Deleted)
		}
		return text
	}
	return st, nil
}

// thrifty returns name or, if frugal is set and name is the URL of an object, the URL with
// this many ranges or parts at a time, which take less memory.
func thrifty(name string, frugal bool, parallel string) string {
	u, err := url.Parse(name)
	if !frugal || err != nil || !strings.EqualFold(u.Scheme, "s3") {
		return name
	}
	q := u.Query()
	if !q.Has("parallel") {
		q.Set("parallel", parallel)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// collectOften keeps the garbage of requests to an object store small beside the
// parts that are held in memory: without it, the heap would grow to twice their
// size before it is collected. It sets no memory limit, because the runtime would
// collect all the time once the program as a whole has reached it.
func collectOften(steps []*step) {
	stores := slices.ContainsFunc(steps, func(st *step) bool {
		return strings.HasPrefix(st.src, "s3://") || strings.HasPrefix(st.dst, "s3://")
	})
	if stores && os.Getenv("GOGC") == "" { // otherwise the user has decided
		debug.SetGCPercent(storeWaste)
	}
}

// storeWaste is how much garbage can gather in a copy from or to an object store, in
// percent of the memory in use.
const storeWaste = 10

// kindIn is kindOf for a place where symbolic links are not copied.
func kindIn(mode fs.FileMode) string {
	if mode&fs.ModeSymlink != 0 {
		return "a symbolic link"
	}
	return kindOf(mode)
}

// lastName returns the last name in the path of a URL, or the name of its
// bucket.
func lastName(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return ""
	}
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return u.Host
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}

// below returns the URL of the folder called name in the folder of a URL.
func below(folder, name string) string {
	u, err := url.Parse(folder)
	if err != nil {
		return folder
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name + "/"
	u.RawPath = ""
	return u.String()
}
