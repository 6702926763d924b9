package spool

import (
	"fmt"
	"os"

	"github.com/weir-go/weir/internal/units"
)

// Options are the limits of a spool.
type Options struct {
	// Max is the most that the files of the spool hold together, in bytes, their
	// heads included. 0 means 10 GiB. It is at least 16 MiB. If a spool that a
	// killed run left holds more, it takes nothing until it holds less.
	Max int64

	segment int64 // 0: an eighth of Max, at most mostSegment
	hooks   hooks
}

func (o Options) max() int64 {
	if o.Max == 0 {
		return defaultMax
	}
	return o.Max
}

func (o Options) segmentSize() int64 {
	if o.segment > 0 {
		return o.segment
	}
	return min(o.max()/8, mostSegment)
}

func (o Options) check() error {
	if o.segment == 0 && o.max() < leastMax {
		return fmt.Errorf("maximum of %s; it is at least %s", units.Exact(o.Max), units.Exact(leastMax))
	}
	return nil
}

// hooks let a test see and disturb the operations on files.
type hooks struct {
	write  func(f *os.File, p []byte, at int64) (int, error)
	synced func(name string, size int64) // so much of the file is on stable storage
	named  func(name string, there bool) // and so is the file's name, or its removal
}
