package flows_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirtest"
)

// source begins a random stream of T.
func source[T any](g *gen, k *kind[T], depth int) *draft[T] {
	d := &draft[T]{g: g, k: k}
	if b, ok := any(d).(*draft[byte]); ok && g.chance(0.7) {
		byteSource(b)
		return d
	}
	most := 13
	if depth == 0 {
		most = 10
	}
	c := g.n(most)
	if c >= 10 {
		several(d, c, depth)
		return d
	}
	keys := g.keys()
	for i, key := range keys {
		keys[i] = k.norm(key)
	}
	d.m.keys = keys
	one(d, c)
	return d
}

func values[T any](k *kind[T], keys []int) []T {
	vs := make([]T, len(keys))
	for i, key := range keys {
		vs[i] = k.mk(key)
	}
	return vs
}

// one begins the stream at a single source.
func one[T any](d *draft[T], c int) {
	g, k, keys := d.g, d.k, d.m.keys
	size := len(keys)
	switch c {
	case 0:
		if g.chance(0.5) {
			d.next(weir.Values(values(k, keys)...), "Values(%d %s)", size, k.name)
			return
		}
		d.next(weir.FromSlice(values(k, keys)), "FromSlice(%d %s)", size, k.name)
	case 1:
		st := g.strikeIndex("FromSeq", &d.m, panics, cancels, halts)
		nap := g.nap()
		h := g.handle("iterator", false)
		d.next(weir.FromSeq(func(yield func(T) bool) {
			h.opened.Add(1)
			defer h.closed.Add(1)
			for i, key := range keys {
				nap(i)
				st.now(i)
				if !yield(k.mk(key)) {
					return
				}
			}
			st.now(size)
		}), "FromSeq(%d %s)", size, k.name)
	case 2:
		st := g.strikeIndex("FromSeq2", &d.m, fails, panics, cancels, joins)
		h := g.handle("iterator", false)
		d.next(weir.FromSeq2(func(yield func(T, error) bool) {
			h.opened.Add(1)
			defer h.closed.Add(1)
			for i, key := range keys {
				if err := st.now(i); err != nil {
					var none T
					yield(none, err)
					return
				}
				if !yield(k.mk(key), nil) {
					return
				}
			}
			if err := st.now(size); err != nil {
				var none T
				yield(none, err)
			}
		}), "FromSeq2(%d %s)", size, k.name)
	case 3:
		st := g.strikeIndex("FromFunc", &d.m, fails, panics, cancels, halts, joins)
		nap := g.nap()
		i := 0
		d.next(weir.FromFunc(func(context.Context) (T, error) {
			var none T
			nap(i)
			if err := st.now(i); err != nil {
				return none, err
			}
			if i == size {
				return none, io.EOF
			}
			i++
			return k.mk(keys[i-1]), nil
		}), "FromFunc(%d %s)", size, k.name)
	case 4:
		ch := make(chan T, g.n(10))
		st := g.strikeIndex("goroutine in front of FromChan", &d.m, cancels)
		g.help(func() {
			defer close(ch)
			for i, key := range keys {
				st.now(i)
				select {
				case ch <- k.mk(key):
				case <-g.ended:
					return
				}
			}
			st.now(size)
		})
		d.next(weir.FromChan(ch), "FromChan(%d %s, capacity %d)", size, k.name, cap(ch))
	case 5:
		limit := g.limit()
		r, w := weir.NewPipe[T](limit)
		st := g.strikeIndex("goroutine in front of FromPipe", &d.m, fails, cancels)
		batch := 1 + g.n(40)
		g.help(func() {
			ctx := context.Background()
			for at := 0; at < size; {
				n := min(batch, size-at)
				for i := range n {
					if err := st.now(at + i); err != nil {
						w.SendBatch(ctx, values(k, keys[at:at+i]))
						w.CloseWithError(err)
						return
					}
				}
				if _, err := w.SendBatch(ctx, values(k, keys[at:at+n])); err != nil {
					return // the flow wants no more
				}
				at += n
			}
			w.CloseWithError(st.now(size))
		})
		g.halves = append(g.halves, &half{"the read half of FromPipe", func() bool { return w.Stats().Closed }, func(err error) { r.CloseWithError(err) }})
		d.next(weir.FromPipe(r), "FromPipe(%d %s, %v)", size, k.name, limit)
	case 6:
		st := g.strikeIndex("Generate", &d.m, fails, panics, cancels, joins, halts)
		batch := 1 + g.n(pick(g.rand, 3, 100, 5000))
		if g.plain {
			batch = 1 // what the function holds is not the flow's
		}
		nap := g.nap()
		d.next(weir.Generate("generate", func(_ context.Context, emit func([]T) error) error {
			for at := 0; at < size; {
				n := min(batch, size-at)
				nap(at)
				for i := range n {
					if err := st.now(at + i); err != nil {
						return errors.Join(emit(values(k, keys[at:at+i])), err)
					}
				}
				if err := emit(values(k, keys[at:at+n])); err != nil {
					return err
				}
				at += n
			}
			return st.now(size)
		}), "Generate(%d %s, batches of %d)", size, k.name, batch)
	case 7:
		h := g.handle("reader of Retry", false)
		st := g.strikeIndex("Retry", &d.m, fails, panics, cancels)
		broken := 1 + g.n(size+1)
		var opens int
		d.next(weir.Retry(func(_ context.Context, offset int64) (weir.Reader[T], error) {
			if opens++; opens%3 == 1 {
				return nil, errors.New("not now")
			}
			h.opened.Add(1)
			return &tracked[T]{h: h, k: k, keys: keys, at: int(offset), end: min(size, int(offset)+broken), st: st, err: errors.New("broken off"), batch: broken, seed: g.seed}, nil
		}, weir.RetryOptions{Attempts: 4, Backoff: func(int) time.Duration { return time.Microsecond }, When: func(err error) bool { return st == nil || !errors.Is(err, g.fault.err) }}),
			"Retry(%d %s, breaks off after %d)", size, k.name, broken)
	case 8:
		h := g.handle("source", false)
		st := g.strikeIndex("Read of a source", &d.m, fails, panics, cancels, joins)
		r := &tracked[T]{h: h, k: k, keys: keys, end: size, st: st, batch: 1 + g.n(pick(g.rand, 2, 100, 3000)), seed: g.seed, odd: g.chance(0.3), nap: g.nap()}
		openErr := g.strikeOpen("Open of a source", &d.m)
		if !d.m.cut {
			r.closeErr = g.strikeEnd("Close of a source", &d.m)
		}
		src := weir.Source[T]{Name: "source", Open: func(context.Context) (weir.Reader[T], error) {
			if openErr != nil {
				return nil, openErr
			}
			h.opened.Add(1)
			c := *r
			return &c, nil
		}}
		d.next(weir.From(src), "From(%d %s, batches of %d)", size, k.name, r.batch)
	case 9:
		src := &weirtest.Source[T]{Values: values(k, keys), Batch: g.n(20)}
		if !g.real && g.chance(0.2) {
			src.Delay = time.Duration(1+g.n(100)) * time.Microsecond
		}
		if g.due() {
			g.say("its end fails")
			g.fault = &fault{how: fails, where: "weirtest.Source", err: errors.New("injected")}
			src.Err, d.m.cut = g.fault.err, true
		}
		g.checks = append(g.checks, func(error) error {
			if c := src.Counts(); c.Opened != c.Closed {
				return errors.New("weirtest.Source was not closed once for each time it was opened")
			}
			return nil
		})
		d.next(src.Stream(), "weirtest.Source(%d %s, batches of %d)", size, k.name, src.Batch)
	}
}

