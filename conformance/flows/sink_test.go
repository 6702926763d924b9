package flows_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

// grow adds steps and ends the stream.
func grow[T any](d *draft[T], steps int) {
	g := d.g
	for ; steps > 0; steps-- {
		if g.chance(0.15) {
			switch g.n(4) {
			case 0:
				grow(convert(d, g.ints), steps-1)
			case 1:
				grow(convert(d, g.strings), steps-1)
			case 2:
				grow(convert(d, g.records), steps-1)
			case 3:
				grow(convert(d, g.bytes), steps-1)
			}
			return
		}
		step(d)
	}
	finish(d)
}

// begin starts a flow with values of a random type.
func (g *gen) begin(steps int) {
	switch g.n(4) {
	case 0:
		grow(source(g, g.ints, 1), steps)
	case 1:
		grow(source(g, g.strings, 1), steps)
	case 2:
		grow(source(g, g.records, 1), steps)
	case 3:
		grow(source(g, g.bytes, 1), steps)
	}
}

// build makes the whole flow.
func (g *gen) build() {
	if g.chance(0.6) {
		g.site = g.n(pick(g.rand, 3, 8))
	}
	g.begin(g.n(7))
	switch len(g.flows) {
	case 0:
	case 1:
		g.flow = g.flows[0]
	default:
		g.flow = weir.Join(g.flows...)
	}
	if g.flow != nil && g.chance(0.6) {
		g.flow.Limit = g.limit()
		g.say("with the limit %v", g.flow.Limit)
	}
}

// finish ends a stream in one or more sinks.
func finish[T any](d *draft[T]) {
	g := d.g
	if g.chance(0.12) && d.k.name != "bytes" {
		n := 2 + g.n(2)
		branches := make([]weir.Branch, n)
		lossy := make([]bool, n)
		for i := range branches {
			branches[i], lossy[i] = g.branch()
		}
		g.say("Tee(%v)", branches)
		parts := weir.Tee(d.s, branches...)
		for i, s := range parts {
			b := &draft[T]{g: g, s: s, k: d.k, m: d.m}
			b.m.keys = slices.Clone(d.m.keys)
			b.m.lossy = b.m.lossy || lossy[i]
			g.say("%d:", i)
			for range g.n(3) {
				simple(b, 10+g.n(21))
			}
			sink(b, g.n(7))
		}
		return
	}
	sink(d, g.n(18))
}

// ends adds a flow.
func (g *gen) ends(f *weir.Flow, format string, args ...any) {
	g.flows = append(g.flows, f)
	g.say(format, args...)
}

// strikeSink is strikeKey for the function of a sink, which sees the value at
// which it fails, or not.
func (d *draft[T]) strikeSink(where string, can ...how) *strike {
	return d.g.strikeKey(where, &d.m, can...)
}

