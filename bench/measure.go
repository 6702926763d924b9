package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// measure runs one round of c.
func measure(ctx context.Context, e *env, c contender) (sample, error) {
	if c.run != nil {
		return c.run(ctx, e)
	}
	return inProcess(c.n, c.loop, e.checks)
}

// crowded counts the turns that began while not all cores were free.
var crowded int

// inProcess times n operations. checks records the result of n operations,
// which must be the same for all contenders.
func inProcess(n int, loop func(n int) (uint64, error), checks map[int]uint64) (sample, error) {
	runtime.GC()
	if !spread() {
		crowded++
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	sum, err := loop(n)
	d := time.Since(start)
	runtime.ReadMemStats(&after)
	if err != nil {
		return sample{}, err
	}
	if want, known := checks[n]; known && want != sum {
		return sample{}, fmt.Errorf("it returned %d where another contender returned %d", sum, want)
	}
	checks[n] = sum
	return sample{
		value:  float64(d.Nanoseconds()) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, nil
}

// said is the report of one of our child processes when it has finished.
type said struct {
	Peak  int64   `json:"peak"`            // its largest resident set, in bytes
	Limit int64   `json:"limit,omitempty"` // the ceiling its flow stated, in bytes
	CPU   float64 `json:"cpu,omitempty"`   // processor time, in seconds
	Value float64 `json:"value,omitempty"` // a figure that it measured itself
}

// process times a whole process, its start included, in seconds.
func process(ctx context.Context, argv ...string) (sample, said, error) {
	if !spread() {
		crowded++
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, said{}, err
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	s := sample{value: time.Since(start).Seconds(), allocs: math.NaN(), peak: peak()}
	if err != nil {
		return s, said{}, fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(stderr.String()))
	}
	var told said
	if stdout.Len() > 0 && json.Unmarshal(stdout.Bytes(), &told) == nil {
		s.limit = told.Limit
		if told.Peak > 0 {
			s.peak = told.Peak
		}
	}
	return s, told, nil
}

// child returns the command line that runs one of our own contenders in a
// separate process.
func child(name string, args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return append([]string{self, "exec", name}, args...)
}

// command makes a contender of a whole process that turns src into dst. dst is
// removed before and after each round; verify, if not nil, looks at it after
// the first.
func command(name string, argv []string, dst string, verify func(dst string) error) contender {
	c := contender{name: name}
	if path, err := exec.LookPath(argv[0]); err != nil {
		c.absent = argv[0] + " is not present"
	} else {
		argv = append([]string{path}, argv[1:]...)
	}
	verified := false
	c.run = func(ctx context.Context, _ *env) (sample, error) {
		if err := removeOld(dst); err != nil {
			return sample{}, err
		}
		quiesce(ctx)
		defer os.Remove(dst)
		s, _, err := process(ctx, argv...)
		if err != nil {
			return s, err
		}
		if verify != nil && !verified {
			if err := verify(dst); err != nil {
				return s, fmt.Errorf("its output is wrong: %w", err)
			}
			verified = true
		}
		return s, nil
	}
	return c
}

func removeOld(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
