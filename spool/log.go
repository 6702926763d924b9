package spool

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

const (
	defaultMax  = 10 << 30
	leastMax    = 16 << 20
	mostSegment = 32 << 20
	lockName    = "lock"

	// spare, and room for four times the last checkpoint, is the part of Max that is
	// not filled with data, so that there is room for checkpoints when the spool is
	// full.
	spare = 64 << 10

	// frameMemory is the memory that one frame takes. A spool has one to fill and
	// one to read, and one to compare with while a producer repeats stored bytes.
	frameMemory = frameLen + mostData
)

var (
	// ErrDamaged matches the error of a spool whose files have been changed, or
	// come back from the disk with other contents. The error names the file and
	// the byte.
	ErrDamaged = errors.New("damaged")

	errFull = weir.ErrFull
)

// Log is a spool that outlives its process. One goroutine can write to it, through
// [Log.Sink], and one can read from it, through [Log.Source]; the other methods can
// be called at any time.
type Log struct {
	dir  string
	opts Options
	mode byte
	lock *os.File
	made bool // the folder was made for a spool

	// Locked in this order; mu only for a few instructions.
	syncing sync.Mutex // held while a sync of the tail runs
	writing sync.Mutex // serializes appends to the files
	mu      sync.Mutex

	// Guarded by writing.
	id      logID
	tail    *os.File // the last segment, open for writing; nil: there is none yet
	tailLen int64
	number  int64    // of the tail
	pending []byte   // room for the head of a frame, and its data so far
	last    []byte   // the frame of the last checkpoint; nil: none
	inSync  *os.File // the segment that sync works on, and closes if it is no longer the tail

	// Guarded by mu. The others change only while writing is locked, too.
	segments []segment
	disk     int64 // bytes in files
	held     int   // bytes of pending, that will be in files
	written  int64 // offset of the first byte that is not in a file
	durable  int64 // offset of the first byte that is not on stable storage
	synced   int64 // bytes of the tail that are on stable storage
	done     int64 // offset of the first byte that may be read again
	check    durable.Checkpoint
	ended    bool // nothing will be written
	closed   bool
	failed   error
	change   chan struct{} // closed when something changes; nil: nobody waits
	refused  int64
	since    time.Time // when the running refusal began
	refusal  time.Duration
}

// segment is a file of the log.
type segment struct {
	number, first int64
	size          int64
}

func (l *Log) path(number int64) string { return filepath.Join(l.dir, segmentName(number)) }

func segmentName(number int64) string { return fmt.Sprintf("%010d.spool", number) }

// Open opens the spool in the folder dir, which is made if it is not there, and
// locks it. Another process, or another Log, can have it open: Open waits up to five
// seconds, because a process that was killed can take some time to end. The error then
// matches [durable.ErrInUse], or it is the cause of ctx if that ends before. It matches
// [ErrDamaged] if the files do not have the bytes that were written, and
// [durable.ErrOther] if the folder has other files.
//
// Everything that was synced is there, and perhaps a little more. Open reads only the
// last file.
func Open(ctx context.Context, dir string, o Options) (*Log, error) {
	l, err := open(ctx, dir, o, modeDurable)
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	return l, nil
}

