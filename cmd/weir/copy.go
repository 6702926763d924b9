package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/tree"
)

// copying is weir copy.
type copying struct {
	settings
	preserve, verify, sync, keep, resume bool
	rate                                 string
	perSecond                            int64
}

func newCopy(stdout, stderr io.Writer) *cobra.Command {
	c := &copying{settings: settings{stdout: stdout, stderr: stderr}}
	cmd := &cobra.Command{
		Use:   "copy SRC… DST",
		Short: "Copy files and folders, from and to URLs too",
		Long: `Copy files and folders, in bounded memory.

SRC and DST are files, folders, http(s):// URLs, or - for standard input and
output. With several sources DST is a folder. Folders are copied with all that
is in them, many small files at a time. Holes in files are kept.

DST is whole or absent: it takes its name when everything has been copied, and
after a failure it is as it was before. A download goes on where it stopped when
its connection breaks, and its length and digest are checked. A URL as DST is
sent a PUT.`,
		Example: `  weir copy holiday.mp4 /mnt/usb/
  weir copy photos music /mnt/usb/ --preserve
  weir copy https://example.org/big.iso . --resume
  weir copy backup.img /mnt/usb/ --verify --sync
  weir copy - backup.img < /dev/sdb`,
		RunE: func(_ *cobra.Command, args []string) error { return c.copy(args) },
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&c.preserve, "preserve", "p", false, "keep permissions, modification times, and owners where allowed; set-user-ID only with its owner")
	f.BoolVar(&c.verify, "verify", false, "read back what was written and compare its SHA-256")
	f.BoolVar(&c.sync, "sync", false, "return only when everything is on stable storage")
	f.StringVar(&c.rate, "rate", "", "no faster than this, as in 10MiB/s")
	f.BoolVar(&c.keep, "keep-partial", false, "keep an unfinished copy, as DST"+partSuffix)
	f.BoolVar(&c.resume, "resume", false, "go on with an unfinished copy; implies --keep-partial")
	f.BoolP("recursive", "r", true, "")
	_ = f.MarkHidden("recursive") // what the fingers know from cp
	return cmd
}

func (c *copying) copy(names []string) error {
	if len(names) < 2 {
		return &failure{code: exitUsage, text: "copy takes sources and a destination, not " + plural(int64(len(names)), "name"), try: "weir copy SRC… DST"}
	}
	if c.rate != "" {
		n, err := parseRate(c.rate)
		if err != nil {
			return &failure{code: exitUsage, text: fmt.Sprintf("--rate %s is no rate", c.rate), try: "--rate 10MiB/s"}
		}
		c.perSecond = n
	}
	if c.verify && c.resume {
		return &failure{code: exitUsage, text: "--verify checks a whole copy, and --resume makes the rest of one", try: "leave out one of them"}
	}
	sources, dst := names[:len(names)-1], names[len(names)-1]
	if st, err := os.Stat(dst); len(sources) > 1 && (err != nil || !st.IsDir()) && !strings.HasSuffix(dst, "/") {
		return &failure{code: exitUsage, text: fmt.Sprintf("%s, and %s is no folder", plural(int64(len(sources)), "source"), dst), try: "mkdir -p " + quoted(dst)}
	}
	var steps []*step
	for _, src := range sources {
		st, err := c.step(src, dst)
		if err != nil {
			return err
		}
		steps = append(steps, st)
	}
	return c.execute("copied", steps...)
}

// step prepares the copy of one source.
func (c *copying) step(src, dst string) (*step, error) {
	local, isLocal := endpoint.Local(src)
	if isLocal && local != "-" {
		src = local
		if st, err := os.Stat(src); err == nil && st.IsDir() {
			return c.folder(src, dst)
		}
	}
	in, err := endpoint.Source(src, endpoint.SourceOptions{})
	if err != nil {
		return nil, badName(err)
	}
	if dst, err = into(dst, in.Info().Name, src); err != nil {
		return nil, err
	}
	if sameFile(src, dst) {
		return nil, &failure{code: exitUsage, text: fmt.Sprintf("%s and %s are the same file", src, dst), try: "another name for the destination"}
	}
	return c.file(src, dst)
}

// into is what dst stands for: something of that name in it, if it is a folder.
func into(dst, name, src string) (string, error) {
	isFolder := strings.HasSuffix(dst, "/")
	file, local := endpoint.Local(dst)
	if local && file != "-" {
		dst = file
		st, err := os.Stat(dst)
		isFolder = isFolder || err == nil && st.IsDir()
	}
	switch {
	case !isFolder:
		return dst, nil
	case name == "":
		return "", &failure{code: exitUsage, text: fmt.Sprintf("%s is a folder, and %s has no name to use in it", dst, src), try: "weir copy " + src + " " + filepath.Join(dst, "NAME")}
	case local:
		return filepath.Join(dst, name), nil
	}
	u, err := url.Parse(dst)
	if err != nil {
		return "", badName(err)
	}
	u.Path = path.Join(u.Path, name)
	return u.String(), nil
}

func badName(err error) error {
	return &failure{code: exitUsage, text: strings.TrimPrefix(err.Error(), "endpoint: "), try: "a file, -, or a URL as in https://example.org/big.iso"}
}

