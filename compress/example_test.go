package compress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

func Example() {
	ctx := context.Background()
	var packed, back bytes.Buffer
	text := strings.Repeat("a line that is written again and again\n", 1000)

	err := weir.FromReader(strings.NewReader(text)).Through(compress.Gzip(compress.Level(9))).To(weir.ToWriter(&packed)).Run(ctx)
	fmt.Println(len(text), "bytes became", packed.Len(), err)

	err = weir.FromReader(&packed).Through(compress.Gunzip(compress.MaxOutput(1 << 20))).To(weir.ToWriter(&back)).Run(ctx)
	fmt.Println(back.String() == text, err)
	// Output:
	// 39000 bytes became 180 <nil>
	// true <nil>
}

func ExampleMembers() {
	text := strings.Repeat("a line that is written again and again\n", 100_000)
	var packed bytes.Buffer
	if err := weir.FromReader(strings.NewReader(text)).Through(compress.Gzip(compress.Members())).To(weir.ToWriter(&packed)).Run(context.Background()); err != nil {
		fmt.Println(err)
	}

	// Any other program that reads gzip files reads it too; this uses all cores.
	var back bytes.Buffer
	err := weir.FromReader(&packed).Through(compress.Gunzip()).To(weir.ToWriter(&back)).Run(context.Background())
	fmt.Println(back.String() == text, err)
	// Output: true <nil>
}

func ExampleMaxOutput() {
	var bomb bytes.Buffer
	zeros := strings.NewReader(strings.Repeat("\x00", 10<<20))
	if err := weir.FromReader(zeros).Through(compress.Zstd()).To(weir.ToWriter(&bomb)).Run(context.Background()); err != nil {
		fmt.Println(err)
	}

	err := weir.FromReader(&bomb).Through(compress.Unzstd(compress.MaxOutput(1 << 20))).To(weir.ToWriter(io.Discard)).Run(context.Background())
	fmt.Println(errors.Is(err, compress.ErrTooLarge))
	// Output: true
}

func ExampleOnTrailing() {
	var packed bytes.Buffer
	if err := weir.FromReader(strings.NewReader("hello")).Through(compress.Gzip()).To(weir.ToWriter(&packed)).Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	packed.WriteString("\x00\x00garbage")

	warn := compress.OnTrailing(func(offset int64) error {
		fmt.Println("decompression OK, trailing garbage ignored")
		return nil
	})
	var text bytes.Buffer
	err := weir.FromReader(&packed).Through(compress.Gunzip(warn)).To(weir.ToWriter(&text)).Run(context.Background())
	fmt.Println(text.String(), err)
	// Output:
	// decompression OK, trailing garbage ignored
	// hello <nil>
}

func ExampleCorruptError() {
	err := weir.FromReader(strings.NewReader("\x1f\x8b\x08")).Through(compress.Gunzip()).To(weir.ToWriter(io.Discard)).Run(context.Background())
	var ce *compress.CorruptError
	if errors.As(err, &ce) {
		fmt.Println(ce)
	}
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// gzip data ends too early, after 3 bytes
	// true
}
