package weir

import (
	"math"
	"strings"

	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/size"
	"github.com/weir-go/weir/report"
)

func addBeyond(c *report.Ceiling, x beyond) {
	if x.most > 0 {
		c.Bytes += int64(x.values) * min(x.most, grow.Countable(math.MaxInt64)/int64(max(1, x.values)))
	} else {
		c.Holders += x.values
	}
}

// beyond is how many values a stage or a pipe may hold beyond its limit in bytes,
// and how large each may be; 0: any size.
type beyond struct {
	values int
	most   int64
}

// measured returns the function for the charge of a value: its slot and the
// memory that it refers to. It returns nil if no value of T is known to be
// larger than its slot. sized is the user's size function, or nil.
func measured[T any](sized func(T) int) func(*T) int64 {
	slot := slotSize[T]()
	if sized != nil {
		return func(v *T) int64 { return slot + max(0, int64(sized(*v))) }
	}
	f, _, _ := size.Of[T]()
	if f == nil {
		return nil
	}
	return func(v *T) int64 { return slot + f(v) }
}

// uncovered says which part of a T cannot be measured, or "".
func uncovered[T any](sized func(T) int) string {
	if sized != nil {
		return ""
	}
	_, _, why := size.Of[T]()
	if field, rest, ok := strings.Cut(why, " ("); ok {
		why = field + ": " + strings.TrimSuffix(rest, ")")
	}
	return why
}

// makes records that sg passes on values of T, and can hold that many of them
// beyond its declaration. It returns the function that measures them.
func makes[T any](b *plan, sg *stage, sized func(T) int, values int) func(*T) int64 {
	if why := uncovered(sized); why != "" {
		sg.uncovered = append(sg.uncovered, sg.name+" ("+why+")")
	}
	size := measured(sized)
	if size != nil {
		sg.beyond.values += values
		sg.beyond.most = b.maxValue
	}
	return size
}
