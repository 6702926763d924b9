package lab

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// A side runs in a process of the test binary.
const sideArgument = "lab-side"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == sideArgument {
		if err := RunSide(append(Experiments(), broken()...), os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
