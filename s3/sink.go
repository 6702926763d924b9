package s3

import (
	"context"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// newSink returns an object as a sink.
func newSink(a address, o endpoint.SinkOptions) weir.Sink[byte] {
	part := a.store.partSize(o.Size)
	if o.Size > 0 {
		part = min(part, o.Size)
	}
	buffers := a.store.partsAtOnce(o.Size) + 1
	if o.Size > 0 && o.Size <= part {
		buffers = 1
	}
	holds := int64(buffers)*part + part/4 // a buffer that grows is copied, see grow
	if o.Reopen != nil {
		holds = int64(buffers) * sendBuffer
	}
	return weir.Sink[byte]{Name: "store", Holds: holds, Open: func(ctx context.Context) (weir.Writer[byte], error) {
		c, err := newClient(a, o.HTTP)
		if err != nil {
			return nil, err
		}
		if o.Exclusive {
			// The store decides at the end. This saves reading content that it will
			// refuse.
			if err := c.refuseExisting(ctx, a.key); err != nil {
				c.close()
				return nil, err
			}
		}
		u := newUpload(ctx, c, a.key, part, buffers, o)
		if o.Reopen != nil {
			if u.content, err = o.Reopen(); err != nil {
				u.Close()
				return nil, err
			}
		}
		return u, nil
	}}
}

// sendBuffer is about how much memory a request takes that sends a part of a file.
const sendBuffer = 64 << 10
