package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// row is one line of the table of figures: contenders that do the same work,
// and the targets that must hold between them.
type row struct {
	name  string
	title string
	unit  unit
	// bytes is how much one operation moves, for a column of GB/s. 0: none.
	bytes int
	// prepare makes the files and programs that the contenders need, once. May
	// be nil.
	prepare    func(ctx context.Context, e *env) error
	contenders []contender
	targets    []target
	// most limits the rounds of a row that takes long. 0: as many as asked for.
	most int
	// base is the contender that the others are compared with in the table.
	base string
	// notes are printed under the table.
	notes []string
}

// contender is one way to do the work of a row.
type contender struct {
	name string
	// loop does n operations in this process and returns a checksum that is
	// the same for all contenders of the row.
	loop func(n int) (uint64, error)
	// run is used instead of loop where the work is not a loop in this
	// process.
	run func(ctx context.Context, e *env) (sample, error)
	// n is how many operations one round has.
	n int
	// absent says why the contender cannot run here; empty if it can.
	absent string
}

// sample is the result of one round of one contender.
type sample struct {
	value  float64 // in the row's unit
	allocs float64 // for each operation; NaN if not measured
	peak   int64   // largest resident set, in bytes; 0 if not measured
	limit  int64   // the ceiling that the flow stated, in bytes; 0 if none
}

// result is the combined result of the rounds of one contender.
type result struct {
	contender
	samples []sample
	median  sample
	low     float64
	high    float64
}

func (r *result) add(s sample) { r.samples = append(r.samples, s) }

// settle computes the medians, each figure by itself.
func (r *result) settle() {
	pick := func(f func(sample) float64) float64 {
		var vs []float64
		for _, s := range r.samples {
			vs = append(vs, f(s))
		}
		return median(vs)
	}
	if len(r.samples) == 0 {
		return
	}
	r.median = sample{
		value:  pick(func(s sample) float64 { return s.value }),
		allocs: pick(func(s sample) float64 { return s.allocs }),
		peak:   int64(pick(func(s sample) float64 { return float64(s.peak) })),
		limit:  r.samples[0].limit,
	}
	r.low, r.high = math.Inf(1), math.Inf(-1)
	for _, s := range r.samples {
		r.low, r.high = min(r.low, s.value), max(r.high, s.value)
	}
}

func median(vs []float64) float64 {
	if len(vs) == 0 {
		return math.NaN()
	}
	slices.Sort(vs)
	if n := len(vs); n%2 == 0 {
		return (vs[n/2-1] + vs[n/2]) / 2
	}
	return vs[len(vs)/2]
}

// unit is the unit in which a row is measured.
type unit int

const (
	nanoseconds unit = iota // for each operation
	seconds
	allocations // for each batch
	mebibytes
	percent
	kibibytes
	milliseconds
	count // of the things in the row's title
)

func (u unit) String() string {
	return [...]string{"ns", "s", "allocations", "MiB", "%", "KiB", "ms", "number"}[u]
}

func (u unit) format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case u == seconds:
		return fmt.Sprintf("%.3f", v)
	case u == mebibytes || u == kibibytes:
		return fmt.Sprintf("%.1f", v)
	case u == count:
		return fmt.Sprintf("%.0f", v)
	case u == allocations:
		return fmt.Sprintf("%.4f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// rounds returns how many rounds the row has when n are asked for.
func (r row) rounds(n int) int {
	if r.most > 0 {
		n = min(n, r.most)
	}
	return n
}
