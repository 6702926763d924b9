package weir_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/weir-go/weir"
)

func ExampleLines() {
	text := weir.FromReader(strings.NewReader("one\r\ntwo\n\nfour"))
	got, err := weir.Collect(context.Background(), weir.Lines(text), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: ["one" "two" "" "four"] <nil>
}

func ExampleMaxLine() {
	text := weir.FromReader(strings.NewReader("short\na line that is too long\nshort\n"))
	got, err := weir.Collect(context.Background(), weir.Lines(text, weir.MaxLine(6, weir.CutLong)), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: ["short" "a line" "short"] <nil>
}

func ExampleDecodeJSON() {
	type order struct {
		Item  string
		Total int
	}
	text := weir.FromReader(strings.NewReader(`{"item": "apples", "total": 3}
{"item": "pears", "total": 4}
`))
	fmt.Println(weir.Collect(context.Background(), weir.DecodeJSON[order](text, 0), 10))
	// Output: [{apples 3} {pears 4}] <nil>
}

func ExampleEncodeJSON() {
	type order struct {
		Item  string `json:"item"`
		Total int    `json:"total"`
	}
	s := weir.EncodeJSON(weir.Values(order{"apples", 3}, order{"salt & pepper", 1}))
	err := s.To(weir.ToWriter(weir.KeepOpen(os.Stdout))).Run(context.Background())
	fmt.Println(err)
	// Output:
	// {"item":"apples","total":3}
	// {"item":"salt & pepper","total":1}
	// <nil>
}

func ExampleDecodeCSV() {
	text := weir.FromReader(strings.NewReader("apples;3\n\"salt; pepper\";1\n"))
	got, err := weir.Collect(context.Background(), weir.DecodeCSV(text, weir.CSV{Comma: ';'}), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: [["apples" "3"] ["salt; pepper" "1"]] <nil>
}

func ExampleEncodeCSV() {
	records := weir.Values([]string{"apples", "3"}, []string{"salt, pepper", "1"})
	err := weir.EncodeCSV(records, weir.CSV{}).To(weir.ToWriter(weir.KeepOpen(os.Stdout))).Run(context.Background())
	fmt.Println(err)
	// Output:
	// apples,3
	// "salt, pepper",1
	// <nil>
}

func ExampleEncodeFrames() {
	frames := weir.Values([]byte("one"), []byte("three"))
	got, err := weir.Collect(context.Background(), weir.EncodeFrames(frames, weir.FrameVarint), 100)
	fmt.Printf("%q %v\n", got, err)
	// Output: "\x03one\x05three" <nil>
}

func ExampleDecodeFrames() {
	ctx := context.Background()
	data := []byte("\x00\x00\x00\x03one\x00\x00\x00\x05three")
	got, err := weir.Collect(ctx, weir.DecodeFrames(weir.FromSlice(data), weir.Frame32, 1000), 10)
	fmt.Printf("%q %v\n", got, err)

	_, err = weir.Collect(ctx, weir.DecodeFrames(weir.FromSlice(data[:13]), weir.Frame32, 1000), 10)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// ["one" "three"] <nil>
	// true
}

func ExampleHash() {
	flow := weir.FromReader(strings.NewReader("hello\n")).
		Through(weir.Hash(sha256.New, func(sum []byte) { fmt.Printf("%x\n", sum) })).
		To(weir.Discard[byte]())
	fmt.Println(flow.Run(context.Background()))
	// Output:
	// 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
	// <nil>
}

func ExampleGrep() {
	flow := weir.FromReader(strings.NewReader("INFO started\nERROR no disk\nINFO ended\n")).
		Through(weir.Grep(regexp.MustCompile("^ERROR"))).
		To(weir.ToWriter(weir.KeepOpen(os.Stdout)))
	fmt.Println(flow.Run(context.Background()))
	// Output:
	// ERROR no disk
	// <nil>
}