func open(ctx context.Context, dir string, o Options, mode byte) (_ *Log, err error) {
	if dir == "" {
		return nil, errors.New("no folder")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.hooks.write == nil {
		o.hooks.write = (*os.File).WriteAt
	}
	l := &Log{dir: dir, opts: o, mode: mode, pending: make([]byte, frameLen, frameMemory)}
	name := filepath.Join(dir, lockName)
	var made bool  // the folder
	var lerr error // of the lock's file
	for range 3 {  // the run that has the lock can remove the folder when it ends
		if made, err = makeFolder(dir); err != nil {
			return nil, err
		}
		_, lerr = os.Lstat(name)
		l.made = made || lerr == nil // a killed run left it
		l.lock, err = lock.Open(ctx, name)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case errors.Is(err, lock.ErrHeld):
		return nil, durable.ErrInUse
	case err != nil:
		return nil, errno.Bare(err)
	}
	if err := l.recover(); err != nil {
		if l.tail != nil {
			l.tail.Close()
		}
		if errors.Is(lerr, fs.ErrNotExist) { // leave the folder as it was
			os.Remove(name)
		}
		lock.Unlock(l.lock)
		l.lock.Close()
		if made {
			os.Remove(dir)
		}
		return nil, err
	}
	return l, nil
}

// recover finds the segments of an earlier process, and makes the log continue there.
func (l *Log) recover() error {
	numbers, err := l.list()
	if err != nil {
		return err
	}
	if l.mode == modeBuffer {
		return l.sweep(numbers)
	}
	// A crash may have left a segment without a whole head: nothing in it counts.
	for len(numbers) > 0 {
		last := numbers[len(numbers)-1]
		torn, err := l.torn(last)
		if err != nil {
			return err
		}
		if !torn {
			break
		}
		if err := os.Remove(l.path(last)); err != nil {
			return l.doing("remove", last, err)
		}
		numbers = numbers[:len(numbers)-1]
	}
	if len(numbers) == 0 {
		return l.begin()
	}
	for i, number := range numbers {
		h, size, err := l.head(number)
		switch {
		case err != nil:
			return err
		case h.mode != modeDurable:
			// A buffer of a killed run: of no use to anybody.
			if err := l.sweep(numbers); err != nil {
				return err
			}
			l.segments, l.disk = nil, 0
			return l.begin()
		case i == 0:
			l.id = h.id
		case number != numbers[i-1]+1:
			return fmt.Errorf("%w: there is no %s", ErrDamaged, segmentName(numbers[i-1]+1))
		case h.id != l.id:
			return damaged(number, 0, errors.New("it belongs to another spool"))
		}
		l.segments = append(l.segments, segment{number, h.first, size})
		l.disk += size
	}
	l.done = l.segments[0].first
	return l.resume()
}

// list returns the numbers of the segments in the folder, in order.
func (l *Log) list() (numbers []int64, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, errno.Bare(err)
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".spool")
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case ok && err == nil && segmentName(n) == e.Name():
			numbers = append(numbers, n)
		case e.Name() != lockName:
			return nil, fmt.Errorf("%w: its folder has %q, which is no part of a spool; use another folder", durable.ErrOther, e.Name())
		}
	}
	return numbers, nil
}

