package weir_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/weir-go/weir"
)

func ExampleHash() {
	flow := weir.FromReader(strings.NewReader("hello\n")).
		Through(weir.Hash(sha256.New, func(sum []byte) { fmt.Printf("%x\n", sum) })).
		To(weir.Discard[byte]())
	fmt.Println(flow.Run(context.Background()))
	// Output:
	// 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
	// <nil>
}
