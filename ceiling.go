package weir

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/weir-go/weir/internal/size"
)

// Ceiling is the most memory that a flow holds: Bytes, and one value more in
// each of as many places as Holders says, since a value exists before anybody
// can measure it. How large a value is, its slot and what it refers to, is
// measured as for [Bytes]; [Report] says how large the largest one was. In a flow
// of bytes no value is larger than a limit, and Holders is 0. With
// [Flow.MaxValue] the values of the holders are part of Bytes.
type Ceiling struct {
	// Bytes is what the pipes hold when they are filled to their limits, and
	// what the stages declare to hold: windows, blocks, scratch memory.
	Bytes int64

	// Holders is how many values may be held in addition: a value in the hands
	// of a stage or of a worker, one that is larger than the limit of its pipe,
	// and those in a pipe that is limited by [Items] only.
	Holders int

	// Uncovered lists the stages that hand on values which cannot be measured,
	// or not all of them, with the reason: "map (map[string]int)". Such a value
	// counts as its slot and as far as it can be measured. See [Stream.Sized].
	Uncovered []string
}

// String returns the ceiling as people read it: "404 KiB plus one value for each
// of 12 holders; not covered: map (map[string]int)".
func (c Ceiling) String() string {
	s := FormatBytes(c.Bytes)
	switch {
	case c.Holders == 1:
		s += " plus one value"
	case c.Holders > 1:
		s += fmt.Sprintf(" plus one value for each of %d holders", c.Holders)
	}
	if len(c.Uncovered) > 0 {
		s += "; not covered: " + strings.Join(c.Uncovered, ", ")
	}
	return s
}

// Ceiling returns the most memory that the flow will hold. It does not cover what
// a function of yours keeps, nor the larger memory that a substring or subslice
// keeps alive. It opens nothing.
func (f *Flow) Ceiling() (Ceiling, error) {
	b, err := f.assemble()
	if err != nil {
		return Ceiling{}, err
	}
	return b.ceiling(), nil
}

func (b *plan) ceiling() Ceiling {
	var c Ceiling
	for _, st := range b.stages {
		c.Bytes += st.holds
		c.add(st.beyond)
		for _, why := range st.uncovered {
			if !slices.Contains(c.Uncovered, why) {
				c.Uncovered = append(c.Uncovered, why)
			}
		}
	}
	for _, e := range b.edges {
		c.Bytes += e.Ceiling()
		c.add(e.holders())
	}
	return c
}

func (c *Ceiling) add(x beyond) {
	if x.most > 0 {
		c.Bytes += int64(x.values) * min(x.most, countable(math.MaxInt64)/int64(max(1, x.values)))
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

// makes says that sg hands on values of T, and that it may hold so many of them
// beyond what it declares. It returns how they are measured.
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
		return fmt.Errorf("%w: a value of %s; the flow's MaxValue is %s", ErrLimit, exactBytes(n), exactBytes(most))
	}
	return nil
}
