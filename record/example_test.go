package record_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
)

func ExampleDecodeJSON() {
	type order struct {
		Item  string `json:"item"`
		Total int    `json:"total"`
	}
	text := weir.FromReader(strings.NewReader(`{"item": "apples", "total": 3}
{"item": "pears", "total": 4}
`))
	fmt.Println(weir.Collect(context.Background(), record.DecodeJSON[order](text, 0), 10))
	// Output: [{apples 3} {pears 4}] <nil>
}

func ExampleEncodeJSON() {
	type order struct {
		Item  string `json:"item"`
		Total int    `json:"total"`
	}
	s := record.EncodeJSON(weir.Values(order{"apples", 3}, order{"salt & pepper", 1}))
	err := s.To(weir.ToWriter(weir.KeepOpen(os.Stdout))).Run(context.Background())
	fmt.Println(err)
	// Output:
	// {"item":"apples","total":3}
	// {"item":"salt & pepper","total":1}
	// <nil>
}

func ExampleDecodeCSV() {
	text := weir.FromReader(strings.NewReader("apples;3\n\"salt; pepper\";1\n"))
	got, err := weir.Collect(context.Background(), record.DecodeCSV(text, record.CSVOptions{Comma: ';'}), 10)
	fmt.Printf("%q %v\n", got, err)
	// Output: [["apples" "3"] ["salt; pepper" "1"]] <nil>
}

func ExampleEncodeCSV() {
	records := weir.Values([]string{"apples", "3"}, []string{"salt, pepper", "1"})
	err := record.EncodeCSV(records, record.CSVOptions{}).To(weir.ToWriter(weir.KeepOpen(os.Stdout))).Run(context.Background())
	fmt.Println(err)
	// Output:
	// apples,3
	// "salt, pepper",1
	// <nil>
}

func ExampleEncodeFrames() {
	frames := weir.Values([]byte("one"), []byte("three"))
	got, err := weir.Collect(context.Background(), record.EncodeFrames(frames, record.FrameVarint), 100)
	fmt.Printf("%q %v\n", got, err)
	// Output: "\x03one\x05three" <nil>
}

func ExampleDecodeFrames() {
	ctx := context.Background()
	data := []byte("\x00\x00\x00\x03one\x00\x00\x00\x05three")
	got, err := weir.Collect(ctx, record.DecodeFrames(weir.FromSlice(data), record.Frame32, 1000), 10)
	fmt.Printf("%q %v\n", got, err)

	_, err = weir.Collect(ctx, record.DecodeFrames(weir.FromSlice(data[:13]), record.Frame32, 1000), 10)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// ["one" "three"] <nil>
	// true
}
