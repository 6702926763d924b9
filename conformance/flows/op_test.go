package flows_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/spool"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

// step adds a random operator that keeps the type.
func step[T any](d *draft[T]) {
	g, k := d.g, d.k
	switch c := g.n(31); {
	case c == 0 && g.nested == 0 && k.name != "bytes":
		split(d)
	case c == 1 && g.nested == 0 && k.name != "bytes":
		splitByKey(d)
	case c == 2 && d.m.exact() && k.zip != nil:
		g.say("| Zip(")
		b := source(g, k, 0)
		a := *d
		k.zip(d, &a, b)
	case c == 3:
		roundTrip(d)
	case c == 4 && k.name != "bytes":
		g.say("| Merge(it;")
		o := source(g, k, 0)
		d.m.beside(&o.m)
		d.m.loose = true
		d.next(weir.Merge(d.s, o.s), ")")
	case c == 5:
		if g.fault != nil {
			g.fault.early = false // it opens as a part of Concat
		}
		g.say("| Concat(it;")
		g.nested++
		o := source(g, k, 0)
		g.nested--
		d.m.then(&o.m, g)
		d.next(weir.Concat(d.s, o.s), ")")
	case c < 10:
		d.next(d.s.Async(g.limit()), "async")
	default:
		simple(d, c)
	}
}

func simple[T any](d *draft[T], c int) {
	g, k := d.g, d.k
	keyOf := k.key
	exact := d.m.exact()
	switch c {
	case 10, 11, 12:
		mapped(d)
	case 13:
		st := g.strikeKey("Filter", &d.m, panics, cancels, halts)
		m := 2 + g.n(5)
		d.m.apply(func(k int) []int {
			if k%m == 0 {
				return nil
			}
			return []int{k}
		})
		d.next(weir.Filter(d.s, func(v T) bool {
			x := keyOf(v)
			st.now(x)
			return x%m != 0
		}), "Filter")
	case 14:
		st := g.strikeKey("FlatMap", &d.m, fails, panics, cancels, stops, joins)
		f := func(x int) []int {
			var xs []int
			for i := range x % 3 {
				xs = append(xs, k.norm((x+i)&keyMask))
			}
			return xs
		}
		d.m.apply(f)
		d.next(weir.FlatMap(d.s, func(_ context.Context, v T, emit func(...T) error) error {
			x := keyOf(v)
			if err := st.now(x); err != nil {
				return err
			}
			return emit(values(k, f(x))...)
		}), "FlatMap")
	case 15:
		if !exact {
			return
		}
		st := g.strikeKey("Scan", &d.m, panics, cancels)
		f := func(acc, x int) int { return (acc*31 + x) & keyMask }
		acc := 0
		d.m.apply(func(x int) []int {
			acc = k.norm(f(acc, x))
			return []int{acc}
		})
		d.next(weir.Scan(d.s, k.mk(0), func(acc, v T) T {
			st.now(keyOf(v))
			return k.mk(f(keyOf(acc), keyOf(v)))
		}), "Scan")
	case 16:
		if exact && k.enumerate != nil {
			k.enumerate(d)
		}
	case 17:
		st := g.strikeKey("Tap", &d.m, panics, cancels, halts)
		d.next(weir.Tap(d.s, func(v T) { st.now(keyOf(v)) }), "Tap")
	case 18:
		var n atomic.Int64
		want, whole := d.m, g.nested == 0
		g.checks = append(g.checks, func(err error) error {
			if err == nil && whole && !want.lossy && !g.leaves && !g.stopped.Load() && n.Load() != int64(len(want.keys)) {
				return errors.New("Tally: counted wrongly")
			}
			return nil
		})
		d.next(weir.Tally(d.s, &n), "Tally")
	case 19:
		dedupe(d)
	case 20:
		counted(d)
	case 21:
		r := 1 + g.n(5)
		keep := func(x int) bool { return x%(r+1) != r }
		st := g.strikeAmong("TakeWhile", &d.m, calls(&d.m, keep), panics, cancels)
		if i := slices.IndexFunc(d.m.keys, func(x int) bool { return !keep(x) }); i >= 0 {
			g.enough(&d.m)
			if exact {
				d.m.keys = d.m.keys[:i]
			} else {
				d.m.lossy = true
			}
		}
		d.next(weir.TakeWhile(d.s, func(v T) bool {
			x := keyOf(v)
			st.now(x)
			return keep(x)
		}), "TakeWhile")
	case 22:
		r := 1 + g.n(5)
		drop := func(x int) bool { return x%(r+1) == r }
		st := g.strikeAmong("DropWhile", &d.m, calls(&d.m, drop), panics, cancels)
		if exact {
			for len(d.m.keys) > 0 && drop(d.m.keys[0]) {
				d.m.keys = d.m.keys[1:]
			}
		} else {
			d.m.lossy = true
		}
		d.next(weir.DropWhile(d.s, func(v T) bool {
			x := keyOf(v)
			st.now(x)
			return drop(x)
		}), "DropWhile")
	case 23:
		if k.batch != nil {
			k.batch(d)
		}
	case 24:
		var gate pace.Gate
		if g.chance(0.5) {
			g.help(func() {
				for range 3 {
					gate.Pause()
					if !g.real {
						time.Sleep(time.Millisecond)
					}
					gate.Resume()
				}
			})
		}
		d.next(pace.Gated(d.s, &gate), "Gated")
	case 25:
		if g.real {
			return
		}
		d.m.lossy = true
		d.next(pace.Throttle(d.s, time.Duration(1+g.n(5))*time.Millisecond), "Throttle")
	case 26:
		if g.real {
			return
		}
		d.next(d.s.Through(pace.RateLimit[T](int64(1000+g.n(100000)), time.Duration(1+g.n(1000))*time.Millisecond)), "RateLimit")
	case 27:
		d.next(weir.Timeout(d.s, 1000*time.Hour), "Timeout")
	case 28:
		if g.plain {
			return
		}
		d.next(d.s.Through(weirtest.Rechunk[T](g.seed)), "Rechunk")
	case 29:
		if !g.plain {
			own(d)
		}
	case 30:
		if k.name != "bytes" && g.chance(0.5) {
			d.next(d.s.Sized(k.size).Named("sized"), "Sized")
			return
		}
		d.next(d.s.Through(weir.Compose("composed", func(s weir.Stream[T]) weir.Stream[T] {
			return weir.Map(s, func(v T) (T, error) { return v, nil }).Async(weir.Limit{})
		})), "Compose")
	}
}

