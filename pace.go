package weir

import "time"

// pace finds how many values to work on before handing on what is done: many
// where they are cheap, one where each takes long, so that results do not wait
// for one another.
type pace struct {
	n    int
	sp   *spot
	seen int // values so far, up to paceExact
	step int // see between
}

// paceExact is how many values a stage looks at its context before each of.
const paceExact = 4096

// paceBlind is how many nanoseconds of cheap values a stage works on between two
// looks at its context.
const paceBlind = 500

// between says after how many values to look at the context again: after each,
// but where a value takes so little that looking, some 2 ns, would make it
// noticeably slower, after paceBlind nanoseconds of them.
func (p *pace) between() int { return max(1, p.step) }

const (
	paceLow  = int64(15 * time.Microsecond)
	paceHigh = int64(40 * time.Microsecond)
)

// follow lets p take its times from the clock of a lane, which is read anyway.
func (p *pace) follow(sp *spot) {
	p.sp = sp
	sp.emitsLast = true
}

// most returns how many of n values to work on now.
func (p *pace) most(n int) int { return max(1, min(p.n, n)) }

// next is most with the time that the stage has worked so far, for took.
func (p *pace) next(n int) (k int, since int64) { return p.most(n), p.sp.took() }

// took is called when n values have been worked on and handed on. If nothing
// was handed on, the clock of the lane has not moved yet.
func (p *pace) took(n int, since int64, emitted bool) {
	if !emitted {
		p.sp.ln.enter(p.sp.busy)
	}
	p.adjust(n, p.sp.took()-since)
}

// adjust makes use of the time, in nanoseconds, that n values took.
func (p *pace) adjust(n int, d int64) {
	if p.seen < paceExact {
		p.seen += n
	} else {
		p.step = int(paceBlind * int64(n) / max(d, 1))
	}
	switch {
	case d > paceHigh:
		p.n = max(1, int(int64(n)*paceLow/max(d, 1)))
	case d < paceLow && n >= p.n:
		p.n = max(1, p.n) * 2
	}
}