// sink ends the stream. The first seven sinks make a flow that can be joined
// with others.
func sink[T any](d *draft[T], c int) {
	g, k := d.g, d.k
	if b, ok := any(d).(*draft[byte]); ok && c >= 7 && g.chance(0.7) {
		byteSink(b, c)
		return
	}
	switch c {
	case 0, 1:
		st := d.strikeSink("Each", fails, panics, cancels, stops, joins, halts)
		r, nap := g.result("Each", d.m), g.nap()
		g.ends(d.s.To(weir.Each(func(_ context.Context, v T) error {
			x := k.key(v)
			nap(x)
			if err := st.now(x); err != nil {
				return err
			}
			r.add(x)
			return nil
		})), "Each")
	case 2:
		st := d.strikeSink("EachBatch", fails, panics, cancels, stops, joins)
		r, nap := g.result("EachBatch", d.m), g.nap()
		g.ends(d.s.To(weir.EachBatch(func(_ context.Context, batch []T) error {
			for _, v := range batch {
				x := k.key(v)
				nap(x)
				if err := st.now(x); err != nil {
					return err
				}
				r.add(x)
			}
			return nil
		})), "EachBatch")
	case 3, 4:
		w := &trackedWriter[T]{g: g, k: k, h: g.handle("sink", false), nap: g.nap()}
		w.st = d.strikeSink("Write of a sink", fails, panics, cancels, stops)
		openErr := g.strikeOpenStage("Open of a sink", &d.m)
		commits, prepares := g.chance(0.5), g.chance(0.5)
		if commits {
			w.commitErr = g.strikeLate("Commit of a sink", &d.m)
			w.closeErr = g.strikeLate("Close of a sink", &d.m)
		} else {
			w.closeErr = g.strikeLate("Close of a sink", &d.m)
		}
		w.r = g.result("sink", d.m)
		w.r.commits = commits
		g.ends(d.s.To(weir.Sink[T]{Name: "sink", Open: func(context.Context) (weir.Writer[T], error) {
			if openErr != nil {
				return nil, openErr
			}
			w.h.opened.Add(1)
			w.r.opened.Add(1)
			switch {
			case commits && prepares:
				return &preparer[T]{committer[T]{w}}, nil
			case commits:
				return &committer[T]{w}, nil
			}
			return w, nil
		}}), "Sink (Commit: %v)", commits)
	case 5:
		pipeSink(d)
	case 6:
		r := g.result("ToChan", d.m)
		ch := make(chan T, g.n(5))
		done := make(chan struct{})
		g.help(func() {
			defer close(done)
			for {
				select {
				case v := <-ch:
					r.add(k.key(v))
				case <-g.ended:
					for {
						select {
						case v := <-ch:
							r.add(k.key(v))
						default:
							return
						}
					}
				}
			}
		})
		g.ends(d.s.To(weir.ToChan(ch)), "ToChan")
	case 7:
		s := &weirtest.Sink[T]{}
		if !g.real && g.chance(0.3) {
			s.Delay = time.Duration(1+g.n(100)) * time.Microsecond
		}
		r := g.result("weirtest.Sink", d.m)
		r.fill = func() {
			for _, v := range s.Values() {
				r.add(k.key(v))
			}
		}
		g.checks = append(g.checks, func(err error) error {
			c := s.Counts()
			if c.Opened != c.Closed || (err == nil) != (c.Committed == 1) && c.Opened > 0 {
				return fmt.Errorf("weirtest.Sink: %+v", c)
			}
			return nil
		})
		g.ends(d.s.To(s.Sink()), "weirtest.Sink")
	case 8:
		r := g.result("Collect", d.m)
		g.run = func(ctx context.Context) error {
			vs, err := weir.Collect(ctx, d.s, 1<<30)
			for _, v := range vs {
				r.add(k.key(v))
			}
			return err
		}
		g.say("Collect")
	case 9, 10:
		st := d.strikeSink("the loop over All", cancels, stops)
		r, nap := g.result("All", d.m), g.nap()
		g.run = func(ctx context.Context) error {
			for v, err := range d.s.All(ctx) {
				if err != nil {
					return err
				}
				x := k.key(v)
				nap(x)
				if st.now(x) != nil {
					break
				}
				r.add(x)
			}
			return nil
		}
		g.say("All")
	case 11:
		r := g.result("Chan", d.m)
		g.run = func(ctx context.Context) error {
			ch, end := d.s.Chan(ctx)
			for v := range ch {
				r.add(k.key(v))
			}
			return end()
		}
		g.say("Chan")
	case 12:
		st := d.strikeSink("Reduce", fails, panics, cancels, joins)
		r := g.result("Reduce", d.m)
		g.run = func(ctx context.Context) error {
			_, err := weir.Reduce(ctx, d.s, 0, func(n int, v T) (int, error) {
				if err := st.now(k.key(v)); err != nil {
					return n, err
				}
				r.add(k.key(v))
				return n + 1, nil
			})
			return err
		}
		g.say("Reduce")
	case 13:
		r := g.result("Count", d.m)
		r.count = true
		g.run = func(ctx context.Context) (err error) {
			n, err := weir.Count(ctx, d.s)
			r.n = n
			return err
		}
		g.say("Count")
	case 14:
		if len(d.m.keys) == 0 {
			sink(d, 0)
			return
		}
		x := d.m.keys[g.n(len(d.m.keys))]
		whole := d.m.exact() && !d.m.short
		if i := slices.Index(d.m.keys, x); i >= 0 {
			g.enough(&d.m)
			d.m.keys = d.m.keys[:i]
		}
		g.run = func(ctx context.Context) error {
			v, ok, err := weir.Find(ctx, d.s, func(v T) bool { return k.key(v) == x })
			if whole && err == nil && !ok || ok && k.key(v) != x {
				return errors.New("Find: not found")
			}
			return err
		}
		g.say("Find")
	case 15:
		r := g.result("Discard", d.m)
		r.count = true
		var n atomic.Int64
		s := weir.Tally(d.s, &n)
		r.fill = func() { r.n = n.Load() }
		g.ends(s.To(weir.Discard[T]()), "Discard")
	case 16:
		var hub weir.Hub[T]
		reader, err := hub.Attach(weir.Branch{Limit: g.limit()})
		if err != nil {
			panic(err)
		}
		r := g.result("Hub", d.m)
		g.halves = append(g.halves, &half{"a reader of a Hub", func() bool { return reader.Stats().Closed }, func(err error) { reader.CloseWithError(err) }})
		g.checkPipeEnd("Hub", d.m, drainPipe(g, reader, g.n(3), func(vs []T) {
			for _, v := range vs {
				r.add(k.key(v))
			}
		}))
		g.ends(d.s.To(hub.Sink()), "Hub")
	case 17:
		t := convert(d, g.strings)
		b := &draft[byte]{g: g, k: g.bytes, m: t.m}
		b.next(text.Join(t.s), "JoinLines")
		lineSink(b, t.k)
	}
}