// calls returns how often a function is called that is not asked again once it has
// returned false: 0 if that depends on the order of the values and nobody knows it.
func calls(m *model, f func(int) bool) int {
	i := slices.IndexFunc(m.keys, func(x int) bool { return !f(x) })
	switch {
	case i < 0:
		return len(m.keys)
	case !m.exact():
		return 0
	}
	return i + 1
}

// mapped adds a Map with any options.
func mapped[T any](d *draft[T]) {
	g, k := d.g, d.k
	add := g.n(1000)
	var opts []weir.MapOption
	what := "Map"
	can := []how{fails, panics, cancels, stops, joins, halts}
	workers := pick(g.rand, 1, 1, 2, 3, 8)
	unordered := false
	if workers > 1 || g.chance(0.2) {
		opts = append(opts, weir.Workers(workers))
		what += ", Workers"
		if g.chance(0.4) {
			opts = append(opts, weir.Unordered())
			unordered = true
			what += ", Unordered"
		}
		if g.chance(0.3) {
			opts = append(opts, weir.Window(1+g.n(30)))
			what += ", Window"
		}
	}
	if g.chance(0.1) {
		opts = append(opts, weir.SkipItems(nil))
		what += ", SkipItems"
		can = []how{panics, cancels, stops, halts}
	}
	skips := !slices.Contains(can, fails)
	retries := g.chance(0.1)
	if retries {
		opts = append(opts, weir.RetryItems(30, func(int) time.Duration { return time.Microsecond }))
		what += ", RetryItems"
	}
	d.m.loose = d.m.loose || unordered && workers > 1
	st := g.strikeKey(what, &d.m, can...)
	var mu sync.Mutex
	calls := map[int]int{}
	nap := g.nap()
	f := func(v T) (T, error) {
		x := k.key(v)
		nap(x)
		var none T
		if x < 0 {
			return none, errors.New("damaged")
		}
		if err := st.now(x); err != nil {
			return none, err
		}
		if skips && x%5 == 1 {
			return none, errors.New("left out")
		}
		if retries && x%7 == 0 {
			mu.Lock()
			calls[x]++
			n := calls[x]
			mu.Unlock()
			if n%2 == 1 {
				return none, errors.New("not now")
			}
		}
		return k.mk((x + add) & keyMask), nil
	}
	d.m.apply(func(x int) []int {
		if skips && x%5 == 1 {
			return nil
		}
		return []int{k.norm((x + add) & keyMask)}
	})
	s := d.s
	if g.chance(0.5) {
		d.next(weir.Map(s, f, opts...), "%s (%d workers)", what, workers)
		return
	}
	d.next(weir.MapContext(s, func(_ context.Context, v T) (T, error) { return f(v) }, opts...), "%sContext (%d workers)", what, workers)
}

