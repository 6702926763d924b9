package carry

import (
	"os"
	"testing"
)

func TestMetadata_GoesFromTheSourceToTheSinkOfOneRun(t *testing.T) {
	info, err := os.Stat(".")
	if err != nil {
		t.Fatal(err)
	}
	Opened(t.Context(), info) // nobody wants to know
	if Wanted(t.Context()) != nil {
		t.Error("metadata are wanted where nobody said so")
	}
	one, other := Metadata(t.Context()), Metadata(t.Context())
	like := Wanted(one) // a sink may open before its source
	if got := like(); got != nil {
		t.Errorf("before the source is open: %v", got)
	}
	Opened(one, info)
	if got := like(); got != info {
		t.Errorf("%v, want %v", got, info)
	}
	if got := Wanted(other)(); got != nil {
		t.Errorf("another run has %v", got)
	}
}
