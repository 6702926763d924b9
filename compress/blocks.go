package compress

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deflate"
	"github.com/weir-go/weir/internal/size"
)

// block is a piece of the input that becomes a piece of the output.
type block struct {
	_ size.Elsewhere // the memory that cut declares

	in   []byte
	out  []byte
	tail []byte // the trailer behind the last block
	last bool

	end   int64  // where the input of the block ends; with Resume only
	state []byte // of the sum there
}

// packer compresses the blocks of a format.
type packer struct {
	c     config
	size  int   // bytes of input in a block
	slack int   // room behind the input
	keep  int   // last bytes of a packed block that wait for the next one
	holds int64 // bytes one worker's encoder holds

	// pack compresses b.in into b.out, from keep on. Several workers call it
	// at a time.
	pack func(b *block) error

	// write compresses b.in into w, with b.out for a buffer. With one worker it
	// takes the place of pack.
	write func(w io.Writer, b *block) error

	// begin returns the header before the first block.
	begin func() []byte

	// sum returns a sum of the input before the first block, or the sum of an
	// earlier run whose state and length are given.
	sum func(state []byte, length int64) (summer, error)
}

// summer is the sum of the input.
type summer interface {
	add(p []byte)
	end() []byte   // the trailer behind the last block
	state() []byte // the state needed to continue
}

// noSum is the summer of a format without one.
type noSum struct{}

func (noSum) add([]byte)    {}
func (noSum) end() []byte   { return nil }
func (noSum) state() []byte { return nil }

func newNoSum([]byte, int64) (summer, error) { return noSum{}, nil }

// start is where a run begins.
type start struct {
	in, out int64
	kept    []byte // of the last block
	sum     summer
}

// errState is the error of a run that cannot begin where it was told to.
var errState = errors.New("not a place at which this stage can be continued")

// start returns where a run begins.
func (k packer) start() (s start, err error) {
	var state []byte
	if r := k.c.resume; r != nil {
		s.in, s.out, state = r.from()
		if s.in%int64(k.size) != 0 || s.out > 0 && len(state) < k.keep {
			return s, errState
		}
		if s.out > 0 {
			s.kept, state = state[:k.keep], state[k.keep:]
		}
	}
	newSum := k.sum
	if newSum == nil {
		newSum = newNoSum
	}
	s.sum, err = newSum(state, s.in)
	return s, err
}

// stage returns a stage that compresses blocks, with as many workers as there may be.
func (k packer) stage() weir.Stage[byte, byte] {
	if k.c.workers == 1 && k.write != nil {
		return k.serial()
	}
	return k.parallel()
}

// serial returns a stage that compresses one block after the other.
func (k packer) serial() weir.Stage[byte, byte] {
	free := serialPools.get(int64(k.size), func() any {
		return &block{in: make([]byte, 0, k.size+k.slack), out: make([]byte, 0, deflate.BlockOutput)}
	})
	return weir.Stage[byte, byte]{
		Name:  k.c.stage,
		Err:   k.c.err,
		Holds: int64(k.size+k.slack+deflate.BlockOutput) + k.holds,
		Run: func(ctx context.Context, in weir.Reader[byte], out weir.Writer[byte]) error {
			begin, err := k.start()
			if err != nil {
				return err
			}
			t := &cutter{packer: k, free: free, n: begin.in, sum: begin.sum}
			w := &countingWriter{out, begin.out}
			emit := func(batch []*block) error {
				b := batch[0]
				if w.n == 0 && k.begin != nil {
					if _, err := w.Write(k.begin()); err != nil {
						return err
					}
				}
				if err := k.write(w, b); err != nil {
					return err
				}
				if len(b.tail) > 0 {
					if _, err := w.Write(b.tail); err != nil {
						return err
					}
				}
				k.mark(b, w.n, nil)
				free.Put(b)
				return nil
			}
			feed := writerFunc(func(p []byte) (int, error) {
				if err := t.Do(ctx, p, emit); err != nil {
					return 0, err
				}
				return len(p), nil
			})
			if _, err := in.(io.WriterTo).WriteTo(feed); err != nil {
				return err
			}
			return t.Flush(ctx, emit)
		},
	}
}

