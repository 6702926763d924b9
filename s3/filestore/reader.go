package filestore

import "io"

// reader reads a content from the store, and its end from memory.
type reader struct {
	c    *content
	list []run
	open bool
	body io.ReadCloser
	rest []byte
	last bool
}

func (r *reader) Read(p []byte) (int, error) {
	c := r.c
	if !r.open {
		if err := c.settle(); err != nil {
			return 0, err
		}
		list, err := c.s.runs(c.ctx, c.id, &c.state.record)
		if err != nil {
			return 0, c.missing(err)
		}
		r.list, r.open = append(list, c.own...), true
	}
	for {
		if r.body != nil {
			n, err := r.body.Read(p)
			if err == io.EOF {
				r.body.Close()
				r.body, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if len(r.list) > 0 {
			first := &r.list[0]
			size := first.size(0)
			body, err := c.s.b.whole(c.ctx, c.s.part(c.id, partName(first.Epoch, first.First)), size)
			if err != nil {
				return 0, c.missing(err)
			}
			r.body = body
			if first.Count == 1 {
				r.list = r.list[1:]
			} else {
				*first = run{first.Epoch, first.First + 1, first.Count - 1, first.Part, first.Bytes - size}
			}
			continue
		}
		if !r.last {
			r.last = true
			r.rest = c.buf
			if !c.loaded {
				data, _, err := c.s.b.get(c.ctx, c.s.part(c.id, c.state.Tail.Name))
				if err != nil {
					return 0, c.missing(err)
				}
				r.rest = data
			}
		}
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		n := copy(p, r.rest)
		r.rest = r.rest[n:]
		return n, nil
	}
}
