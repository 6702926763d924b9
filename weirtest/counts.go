package weirtest

import (
	"context"
	"sync"
	"time"
)

// Counts has the calls to a [Source] or [Sink] so far, over all its runs.
type Counts struct {
	Opened    int   // how often a flow opened it
	Calls     int   // calls of Read or Write, also those that still wait
	Asked     int64 // values that Read was asked for, or Write was given
	Values    int64 // values that it yielded, or that it took
	Committed int   // calls of Commit; a source has none
	Closed    int   // calls of Close
}

// counter is a Counts that several goroutines share. Its mutex also guards the
// fields of its owner.
type counter struct {
	mu sync.Mutex
	n  Counts
}

func (c *counter) count(f func(*Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.n)
}

func (c *counter) counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// part has the fields that running sources and sinks share.
type part struct {
	ctx      context.Context
	counter  *counter
	delay    time.Duration
	step     <-chan struct{}
	closeErr error
}

// begin notes a call for n values and waits until it may continue.
func (p *part) begin(n int) error {
	p.counter.count(func(c *Counts) {
		c.Calls++
		c.Asked += int64(n)
	})
	if p.delay > 0 {
		timer := time.NewTimer(p.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	if p.step != nil {
		select {
		case <-p.step:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	return nil
}

func (p *part) Close() error {
	p.counter.count(func(c *Counts) { c.Closed++ })
	return p.closeErr
}