func dedupe[T any](d *draft[T]) {
	g, k := d.g, d.k
	window := 1 + g.n(20)
	var s any
	if g.chance(0.5) {
		switch in := any(d.s).(type) {
		case weir.Stream[int]:
			s = weir.Dedupe(in)
		case weir.Stream[string]:
			s = weir.Dedupe(in)
		case weir.Stream[byte]:
			s = weir.Dedupe(in)
		}
	}
	if s != nil {
		if d.m.exact() {
			d.m.keys = slices.Compact(slices.Clone(d.m.keys))
		} else {
			d.m.lossy = true
		}
		d.next(s.(weir.Stream[T]), "Dedupe")
		return
	}
	st := g.strikeKey("DedupeBy", &d.m, panics, cancels)
	if d.m.exact() {
		var seen []int
		d.m.apply(func(x int) []int {
			if slices.Contains(seen, x) {
				return nil
			}
			if seen = append(seen, x); len(seen) > window {
				seen = seen[1:]
			}
			return []int{x}
		})
	} else {
		d.m.lossy = true
	}
	d.next(weir.DedupeBy(d.s, func(v T) int {
		x := k.key(v)
		st.now(x)
		return x
	}, window), "DedupeBy(%d)", window)
}

func counted[T any](d *draft[T]) {
	g := d.g
	n := g.n(len(d.m.keys)*3/2 + 2)
	if g.chance(0.5) {
		if n >= len(d.m.keys) {
			d.m.keys = d.m.keys[:0:0]
		} else if d.m.exact() {
			d.m.keys = d.m.keys[n:]
		}
		d.m.lossy = d.m.lossy || !d.m.exact() && n > 0
		d.next(weir.Drop(d.s, int64(n)), "Drop(%d)", n)
		return
	}
	take(d, n)
}

func take[T any](d *draft[T], n int) {
	if n <= len(d.m.keys) {
		d.g.enough(&d.m)
		if d.m.exact() {
			d.m.keys = d.m.keys[:n]
		} else {
			d.m.lossy = true
		}
	}
	d.next(weir.Take(d.s, int64(n)), "Take(%d)", n)
}

func batch[T any](d *draft[T]) {
	g := d.g
	c := weir.BatchOptions{}
	for c == (weir.BatchOptions{}) {
		if g.chance(0.5) {
			c.Items = 1 + g.n(100)
		}
		if g.chance(0.3) {
			c.Bytes = int64(1 + g.n(20000))
		}
		if !g.real && g.chance(0.3) {
			c.Delay = time.Duration(1+g.n(2000)) * time.Microsecond
		}
	}
	s := weir.Batch(d.s, c)
	if g.chance(0.4) {
		s = s.Async(g.limit())
	}
	d.next(weir.FlatMap(s, func(_ context.Context, b []T, emit func(...T) error) error { return emit(b...) }), "Batch(%+v) | FlatMap", c)
}

// enumerate numbers the values, and makes values of T of these.
func enumerate[T any](d *draft[T]) {
	g, k := d.g, d.k
	numbered := weir.Enumerate(d.s)
	if g.chance(0.5) {
		numbered = numbered.Async(g.limit())
	}
	f := func(i, x int) int { return k.norm((i*7 + x) & keyMask) }
	i := -1
	d.m.apply(func(x int) []int {
		i++
		return []int{f(i, x)}
	})
	d.next(each1(numbered, "map", func(v weir.Pair[int64, T]) (T, error) { return k.mk(f(int(v.First), k.key(v.Second))), nil }), "Enumerate | Map")
}

