package durable_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/spool"
)

// A flow of two segments, with a buffer on disk between them. If the process is
// killed, the same program continues.
func ExampleFlow() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "access.log")
	if err := os.WriteFile(name, []byte("a line\n"), 0o666); err != nil {
		fmt.Println(err)
		return
	}

	src, err := durable.From(name, endpoint.HTTPOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := spool.Open(context.Background(), filepath.Join(dir, "spool"), spool.Options{Max: 64 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	gzip := &durable.Stage{
		Name: "gzip",
		Resume: func(from func() (in, out int64, state []byte), at func(in, out int64, state []byte)) weir.Stage[byte, byte] {
			return compress.Gzip(compress.Resume(from, at))
		},
	}
	begun := func(c durable.Checkpoint) { fmt.Println("begins at byte", c.Offset) }
	in := durable.Flow(src, log.Sink(), durable.Options{})
	out := durable.Flow(log.Source(), durable.File(name+".gz", 0o666), durable.Options{Stage: gzip, Opened: begun})

	// The last flow of Join opens first: the spool is written before it is read.
	if err := weir.Join(out, in).Run(context.Background()); err != nil {
		fmt.Println(err)
		log.Close() // to be continued
		return
	}
	if err := log.Remove(); err != nil {
		fmt.Println(err)
	}
	_, err = os.Stat(name + ".gz")
	fmt.Println("written:", err == nil)
	// Output:
	// begins at byte 0
	// written: true
}
