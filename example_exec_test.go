//go:build unix

package weir_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/weir-go/weir"
)

func ExampleExec() {
	ctx := context.Background()
	flow := weir.FromReader(strings.NewReader("pears\napples\n")).
		Through(weir.Exec("sort")).
		To(weir.ToWriter(weir.KeepOpen(os.Stdout)))
	fmt.Println(flow.Run(ctx))

	err := weir.Values[byte]().Through(weir.Exec("sh", "-c", "echo no such thing >&2; exit 3")).To(weir.Discard[byte]()).Run(ctx)
	var failed *exec.ExitError
	fmt.Println(errors.As(err, &failed), failed.ExitCode(), string(failed.Stderr))
	// Output:
	// apples
	// pears
	// <nil>
	// true 3 no such thing
}

// A command with more to it than its name: its environment, here.
func ExampleCommand() {
	greet := weir.Command(func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "sh", "-c", `printf "%s, " "$GREETING"; cat`)
		cmd.Env = append(os.Environ(), "GREETING=hello")
		return cmd
	})
	s := weir.FromReader(strings.NewReader("world\n")).Through(greet)
	if err := s.To(weir.ToWriter(weir.KeepOpen(os.Stdout))).Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: hello, world
}
