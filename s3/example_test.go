package s3_test

import (
	"context"
	"log"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

// Compress an object into another one.
func ExampleStore() {
	store := s3.Store{Endpoint: "http://127.0.0.1:9000"}
	in, err := store.Source("s3://logs/access.log", endpoint.SourceOptions{})
	if err != nil {
		log.Fatal(err)
	}
	out, err := store.Sink("s3://logs/access.log.gz", endpoint.SinkOptions{})
	if err != nil {
		log.Fatal(err)
	}
	flow := in.Stream().Through(compress.Gzip()).To(out)
	flow.Budget = weir.NewBudget(64 << 20)
	if err := flow.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// Mirror a folder.
func ExampleCopy() {
	c := &s3.Copy{From: "site", To: "s3://www/site/", Delete: true, Exclude: []string{"*.tmp"}}
	if err := c.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d of %d files were there already", c.Progress().Equal, c.Progress().Files)
}
