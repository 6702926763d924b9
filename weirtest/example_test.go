package weirtest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirtest"
)

// How far does a flow read ahead of a sink that takes nothing?
func ExampleSource() {
	ctx, cancel := context.WithCancel(context.Background())
	step := make(chan struct{})
	source := weirtest.Source[byte]{Values: []byte("data"), Repeat: true}
	sink := weirtest.Sink[byte]{Step: step}

	flow := source.Stream().Async(weir.Bytes(4 << 10)).To(sink.Sink())
	ended := make(chan error, 1)
	go func() { ended <- flow.Run(ctx) }()
	step <- struct{}{} // the sink takes one batch
	cancel()
	err := <-ended

	fmt.Println(errors.Is(err, context.Canceled))
	fmt.Println(sink.Counts().Values > 0, source.Counts().Values <= 64<<10, source.Counts().Closed)
	// Output:
	// true
	// true true 1
}

// A flow that fails in its sink commits nothing and closes everything.
func ExampleSink() {
	source := weirtest.Source[int]{Values: []int{1, 2, 3}}
	sink := weirtest.Sink[int]{After: 2, Err: errors.New("disk on fire")}
	err := source.Stream().To(sink.Sink()).Run(context.Background())

	fmt.Println(err)
	fmt.Println(sink.Values(), "committed:", sink.Counts().Committed, "closed:", sink.Counts().Closed)
	// Output:
	// weir: stage test sink: disk on fire
	// [1 2] committed: 0 closed: 1
}

// The lines of a text do not depend on how it is cut.
func ExampleRechunk() {
	content := []byte("one\r\ntwo\r\nthree")
	for seed := range uint64(100) {
		bytes := weir.FromSlice(content).Through(weirtest.Rechunk[byte](seed))
		lines, err := weir.Collect(context.Background(), text.Lines(bytes), 10)
		if len(lines) != 3 || err != nil {
			fmt.Println(seed, lines, err)
		}
	}
	// Output:
}
