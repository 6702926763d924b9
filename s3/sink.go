package s3

import (
	"context"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// newSink is an object as a sink.
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
	return weir.Sink[byte]{Name: "store", Holds: holds, Open: func(ctx context.Context) (weir.Writer[byte], error) {
		c, err := newClient(a, o.HTTP)
		if err != nil {
			return nil, err
		}
		return newUpload(ctx, c, a.key, part, buffers, o), nil
	}}
}
