package compress

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/size"
)

// piece is a part of the input on its way to being a part of the output.
type piece struct {
	_ size.Elsewhere // what split declares to hold

	in    []byte // a member with its sizes, or nothing if out is there already
	sizes sizes
	out   []byte

	at       int64 // where the part ends in the input
	err      error // what the output ends with, behind out
	trailing bool  // garbage begins at at
}

const (
	// pieceOut is how much is inflated before it is handed on, where members
	// do not record their sizes.
	pieceOut = 128 << 10

	// pieceStep is by how much the buffer for a member grows.
	pieceStep = 64 << 10

	pieceIn = (memberMost + pieceStep - 1) / pieceStep * pieceStep
)

// splitter is a stage that decompresses members at the same time, where they
// record their sizes. All others are inflated where the input is read, and what
// comes out takes the same way, so that a file may have both.
func splitter(c config) weir.Stage[byte, byte] {
	if c.err != nil {
		return weir.Stage[byte, byte]{Name: c.stage, Err: c.err}
	}
	n := c.workers
	window := n + 1
	// One piece is with split, one is in the pipe, each worker may have one
	// that it waits to begin, and a window full of them may be inflated while
	// another one is being handed on.
	most := int64(2 + n + 2*window)
	return weir.Compose(c.stage, func(s weir.Stream[byte]) weir.Stream[byte] {
		split := weir.Via(s, weir.Stage[byte, *piece]{
			Name:  c.stage, // which works, where it cannot be shared out
			Holds: most*(pieceIn+memberInput) + inflateHolds + inSize + int64(n)*inflaterHolds,
			Run: func(_ context.Context, r weir.Reader[byte], w weir.Writer[*piece]) error {
				t := splits.Get().(*split)
				t.in.reset(r)
				t.c, t.w = c, w
				err := t.run()
				t.in.reset(nil)
				t.w = nil
				splits.Put(t) // not after a panic
				return err
			},
		}).Async(weir.Items(1))
		inflated := weir.Map(split, inflatePiece, weir.Workers(n), weir.Window(window)).Named("inflate")
		return weir.Via(inflated, weir.Stage[*piece, byte]{
			Name: "check",
			Open: func(context.Context) (weir.Transform[*piece, byte], error) {
				return &merger{c: c}, nil
			},
		})
	})
}

// split cuts the input into pieces.
type split struct {
	in    *input
	zr    gzipReader
	c     config
	w     weir.Writer[*piece]
	batch [1]*piece
}

// Both are kept between flows.
var (
	pieces = sync.Pool{New: func() any { return new(piece) }}
	splits = sync.Pool{New: func() any { return &split{in: newInput()} }}
)

// run ends with the input, or with a piece that has an error.
func (t *split) run() error {
	if _, err := t.in.Peek(1); err != nil {
		return t.fail(t.piece(), err)
	}
	for {
		var more bool
		var err error
		if s, ok := t.sizes(); ok {
			more, err = t.cut(s)
		} else {
			more, err = t.serial()
		}
		if !more || err != nil {
			return err
		}
		head, err := t.in.Peek(len(gzipMagic))
		if len(head) == 0 || !bytes.HasPrefix(gzipMagic, head) {
			if err != nil && err != io.EOF {
				return t.fail(t.piece(), err)
			}
			return t.rest()
		}
	}
}

// sizes returns what the next member records. It asks for no byte that any
// member would not have.
func (t *split) sizes() (sizes, bool) {
	head, _ := t.in.Peek(gzipFixed + 2)
	n, ok := extraSize(head)
	if !ok || len(head)+n > inSize {
		return sizes{}, false
	}
	head, _ = t.in.Peek(len(head) + n)
	return parseSizes(head)
}

// cut hands on the next member as it is. What there is of one that is cut off
// is inflated too.
func (t *split) cut(s sizes) (more bool, err error) {
	p := t.piece()
	p.sizes = s
	if cap(p.in) < s.member {
		p.in = make([]byte, (s.member+pieceStep-1)/pieceStep*pieceStep)
	}
	n, err := io.ReadFull(t.in, p.in[:s.member])
	p.in = p.in[:n]
	if err != nil {
		return false, t.fail(p, early(err))
	}
	return true, t.emit(p)
}

// serial inflates the next member.
func (t *split) serial() (more bool, err error) {
	err = early(t.zr.begin(&t.in.Input))
	for err == nil {
		p := t.piece()
		if cap(p.out) < pieceOut {
			p.out = make([]byte, 0, pieceOut)
		}
		// What is inflated does not wait for more input.
		for err == nil && len(p.out) < pieceOut {
			var n int
			n, err = t.zr.Read(p.out[len(p.out):pieceOut])
			p.out = p.out[:len(p.out)+n]
			if t.in.Buffered() == 0 {
				break
			}
		}
		if err != nil && err != io.EOF {
			return false, t.fail(p, err)
		}
		if err := t.emit(p); err != nil {
			return false, err
		}
	}
	if err != io.EOF {
		return false, t.fail(t.piece(), err)
	}
	return true, nil
}

// rest looks at what follows the last member.
func (t *split) rest() error {
	more, err := t.in.skipZeros()
	if err != nil {
		return t.fail(t.piece(), err)
	}
	if !more || t.c.trailing == nil {
		return nil
	}
	p := t.piece()
	p.trailing = true
	return t.emit(p)
}

func (t *split) piece() *piece {
	p := pieces.Get().(*piece)
	*p = piece{in: p.in[:0], out: p.out[:0]}
	return p
}

// fail hands on the last piece. What went before it comes out first.
func (t *split) fail(p *piece, err error) error {
	p.err = gunzipFormat.diagnose(t.c, t.in, err)
	return t.emit(p)
}

func (t *split) emit(p *piece) error {
	p.at = t.in.offset()
	t.batch[0] = p
	_, err := t.w.Write(t.batch[:])
	t.batch[0] = nil
	return err
}

// merger hands on what was inflated, as far as it is allowed.
type merger struct {
	c config
	n int64 // bytes handed on
}

func (m *merger) Do(_ context.Context, in []*piece, emit func([]byte) error) error {
	for _, p := range in {
		out, err := p.out, p.err
		if left := m.c.left(m.n, int64(len(out)), p.at); left < int64(len(out)) {
			out, err = out[:left], tooLarge(m.n+left, p.at, gunzipFormat.name)
		}
		m.n += int64(len(out))
		if err := emit(out); err != nil {
			return err
		}
		if err == nil && p.trailing {
			err = gunzipFormat.tell(m.c, p.at)
		}
		if err != nil {
			return &weir.StageError{Stage: m.c.stage, Err: err} // the name that is known
		}
		pieces.Put(p)
	}
	return nil
}

func (m *merger) Flush(context.Context, func([]byte) error) error { return nil }
