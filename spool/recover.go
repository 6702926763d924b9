package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/internal/errno"
)

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
			return fmt.Errorf("%w is in it, which can be continued; run its command again, or remove the folder", durable.ErrOther)
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

// proof returns the place of a frame behind at that says that at was synced when the
// frame was written, or -1. A crash can destroy only bytes that were not synced.
func proof(r io.ReaderAt, at int64, id *logID) (int64, error) {
	p := make([]byte, 64<<10)
	for begin := at; ; begin += int64(len(p) - frameLen + 1) {
		n, err := r.ReadAt(p, begin)
		if err != nil && err != io.EOF {
			return -1, err
		}
		for i := 0; i+frameLen <= n; i++ {
			if p[i] != frameMagic[0] {
				continue
			}
			if f, err := parseFrame(p[i:n], id); err == nil && f.synced > at {
				return begin + int64(i), nil
			}
		}
		if err == io.EOF {
			return -1, nil
		}
	}
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

// scan reads the frames of a segment, whose head is valid. It returns where the first
// frame begins that is not valid, or where the segment ends; the offset in the log
// there; the last checkpoint; and what is wrong with the frame. Of frames that a later
// frame proves to be synced, it reads the contents only if they are a checkpoint: a
// crash cannot have destroyed them, and a reader compares their sums.
func scan(r io.ReaderAt, size, first int64, id *logID) (at, offset int64, check []byte, wrong, err error) {
	synced := int64(0)
	if _, _, _, _, err := walk(r, size, first, id, func(f frame, _ int64) bool { synced = max(synced, f.synced); return false }); err != nil {
		return 0, 0, nil, nil, err
	}
	return walk(r, size, first, id, func(f frame, at int64) bool { return f.kind == kindCheck || at >= synced })
}

// walk is scan that reads the contents of those frames for which reads returns true.
func walk(r io.ReaderAt, size, first int64, id *logID, reads func(f frame, at int64) bool) (at, offset int64, check []byte, wrong, err error) {
	var window [4 << 10]byte // so that small frames are not read one by one
	begin, have := int64(0), 0
	h := crc32.New(castagnoli)
	for at, offset = headLen, first; ; {
		if at < begin || at+frameLen > begin+int64(have) {
			n, err := r.ReadAt(window[:], at)
			if err != nil && err != io.EOF {
				return at, offset, check, nil, err
			}
			if begin, have = at, n; n == 0 {
				return at, offset, check, nil, nil
			}
		}
		f, wrong := parseFrame(window[at-begin:have], id)
		if wrong == nil && (f.offset != offset || f.synced > at) {
			wrong = errNoFrame
		}
		if wrong != nil {
			return at, offset, check, wrong, nil
		}
		end := at + frameLen + int64(f.length)
		if end > size {
			return at, offset, check, errShort, nil
		}
		if reads(f, at) {
			h.Reset()
			var contents bytes.Buffer // of a checkpoint
			to := io.Writer(h)
			if f.kind == kindCheck {
				to = io.MultiWriter(h, &contents)
			}
			n, err := io.Copy(to, io.NewSectionReader(r, at+frameLen, int64(f.length)))
			switch {
			case err != nil:
				return at, offset, check, nil, err
			case n < int64(f.length):
				return at, offset, check, errShort, nil
			case h.Sum32() != f.sum:
				return at, offset, check, errFrameSum, nil
			}
			if f.kind == kindCheck {
				check = contents.Bytes()
			}
		}
		if f.kind == kindData {
			offset += int64(f.length)
		}
		at = end
	}
}

// damaged is the error of a segment.
func damaged(number, at int64, err error) error {
	return fmt.Errorf("%w: byte %d of %s: %w; remove the folder to begin anew", ErrDamaged, at, segmentName(number), err)
}
