package pipe

// WriteFit adds the values that fit now and returns how many did not.
func WriteFit[T any](p *Pipe[T], vs []T) (rest int, err error) {
	var buf [weighed]int64
	for {
		o := writing{of: len(vs), buf: buf[:]}
		if p.size != nil {
			o.weighed(p.weigh(vs, buf[:]))
		}
		more, err := fitNow(p, vs, &o)
		if vs = vs[o.n:]; !more || err != nil {
			return len(vs), err
		}
	}
}

// fitNow adds the weighed values of vs that fit now. more says that further
// values can fit too.
func fitNow[T any](p *Pipe[T], vs []T, o *writing) (more bool, err error) {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	if err := g.writeError(); err != nil {
		return false, err
	}
	for g.known(o) > 0 && put(p, vs, o, g.known(o)) > 0 {
	}
	g.wakeReader()
	return g.known(o) == 0 && o.n < len(vs), nil
}

// put adds as many of the next n values as there is room for. mu is held.
func put[T any](p *Pipe[T], vs []T, o *writing, n int) int {
	c := o.charges()
	n = p.g.room(n, &c)
	p.add(vs[o.n:o.n+n], &c)
	o.wrote(n)
	return n
}

// WriteSome is WriteFit that counts the rest as dropped.
func WriteSome[T any](p *Pipe[T], vs []T) (dropped int, err error) {
	if dropped, err = WriteFit(p, vs); err != nil {
		return 0, err
	}
	p.g.countDropped(dropped)
	return dropped, nil
}

// WriteOver adds all of vs and makes room by dropping the oldest values, of the
// pipe or, if vs alone is too large, of vs. The pipe is lossy: no reader has a
// view of the dropped values.
func WriteOver[T any](p *Pipe[T], vs []T) (dropped int, err error) {
	var buf [weighed]int64
	for {
		o := writing{of: len(vs), buf: buf[:]}
		if p.size != nil {
			o.weighed(p.weigh(vs, buf[:]))
			o.of = o.to
		}
		n, err := overNow(p, vs, &o)
		vs = vs[o.of:]
		if dropped += n; err != nil || len(vs) == 0 {
			return dropped, err
		}
	}
}

// overNow is WriteOver for values that are weighed.
func overNow[T any](p *Pipe[T], vs []T, o *writing) (dropped int, err error) {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	if err := g.writeError(); err != nil {
		return 0, err
	}
	for o.n < o.of {
		if put(p, vs, o, o.of-o.n) > 0 {
			continue
		}
		if g.items == 0 { // a rendezvous without a reader
			dropped += o.of - o.n
			break
		}
		n := 1
		if p.size == nil {
			n = min(o.of-o.n, g.items, p.head.w-p.head.r)
		}
		p.drop(n)
		g.totalOut -= int64(n)
		g.lost += int64(n)
		dropped += n
	}
	g.dropped += int64(dropped)
	g.wakeReader()
	return dropped, nil
}
