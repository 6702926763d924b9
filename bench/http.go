package main

import (
	"context"
	"fmt"
	"math"
	"sync"
)

// figures has the results of one run of a server, by name. Several rows show
// them.
type figures map[string]float64

// runs lets rows share a measurement: the first row that asks for a round of a
// contender measures it, and later rows show other figures of the same round.
type runs struct {
	measure func(ctx context.Context, e *env, name string) (figures, error)
	mu      sync.Mutex // guards done
	done    map[string][]figures
}

func newRuns(measure func(ctx context.Context, e *env, name string) (figures, error)) *runs {
	return &runs{measure: measure, done: map[string][]figures{}}
}

// show returns the contenders of a row that shows one figure.
func (rs *runs) show(figure string, names []string, absent func(name string) string) []contender {
	var cs []contender
	for _, name := range names {
		next := 0
		cs = append(cs, contender{name: name, absent: absent(name), run: func(ctx context.Context, e *env) (sample, error) {
			fs, err := rs.round(ctx, e, name, next)
			if err != nil {
				return sample{}, err
			}
			next++
			v, ok := fs[figure]
			if !ok {
				return sample{}, fmt.Errorf("%s has no figure for %s", name, figure)
			}
			return sample{value: v, allocs: math.NaN()}, nil
		}})
	}
	return cs
}

func (rs *runs) round(ctx context.Context, e *env, name string, i int) (figures, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if i < len(rs.done[name]) {
		return rs.done[name][i], nil
	}
	fs, err := rs.measure(ctx, e, name)
	if err != nil {
		return nil, err
	}
	rs.done[name] = append(rs.done[name], fs)
	return fs, nil
}

// atLeast demands ours ≥ least, in the row's unit. per names the operation.
func atLeast(ours string, least float64, per string) target {
	return target{
		what: fmt.Sprintf("%s: ≥ %.4g %s", ours, least, per), ours: ours,
		judge: func(u unit, a, _ *result) (string, bool) {
			return u.format(a.median.value) + " " + u.String(), a.median.value >= least
		},
	}
}

// never demands that no round was above most, in the row's unit.
func never(ours string, most float64, per string) target {
	return target{
		what: fmt.Sprintf("%s: never above %.4g %s", ours, most, per), ours: ours,
		judge: func(u unit, a, _ *result) (string, bool) {
			return u.format(a.high) + " " + u.String(), a.high <= most
		},
	}
}