// own adds a stage of the user's.
func own[T any](d *draft[T]) {
	g, k := d.g, d.k
	switch g.n(3) {
	case 0:
		st := g.strikeKey("Do", &d.m, fails, panics, cancels, stops, joins)
		d.next(d.s.Through(weir.Do("do", func(_ context.Context, in []T, emit func([]T) error) error {
			for i, v := range in {
				if err := st.now(k.key(v)); err != nil {
					return errors.Join(emit(in[:i]), err)
				}
			}
			return emit(in)
		}, nil)), "Do")
	case 1:
		t := &transform[T]{h: g.handle("transform", false), k: k}
		t.st = g.strikeKey("Do of a transform", &d.m, fails, panics, cancels, stops)
		openErr := g.strikeOpenStage("Open of a stage", &d.m)
		if !d.m.cut {
			t.flushErr = g.strikeEnd("Flush of a stage", &d.m)
		}
		if !d.m.cut {
			t.closeErr = g.strikeEnd("Close of a stage", &d.m)
		}
		heavy := g.chance(0.5)
		d.next(d.s.Through(weir.Stage[T, T]{Name: "transform", Heavy: heavy, Open: func(context.Context) (weir.Transform[T, T], error) {
			if openErr != nil {
				return nil, openErr
			}
			t.h.opened.Add(1)
			return t, nil
		}}), "Stage{Open, Heavy: %v}", heavy)
	case 2:
		st := g.strikeKey("Run of a stage", &d.m, fails, panics, cancels, stops)
		size := 1 + g.n(pick(g.rand, 3, 3000))
		d.next(d.s.Through(weir.Stage[T, T]{Name: "run", Run: func(_ context.Context, in weir.Reader[T], out weir.Writer[T]) error {
			buf := make([]T, size)
			for {
				n, err := in.Read(buf)
				for i, v := range buf[:n] {
					if err := st.now(k.key(v)); err != nil {
						_, werr := out.Write(buf[:i])
						return errors.Join(werr, err)
					}
				}
				if _, err := out.Write(buf[:n]); err != nil {
					return err
				}
				if err != nil {
					return endOfInput(err)
				}
			}
		}}), "Stage{Run, %d at once}", size)
	}
}

// strikeOpenStage is strikeOpen for a stage: nothing upstream begins either,
// unless all of it is in a part of Concat.
func (g *gen) strikeOpenStage(where string, m *model) error {
	cut := m.cut
	if cut {
		return nil
	}
	return g.strikeOpen(where, m)
}

type transform[T any] struct {
	h                  *handle
	k                  *kind[T]
	st                 *strike
	flushErr, closeErr error
}

func (t *transform[T]) Do(_ context.Context, in []T, emit func([]T) error) error {
	for i, v := range in {
		if err := t.st.now(t.k.key(v)); err != nil {
			return errors.Join(emit(in[:i]), err)
		}
	}
	return emit(in)
}

func (t *transform[T]) Flush(context.Context, func([]T) error) error { return t.flushErr }

func (t *transform[T]) Close() error {
	t.h.closed.Add(1)
	return t.closeErr
}

// split copies the stream to branches and brings them together again.
func split[T any](d *draft[T]) {
	g := d.g
	n := 1 + g.n(3)
	branches := make([]weir.Branch, n)
	lossy := make([]bool, n)
	for i := range branches {
		branches[i], lossy[i] = g.branch()
	}
	g.say("Tee(%v)", branches)
	parts := weir.Tee(d.s, branches...)
	var merged model
	streams := make([]weir.Stream[T], n)
	for i, s := range parts {
		b := &draft[T]{g: g, s: s, k: d.k, m: d.m}
		b.m.keys = slices.Clone(d.m.keys)
		b.m.lossy = b.m.lossy || lossy[i]
		g.say("%d:", i)
		g.nested++ // nothing that is for whole flows
		for range g.n(3) {
			simple(b, 10+g.n(21))
		}
		g.nested--
		merged.beside(&b.m)
		streams[i] = b.s
	}
	d.m = merged
	d.next(weir.Merge(streams...), "Merge")
}

// branch is a random branch, and whether it may drop values.
func (g *gen) branch() (weir.Branch, bool) {
	b := weir.Branch{Limit: g.limit()}
	switch g.n(8) {
	case 0:
		b.Policy = weir.DropOldest
		return b, true
	case 1:
		b.Policy = weir.DropNewest
		return b, true
	case 2:
		b.Policy, b.Lag = weir.Disconnect, 1000*time.Hour
	}
	return b, false
}