// tracked is a reader that counts its closes and yields the values of keys from
// at to end.
type tracked[T any] struct {
	h        *handle
	k        *kind[T]
	keys     []int
	at, end  int
	st       *strike
	err      error // what comes at end, if that is before the end of keys
	closeErr error
	batch    int
	seed     uint64
	odd      bool // now and then it reads nothing, or the end comes with values
	nap      func(int)
	rand     *rand.Rand
}

func (r *tracked[T]) Read(dst []T) (int, error) {
	if r.rand == nil {
		r.rand = rand.New(rand.NewPCG(r.seed, 1))
	}
	if r.nap != nil {
		r.nap(r.at)
	}
	if r.odd && r.rand.IntN(4) == 0 {
		return 0, nil
	}
	if len(dst) == 0 {
		return 0, nil
	}
	n := min(1+r.rand.IntN(r.batch), len(dst), r.end-r.at)
	for i := range n {
		if err := r.st.now(r.at + i); err != nil {
			r.at += i
			if i > 0 && !r.odd {
				return i, nil // the error comes again
			}
			return i, err
		}
		dst[i] = r.k.mk(r.keys[r.at+i])
	}
	r.at += n
	if r.at < r.end || n > 0 && !r.odd {
		return n, nil
	}
	if r.end < len(r.keys) {
		return n, r.err
	}
	if err := r.st.now(r.end); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (r *tracked[T]) Close() error {
	r.h.closed.Add(1)
	return r.closeErr
}

// several begins the stream at more than one source.
func several[T any](d *draft[T], c, depth int) {
	g := d.g
	switch c {
	case 10:
		g.say("Concat(")
		var parts []weir.Stream[T]
		g.nested++
		for range 1 + g.n(3) {
			p := source(g, d.k, depth-1)
			for range g.n(2) {
				step(p)
			}
			parts = append(parts, p.s)
			d.m.then(&p.m, g)
			g.say(";")
		}
		g.nested--
		d.next(weir.Concat(parts...), ")")
	case 11:
		if d.k.name == "bytes" {
			one(d, 0)
			return
		}
		g.say("Merge(")
		var parts []weir.Stream[T]
		for range 1 + g.n(4) {
			p := source(g, d.k, depth-1)
			parts = append(parts, p.s)
			d.m.beside(&p.m)
			g.say(";")
		}
		d.next(weir.Merge(parts...), ")")
	case 12:
		if d.k.zip == nil {
			one(d, 0)
			return
		}
		g.say("Zip(")
		a, b := source(g, d.k, 0), source(g, d.k, 0)
		d.k.zip(d, a, b)
	}
}

// then appends the model of a stream to m.
func (m *model) then(o *model, g *gen) {
	switch {
	case !m.cut:
		m.keys = slices.Concat(m.keys, o.keys)
		m.cut, m.short = o.cut, o.short
	case g.fault.optional:
		// It may not have happened, and the second stream comes.
		m.keys = slices.Concat(m.keys, o.keys)
		m.short = true
	}
	m.loose, m.lossy = m.loose || o.loose, m.lossy || o.lossy
	if m.loose && m.cut {
		m.short = true
	}
}

// beside adds the model of a stream that runs at the same time.
func (m *model) beside(o *model) {
	m.keys = slices.Concat(m.keys, o.keys)
	m.lossy = m.lossy || o.lossy
	m.cut = m.cut || o.cut
	m.short = m.short || m.cut // those beside the fault are cut off somewhere
	m.loose = true
}

// zip makes pairs of both streams, and values of T of these.
func zip[T any](d, a, b *draft[T]) {
	g, k := d.g, d.k
	pairs := weir.Zip(a.s, b.s)
	if g.chance(0.3) {
		pairs = pairs.Async(g.limit())
	}
	d.next(each1(pairs, "map", func(p weir.Pair[T, T]) (T, error) {
		x, y := k.key(p.First), k.key(p.Second)
		if x < 0 || y < 0 {
			return k.mk(0), errors.New("a damaged value in a pair")
		}
		return k.mk((x + y) & keyMask), nil
	}), ") | map")
	n := min(len(a.m.keys), len(b.m.keys))
	d.m.keys = nil
	for i := range n {
		d.m.keys = append(d.m.keys, k.norm((a.m.keys[i]+b.m.keys[i])&keyMask))
	}
	d.m.lossy, d.m.loose = a.m.lossy || b.m.lossy, a.m.loose || b.m.loose
	// The fault of one ends the other, which may have gone further.
	d.m.cut = a.m.cut || b.m.cut
	d.m.short = d.m.cut
	if sure := a.m.cut && !a.m.short && len(a.m.keys) <= len(b.m.keys) || b.m.cut && !b.m.short && len(b.m.keys) < len(a.m.keys); d.m.cut && !sure {
		g.fault.optional = true
	}
	if len(a.m.keys) != len(b.m.keys) {
		g.leaves = true
	}
}

// byteSource begins a stream of bytes where only those begin.
func byteSource(d *draft[byte]) {
	g := d.g
	keys := make([]int, g.n(pick(g.rand, 2, 100, 5000, 200000)))
	for i := range keys {
		keys[i] = g.n(256)
	}
	d.m.keys = keys
	data := values(g.bytes, keys)
	switch g.n(4) {
	case 0:
		d.next(weir.FromReader(bytes.NewReader(data)), "FromReader(bytes.Reader of %d)", len(data))
	case 1:
		d.next(weir.FromReader(strings.NewReader(string(data))), "FromReader(strings.Reader of %d)", len(data))
	case 2:
		path := g.path()
		if err := os.WriteFile(path, data, 0o666); err != nil {
			panic(err)
		}
		if at := g.n(len(data) + 1); g.chance(0.3) {
			length := g.n(len(data) + 1)
			d.m.keys = keys[at:min(len(keys), at+length)]
			d.next(weir.FileRange(path, int64(at), int64(length)), "FileRange(%d bytes, %d, %d)", len(data), at, length)
			return
		}
		d.next(weir.File(path), "File(%d bytes)", len(data))
	case 3:
		h := g.handle("reader", true)
		st := g.strikeIndex("Read of a reader", &d.m, fails, panics, cancels)
		r := &tracked[byte]{h: h, k: g.bytes, keys: keys, end: len(keys), st: st, batch: 1 + g.n(pick(g.rand, 1, 100, 100000)), seed: g.seed, odd: g.chance(0.3), nap: g.nap()}
		if !d.m.cut {
			r.closeErr = g.strikeEnd("Close of a reader", &d.m)
		}
		d.next(weir.FromReader(r), "FromReader(%d bytes, at most %d at once)", len(keys), r.batch)
	}
}
