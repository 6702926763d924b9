package text_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

func ExampleLines() {
	content := weir.FromReader(strings.NewReader("one\r\ntwo\n\nfour"))
	got, err := weir.Collect(context.Background(), text.Lines(content), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: ["one" "two" "" "four"] <nil>
}

func ExampleMaxLine() {
	content := weir.FromReader(strings.NewReader("short\na line that is too long\nshort\n"))
	got, err := weir.Collect(context.Background(), text.Lines(content, text.MaxLine(6), text.CutLong()), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: ["short" "a line" "short"] <nil>
}

func ExampleGrep() {
	flow := weir.FromReader(strings.NewReader("INFO started\nERROR no disk\nINFO ended\n")).
		Through(text.Grep(regexp.MustCompile("^ERROR"))).
		To(weir.ToWriter(weir.KeepOpen(os.Stdout)))
	fmt.Println(flow.Run(context.Background()))
	// Output:
	// ERROR no disk
	// <nil>
}

func ExampleMap() {
	stars := text.Map("stars", func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("é"), []byte("*")) })
	got, err := weir.Collect(context.Background(), weir.FromReader(strings.NewReader("élève")).Through(stars), 10)
	fmt.Println(string(got), err)
	// Output: *lève <nil>
}
