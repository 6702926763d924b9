package compress

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/size"
)

const (
	chunkSize = 64 << 10

	// ahead is how many chunks may be read ahead for each worker, and one more:
	// as much as an incompressible block or member of 1 MiB has.
	ahead = memberMost/chunkSize + 1

	// aheadPlain is how many chunks may be read ahead that belong to no segment.
	aheadPlain = 4

	// readAtOnce is how many chunks the joining side takes from the pipe.
	readAtOnce = 4

	// outMost is the largest output of a segment that is decompressed ahead of
	// its turn. There is room for as many of these as there are workers, and for
	// members of 1 MiB, which are smaller, in addition.
	outMost = 4 << 20

	// segmentLeast is how much input a segment has at least, unless it is a
	// member with its sizes: smaller ones are not worth it. So a file cannot
	// make work by having many marks.
	segmentLeast = 16 << 10

	// segmentMost is how much input a segment may have.
	segmentMost = 2 << 20
)

// mark ends independent blocks of deflate data of [Gzip] and pigz -i: two empty
// stored blocks, the first of which begins anywhere in the byte before. The same
// bytes may lie within a block, so they prove nothing: see unsplitter.
var mark = []byte{0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff}

// chunk is a part of the input that passes from the splitting to the joining side
// of Gunzip.
type chunk struct {
	_ size.Elsewhere // the memory that the stages declare

	buf [chunkSize]byte
	b   []byte // of buf

	seg   *segment // nil: the chunk belongs to none
	first bool     // it is the first one of seg
	last  bool     // it is the last one of seg
	work  *work    // in the very first chunk, which has no bytes
	err   error    // the error of the source, behind b
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c := chunks.Get().(*chunk)
	c.b, c.seg, c.first, c.last, c.work, c.err = nil, nil, false, false, nil, nil
	return c
}

// work is the state that both sides and the workers share in one run.
type work struct {
	queue  chan *segment // in order; those that find no room are not decompressed ahead
	giveUp atomic.Bool   // marks proved to be false, and are ignored from now on

	// plain counts the chunks in flight that belong to no segment.
	plain atomic.Int32
	fewer chan struct{} // has a value when plain became smaller
	gone  chan struct{} // is closed when the joining side has ended
}

// sent counts a chunk that belongs to no segment, and reports whether there are too
// many of them.
func (w *work) sent() bool { return w.plain.Add(1) > aheadPlain }

