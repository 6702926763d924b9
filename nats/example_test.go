package nats_test

import (
	"context"
	"fmt"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/nats"
)

func Example() {
	produce := func(ctx context.Context) error {
		src, err := durable.From("access.log", endpoint.HTTPOptions{})
		if err != nil {
			return err
		}
		edge, err := nats.Parse("nats://host/logs?max=1GiB")
		if err != nil {
			return err
		}
		return durable.Flow(src, edge.Sink(), durable.Options{}).Run(ctx)
	}
	consume := func(ctx context.Context) error {
		edge, err := nats.Parse("nats://host/logs")
		if err != nil {
			return err
		}
		return durable.Flow(edge.Source(), durable.File("access.log", 0o666), durable.Options{}).Run(ctx)
	}
	_, _ = produce, consume // each on its machine; both continue after a crash
}

func ExampleList() {
	edges, err := nats.List(context.Background(), "nats://host")
	if err != nil {
		return
	}
	for _, e := range edges {
		fmt.Println(e.Name, e.Held, e.Lag())
	}
}

func ExampleEdge_Drop() {
	edge, err := nats.Parse("nats://host/logs")
	if err != nil {
		return
	}
	info, err := edge.Info(context.Background())
	if err == nil && info.Ended && info.Lag() == 0 {
		err = edge.Drop(context.Background())
	}
	_ = err
}
