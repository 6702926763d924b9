package weir

import (
	"context"
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/weir-go/weir/internal/grow"
)

// BatchOptions says when [Batch] closes a batch: at the first of its limits that
// is not zero. At least one must be set.
type BatchOptions struct {
	Items int           // this many values
	Bytes int64         // this many bytes: see [Batch]
	Delay time.Duration // this long after the first value of the batch
}

func (c BatchOptions) check() error {
	switch {
	case c.Items < 0 || c.Bytes < 0 || c.Delay < 0:
		return errors.New("negative limit")
	case c == BatchOptions{}:
		return errors.New("no limit; set Items, Bytes or Delay")
	}
	return nil
}

// Batch collects values into slices, which belong to the receiver. At the end, even
// after an error, the remaining values are a batch too. No batch is empty. A value
// that is larger than Bytes is a batch by itself.
//
// Against Bytes, a string counts its length, a slice its capacity and the
// memory to which its elements refer, and a value with a size given by
// [Stream.Sized] that size. Any other value counts the size of T and the memory
// to which it refers, as far as weir can measure it (see [Bytes]).
func Batch[T any](s Stream[T], c BatchOptions) Stream[[]T] {
	size := naturalSize[T]()
	slot := slotSize[T]()
	if k := reflect.TypeFor[T]().Kind(); size != nil && (k == reflect.String || k == reflect.Slice) {
		slot = 0 // the header is no part of the payload
	}
	if f := sizedAs[T](s); f != nil {
		size, slot = f, 0
	}
	st := Stage[T, []T]{Name: "batch", Err: c.check()}
	if c.Items == 0 && c.Bytes == 0 {
		c.Bytes = defaultBytes
	}
	most := math.MaxInt
	if c.Items > 0 {
		most = c.Items
	}
	sized := sizedAs[T](s)
	if c.Bytes > 0 {
		most = int(min(int64(most), max(c.Bytes, maxSegment)/slotSize[T]()))
		st.Holders = -1 // the value in its hands is the one that was read
	} else if measured(sized) != nil {
		st.Holders = most
	} else {
		st.Holders = -1
	}
	// The buffer it reads into, and the batch: while its slots grow, there is half
	// as much again of them.
	st.Holds = int64(chunkLen[T]())*slotSize[T]() + grow.Countable(int64(most))*slotSize[T]()*3/2 + grow.Countable(c.Bytes)
	st.Run = func(ctx context.Context, in Reader[T], out Writer[[]T]) error {
		b := &batcher[T]{c: c, most: most, size: size, slot: slot, in: in.(*laneReader[T]), out: out, buf: make([]T, chunkLen[T]())}
		b.timer = time.NewTimer(time.Hour)
		b.timer.Stop()
		defer b.timer.Stop()
		return b.run()
	}
	out := Via(s, st)
	if sized != nil {
		out = out.Sized(func(batch []T) (n int) {
			for _, v := range batch {
				n += max(0, sized(v))
			}
			return n + cap(batch)*int(slotSize[T]())
		})
	}
	return out
}

type batcher[T any] struct {
	c     BatchOptions
	most  int // values in a batch
	size  func(T) int
	slot  int64
	in    *laneReader[T]
	out   Writer[[]T]
	buf   []T
	cur   []T
	bytes int64
	timer *time.Timer
}

func (b *batcher[T]) run() error {
	for {
		var due <-chan time.Time
		if len(b.cur) > 0 && b.c.Delay > 0 {
			due = b.timer.C
		}
		n, err := b.in.readUntil(b.buf, due)
		if n == 0 && err == nil { // due
			if err := b.flush(); err != nil {
				return err
			}
			continue
		}
		for _, v := range b.buf[:n] {
			if err := b.add(v); err != nil {
				return err
			}
		}
		clear(b.buf[:n])
		if err != nil {
			if ferr := b.flush(); ferr != nil {
				return ferr
			}
			return nil // the end; a failure is kept by the reader
		}
	}
}

func (b *batcher[T]) add(v T) error {
	cost := b.slot
	if b.size != nil {
		cost += max(0, int64(b.size(v)))
	}
	cost = max(cost, 1) // any number of empty values is no batch
	if b.c.Bytes > 0 && len(b.cur) > 0 && b.bytes+cost > b.c.Bytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if len(b.cur) == 0 && b.c.Delay > 0 {
		b.timer.Reset(b.c.Delay)
	}
	b.cur = append(grow.For(b.cur, len(b.cur)+1, b.most), v)
	b.bytes += cost
	if len(b.cur) == b.most || b.c.Bytes > 0 && b.bytes >= b.c.Bytes {
		return b.flush()
	}
	return nil
}

func (b *batcher[T]) flush() error {
	if len(b.cur) == 0 {
		return nil
	}
	b.timer.Stop()
	one := [1][]T{b.cur}
	b.cur, b.bytes = nil, 0
	_, err := b.out.Write(one[:])
	return err
}
