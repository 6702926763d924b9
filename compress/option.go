package compress

import (
	"fmt"
	"math"
	"runtime"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
)

// Option changes how a codec works. If a codec does not support an option, the flow
// fails before it opens anything.
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
	resume   *resume
	used     []string
	err      error
}

// Level sets how hard an encoder tries: 1 is the fastest. The maximum is 9 for
// gzip, zlib and deflate (where 0 only stores), 22 for zstd and 3 for s2. A
// higher level takes longer, and its output is no larger, except for tiny
// inputs. The output of Gzip at level 6 is as small as the output of gzip(1) at
// the same level; at level 4 it is up to 4% larger, and at level 9 smaller. On
// one core, level 6 takes half the time of gzip(1), and level 4 a third. Zstd
// and s2 use the levels of klauspost/compress.
func Level(n int) Option {
	return func(c *config) {
		c.level, c.hasLevel = n, true
		c.used = append(c.used, "Level")
	}
}

// Workers sets how many goroutines compress at the same time, or decompress the
// independent parts of a gzip file. 0, the default, means one for each core. One
// worker holds much less memory. Gzip, zlib and deflate output is the same for any
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

// Members makes [Gzip] write one member for each mebibyte of its input, with the
// sizes of the member in its header. This allows random access: a reader can find
// and decompress any member without the others. Any gzip(1) can read the file, and
// [Gunzip] reads it on all cores. Browsers, curl and other HTTP clients read only
// the first member of a response. A file that was cut exactly between two members
// looks complete.
func Members() Option {
	return func(c *config) {
		c.members = true
		c.used = append(c.used, "Members")
	}
}

// Resume makes an encoder one that can be continued in a later run, at the end of
// a block. When a run begins, from returns where: after in bytes of input and out
// bytes of output, with the state that belongs to them; all are zero for the
// beginning. At the end of each block the encoder calls at, in order, before it
// passes on any output behind that place. It does not use state afterwards. The
// output of all runs together is the output of a single one.
func Resume(from func() (in, out int64, state []byte), at func(in, out int64, state []byte)) Option {
	return func(c *config) {
		if from == nil || at == nil {
			c.fail("a function of Resume is nil")
		}
		c.resume = &resume{from, at}
		c.used = append(c.used, "Resume")
	}
}

// resume has the functions of [Resume].
type resume struct {
	from func() (in, out int64, state []byte)
	at   func(in, out int64, state []byte)
}

// MaxOutput limits the output of a decoder to n bytes. The decoder delivers those,
// and then fails with [ErrTooLarge].
func MaxOutput(n int64) Option {
	return func(c *config) {
		if n < 0 {
			c.fail("negative maximum output of %s", units.Count(n, "byte"))
		}
		c.maxOut = n
		c.used = append(c.used, "MaxOutput")
	}
}

// MaxRatio limits the output of a decoder to r times the bytes that it has read.
// The first mebibyte of output is exempt, because small inputs of zeros compress
// well without being malicious. If the output exceeds the limit, the decoder fails
// with [ErrTooLarge].
func MaxRatio(r float64) Option {
	return func(c *config) {
		if !(r >= 1) {
			c.fail("a maximum ratio of %v: use 1 or more", r)
		}
		c.maxRatio = r
		c.used = append(c.used, "MaxRatio")
	}
}

// MaxWindow limits the window of a zstd decoder to n bytes, which are part of the
// flow's ceiling. A frame that needs a larger window ends the flow with a
// [*weir.LimitError] that matches [ErrWindow]. The default, 8 MiB, is the size that
// RFC 8878 recommends that every decoder support. It is enough for the output of
// [Zstd] and of zstd(1) up to level 19. Use 128 MiB for files of zstd(1) with --long
// or --ultra, and 2 GiB, the maximum, for those with --long=31.
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

// OnTrailing sets the function that is called if other bytes follow the compressed
// data: neither zeros nor, with gzip and zstd, another member or frame. offset is
// where these bytes begin in the input. The decoder does not read them, and calls f
// after it has delivered all data before them. If f returns nil, the flow ends
// without an error. Otherwise it fails with the error of f in a [*CorruptError].
//
// Without OnTrailing the flow fails with [ErrTrailing], because such bytes can also
// be a damaged second member.
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

// left returns how many of n bytes may be passed on, after done bytes have
// been, and the decoder has read read bytes.
func (c *config) left(done, n, read int64) int64 {
	if c.maxOut >= 0 {
		n = min(n, c.maxOut-done)
	}
	if c.maxRatio > 0 {
		// Compared as floats: a large ratio must not overflow.
		if most := freeRatio + c.maxRatio*float64(read); most < float64(done+n) {
			n = int64(most) - done
		}
	}
	return max(n, 0)
}

// tooLarge returns the error of output that may be no larger than done.
func (c *config) tooLarge(done, offset int64, format string) error {
	e := &weir.LimitError{Err: ErrTooLarge, Option: "MaxRatio", Max: int64(c.maxRatio)}
	if c.maxOut >= 0 && done >= c.maxOut {
		e.Option, e.Max = "MaxOutput", c.maxOut
	}
	e.Detail = fmt.Sprintf("more than %s from %s of %s data", weir.FormatBytes(done), weir.FormatBytes(offset), format)
	return e
}
