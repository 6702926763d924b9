package main

import (
	"context"
	"fmt"
	"math"
	"os"
)

// memoryRow measures the largest resident set of a process that compresses a
// small and a large file, beside the ceiling that its flow states.
func memoryRow(e *env) row {
	small, large := int64(64<<20), int64(e.size(4<<30, 512<<20))
	const slack = 24
	r := row{
		name: "memory", title: "peak resident set of a process that gzips a file, all cores",
		unit: mebibytes, most: 3,
		prepare: func(_ context.Context, e *env) error {
			for _, size := range []int64{small, large} {
				if _, err := e.logs(size); err != nil {
					return err
				}
			}
			return e.reserve(large / 2)
		},
	}
	for _, size := range []int64{small, large} {
		src, dst := e.path(fmt.Sprintf("logs-%dM", size>>20)), e.path("packed.gz")
		name := fmt.Sprintf("weir, %d MiB", size>>20)
		r.contenders = append(r.contenders, contender{name: name, run: func(ctx context.Context, _ *env) (sample, error) {
			defer os.Remove(dst)
			s, _, err := process(ctx, child("gzip-weir", src, dst)...)
			return sample{value: float64(s.peak) / (1 << 20), allocs: math.NaN(), peak: s.peak, limit: s.limit}, err
		}})
		if residentPeak(os.Getpid()) == 0 {
			r.contenders[len(r.contenders)-1].absent = "resident sets are measured on Linux only"
		}
		r.targets = append(r.targets, target{
			what: fmt.Sprintf("%s: ≤ ceiling + %d MiB", name, slack), ours: name,
			judge: func(_ unit, a, _ *result) (string, bool) {
				over := a.high - float64(a.median.limit)/(1<<20)
				return fmt.Sprintf("ceiling %+.1f MiB", over), over <= slack
			},
		})
	}
	r.base = r.contenders[0].name
	return r
}
