package weir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/pace"
	"github.com/weir-go/weir/text"
)

func Example() {
	dir, _ := os.MkdirTemp("", "weir")
	defer os.RemoveAll(dir)
	input, output := filepath.Join(dir, "input.txt"), filepath.Join(dir, "input.txt.gz")
	os.WriteFile(input, []byte(strings.Repeat("a line of text\n", 10_000)), 0o600)
	ctx := context.Background()

	flow := weir.File(input).Through(compress.Gzip()).To(weir.Create(output))
	if err := flow.Run(ctx); err != nil {
		fmt.Println(err)
	}
	report := flow.Report()
	fmt.Println(report.Stages[0].Out, "bytes were read")
	// Output:
	// 150000 bytes were read
}

type Order struct {
	ID    int
	Total int
}

func parseOrder(line string) (o Order, err error) {
	_, err = fmt.Sscan(line, &o.ID, &o.Total)
	return o, err
}

func ExampleMap() {
	ctx := context.Background()
	input := "1 500\n2 1500\n3 2500\n"

	orders := weir.Map(text.Lines(weir.FromReader(strings.NewReader(input))), parseOrder, weir.Workers(4))
	big := weir.Filter(orders, func(o Order) bool { return o.Total > 1000 })
	for order, err := range big.All(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(order.ID, order.Total)
	}
	// Output:
	// 2 1500
	// 3 2500
}

func ExampleNewPipe() {
	ctx := context.Background()

	r, w := weir.NewPipe[byte](weir.Bytes(8))
	go func() {
		defer w.Close()
		for _, chunk := range []string{"one ", "two ", "three"} {
			for errors.Is(w.TryWrite([]byte(chunk)), weir.ErrFull) {
				select {
				case <-w.Ready(): // Node's 'drain'
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	all, err := weir.Collect(ctx, weir.FromPipe(r), 100)
	fmt.Printf("%q %v\n", all, err)
	// Output: "one two three" <nil>
}

func ExampleFlow_Ceiling() {
	flow := weir.File("huge.json").Through(text.Upper()).To(weir.Create("upper.json"))
	flow.Limit = weir.Bytes(64 << 10)
	ceiling, err := flow.Ceiling()
	fmt.Println(ceiling, err)
	// Output: 288 KiB <nil>
}

func ExampleTee() {
	ctx := context.Background()

	branches := weir.Tee(weir.Values(1, 2, 3, 4), weir.Branch{}, weir.Branch{})
	sum, count := 0, 0
	err := weir.Join(
		branches[0].To(weir.Each(func(_ context.Context, v int) error { sum += v; return nil })),
		branches[1].To(weir.Each(func(_ context.Context, v int) error { count++; return nil })),
	).Run(ctx)
	fmt.Println(sum, count, err)
	// Output: 10 4 <nil>
}

func ExampleRateLimit() {
	flow := weir.FromReader(strings.NewReader("a few bytes")).
		Through(pace.RateLimit[byte](10<<20, time.Second)).
		To(weir.Discard[byte]())
	fmt.Println(flow.Run(context.Background()))
	// Output: <nil>
}

func ExampleStageError() {
	flow := weir.Map(weir.Values("1 10", "two"), parseOrder).To(weir.Discard[Order]())
	err := flow.Run(context.Background())
	var stage *weir.StageError
	fmt.Println(errors.As(err, &stage), stage.Stage)
	fmt.Println(err)
	// Output:
	// true map
	// weir: stage map: item 1: expected integer
}
