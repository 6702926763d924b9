package compress

import (
	"bytes"
	"hash/crc32"
	"io"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/inflate"
)

// unsplitter is the joining side of Gunzip. It reads the members of a file like a
// decoder on one core. But where it has come to the beginning of a segment that
// a worker has decompressed, it uses that.
//
// A mark alone proves nothing. A segment is right if the decoder, which was
// right so far, stands exactly at its beginning, between two blocks. Then the
// blocks of the segment come next, and their output follows, provided that they
// do not refer to anything before them.
type unsplitter struct {
	gzipReader
	input input
	src   chunkSource
	c     config
	w     io.Writer
	n     int64 // bytes passed on

	workers sync.WaitGroup
	room    *room
	quit    chan struct{}
	misses  int // segments in a row that were of no use
}

// unsplitterHolds is the size of a unsplitter.
const unsplitterHolds = inflate.Holds + inflate.InputHolds + 2<<10

// mostMisses is how many segments in a row may be of no use before marks are
// ignored.
const mostMisses = 3

var unsplitters = sync.Pool{New: func() any { return new(unsplitter) }}

// unsplit decompresses the chunks that it reads from r.
func unsplit(c config, r weir.Reader[*chunk], w weir.Writer[byte]) error {
	j := unsplitters.Get().(*unsplitter)
	j.src = chunkSource{r: r}
	j.src.pass = j.pass
	j.input.reset(&j.src)
	j.c, j.w, j.n, j.misses = c, w, 0, 0
	j.room, j.quit = newRoom(int64(c.workers)*(outMost+memberInput)), make(chan struct{})
	ended := false
	defer func() {
		if j.src.work != nil {
			close(j.src.work.gone)
		}
		close(j.quit)
		j.room.close()
		j.workers.Wait()
		if ended { // not after a panic
			j.src = chunkSource{}
			j.input.reset(nil)
			j.w, j.room, j.quit = nil, nil, nil
			unsplitters.Put(j)
		}
	}()
	err := j.run()
	ended = true
	return err
}

func (j *unsplitter) run() error {
	for first := true; ; first = false {
		if j.input.Buffered() == 0 {
			if c := j.src.peek(); c != nil && c.first && c.seg.sizes.member > 0 {
				if err := j.member(); err != nil {
					return err
				}
				continue
			}
		}
		head, err := j.input.Peek(len(gzipMagic))
		switch {
		case first && len(head) == 0:
			return j.fail(err)
		case !first && (len(head) == 0 || !bytes.HasPrefix(gzipMagic, head)):
			if err != nil && err != io.EOF {
				return j.fail(err)
			}
			return gunzipFormat.trailing(j.c, &j.input)
		}
		if err := j.begin(&j.input.Input); err != nil {
			return j.fail(early(err))
		}
		if err := j.blocks(); err != nil {
			return err
		}
	}
}

// fail returns the error of the flow for an error of the data.
func (j *unsplitter) fail(err error) error { return gunzipFormat.diagnose(j.c, &j.input, err) }

// emit hands decompressed bytes on, as far as it is allowed.
func (j *unsplitter) emit(b []byte) error {
	var tooMuch error
	if left := j.c.left(j.n, int64(len(b)), j.input.src.n); left < int64(len(b)) {
		b = b[:left]
		tooMuch = j.c.tooLarge(j.n+left, j.input.offset(), gunzipFormat.name)
	}
	j.n += int64(len(b))
	if len(b) > 0 {
		if _, err := j.w.Write(b); err != nil {
			return err
		}
	}
	return tooMuch
}

// member passes on the member that begins here and records its sizes.
func (j *unsplitter) member() error {
	j.start()
	s, err := j.src.whole()
	if err != nil {
		return j.fail(err)
	}
	if s.take() {
		s.inflate()
	} else {
		<-s.done
	}
	for _, c := range s.chunks {
		chunks.Put(c)
	}
	j.input.src.n += int64(s.n)
	err = j.hand(s)
	switch {
	case err != nil || s.failed == nil:
		return err
	case s.cut && s.err != io.ErrUnexpectedEOF:
		return s.err // of the source
	}
	return &CorruptError{Format: gunzipFormat.name, Offset: s.at + int64(s.used), Err: s.failed}
}

// hand passes on the decompressed data of a segment.
func (j *unsplitter) hand(s *segment) error {
	defer s.free(j.room)
	for _, b := range s.out {
		if err := j.emit(b); err != nil {
			return err
		}
	}
	return nil
}

// blocks passes on the rest of a member whose header was read.
func (j *unsplitter) blocks() error {
	for {
		j.src.stops = true
		b, err := j.d.Next(chunkSize)
		j.src.stops = false
		j.sum = crc32.Update(j.sum, crc32.IEEETable, b)
		j.size += uint32(len(b))
		if len(b) > 0 {
			if err := j.emit(b); err != nil {
				return err
			}
		}
		if err == errCut {
			j.input.src.err = nil
			j.input.Resume(&j.input.src)
			var ended bool
			if ended, err = j.segment(); err != nil {
				return err
			}
			if ended {
				err = io.EOF
			}
		}
		if err == io.EOF {
			err = j.trailer()
			if err == io.EOF {
				return nil
			}
		}
		if err != nil {
			return j.fail(err)
		}
	}
}