// countingWriter counts the bytes of the output.
type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// mark tells that the stage can be continued behind the block b, whose output
// ends at out, except for the bytes in kept.
func (k packer) mark(b *block, out int64, kept []byte) {
	if k.c.resume != nil && !b.last {
		k.c.resume.at(b.end, out, slices.Concat(kept, b.state))
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// parallel returns a stage that compresses blocks at the same time.
func (k packer) parallel() weir.Stage[byte, byte] {
	if k.c.err != nil {
		return weir.Stage[byte, byte]{Name: k.c.stage, Err: k.c.err}
	}
	n := k.c.workers
	// The formats differ in the size of their blocks.
	free := blockPools.get(int64(k.size), func() any {
		return &block{
			in:  make([]byte, 0, k.size+k.slack),
			out: make([]byte, 0, k.outSize()),
		}
	})
	// One more than there are workers, so that a worker that is done early can
	// continue.
	window := n + 1
	// Two blocks are with cut, one is in the pipe, each worker may have one
	// that it waits to begin, and a window full of them may be packed while
	// another one is being joined.
	blocks := int64(2 + 1 + n + 2*window)
	perBlock := int64(k.size + k.slack + k.outSize())
	return weir.Compose(k.c.stage, func(s weir.Stream[byte]) weir.Stream[byte] {
		cut := weir.Via(s, weir.Stage[byte, *block]{
			Name:  "cut",
			Holds: blocks*perBlock + int64(n)*k.holds,
			Open: func(context.Context) (weir.Transform[byte, *block], error) {
				begin, err := k.start()
				return &cutter{packer: k, free: free, n: begin.in, sum: begin.sum}, err
			},
		}).Async(weir.Items(1))
		packed := weir.Map(cut, func(b *block) (*block, error) { return b, k.pack(b) },
			weir.Workers(n), weir.Window(window)).Named(k.c.stage)
		return weir.Via(packed, weir.Stage[*block, byte]{
			Name: "join",
			Open: func(context.Context) (weir.Transform[*block, byte], error) {
				begin, err := k.start()
				return &joiner{packer: k, free: free, n: begin.out, kept: begin.kept}, err
			},
		})
	})
}

var blockPools, serialPools pools

// outSize returns the largest size of a packed block: data that does not
// compress is stored.
func (k packer) outSize() int { return k.size + k.size/16 + 1<<10 }

// cutter cuts the input into blocks.
type cutter struct {
	packer
	free  *sync.Pool
	n     int64 // bytes of input
	sum   summer
	b     *block
	batch [1]*block
}

func (t *cutter) Do(_ context.Context, in []byte, emit func([]*block) error) error {
	for len(in) > 0 {
		if t.b != nil && len(t.b.in) == t.size {
			if err := t.emit(emit, false); err != nil {
				return err
			}
		}
		b := t.current()
		n := min(len(in), t.size-len(b.in))
		b.in = append(b.in, in[:n]...)
		t.sum.add(in[:n])
		t.n += int64(n)
		in = in[n:]
	}
	return nil
}

func (t *cutter) current() *block {
	if t.b == nil {
		t.b = t.free.Get().(*block)
		t.b.in, t.b.out, t.b.tail, t.b.last = t.b.in[:0], t.b.out[:0], nil, false
	}
	return t.b
}

// emit hands the block on.
func (t *cutter) emit(emit func([]*block) error, last bool) error {
	b := t.current()
	b.last = last
	t.b = nil
	if last {
		b.tail = t.sum.end()
	}
	if t.c.resume != nil {
		b.end, b.state = t.n, t.sum.state()
	}
	t.batch[0] = b
	return emit(t.batch[:])
}

func (t *cutter) Flush(_ context.Context, emit func([]*block) error) error {
	return t.emit(emit, true)
}

// joiner writes the packed blocks one after the other.
type joiner struct {
	packer
	free *sync.Pool
	n    int64  // bytes of output
	kept []byte // of the last block
}

func (j *joiner) Do(_ context.Context, in []*block, emit func([]byte) error) error {
	send := func(p []byte) error {
		j.n += int64(len(p))
		return emit(p)
	}
	for _, b := range in {
		if j.n == 0 && len(j.kept) == 0 && j.begin != nil {
			if err := send(j.begin()); err != nil {
				return err
			}
		}
		if err := send(j.join(b)); err != nil {
			return err
		}
		if err := send(b.tail); err != nil {
			return err
		}
		j.mark(b, j.n, j.kept)
		j.free.Put(b)
	}
	return nil
}

// join puts the kept end of the last block in front of b, and keeps the end of
// b unless it is the last one.
func (j *joiner) join(b *block) []byte {
	out := b.out[j.keep-len(j.kept):]
	copy(out, j.kept)
	if !b.last {
		end := len(out) - j.keep
		j.kept = append(j.kept[:0], out[end:]...)
		out = out[:end]
	}
	return out
}

func (j *joiner) Flush(context.Context, func([]byte) error) error { return nil }
