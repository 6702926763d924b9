package compress

import (
	"fmt"
	"math"
	"runtime"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
)

// Option changes how a codec works. An option that means nothing to a codec is
// an error of the flow, before anything opens.
type Option func(*config)

type config struct {
	stage    string
	level    int
	hasLevel bool
	workers  int
	maxOut   int64
	maxRatio float64
	window   int64
	trailing func(offset int64) error
	members  bool
	used     []string
	err      error
}

// Level sets how hard an encoder tries: 1 is the fastest. The most is 9 for
// gzip, zlib and deflate (0 only stores), 22 for zstd and 3 for s2. A higher
// level takes longer and its output is not larger, but for tiny inputs. Gzip at
// level 6 is as small as gzip(1) at the same level, at level 4 up to 4% larger,
// and at level 9 smaller; for each core, 6 takes half the time of gzip(1), and 4
// a third. Levels of zstd and s2 are those of klauspost/compress.
func Level(n int) Option {
	return func(c *config) {
		c.level, c.hasLevel = n, true
		c.used = append(c.used, "Level")
	}
}

// Workers sets how many goroutines compress, or decompress the parts of a gzip
// file that can be cut, at the same time. 0, the default, means one for each core.
// 1 holds much less memory; gzip, zlib and deflate data is the same for any
// number.
func Workers(n int) Option {
	return func(c *config) {
		if n < 0 || n > mostWorkers {
			c.fail("%s: use 1 to %d, or 0 for one for each core", units.Count(int64(n), "worker"), mostWorkers)
		}
		c.workers = n
		c.used = append(c.used, "Workers")
	}
}

const mostWorkers = 1024

// Members makes [Gzip] write a member for each mebibyte of its input, with the
// sizes of the member in its header, for random access: a reader finds and
// decompresses any of them without the others. Any gzip(1) reads the file, and
// [Gunzip] does on all cores. Browsers, curl and other HTTP clients read only the
// first member of an answer. A file that was cut exactly between two members
// looks whole.
func Members() Option {
	return func(c *config) {
		c.members = true
		c.used = append(c.used, "Members")
	}
}

// MaxOutput lets a decoder deliver at most n bytes. It delivers those, and then
// fails with [ErrTooLarge].
func MaxOutput(n int64) Option {
	return func(c *config) {
		if n < 0 {
			c.fail("negative maximum output of %s", units.Count(n, "byte"))
		}
		c.maxOut = n
		c.used = append(c.used, "MaxOutput")
	}
}

// MaxRatio lets a decoder deliver at most r times as many bytes as it has read.
// The first mebibyte is free, since small inputs of zeros compress well without
// being malicious. Beyond it the decoder fails with [ErrTooLarge].
func MaxRatio(r float64) Option {
	return func(c *config) {
		if !(r >= 1) {
			c.fail("a maximum ratio of %v: use 1 or more", r)
		}
		c.maxRatio = r
		c.used = append(c.used, "MaxRatio")
	}
}

// MaxWindow lets a zstd decoder use at most n bytes for the window that a frame
// asks for, and makes that part of the flow's ceiling. A frame that asks for
// more ends the flow with a [*weir.LimitError] that matches [ErrWindow]. The
// default, 8 MiB, is what RFC 8878 asks of every decoder, and enough for what
// [Zstd] and zstd(1) up to level 19 write. Use 128 MiB for files of zstd(1) with
// --long or --ultra, and 2 GiB, the most, for those with --long=31.
func MaxWindow(n int64) Option {
	return func(c *config) {
		if n < 1<<10 || n > mostWindow {
			c.fail("a window of %s: use 1 KiB to %s", units.Count(n, "byte"), weir.FormatBytes(mostWindow))
		}
		c.window = n
		c.used = append(c.used, "MaxWindow")
	}
}

// mostWindow is the largest window that zstd(1) writes, if the system has room
// for it.
const mostWindow = min(1<<31, math.MaxInt/4)

// OnTrailing calls f where compressed data is followed by bytes that are neither
// zeros nor, with gzip and zstd, another member or frame. offset is where they
// begin in the input. They are not read. All data before them has been delivered
// by then. If f returns nil, the flow ends without an error; it fails with the
// error that f returns otherwise, in a [*CorruptError].
//
// Without OnTrailing the flow fails with [ErrTrailing]: a damaged second member
// looks like such bytes too.
func OnTrailing(f func(offset int64) error) Option {
	return func(c *config) {
		if f == nil {
			c.fail("the function for trailing garbage is nil: leave OnTrailing out")
		}
		c.trailing = f
		c.used = append(c.used, "OnTrailing")
	}
}

func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// configure applies opts and refuses those that are not among allowed.
func configure(stage string, opts []Option, allowed ...string) config {
	c := config{
		stage: stage, maxOut: -1, window: 8 << 20,
		trailing: func(int64) error { return ErrTrailing },
	}
	for _, o := range opts {
		o(&c)
	}
	for _, name := range c.used {
		ok := false
		for _, a := range allowed {
			ok = ok || a == name
		}
		if !ok {
			c.fail("%s means nothing here: leave it out", name)
		}
	}
	if c.workers == 0 {
		c.workers = runtime.GOMAXPROCS(0)
	}
	return c
}

// levels checks the level and fills in its default.
func (c *config) levels(least, most, standard int) {
	if !c.hasLevel {
		c.level = standard
	}
	if c.level < least || c.level > most {
		c.fail("level %d: use %d (fastest) to %d (smallest)", c.level, least, most)
		c.level = standard
	}
}
