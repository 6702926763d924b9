package main

import (
	"context"
	"io"
	"sync"
	"time"
)

// lines gathers the lines of a log, so that a request does not cost a write of
// its own. They are written when there are many, and a moment later at most.
type lines struct {
	out io.Writer

	mu  sync.Mutex // guards what follows, and is held while out is written to
	buf []byte
	err error
}

const (
	linesMost  = 32 << 10
	linesDelay = 200 * time.Millisecond
)

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf)+len(p) > linesMost {
		l.write()
	}
	l.buf = append(l.buf, p...)
	return len(p), l.err
}

// flush writes what has been gathered.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write()
}

// write is flush for a caller that holds mu.
func (l *lines) write() {
	if len(l.buf) > 0 {
		_, l.err = l.out.Write(l.buf)
		l.buf = l.buf[:0]
	}
}

// run flushes from time to time until ctx ends, and once more then.
func (l *lines) run(ctx context.Context) {
	ticker := time.NewTicker(linesDelay)
	defer ticker.Stop()
	defer l.flush()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.flush()
		}
	}
}
