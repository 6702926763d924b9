// Package record turns bytes into records and records into bytes: JSON, CSV, and
// frames that their length precedes.
//
//	orders := record.DecodeJSON[Order](weir.File("orders.jsonl"), 0)
//	err := record.EncodeCSV(weir.Map(orders, row), record.CSVOptions{}).To(weir.Create("orders.csv")).Run(ctx)
//
// A decoder holds at most one record of its maximum size, which is part of the
// ceiling of its flow, and delivers the records before an error. A larger record
// ends the flow with a [*weir.LimitError], which says where the record began.
//
// The package uses nothing of package weir but what it exports, so that a decoder
// of yours can do all that these decoders do.
package record

import (
	"context"
	"errors"

	"github.com/weir-go/weir"
)

const (
	chunk   = 2048     // records that are passed on at once
	segment = 64 << 10 // bytes of records that are passed on at once
)

// encode turns each value into bytes that a function appends to buf. start
// makes a new function for each run.
func encode[T any](s weir.Stream[T], name string, start func() func(buf []byte, v T) ([]byte, error)) weir.Stream[byte] {
	return weir.Via(s, weir.Stage[T, byte]{
		Name:   name,
		Holds:  2 * segment,
		Copies: 3, // of a large value, and as much again and more while the buffer grows
		Open:   func(context.Context) (weir.Transform[T, byte], error) { return &encoder[T]{f: start()}, nil },
	})
}

type encoder[T any] struct {
	f   func([]byte, T) ([]byte, error)
	buf []byte
}

func (e *encoder[T]) Do(_ context.Context, in []T, emit func([]byte) error) error {
	buf := e.buf[:0]
	for _, v := range in {
		next, err := e.f(buf, v)
		if err != nil {
			return errors.Join(emit(buf), err)
		}
		buf = next
		if len(buf) >= segment {
			if err := emit(buf); err != nil {
				return err
			}
			if cap(buf) > 2*segment {
				buf = nil // one large value must not pin its memory
			}
			buf = buf[:0]
		}
	}
	e.buf = buf
	return emit(buf)
}

func (e *encoder[T]) Flush(context.Context, func([]byte) error) error { return nil }
