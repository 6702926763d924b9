package compress_test

import (
	"bytes"
	"context"
	"fmt"
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
	// 39000 bytes became 183 <nil>
	// true <nil>
}
