package weir

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/size"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// Ceiling returns the most memory that the flow will hold. It covers neither what
// your own functions keep, nor the larger memory that a substring or subslice keeps
// alive. It opens nothing.
func (f *Flow) Ceiling() (report.Ceiling, error) {
	b, err := f.assemble()
	if err != nil {
		return report.Ceiling{}, err
	}
	return b.ceiling(), nil
}

func (b *plan) ceiling() report.Ceiling {
	var c report.Ceiling
	for _, st := range b.stages {
		c.Bytes += st.holds
		addBeyond(&c, st.beyond)
		for _, why := range st.uncovered {
			if !slices.Contains(c.Uncovered, why) {
				c.Uncovered = append(c.Uncovered, why)
			}
		}
	}
	for _, e := range b.edges {
		c.Bytes += e.Ceiling()
		addBeyond(&c, e.holders())
	}
	return c
}

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

// measured returns the function that says what a value is charged, its slot and
// what it refers to, and nil if no value of T is larger than its slot, as far as
// anybody knows. sized is what the user has said, or nil.
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

// from is the link out for the stage of sp, which makes values measured by size.
// It refuses those that are larger than the flow allows.
func (out link[T]) from(sp *spot, size func(*T) int64) link[T] {
	out.size = size
	most := sp.st.beyond.most
	if size == nil || most == 0 {
		return out
	}
	push := out.push
	out.push = func(batch []T) error {
		for i := range batch {
			err := tooLarge(size, &batch[i], most)
			if err == nil {
				continue
			}
			if i > 0 {
				if err := push(batch[:i]); err != nil {
					return err
				}
			}
			return sp.fail(err)
		}
		return push(batch)
	}
	return out
}

// tooLarge is the error of a value that is larger than most, or nil.
func tooLarge[T any](size func(*T) int64, v *T, most int64) error {
	if n := size(v); n > most {
		return fmt.Errorf("%w: a value of %s; the flow's MaxValue is %s", ErrLimit, units.Exact(n), units.Exact(most))
	}
	return nil
}