func splitByKey[T any](d *draft[T]) {
	g, k := d.g, d.k
	n := 1 + g.n(4)
	st := g.strikeKey("key of Partition", &d.m, panics, cancels)
	parts := weir.Partition(d.s, n, func(v T) int {
		x := k.key(v)
		st.now(x)
		return x
	})
	if g.chance(0.5) {
		for i := range parts {
			parts[i] = parts[i].Async(g.limit())
		}
	}
	d.m.loose = true
	d.m.short = d.m.short || d.m.cut
	d.next(weir.Merge(parts...), "Partition(%d) | Merge", n)
}

// convert continues a draft with values of another type.
func convert[T, U any](d *draft[T], to *kind[U]) *draft[U] {
	if most := 3 * d.g.profile.count; len(d.m.keys) > most {
		take(d, most) // or else bytes become any number of large values
	}
	key := d.k.key
	keys := each1(d.s, "to keys", func(v T) (int, error) {
		x := key(v)
		if x < 0 {
			return 0, errors.New("damaged")
		}
		return x, nil
	})
	e := &draft[U]{g: d.g, k: to, m: d.m}
	e.m.apply(func(x int) []int { return []int{to.norm(x)} })
	e.next(each1(keys, "to values", func(x int) (U, error) { return to.mk(x), nil }), "to %s", to.name)
	return e
}

// each1 is a simple Map. It is compiled many times faster, because it can do
// nothing else.
func each1[T, U any](s weir.Stream[T], name string, f func(T) (U, error)) weir.Stream[U] {
	return weir.Via(s, weir.Do(name, func(_ context.Context, in []T, emit func([]U) error) error {
		out := make([]U, 0, min(len(in), 64))
		for _, v := range in {
			u, err := f(v)
			if err != nil {
				return errors.Join(emit(out), err)
			}
			if out = append(out, u); len(out) == cap(out) {
				if err := emit(out); err != nil {
					return err
				}
				clear(out)
				out = out[:0]
			}
		}
		return emit(out)
	}, nil))
}

// roundTrip encodes the values as bytes and decodes them.
func roundTrip[T any](d *draft[T]) {
	g := d.g
	if d.k.name == "bytes" {
		b := any(d).(*draft[byte])
		bytesOp(b)
		return
	}
	switch g.n(4) {
	case 0:
		t := convert(d, g.strings)
		b := &draft[byte]{g: g, k: g.bytes, m: t.m}
		b.next(text.Join(t.s), "JoinLines")
		for range g.n(3) {
			textOp(b)
		}
		t.m = b.m
		t.next(text.Lines(b.s), "Lines")
		*d = *convert(t, d.k)
	case 1:
		t := convert(d, g.records)
		b := &draft[byte]{g: g, k: g.bytes, m: t.m}
		b.next(record.EncodeJSON(t.s), "EncodeJSON")
		bytesOp(b)
		t.m = b.m
		t.next(record.DecodeJSON[entry](b.s, 4<<20), "DecodeJSON")
		*d = *convert(t, d.k)
	case 2:
		t := convert(d, g.strings)
		rows := each1(t.s, "rows", func(s string) ([]string, error) { return []string{"a\"b", s}, nil })
		b := &draft[byte]{g: g, k: g.bytes, m: t.m}
		b.next(record.EncodeCSV(rows, record.CSVOptions{}), "EncodeCSV")
		bytesOp(b)
		t.m = b.m
		t.next(each1(record.DecodeCSV(b.s, record.CSVOptions{}), "fields", func(row []string) (string, error) { return row[1], nil }), "DecodeCSV")
		*d = *convert(t, d.k)
	case 3:
		t := convert(d, g.slices)
		if g.chance(0.5) {
			t.next(t.s.Async(g.limit()), "async")
		}
		framing := pick(g.rand, record.Frame32, record.FrameVarint)
		b := &draft[byte]{g: g, k: g.bytes, m: t.m}
		b.next(record.EncodeFrames(t.s, framing), "EncodeFrames")
		bytesOp(b)
		t.m = b.m
		t.next(record.DecodeFrames(b.s, framing, 1<<20).Async(g.limit()), "DecodeFrames | async")
		*d = *convert(t, d.k)
	}
}