// strikeLate is a failure when all values have arrived and been taken.
func (g *gen) strikeLate(where string, m *model) error {
	if !g.due() || m.cut || g.leaves {
		return nil
	}
	g.say("%s fails", where)
	g.fault = &fault{how: fails, where: where, err: fmt.Errorf("injected into flow %d", g.seed), late: true}
	m.cut = true
	return g.fault.err
}

// trackedWriter is a sink that fails at a given place.
type trackedWriter[T any] struct {
	g                   *gen
	k                   *kind[T]
	h                   *handle
	r                   *result
	st                  *strike
	nap                 func(int)
	commitErr, closeErr error
}

func (w *trackedWriter[T]) Write(batch []T) (int, error) {
	for i, v := range batch {
		x := w.k.key(v)
		w.nap(x)
		if err := w.st.now(x); err != nil {
			return i, err
		}
		w.r.add(x)
	}
	return len(batch), nil
}

func (w *trackedWriter[T]) Close() error {
	w.h.closed.Add(1)
	return w.closeErr
}

type committer[T any] struct{ *trackedWriter[T] }

func (w *committer[T]) Commit() error {
	w.r.commit.Add(1)
	return w.commitErr
}

type preparer[T any] struct{ committer[T] }

func (w *preparer[T]) Prepare() error {
	w.r.prepared.Add(1)
	return nil
}

// drainPipe reads a pipe beside the flow until it ends, and returns a check of what
// it ended with.
func drainPipe[T any](g *gen, r *weir.PipeReader[T], way int, take func([]T)) (end func() error) {
	ended := make(chan error, 1)
	g.help(func() {
		buf := make([]T, 1+way*7)
		ctx := context.Background()
		for {
			var err error
			switch way {
			case 0:
				var v T
				if v, err = r.Recv(ctx); err == nil {
					take([]T{v})
				}
			case 1:
				var n int
				n, err = r.RecvBatch(ctx, buf)
				take(buf[:n])
			case 2:
				var view []T
				if view, err = r.Acquire(ctx); err == nil {
					take(view)
					err = r.Release(len(view))
				}
			}
			if err != nil {
				ended <- err
				return
			}
		}
	})
	return func() error { return <-ended }
}

func (g *gen) checkPipeEnd(name string, m model, end func() error) {
	g.checks = append(g.checks, func(err error) error {
		perr := end()
		switch {
		case err == nil && perr != io.EOF:
			return fmt.Errorf("%s: the flow ended well and its pipe with %w", name, perr)
		case err != nil && perr == io.EOF && m.cut && !m.sated:
			return fmt.Errorf("%s: its pipe ended well and the flow with %w", name, err)
		}
		return nil
	})
}

func pipeSink[T any](d *draft[T]) {
	g, k := d.g, d.k
	limit := g.limit()
	r, w := weir.NewPipe[T](limit)
	res := g.result("ToPipe", d.m)
	end := drainPipe(g, r, g.n(3), func(vs []T) {
		for _, v := range vs {
			res.add(k.key(v))
		}
	})
	g.halves = append(g.halves, &half{"the write half of ToPipe", func() bool { return w.Stats().Closed }, func(err error) { w.CloseWithError(err) }})
	g.checkPipeEnd("ToPipe", d.m, end)
	g.ends(d.s.To(weir.ToPipe(w)), "ToPipe(%v)", limit)
}