// segment uses a worker's output of the segment that begins with the next chunk,
// if it can. ended says that the segment ends with the last block.
func (j *unsplitter) segment() (ended bool, err error) {
	c := j.src.peek()
	s := c.seg
	c.first = false
	j.start()
	confirmed := j.d.Boundary() && j.input.Buffered() == 0
	if s.take() {
		j.useful(confirmed)
		return false, nil
	}
	<-s.done
	j.useful(confirmed && s.ok)
	// Where a limit cuts the output off, it is decompressed in turn, so that the
	// limit does not depend on how much was decompressed ahead.
	if !confirmed || !s.ok || j.c.left(j.n, int64(s.size), j.input.src.n) < int64(s.size) {
		s.free(j.room)
		return false, nil
	}
	j.src.skip(s.used)
	j.input.src.n += int64(s.used)
	for _, b := range s.out {
		j.d.Remember(b)
	}
	j.sum = crcJoin(j.sum, s.sum, int64(s.size))
	j.size += uint32(s.size)
	return s.ended, j.hand(s)
}

// pass is called where a segment begins and no deflate data does.
func (j *unsplitter) pass(s *segment) {
	j.start()
	if !s.take() {
		<-s.done
		s.free(j.room)
	}
	j.useful(false)
}

// useful counts the segments that were of no use.
func (j *unsplitter) useful(ok bool) {
	if ok {
		j.misses = 0
	} else if j.misses++; j.misses == mostMisses {
		j.src.work.giveUp.Store(true)
	}
}

// start starts the workers when the first segment comes.
func (j *unsplitter) start() {
	if j.src.started {
		return
	}
	j.src.started = true
	w := j.src.work
	for range j.c.workers {
		j.workers.Go(func() {
			// The room is taken first, so that the segments that are taken out
			// of the queue are decompressed in order.
			for j.room.take(outMost) {
				select {
				case s := <-w.queue:
					j.ahead(s, w)
				case <-j.quit:
					return
				}
			}
		})
	}
}

// ahead decompresses a segment before its turn, unless another side has taken
// it. The caller has taken the room for it.
func (j *unsplitter) ahead(s *segment, w *work) {
	if s.sizes.member == 0 && w.giveUp.Load() || !s.take() {
		j.room.give(outMost)
		return
	}
	s.credit = outMost
	if s.sizes.member > 0 {
		s.credit = outRoom(s.sizes.plain)
		j.room.give(outMost - s.credit)
	}
	s.inflate()
	close(s.done)
}

// chunkSource reads the bytes of the chunks that come out of a pipe.
type chunkSource struct {
	r    weir.Reader[*chunk]
	work *work

	batch [readAtOnce]*chunk
	next  []*chunk // of batch
	cur   *chunk   // the current one
	err   error    // the error, or io.EOF, of r

	started bool           // there are workers
	stops   bool           // Read returns errCut in front of a segment
	pass    func(*segment) // is called if it does not
}

// peek returns the chunk with the next bytes, or that has an error to return. It
// returns nil at the end.
func (r *chunkSource) peek() *chunk {
	// The last chunk of a member that was cut can be empty, and is missed if it is
	// left out.
	for r.cur == nil || len(r.cur.b) == 0 && r.cur.err == nil && !r.cur.last {
		if r.cur != nil {
			if r.cur.seg == nil && r.cur.work == nil {
				r.work.used()
			}
			chunks.Put(r.cur)
			r.cur = nil
		}
		if len(r.next) == 0 {
			if r.err != nil {
				return nil
			}
			var n int
			if n, r.err = r.r.Read(r.batch[:]); n == 0 {
				continue
			}
			r.next = r.batch[:n]
		}
		r.cur, r.next[0] = r.next[0], nil
		r.next = r.next[1:]
		if r.cur.work != nil {
			r.work = r.cur.work
		}
	}
	return r.cur
}

func (r *chunkSource) Read(p []byte) (int, error) {
	c := r.peek()
	switch {
	case c == nil:
		return 0, r.err
	case c.first && r.stops:
		return 0, errCut
	case c.first:
		c.first = false
		r.pass(c.seg)
	}
	if len(c.b) == 0 {
		return 0, c.err
	}
	n := copy(p, c.b)
	c.b = c.b[n:]
	return n, nil
}

// skip skips n bytes, all of which are there.
func (r *chunkSource) skip(n int) {
	for n > 0 {
		c := r.peek()
		if c == nil {
			return
		}
		k := min(n, len(c.b))
		c.b = c.b[k:]
		n -= k
	}
}

// whole reads all chunks of a member, which begins with the next one. They are
// the caller's.
func (r *chunkSource) whole() (*segment, error) {
	for {
		c := r.peek()
		if c == nil {
			return nil, r.err
		}
		r.cur = nil
		if c.last {
			return c.seg, nil
		}
	}
}
