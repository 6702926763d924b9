package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// runner lets the contenders of rows take turns.
type runner struct {
	env      *env
	rounds   int
	limit    time.Duration // for one round of one contender
	progress func(string)
}

// row runs all contenders of r, round by round. The results are in the order of
// the contenders; one that is absent has no samples.
func (rn *runner) row(ctx context.Context, r row) ([]*result, error) {
	rn.env.checks = map[int]uint64{}
	defer rn.progress("")
	if r.prepare != nil {
		rn.progress(r.name + ": preparing")
		if err := r.prepare(ctx, rn.env); err != nil {
			return nil, err
		}
	}
	results := make([]*result, len(r.contenders))
	for i, c := range r.contenders {
		results[i] = &result{contender: c}
	}
	rounds := r.rounds(rn.rounds)
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range rounds {
		// In another order each time: the contender after a heavy one finds a machine
		// that is still busy with leftover work.
		for _, i := range rng.Perm(len(results)) {
			res := results[i]
			if res.absent != "" {
				continue
			}
			rn.progress(fmt.Sprintf("%s: round %d of %d: %s", r.name, round+1, rounds, res.name))
			s, err := rn.turn(ctx, res.contender)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", res.name, err)
			}
			res.add(s)
		}
	}
	for _, res := range results {
		res.settle()
	}
	return results, nil
}

var errSlow = errors.New("a round took too long")

// turn is one round of one contender. A process that takes too long is killed;
// a loop in this process cannot be, so the whole run ends.
func (rn *runner) turn(ctx context.Context, c contender) (sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, rn.limit, errSlow)
	defer cancel()
	if c.loop != nil {
		dog := time.AfterFunc(rn.limit, func() {
			fmt.Fprintf(os.Stderr, "bench: %s: %v: it has not finished after %v\n", c.name, errSlow, rn.limit)
			rn.env.cleanup()
			os.Exit(1)
		})
		defer dog.Stop()
	}
	s, err := measure(ctx, rn.env, c)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return s, err
}