// bytesOp adds a stage that leaves bytes as they are. Its model does not
// describe the bytes, so nothing in it may depend on their number.
func bytesOp(b *draft[byte]) {
	g := b.g
	switch g.n(10) {
	case 0:
		b.next(b.s.Async(g.limit()), "async")
	case 1:
		var sums atomic.Int32
		want, whole := b.m, g.nested == 0
		g.checks = append(g.checks, func(err error) error {
			if err == nil && whole && !g.leaves && !g.stopped.Load() && !want.lossy && sums.Load() != 1 {
				return errors.New("Hash: its sum was not told once")
			}
			return nil
		})
		b.next(b.s.Through(weir.Hash(sha256.New, func([]byte) { sums.Add(1) })), "Hash")
	case 2, 3:
		b.m.short = b.m.short || b.m.cut // a compressor keeps an incomplete block
		pair := pick(g.rand,
			[2]weir.Stage[byte, byte]{compress.Gzip(), compress.Gunzip()},
			[2]weir.Stage[byte, byte]{compress.Gzip(compress.Workers(2)), compress.Gunzip()},
			[2]weir.Stage[byte, byte]{compress.Zstd(), compress.Unzstd()},
			[2]weir.Stage[byte, byte]{compress.S2(), compress.UnS2()},
			[2]weir.Stage[byte, byte]{compress.Zlib(), compress.Unzlib()},
		)
		s := b.s.Through(pair[0])
		if g.chance(0.4) {
			s = s.Async(g.limit())
		}
		b.next(s.Through(pair[1]), "%s | %s", pair[0].Name, pair[1].Name)
	case 4:
		b.next(b.s.Through(weirtest.Rechunk[byte](g.seed)), "Rechunk")
	case 5:
		if g.real && hasCat() {
			b.m.short = b.m.short || b.m.cut // what cat has not written yet
			b.next(b.s.Through(weir.Exec("cat")), "Exec(cat)")
		}
	case 6:
		b.next(weir.Timeout(b.s, 1000*time.Hour), "Timeout")
	case 7:
		twice := weir.Compose("twice", func(s weir.Stream[byte]) weir.Stream[byte] {
			return s.Through(weirtest.Rechunk[byte](1), weirtest.Rechunk[byte](2))
		})
		b.next(b.s.Through(twice).Async(g.limit()), "Compose")
	case 8:
		// A stage that uses the memory of the pipes.
		b.next(b.s.Through(weir.Stage[byte, byte]{Name: "copy", Run: copyAll}), "Run(io.Copy)")
	case 9:
		if g.real && g.chance(0.5) {
			b.next(b.s.Through(spool.Bytes(spoolFolder(), spool.Options{})), "spool")
		} else {
			most := 1 + g.n(300)
			b.next(b.s.Through(shelved[byte](most)), "Duplex(%d)", most)
		}
	}
}

// textOp adds a stage that leaves lines of capitals as they are.
func textOp(b *draft[byte]) {
	g := b.g
	switch g.n(9) {
	case 0:
		b.next(b.s.Through(text.Upper()), "Upper")
	case 1:
		b.next(b.s.Through(text.Grep(regexp.MustCompile(""))), "Grep")
	case 2:
		b.next(b.s.Through(text.GrepOut(regexp.MustCompile("[a-z]"))), "GrepOut")
	case 3:
		n := g.n(len(b.m.keys)*3/2 + 2)
		if n <= len(b.m.keys) {
			g.enough(&b.m)
			if b.m.exact() {
				b.m.keys = b.m.keys[:n]
			} else {
				b.m.lossy = true
			}
		}
		b.next(b.s.Through(text.HeadLines(int64(n))), "HeadLines(%d)", n)
	case 4:
		b.next(b.s.Through(text.Valid()), "ValidText")
	case 5:
		b.next(b.s.Through(text.Map("same", func(p []byte) []byte { return p })), "MapText")
	default:
		bytesOp(b)
	}
}

func copyAll(_ context.Context, in weir.Reader[byte], out weir.Writer[byte]) error {
	_, err := io.Copy(out.(io.Writer), in.(io.Reader))
	return err
}

func endOfInput(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// hasCat reports whether there is a command that copies its input.
var hasCat = sync.OnceValue(func() bool {
	_, err := exec.LookPath("cat")
	return err == nil
})
