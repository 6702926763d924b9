package pipe

// WriteFit adds what fits now and returns how many values did not.
func (p *Pipe[T]) WriteFit(vs []T) (rest int, err error) {
	var buf [weighed]int64
	for {
		o := writeOp[T]{vs: vs, buf: buf[:]}
		if p.size != nil {
			o.weighed(p.weigh(vs, buf[:]))
		}
		k, more, err := p.fitNow(&o)
		if vs = vs[k:]; !more || err != nil {
			return len(vs), err
		}
	}
}

// fitNow adds the weighed values of o that fit now, and returns how many. more
// says that further values can fit too.
func (p *Pipe[T]) fitNow(o *writeOp[T]) (n int, more bool, err error) {
	p.mu.Lock()
	defer p.unlock()
	if err := p.writeError(); err != nil {
		return 0, false, err
	}
	c := o.charges()
	for p.known(o) > 0 {
		k := p.put(o.rest()[:p.known(o)], &c)
		if k == 0 {
			break
		}
		o.wrote(k)
	}
	p.wakeReader()
	return o.n, p.known(o) == 0 && o.n < len(o.vs), nil
}

// WriteSome is WriteFit that counts the rest as dropped.
func (p *Pipe[T]) WriteSome(vs []T) (dropped int, err error) {
	if dropped, err = p.WriteFit(vs); err != nil {
		return 0, err
	}
	if dropped > 0 {
		p.mu.Lock()
		p.dropped += int64(dropped)
		p.unlock()
	}
	return dropped, nil
}

// WriteOver adds all of vs and makes room by dropping the oldest values, of the
// pipe or, if vs alone is too large, of vs. The pipe is lossy: no reader has a
// view of the dropped values.
func (p *Pipe[T]) WriteOver(vs []T) (dropped int, err error) {
	var buf [weighed]int64
	for {
		o := writeOp[T]{vs: vs, buf: buf[:]}
		if p.size != nil {
			o.weighed(p.weigh(vs, buf[:]))
			o.vs = vs[:o.to]
		}
		vs = vs[len(o.vs):]
		n, err := p.overNow(&o)
		if dropped += n; err != nil || len(vs) == 0 {
			return dropped, err
		}
	}
}

// overNow is WriteOver for values that are weighed.
func (p *Pipe[T]) overNow(o *writeOp[T]) (dropped int, err error) {
	p.mu.Lock()
	defer p.unlock()
	if err := p.writeError(); err != nil {
		return 0, err
	}
	c := o.charges()
	for o.n < len(o.vs) {
		if k := p.put(o.rest(), &c); k > 0 {
			o.wrote(k)
			continue
		}
		if p.items == 0 { // a rendezvous without a reader
			dropped += len(o.rest())
			break
		}
		n := 1
		if p.size == nil {
			n = min(len(o.rest()), p.items, p.head.w-p.head.r)
		}
		p.drop(n)
		p.totalOut -= int64(n)
		p.lost += int64(n)
		dropped += n
	}
	p.dropped += int64(dropped)
	p.wakeReader()
	return dropped, nil
}
