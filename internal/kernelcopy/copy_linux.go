package kernelcopy

import (
	"io"
	"os"
	"time"
)

// around makes a call that moves bytes, or waits for an end, and reports to the
// observer where its time went. reads and writes say for which end it can
// sleep.
func (t *transfer) around(call func() int64, reads, writes bool) {
	if !t.observed() {
		call()
		return
	}
	t.Observer.Enter(Moving)
	p := startProbe()
	n := call()
	took, slept := p.end()
	t.took, t.slept = t.took+took, t.slept+slept
	spent := Spent{Copy: took - slept}
	switch {
	case reads:
		spent.Read = slept
	case writes:
		spent.Write = slept
	default:
		spent.MaybeRead, spent.MaybeWrite = t.samples.divide(slept, n)
	}
	t.Observer.Settle(spent)
}

// clonedMiB is the longest time for sharing a mebibyte instead of copying it.
const clonedMiB = 32 * time.Microsecond

// sample moves size bytes through memory, or the rest if that is less.
func (t *transfer) sample(dst, src *os.File, size int64) (total int64, err error) {
	b := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(b)
	t.samples.moved = 0
	for total < size && err == nil {
		if t.g.enter(reading) {
			return total, errEnded
		}
		t.Observer.Enter(Reading)
		p := startProbe()
		n, rerr := src.Read((*b)[:min(smallBuffer, size-total)])
		_, slept := p.end()
		t.samples.read += slept
		t.g.leave()
		if n <= 0 {
			if rerr == io.EOF {
				rerr = nil
			}
			return total, rerr
		}
		t.g.enter(writing)
		t.Observer.Enter(Writing)
		p = startProbe()
		n, err = dst.Write((*b)[:n])
		_, slept = p.end()
		t.samples.write += slept
		t.g.leave()
		t.samples.bytes += int64(n)
		t.samples.run += int64(n)
		total += int64(n)
	}
	return total, err
}

// awaitInput waits until the source can be read, if it is a pipe whose Read
// cannot be interrupted. It reports whether Copy ended during the wait.
func (t *transfer) awaitInput() (over bool) {
	for t.blockingPipe && !t.g.over() {
		ready := true
		if control(t.src.(*os.File), func(fd uintptr) { ready = pollMoment(fd, pollIn) }) != nil || ready {
			return false
		}
	}
	return t.blockingPipe
}

func blocksReading(src any) bool {
	e := inspect(src)
	return e.kind == pipe && e.waits
}