// byteSink ends a stream of bytes where only those end.
func byteSink(d *draft[byte], c int) {
	g := d.g
	take := func(r *result) func(p []byte) {
		return func(p []byte) {
			for _, b := range p {
				r.add(int(b))
			}
		}
	}
	switch c % 3 {
	case 0:
		w := &byteWriter{h: g.handle("writer", true), nap: g.nap(), left: -1}
		if d.m.exact() && len(d.m.keys) > 0 && g.due() {
			w.left = g.n(len(d.m.keys))
			g.fault = &fault{how: fails, where: "Write of a writer", err: fmt.Errorf("injected into flow %d", g.seed), optional: d.m.cut && d.m.short}
			w.err = g.fault.err
			d.m.keys, d.m.cut = d.m.keys[:w.left], true
			g.say("it fails after %d bytes", w.left)
		} else if w.err = g.strikeLate("Close of a writer", &d.m); w.err != nil {
			w.atClose = true
		}
		r := g.result("ToWriter", d.m)
		w.take = take(r)
		g.ends(d.s.To(weir.ToWriter(w)), "ToWriter")
	case 1:
		path := g.path()
		before := g.chance(0.5)
		if before {
			if err := os.WriteFile(path, []byte("before"), 0o666); err != nil {
				panic(err)
			}
		}
		m := d.m
		g.checks = append(g.checks, func(err error) error {
			got, rerr := os.ReadFile(path)
			if err != nil {
				if before != (rerr == nil) || before && string(got) != "before" {
					return fmt.Errorf("Create: the target of a flow that failed has changed: %d bytes, %w", len(got), errors.Join(rerr, err))
				}
				return nil
			}
			if rerr != nil {
				return rerr
			}
			keys := make([]int, len(got))
			for i, b := range got {
				keys[i] = int(b)
			}
			if err := m.check(keys, nil, g.stopped.Load()); err != nil {
				return fmt.Errorf("Create: %w", err)
			}
			return nil
		})
		g.ends(d.s.To(weir.Create(path)), "Create")
	case 2:
		r := g.result("Open", d.m)
		size := 1 + g.n(10000)
		leave := g.chance(0.2)
		if leave {
			r.m.lossy = true
			g.enough(&d.m)
			g.enough(&r.m)
		}
		g.run = func(ctx context.Context) error {
			rc := weir.Open(ctx, d.s)
			defer rc.Close()
			p := make([]byte, size)
			for {
				n, err := rc.Read(p)
				take(r)(p[:n])
				if leave && n > 0 {
					return rc.Close()
				}
				if err != nil {
					return endOfInput(err)
				}
			}
		}
		g.say("Open (%d at once, leaves early: %v)", size, leave)
	}
}

// lineSink ends lines that stand for keys in a writer.
func lineSink(d *draft[byte], k *kind[string]) {
	g := d.g
	r := g.result("ToWriter of lines", d.m)
	w := &byteWriter{h: g.handle("writer", true), nap: g.nap(), left: -1}
	var part []byte
	w.take = func(p []byte) {
		for {
			line, rest, ok := bytes.Cut(p, []byte("\n"))
			part = append(part, line...)
			if !ok {
				return
			}
			r.add(k.key(string(part)))
			part, p = part[:0], rest
		}
	}
	g.ends(d.s.To(weir.ToWriter(w)), "ToWriter")
}

type byteWriter struct {
	h       *handle
	nap     func(int)
	take    func(p []byte)
	left    int // bytes it takes before it fails; negative: any number
	err     error
	atClose bool
	n       int
}

func (w *byteWriter) Write(p []byte) (int, error) {
	w.n++
	w.nap(w.n)
	if w.left >= 0 {
		if len(p) > w.left {
			p = p[:w.left]
			w.take(p)
			w.left = 0
			return len(p), w.err
		}
		w.left -= len(p)
	}
	w.take(p)
	return len(p), nil
}

func (w *byteWriter) Close() error {
	w.h.closed.Add(1)
	if w.atClose {
		return w.err
	}
	return nil
}
