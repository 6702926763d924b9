package main

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

// Accounting has no switch, so its cost is found with a build of this program
// in which the clock of weir, one small file, is replaced (go build -overlay)
// by one that counts how often it is read. A build without a clock would be the
// plainer question, but its code lies elsewhere in memory, and that alone moves
// such short loops by more than the clock costs.

const countingClock = `package clock

import (
	"expvar"
	"sync/atomic"
	"time"
)

var epoch = time.Now()

var reads atomic.Int64

func init() { expvar.Publish("weir.clock", expvar.Func(func() any { return reads.Load() })) }

func Now() int64 { reads.Add(1); return int64(time.Since(epoch)) }
`

// workloads are flows that do little beside moving batches, where accounting
// weighs most.
var workloads = []struct{ child, what string }{
	{"work-items", "items, fused"},
	{"work-bytes", "bytes, file → stage → discard"},
}

// accountingRow measures how much of the processor time of a flow goes into
// reading the clock.
func accountingRow(e *env) row {
	r := row{
		name: "accounting", title: "accounting: clock readings × what one costs, as part of the processor time",
		unit: percent,
		prepare: func(ctx context.Context, e *env) error {
			_, err := e.logs(workSize(e))
			return errors.Join(err, build(ctx, e, "counting", countingClock))
		},
		notes: []string{"Clock readings are counted by a build whose clock counts; the processor time is that of an ordinary build."},
	}
	for _, w := range workloads {
		r.contenders = append(r.contenders, contender{name: w.what, run: func(ctx context.Context, e *env) (sample, error) {
			args := workArgs(e)
			_, counted, err := process(ctx, append([]string{e.path("bench-counting"), "exec", w.child}, args...)...)
			if err != nil {
				return sample{}, err
			}
			_, plain, err := process(ctx, child(w.child, args...)...)
			if err != nil {
				return sample{}, err
			}
			cost := counted.Value * clockCost().Seconds()
			return sample{value: 100 * cost / plain.CPU, allocs: math.NaN()}, nil
		}})
		r.targets = append(r.targets, below(w.what, 2, "% of the processor time"))
	}
	return r
}

func workSize(e *env) int64 { return int64(e.size(256<<20, 64<<20)) }

// workArgs are the arguments of the workloads: how many items, which file.
func workArgs(e *env) []string {
	return []string{strconv.Itoa(e.size(40_000_000, 10_000_000)), e.path(fmt.Sprintf("logs-%dM", workSize(e)>>20))}
}

func workItems(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	sum := 0
	return work(func() error { return itemsFlow(n, &sum, fused).Run(context.Background()) })
}

func workBytes(args []string) error {
	return work(func() error {
		for range 8 {
			if err := weir.File(args[1]).Through(passOn()).To(weir.Discard[byte]()).Run(context.Background()); err != nil {
				return err
			}
		}
		return nil
	})
}

// work runs f and returns the processor time it took and, in a build that
// counts them, the number of clock readings.
func work(f func() error) error {
	before := cpuTime()
	if err := f(); err != nil {
		return err
	}
	s := said{CPU: (cpuTime() - before).Seconds()}
	if v := expvar.Get("weir.clock"); v != nil {
		s.Value, _ = strconv.ParseFloat(v.String(), 64)
	}
	return say(s)
}

// clockCost is what reading the clock takes: the best of several tries.
func clockCost() time.Duration {
	const n = 100_000
	best := time.Duration(math.MaxInt64)
	epoch := time.Now()
	var sum time.Duration
	for range 10 {
		t := time.Now()
		for range n {
			sum += time.Since(epoch)
		}
		best = min(best, time.Since(t))
	}
	if sum == 0 {
		return 0
	}
	return best / n
}

// build builds this program as bench-name with another clock in weir, unless
// that was done before.
func build(ctx context.Context, e *env, name, clock string) error {
	bin := e.path("bench-" + name)
	if _, err := os.Stat(bin); err == nil {
		return nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/weir-go/weir").Output()
	if err != nil {
		return fmt.Errorf("finding the source of weir: run this command in its bench folder: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(dir)), "internal", "clock", "now.go")
	if _, err := os.Stat(original); err != nil {
		return err
	}
	other, overlay := e.path(name+".go"), e.path(name+".json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: other}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(other, []byte(clock), 0o666), os.WriteFile(overlay, text, 0o666)); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", bin, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("building with another clock: %w: %s", err, out)
	}
	return nil
}
