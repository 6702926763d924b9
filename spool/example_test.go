package spool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/spool"
)

// The source does not wait for a slow sink before 10 GiB are on disk.
func ExampleBytes() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	s := weir.FromReader(strings.NewReader("a fast source")).
		Through(spool.Bytes(filepath.Join(dir, "spool"), spool.Options{Max: 10 << 30}))
	var got strings.Builder
	err := s.To(weir.ToWriter(&got)).Run(context.Background())
	fmt.Println(got.String(), err)
	// Output: a fast source <nil>
}

// Values are written to the spool as lines of JSON, and read from there.
func ExampleItems() {
	type order struct{ ID int }
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	st := spool.Items(filepath.Join(dir, "spool"), spool.Options{}, record.EncodeJSON[order], func(s weir.Stream[byte]) weir.Stream[order] {
		return record.DecodeJSON[order](s, 0)
	})
	fmt.Println(weir.Collect(context.Background(), weir.Values(order{1}, order{2}).Through(st), 10))
	// Output: [{1} {2}] <nil>
}

// A spool between two durable flows: after a crash both continue where they were.
func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	os.WriteFile(in, []byte("a file"), 0o600)

	l, err := spool.Open(context.Background(), filepath.Join(dir, "spool"), spool.Options{Max: 1 << 30})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	src, err := durable.From(in, endpoint.HTTPOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = weir.Join(
		durable.Flow(src, l.Sink(), durable.Options{}),
		durable.Flow(l.Source(), durable.File(out, 0o644), durable.Options{}),
	).Run(context.Background())
	var s spool.Stats = l.Stats()
	fmt.Println(err, s.Written, s.Lag(), s.Ended)
	if err == nil {
		fmt.Println(l.Remove()) // both have come to the end
	}
	// Output:
	// <nil> 6 0 true
	// <nil>
}