// sweep removes the segments of a buffer that a killed run left.
func (l *Log) sweep(numbers []int64) error {
	for _, number := range numbers {
		h, _, err := l.head(number)
		torn := false
		if err != nil {
			if torn, err = l.torn(number); err != nil {
				return err
			}
		}
		if !torn && h.mode != modeBuffer {
			return fmt.Errorf("%w is in it, and can be continued; run its command again, or remove the folder", durable.ErrOther)
		}
	}
	for _, number := range numbers {
		if err := os.Remove(l.path(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.doing("remove", number, err)
		}
	}
	l.made = l.made || len(numbers) > 0
	return nil
}

// head reads the head of a segment.
func (l *Log) head(number int64) (h head, size int64, err error) {
	f, err := os.Open(l.path(number))
	if err != nil {
		return h, 0, l.doing("open", number, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return h, 0, l.doing("stat", number, err)
	}
	p := make([]byte, headLen)
	n, err := f.ReadAt(p, 0)
	if err != nil && err != io.EOF {
		return h, 0, l.doing("read", number, err)
	}
	h, err = parseHead(p[:n])
	if err == nil && h.number != number {
		err = fmt.Errorf("it has the number %d", h.number)
	}
	if err != nil {
		return h, 0, damaged(number, 0, err)
	}
	return h, info.Size(), nil
}

// torn reports whether a segment has no valid head, because a crash came before it
// was synced. If something in the segment proves that it was synced, it is damaged.
func (l *Log) torn(number int64) (bool, error) {
	if _, _, err := l.head(number); err == nil || !errors.Is(err, ErrDamaged) {
		return false, err
	}
	f, err := os.Open(l.path(number))
	if err != nil {
		return false, l.doing("open", number, err)
	}
	defer f.Close()
	switch at, err := proof(f, 0, nil); {
	case err != nil:
		return false, l.doing("read", number, err)
	case at >= 0:
		return false, damaged(number, 0, fmt.Errorf("no head, although it was synced before byte %d was written", at))
	}
	return true, nil
}

// resume checks the last segment, cuts off an end that a crash left unfinished, and
// makes the rest durable.
func (l *Log) resume() error {
	s := &l.segments[len(l.segments)-1]
	f, err := os.OpenFile(l.path(s.number), os.O_RDWR, 0)
	if err != nil {
		return l.doing("open", s.number, err)
	}
	l.tail, l.number = f, s.number
	at, end, check, wrong, err := scan(f, s.size, s.first, &l.id)
	if err != nil {
		return l.doing("read", s.number, err)
	}
	if wrong != nil {
		switch i, err := proof(f, at, &l.id); {
		case err != nil:
			return l.doing("read", s.number, err)
		case i >= 0:
			return damaged(s.number, at, fmt.Errorf("%w, although it was synced before byte %d was written", wrong, i))
		}
		if err := f.Truncate(at); err != nil {
			return l.doing("truncate", s.number, err)
		}
	}
	if check != nil {
		if err := json.Unmarshal(check, &l.check); err != nil {
			return damaged(s.number, at, err)
		}
		l.last = append(make([]byte, frameLen), check...)
	}
	l.disk += at - s.size
	s.size, l.tailLen = at, at
	if err := l.datasync(f, s.number, at); err != nil {
		return err
	}
	if err := l.syncFolder(s.number, true); err != nil {
		return err
	}
	l.synced, l.written, l.durable, l.ended = at, end, end, l.check.End
	if l.check.Offset > end {
		return damaged(s.number, at, fmt.Errorf("it ends before offset %d, which its checkpoint names", l.check.Offset))
	}
	return nil
}

// makeFolder makes the folder, if it is not there, so that a crash does not take it
// back.
func makeFolder(dir string) (made bool, err error) {
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("make the folder: %w", errno.Bare(err))
	}
	return true, atomicfile.SyncDir(filepath.Dir(dir))
}

// watch returns a channel that is closed when something changes.
func (l *Log) watch() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.change == nil {
		l.change = make(chan struct{})
	}
	return l.change
}

// notify wakes those who watch. mu is held.
func (l *Log) notify() {
	if l.change != nil {
		close(l.change)
		l.change = nil
	}
}

// fail records an error after which nothing can be written any more.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
		l.notify()
	}
	return l.failed
}

// wrong returns why nothing can be written, or nil.
func (l *Log) wrong() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return os.ErrClosed
	}
	return l.failed
}

// doing adds the operation and the file to an error.
func (l *Log) doing(what string, number int64, err error) error {
	return fmt.Errorf("%s %s: %w", what, segmentName(number), errno.Bare(err))
}

// put takes as many bytes of p as there is room for. It returns errFull if those were
// not all.
func (l *Log) put(p []byte) (n int, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.wrong(); err != nil {
		return 0, err
	}
	most := frameLen + l.mostData()
	for len(p) > 0 {
		if len(l.pending) == most {
			if err := l.flush(); err != nil {
				return n, err
			}
		}
		l.mu.Lock()
		room := l.opts.max() - spare - int64(4*len(l.last)) - l.disk - int64(len(l.pending))
		l.mu.Unlock()
		take := int(max(0, min(int64(len(p)), int64(most-len(l.pending)), room)))
		if take == 0 {
			return n, errFull
		}
		l.pending = append(l.pending, p[:take]...)
		n, p = n+take, p[take:]
		l.mu.Lock()
		l.held = len(l.pending)
		l.notify()
		l.mu.Unlock()
	}
	return n, nil
}

