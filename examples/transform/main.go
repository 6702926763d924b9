// Transform re-enacts the tutorial's "Transform streams con backpressure": a
// file goes through a stage that turns it into upper case, and through a custom
// stage that emits more pieces than it receives.
//
//	go run ./examples/transform input.txt output.txt
//
// What the tutorial got wrong: it calls chunk.toString() for each chunk, and a
// character that is split between two chunks becomes two or more U+FFFD. And
// its rule "NUNCA this.push()" is wrong: callback(null, x) is a push too, with
// the same effect. The harm comes from pushing many times in one call and
// ignoring the result. Here emit waits, so there is no result to ignore.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: transform INPUT OUTPUT")
		os.Exit(2)
	}
	if err := upperFile(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "transform:", err)
		os.Exit(1)
	}
}

// region upperFile

// upperFile writes input to output in upper case, with spaces instead of tabs.
func upperFile(ctx context.Context, input, output string) error {
	return weir.File(input).
		Through(text.Upper(), expandTabs(4)).
		To(weir.Create(output)).
		Run(ctx)
}

// endregion

// region expandTabs

// expandTabs replaces each tab by width spaces.
func expandTabs(width int) weir.Stage[byte, byte] {
	spaces := bytes.Repeat([]byte(" "), width)
	return weir.Do("expand tabs", func(_ context.Context, in []byte, emit func([]byte) error) error {
		for {
			text, rest, tab := bytes.Cut(in, []byte("\t"))
			if err := emit(text); err != nil { // waits while the flow downstream is full
				return err
			}
			if !tab {
				return nil
			}
			if err := emit(spaces); err != nil {
				return err
			}
			in = rest
		}
	}, nil)
}

// endregion