// shown is a name as it may be printed: a URL without its password and its
// query, which often is one.
func shown(name string) string {
	if _, local := endpoint.Local(name); local {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return "the URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func sameFile(a, b string) bool {
	if a == "-" || b == "-" {
		return false
	}
	x, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// file prepares the copy of one file.
func (c *copying) file(src, dst string) (*step, error) {
	st := &step{src: shown(src), dst: shown(dst)}
	var part *partial
	if _, local := endpoint.Local(dst); (c.keep || c.resume) && local && dst != "-" {
		var err error
		if part, err = openPartial(c, src, dst); err != nil {
			return nil, err
		}
		st.partial = part.path
	}
	var verified string
	st.build = func(bool) (*weir.Flow, error) {
		var so endpoint.SourceOptions
		if part != nil {
			so.Offset, so.Validator = part.offset, part.Validator
		}
		in, err := endpoint.Source(src, so)
		if err != nil {
			return nil, badName(err)
		}
		st.size = sizeOf(src, in)
		s := in.Stream()
		if c.perSecond > 0 {
			s = s.Through(weir.RateLimit[byte](c.perSecond, time.Second))
		}
		sink, err := c.sink(src, dst, part, func(sum []byte) { verified = fmt.Sprintf("%x", sum) }, st.size())
		if err != nil {
			return nil, err
		}
		flow := s.To(sink)
		flow.Name = "copy " + src
		return flow, nil
	}
	st.run = func(ctx context.Context) error {
		if part != nil {
			if err := part.begin(ctx); err != nil {
				return err
			}
		}
		if name, local := endpoint.Local(src); c.preserve && local && name != "-" {
			ctx = carry.Metadata(ctx)
		}
		err := st.flow.Run(ctx)
		if err == nil && part != nil {
			err = part.finish(c.sync, c.preserve)
		}
		return err
	}
	st.note = func() string {
		switch {
		case part != nil && part.offset > 0:
			return fmt.Sprintf(", on top of the %s that were there", weir.FormatBytes(part.offset))
		case verified != "":
			return ", verified by reading back, sha256 " + verified
		}
		return ""
	}
	return st, nil
}

// sizeOf finds the size of a source, which a server tells only while it sends.
func sizeOf(src string, in endpoint.Input) func() int64 {
	if name, local := endpoint.Local(src); local {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			return func() int64 { return st.Size() }
		}
		return func() int64 { return -1 }
	}
	return func() int64 { return in.Info().Size }
}

func (c *copying) sink(src, dst string, part *partial, verified func([]byte), size int64) (weir.Sink[byte], error) {
	o := endpoint.SinkOptions{Size: max(size, 0)}
	if name, local := endpoint.Local(dst); local && name != "-" {
		o.Size = 0
		if c.sync {
			o.File = append(o.File, weir.Durable())
		}
		if st, err := os.Stat(src); err == nil && st.Mode().IsRegular() {
			o.File = append(o.File, weir.Perm(st.Mode().Perm()))
		}
		if c.verify {
			o.File = append(o.File, weir.ReadBack(func() hash.Hash { return &told{sha256.New(), verified} }))
		}
		if part != nil {
			dst, o.Offset = part.path, part.offset
			if part.offset == 0 {
				o.File = append(o.File, weir.KeepPartial())
			}
		}
	}
	sink, err := endpoint.Sink(dst, o)
	if err != nil {
		return sink, badName(err)
	}
	return sink, nil
}

// told is a hash that tells its sum.
type told struct {
	hash.Hash
	tell func([]byte)
}

func (h *told) Sum(b []byte) []byte {
	sum := h.Hash.Sum(nil)
	h.tell(sum)
	return append(b, sum...)
}

// folder prepares the copy of a folder.
func (c *copying) folder(src, dst string) (*step, error) {
	if name, local := endpoint.Local(dst); !local || name == "-" {
		return nil, &failure{
			code: exitUsage, text: fmt.Sprintf("%s is a folder and %s can hold one file only", src, dst),
			try: fmt.Sprintf("tar -c %s | weir copy - %s", src, dst),
		}
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, badName(err)
	}
	if st, err := os.Stat(dst); err == nil && st.IsDir() {
		dst = filepath.Join(dst, filepath.Base(abs))
	}
	st := &step{src: src, dst: dst, isTree: true}
	var cp *tree.Copy
	st.build = func(frugal bool) (*weir.Flow, error) {
		cp = &tree.Copy{
			From: src, To: dst, Metadata: c.preserve, Durable: c.sync, Rate: c.perSecond, Verify: c.verify,
			KeepPartial: c.keep || c.resume, Resume: c.resume,
			Skip: func(path string, mode fs.FileMode) { c.warn("%s is %s and is not copied", path, kindOf(mode)) },
		}
		if frugal {
			cp.Workers = 1
		}
		st.holds = cp.Memory()
		return cp.Flow(), nil
	}
	st.run = func(ctx context.Context) error { return cp.Run(ctx) }
	st.moved = func() (in, out int64) {
		n := cp.Progress().Bytes
		return n, n
	}
	st.size = func() int64 {
		if p := cp.Progress(); p.Walked {
			return p.Found
		}
		return -1
	}
	st.files = func() int64 { return cp.Progress().Files }
	if c.keep || c.resume {
		st.partial = dst
	}
	return st, nil
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no file"
}