// mostData returns the largest data of a frame.
func (l *Log) mostData() int { return int(min(mostData, l.opts.segmentSize()/4)) }

// flush writes the pending frame. writing is locked.
func (l *Log) flush() error {
	n := len(l.pending) - frameLen
	if n == 0 {
		return nil
	}
	if err := l.write(l.pending, kindData); err != nil {
		return l.fail(err)
	}
	l.pending = l.pending[:frameLen]
	l.mu.Lock()
	l.written += int64(n)
	l.held = 0
	if l.mode == modeBuffer {
		l.durable = l.written
	}
	l.notify()
	l.mu.Unlock()
	return nil
}

// write appends a frame, whose contents stand in p behind room for its head. writing
// is locked.
func (l *Log) write(p []byte, kind byte) error {
	if l.tail == nil || l.tailLen+int64(len(p)) > l.opts.segmentSize() && l.tailLen > headLen+int64(len(l.last)) {
		if err := l.roll(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	f := frame{kind: kind, length: len(p) - frameLen, sum: sum(p[frameLen:]), offset: l.written, synced: l.synced}
	l.mu.Unlock()
	f.put(p, &l.id)
	if _, err := l.opts.hooks.write(l.tail, p, l.tailLen); err != nil {
		l.tail.Truncate(l.tailLen) // if this fails too, the next Open does it
		return l.doing("write", l.number, err)
	}
	l.tailLen += int64(len(p))
	l.mu.Lock()
	l.disk += int64(len(p))
	l.segments[len(l.segments)-1].size = l.tailLen
	l.mu.Unlock()
	return nil
}

// roll begins a new segment, when all of the one before is on stable storage. It
// begins with the last checkpoint, so that the segments before can be removed.
// writing is locked.
func (l *Log) roll() error {
	number := l.number
	if l.tail != nil {
		number++
		if l.mode == modeDurable {
			if err := l.datasync(l.tail, l.number, l.tailLen); err != nil {
				return l.fail(err)
			}
			l.mu.Lock()
			l.durable, l.synced = l.written, l.tailLen
			l.notify()
			l.mu.Unlock()
		}
	}
	f, size, err := l.create(number)
	if err != nil {
		return err
	}
	if l.tail != nil && l.tail != l.inSync {
		l.tail.Close() // all of it is synced
	}
	l.tail, l.tailLen, l.number = f, size, number
	l.mu.Lock()
	l.segments = append(l.segments, segment{number, l.written, size})
	l.disk += size
	l.synced = size
	l.mu.Unlock()
	return nil
}

// create makes a segment with its head and the last checkpoint, or nothing.
func (l *Log) create(number int64) (_ *os.File, size int64, err error) {
	name := l.path(number)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, 0, l.doing("create", number, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(name)
		}
	}()
	p := make([]byte, headLen, headLen+len(l.last))
	head{id: l.id, first: l.written, number: number, mode: l.mode}.put(p)
	if l.last != nil {
		p = append(p, l.last...)
		frame{kind: kindCheck, length: len(l.last) - frameLen, sum: sum(l.last[frameLen:]), offset: l.written}.put(p[headLen:], &l.id)
	}
	if _, err := l.opts.hooks.write(f, p, 0); err != nil {
		return nil, 0, l.doing("write", number, err)
	}
	if l.mode == modeDurable {
		if err := l.datasync(f, number, int64(len(p))); err != nil {
			return nil, 0, err
		}
		if err := l.syncFolder(number, true); err != nil {
			return nil, 0, err
		}
	}
	return f, int64(len(p)), nil
}

// datasync makes the first size bytes of a segment durable.
func (l *Log) datasync(f *os.File, number, size int64) error {
	if err := datasync(f); err != nil {
		return l.doing("sync", number, err)
	}
	if l.opts.hooks.synced != nil {
		l.opts.hooks.synced(segmentName(number), size)
	}
	return nil
}

// syncFolder makes it durable that a segment is there, or is not.
func (l *Log) syncFolder(number int64, there bool) error {
	if err := atomicfile.SyncDir(l.dir); err != nil {
		return l.doing("sync the folder of", number, err)
	}
	if l.opts.hooks.named != nil {
		l.opts.hooks.named(segmentName(number), there)
	}
	return nil
}

// sync makes all that was put so far durable. It is quick if that is so already.
func (l *Log) sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	err := l.wrong()
	if err == nil {
		err = l.flush()
	}
	f, number, size, end := l.tail, l.number, l.tailLen, l.written
	l.mu.Lock()
	dirty := l.synced != size || l.durable != end
	l.mu.Unlock()
	if err != nil || f == nil || !dirty {
		l.writing.Unlock()
		return err
	}
	l.inSync = f
	l.writing.Unlock()
	err = l.datasync(f, number, size) // the writer continues during the sync
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.inSync = nil; l.tail != f {
		f.Close()
	}
	if err != nil {
		// The system may take its failed pages for clean: another sync proves nothing.
		return l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = max(l.durable, end)
	if l.number == number {
		l.synced = max(l.synced, size)
	}
	l.notify()
	return nil
}

// save appends a checkpoint and makes it durable, with all that was put before.
func (l *Log) save(c durable.Checkpoint) error {
	p, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(p) > mostCheck {
		return fmt.Errorf("checkpoint of %s; at most %s fit", units.Exact(int64(len(p))), units.Exact(mostCheck))
	}
	p = append(make([]byte, frameLen, frameLen+len(p)), p...)
	l.writing.Lock()
	if err = l.wrong(); err == nil {
		err = l.flush()
	}
	if err == nil {
		if err = l.write(p, kindCheck); err != nil {
			err = l.fail(err)
		}
	}
	if err == nil {
		l.last = p
	}
	l.writing.Unlock()
	if err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	l.mu.Lock()
	l.check = c
	l.ended = c.End
	l.notify()
	l.mu.Unlock()
	return nil
}

// free says that nothing before offset will be read again, and removes the segments
// that have nothing else.
func (l *Log) free(offset int64) error {
	for {
		l.mu.Lock()
		l.done = max(l.done, offset)
		var old *segment
		if len(l.segments) > 1 && l.segments[1].first <= l.done && !l.closed {
			old = &l.segments[0]
			l.segments = l.segments[1:]
		} else {
			l.notify()
		}
		l.mu.Unlock()
		if old == nil {
			return nil
		}
		if err := os.Remove(l.path(old.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.fail(l.doing("remove", old.number, err))
		}
		if l.mode == modeDurable { // one by one: the segments that are left have no gap
			if err := l.syncFolder(old.number, false); err != nil {
				return l.fail(err)
			}
		}
		l.mu.Lock()
		l.disk -= old.size
		l.notify()
		l.mu.Unlock()
	}
}

// refuse counts that the writer waits, from now on, or does not any more.
func (l *Log) refuse(waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waits {
		l.refused++
		l.since = time.Now()
	} else if !l.since.IsZero() {
		l.refusal += time.Since(l.since)
		l.since = time.Time{}
	}
}

// wait waits for a change.
func wait(ctx context.Context, change <-chan struct{}) error {
	select {
	case <-change:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stats describes the present and past contents of a spool.
type Stats struct {
	Held    int64         // bytes in its files, heads included
	Max     int64         // the most that it may hold
	Written int64         // bytes written to it, all its runs together
	Durable int64         // of these, bytes on stable storage
	Done    int64         // of these, bytes that will not be read again
	Refused int64         // how often the writer had to wait because the spool was full
	Waited  time.Duration // how long that was, the running wait included
	Ended   bool          // the producer has marked the end
}

// Lag returns the bytes that were written and that will still be read.
func (s Stats) Lag() int64 { return s.Written - s.Done }

// Stats returns the counts of the spool at this moment.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Held: l.disk + int64(l.held), Max: l.opts.max(),
		Written: l.written, Durable: l.durable, Done: l.done,
		Refused: l.refused, Waited: l.refusal, Ended: l.ended,
	}
	if l.held > 0 {
		s.Written += int64(l.held - frameLen)
	}
	if !l.since.IsZero() {
		s.Waited += time.Since(l.since)
	}
	return s
}

// Sink returns the spool as the sink of a durable flow. Its Write waits while the
// spool is full. A flow that continues repeats the bytes that it wrote after its last
// checkpoint; the sink compares them with the stored bytes, as far as the spool still
// has them, and does not store them twice.
func (l *Log) Sink() durable.Sink { return &sink{l: l} }

// Source returns the spool as the source of a durable flow. It hands out only bytes
// on stable storage, and syncs the written bytes when it has nothing else to read.
func (l *Log) Source() durable.Source { return source{l} }

// edge returns the counts for a report.
func (l *Log) edge() report.Edge {
	s := l.Stats()
	return report.Edge{Name: l.dir, Held: s.Held, Max: s.Max, Lag: s.Lag(), Refused: s.Refused}
}

// Close ends the use of the spool, and interrupts calls that wait for it. The saved
// bytes stay, to be continued. Close the readers of its source before.
func (l *Log) Close() error {
	if !l.close() {
		return nil
	}
	return l.named(l.release())
}

// close makes all uses of the log fail from now on, and reports whether it is the
// first call.
func (l *Log) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.closed
	l.closed = true
	l.notify()
	return !was
}

// release closes the files of a log that nobody uses.
func (l *Log) release() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	var err error
	if l.tail != nil {
		err = l.tail.Close()
	}
	lock.Unlock(l.lock)
	if cerr := l.lock.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		err = fmt.Errorf("close: %w", errno.Bare(err))
	}
	return err
}

