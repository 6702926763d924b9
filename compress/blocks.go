package compress

import (
	"context"
	"io"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deflate"
	"github.com/weir-go/weir/internal/size"
)

// block is a piece of the input on its way to being a piece of the output.
type block struct {
	_ size.Elsewhere // what cut declares to hold

	in   []byte
	out  []byte
	tail []byte // what follows the last block
	last bool
}

// packer is what a format does with blocks.
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

	// begin returns what precedes the first block. sum is called with every
	// piece of input, in order, and end returns what follows the last block.
	begin func() []byte
	sum   func() (add func([]byte), end func() []byte)
}

// stage is a stage that compresses blocks, with as many workers as there may be.
func (k packer) stage() weir.Stage[byte, byte] {
	if k.c.workers == 1 && k.write != nil {
		return k.serial()
	}
	return k.parallel()
}

// serial is a stage that compresses one block after the other.
func (k packer) serial() weir.Stage[byte, byte] {
	free := serialPools.get(int64(k.size), func() any {
		return &block{in: make([]byte, 0, k.size+k.slack), out: make([]byte, 0, deflate.BlockOutput)}
	})
	return weir.Stage[byte, byte]{
		Name:  k.c.stage,
		Err:   k.c.err,
		Holds: int64(k.size+k.slack+deflate.BlockOutput) + k.holds,
		Run: func(ctx context.Context, in weir.Reader[byte], out weir.Writer[byte]) error {
			t := &cutter{packer: k, free: free}
			if k.sum != nil {
				t.add, t.end = k.sum()
			}
			begun := false
			emit := func(batch []*block) error {
				b := batch[0]
				if !begun && k.begin != nil {
					if _, err := out.Write(k.begin()); err != nil {
						return err
					}
				}
				begun = true
				if err := k.write(out, b); err != nil {
					return err
				}
				if len(b.tail) > 0 {
					if _, err := out.Write(b.tail); err != nil {
						return err
					}
				}
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

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// parallel is a stage that compresses blocks at the same time.
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
				t := &cutter{packer: k, free: free}
				if k.sum != nil {
					t.add, t.end = k.sum()
				}
				return t, nil
			},
		}).Async(weir.Items(1))
		packed := weir.Map(cut, func(b *block) (*block, error) { return b, k.pack(b) },
			weir.Workers(n), weir.Window(window)).Named(k.c.stage)
		return weir.Via(packed, weir.Stage[*block, byte]{
			Name: "join",
			Open: func(context.Context) (weir.Transform[*block, byte], error) {
				return &joiner{packer: k, free: free}, nil
			},
		})
	})
}

var blockPools, serialPools pools

// outSize is the most that a block becomes: what does not compress is stored.
func (k packer) outSize() int { return k.size + k.size/16 + 1<<10 }

// cutter cuts the input into blocks.
type cutter struct {
	packer
	free  *sync.Pool
	add   func([]byte)
	end   func() []byte
	b     *block
	batch [1]*block
}

func (t *cutter) Do(_ context.Context, in []byte, emit func([]*block) error) error {
	if t.add != nil {
		t.add(in)
	}
	for len(in) > 0 {
		if t.b != nil && len(t.b.in) == t.size {
			if err := t.emit(emit, false); err != nil {
				return err
			}
		}
		b := t.current()
		n := min(len(in), t.size-len(b.in))
		b.in = append(b.in, in[:n]...)
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
	if last && t.end != nil {
		b.tail = t.end()
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
	free  *sync.Pool
	begun bool
	kept  []byte // of the last block
}

func (j *joiner) Do(_ context.Context, in []*block, emit func([]byte) error) error {
	if !j.begun {
		j.begun = true
		if j.begin != nil {
			if err := emit(j.begin()); err != nil {
				return err
			}
		}
	}
	for _, b := range in {
		if err := emit(j.join(b)); err != nil {
			return err
		}
		if err := emit(b.tail); err != nil {
			return err
		}
		j.free.Put(b)
	}
	return nil
}

// join puts what was kept of the last block in front of b, and keeps the end
// of b unless it is the last one.
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