// wait waits until there are few enough chunks that belong to no segment.
func (w *work) wait(ctx context.Context) {
	for w.plain.Load() > aheadPlain {
		select {
		case <-w.fewer:
		case <-w.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// used counts a chunk that belongs to no segment and was read.
func (w *work) used() {
	w.plain.Add(-1)
	select {
	case w.fewer <- struct{}{}:
	default:
	}
}

// splitter is a stage that decompresses gzip files, and parts of them at the same
// time where it is possible.
//
// The splitting side reads the input and cuts it into chunks. Where members
// record their sizes, or the input has marks, several chunks make a segment,
// which is put into a queue for the workers too. The joining side gets all
// chunks in order. It decompresses them itself, unless a worker has.
func splitter(c config) weir.Stage[byte, byte] {
	if c.err != nil {
		return weir.Stage[byte, byte]{Name: c.stage, Err: c.err}
	}
	n := c.workers
	pipe := ahead * (n + 1)
	// The joining side may hold all chunks of a member, beside those that it
	// took at once; the splitting side has two when it divides one.
	held := int64(pipe + ahead + readAtOnce + 2)
	return weir.Compose(c.stage, func(s weir.Stream[byte]) weir.Stream[byte] {
		split := weir.Via(s, weir.Stage[byte, *chunk]{
			Name:  "split",
			Holds: inSize + held*(chunkSize+256),
			Run: func(ctx context.Context, r weir.Reader[byte], w weir.Writer[*chunk]) error {
				t := splits.Get().(*split)
				t.in.reset(r)
				t.ctx, t.w, t.seg, t.tail = ctx, w, nil, t.tail[:0]
				t.work = &work{
					queue: make(chan *segment, pipe),
					fewer: make(chan struct{}, 1), gone: make(chan struct{}),
				}
				err := t.run()
				t.in.reset(nil)
				t.ctx, t.w, t.work, t.seg = nil, nil, nil, nil
				splits.Put(t) // not after a panic
				return err
			},
		}).Async(weir.Items(int64(pipe)))
		return weir.Via(split, weir.Stage[*chunk, byte]{
			Name:    c.stage,
			Workers: n,
			// The inflaters of the workers, and the inflater of the joining side for a member.
			Holds: unsplitterHolds + int64(n+1)*inflaterHolds + int64(n)*(outMost+memberInput) + memberInput,
			Run: func(_ context.Context, r weir.Reader[*chunk], w weir.Writer[byte]) error {
				return unsplit(c, r, w)
			},
		})
	})
}

// split is the splitting side.
type split struct {
	ctx   context.Context
	in    *input
	w     weir.Writer[*chunk]
	work  *work
	batch [1]*chunk

	seg  *segment // that is being read, behind a mark
	tail []byte   // the last bytes before the next chunk, if they may begin a mark
}

var splits = sync.Pool{New: func() any { return &split{in: newInput()} }}

func (t *split) run() error {
	c := newChunk()
	c.work = t.work
	if err := t.send(c); err != nil {
		return err
	}
	for {
		s, ok := t.sizes()
		if !ok {
			return t.rest()
		}
		if more, err := t.member(s); !more || err != nil {
			return err
		}
	}
}

func (t *split) send(c *chunk) error {
	plain := c.seg == nil && c.work == nil
	t.batch[0] = c
	_, err := t.w.Write(t.batch[:]) // c is the other side's from now on
	t.batch[0] = nil
	if plain && err == nil && t.work.sent() {
		wait := func() { t.work.wait(t.ctx) }
		if w, ok := t.w.(interface{ Blocked(wait func()) }); ok {
			w.Blocked(wait)
		} else {
			wait()
		}
	}
	return err
}

// sizes returns the sizes that the next member records. It asks for no byte
// that any member would not have.
func (t *split) sizes() (sizes, bool) {
	head, _ := t.in.Peek(gzipFixed + 2)
	n, ok := extraSize(head)
	if !ok || len(head)+n > 32<<10 {
		return sizes{}, false
	}
	head, _ = t.in.Peek(len(head) + n)
	return parseSizes(head)
}

// member passes on a member that records its sizes as one segment. If the input
// ends within it, member passes on the part that exists.
func (t *split) member(z sizes) (more bool, err error) {
	s := &segment{sizes: z, at: t.in.offset(), done: make(chan struct{})}
	for s.n < z.member {
		c := newChunk()
		k := min(chunkSize, z.member-s.n)
		n, err := io.ReadFull(t.in, c.buf[:k])
		c.b, c.seg, c.first = c.buf[:n], s, s.n == 0
		s.chunks = append(s.chunks, c)
		s.n += n
		if err != nil {
			s.err = early(err)
			if t.in.src.err != nil {
				s.err = t.in.src.err
			}
		}
		if c.last = s.n == z.member || err != nil; c.last {
			t.offer(s)
		}
		if sent := t.send(c); sent != nil || err != nil {
			return false, sent
		}
	}
	return true, nil
}

// offer lets the workers have a segment, all of which was read.
func (t *split) offer(s *segment) {
	select {
	case t.work.queue <- s:
	default:
	}
}

// rest passes on the rest of the input: each byte at once, and segments in
// addition.
func (t *split) rest() error {
	for {
		c := newChunk()
		n, err := t.in.Read(c.buf[:])
		c.b = c.buf[:n]
		for n > 0 {
			at := t.find(c.b)
			if at < 0 {
				break
			}
			// The segment ends within the chunk.
			after := newChunk()
			after.b = after.buf[:copy(after.buf[:], c.b[at:])]
			c.b = c.b[:at]
			t.add(c, true)
			if err := t.send(c); err != nil {
				return err
			}
			t.seg = &segment{done: make(chan struct{})}
			c = after
		}
		switch {
		case err == io.EOF:
			if t.add(c, true); len(c.b) > 0 {
				return t.send(c)
			}
			return nil
		case err != nil:
			c.err = err
			return t.send(c)
		}
		if len(c.b) > 0 {
			t.add(c, false)
			if err := t.send(c); err != nil {
				return err
			}
		}
	}
}

// add makes c part of the segment that is being read, if there is one.
func (t *split) add(c *chunk, last bool) {
	s := t.seg
	if s == nil {
		return
	}
	// A segment that was taken is not needed here any more, but its chunks are
	// still marked as its own.
	if s.n+len(c.b) > segmentMost {
		s.drop()
	}
	if s.chunks = append(s.chunks, c); s.taken.Load() {
		s.chunks = nil
	}
	c.seg, c.first = s, s.n == 0
	s.n += len(c.b)
	if last {
		t.seg = nil
		if s.n < segmentLeast {
			s.drop()
		}
		if !s.taken.Load() {
			t.offer(s)
		}
	}
}

// indexMark is bytes.Index of mark. It is fast where few bytes are 0 or 0xff.
func indexMark(b []byte) int {
	// How far a mark can be from b[i] as its last byte depends on b[i].
	for i := len(mark) - 1; i < len(b); {
		switch b[i] {
		case 0xff:
			if bytes.Equal(b[i-len(mark)+1:i+1], mark) {
				return i - len(mark) + 1
			}
			i++
		case 0:
			i += 2
		default:
			i += len(mark)
		}
	}
	return -1
}

// find returns where in the next bytes b of the input a mark ends and a segment
// can begin, or -1.
func (t *split) find(b []byte) int {
	if t.work.giveUp.Load() {
		return -1
	}
	least := 1
	if t.seg != nil {
		least = max(1, segmentLeast-t.seg.n)
	}
	at := -1
	// Over the edge, and then within b.
	edge := append(t.tail, b[:min(len(b), len(mark)-1)]...)
	for from := 0; at < 0; {
		i := indexMark(edge[from:])
		if i < 0 {
			break
		}
		from += i + 1
		if end := from - 1 + len(mark) - len(t.tail); end >= least {
			at = end
		}
	}
	for from := min(len(b), max(0, least-len(mark))); at < 0; {
		i := indexMark(b[from:])
		if i < 0 {
			break
		}
		from += i + len(mark)
		at = from
	}
	keep := len(mark) - 1
	if at >= 0 {
		t.tail = t.tail[:0] // marks do not overlap
		return at
	}
	if len(b) < keep {
		t.tail = append(t.tail, b...)
		t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-keep):]...)
	} else {
		t.tail = append(t.tail[:0], b[len(b)-keep:]...)
	}
	return -1
}