// Remove closes the spool and removes all that it holds, and its folder, if nothing
// else is in it.
func (l *Log) Remove() error {
	if !l.close() {
		return l.named(os.ErrClosed)
	}
	err := l.empty(func() error { return nil })
	name := filepath.Join(l.dir, lockName)
	unlocked := os.Remove(name) // while it is locked, so that it is nobody else's
	if cerr := l.release(); err == nil {
		err = cerr
	}
	if unlocked != nil { // an open file cannot be removed on some systems
		os.Remove(name)
	}
	if l.made || l.mode == modeDurable {
		os.Remove(l.dir) // fails if it is not empty
	}
	return l.named(err)
}

// named puts the name of the spool in front of an error.
func (l *Log) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("spool %s: %w", l.dir, err)
}

func (l *Log) version() string {
	l.writing.Lock()
	defer l.writing.Unlock()
	return fmt.Sprintf("%x", l.id[:])
}

// extent returns the offsets of the first byte that the log still has, and of the
// first one that is not on stable storage.
func (l *Log) extent() (first, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 { // it is being emptied
		return l.durable, l.durable
	}
	return l.segments[0].first, l.durable
}

// empty removes all segments, the last one first, so that a crash leaves a log, and
// not a later part of one. Then it calls next, while nobody can write.
func (l *Log) empty(next func() error) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.tail != nil {
		l.tail.Close()
		l.tail = nil
	}
	l.mu.Lock()
	list := l.segments
	l.segments, l.disk = nil, 0
	l.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		if err := os.Remove(l.path(list[i].number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.doing("remove", list[i].number, err)
		}
	}
	return next()
}

// begin makes an empty log with a new id. writing is locked, or nobody else has l.
func (l *Log) begin() error {
	rand.Read(l.id[:])
	l.number, l.pending, l.last = 0, l.pending[:frameLen], nil
	l.mu.Lock()
	l.written, l.durable, l.synced, l.done, l.held = 0, 0, 0, 0, 0
	l.check, l.ended = durable.Checkpoint{}, false
	l.mu.Unlock()
	return l.roll()
}
