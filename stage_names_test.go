package weir_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
)

func TestFlow_StageNamesAreThoseOfItsReport(t *testing.T) {
	lines := text.Lines(weir.FromReader(strings.NewReader("a\nb\n")).Through(text.Upper()).Async(weir.Items(10)).Through(text.Upper()))
	f := text.Join(lines).To(weir.Discard[byte]())
	names, err := f.StageNames()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range f.Report().Stages {
		want = append(want, s.Name)
	}
	if !slices.Equal(names, want) || len(want) != 6 {
		t.Errorf("before the run %q, in its report %q", names, want)
	}
	if names, err := (&weir.Flow{}).StageNames(); err == nil {
		t.Errorf("of a flow without a sink: %q", names)
	}
}
