package weirtest_test

import (
	"testing"

	"github.com/weir-go/weir/weirtest"
)

func TestCounts_AddUpOverRunsAndBeginAtZero(t *testing.T) {
	source := weirtest.Source[int]{Values: []int{1, 2, 3}, Batch: 1}
	sink := weirtest.Sink[int]{}
	if source.Counts() != (weirtest.Counts{}) || sink.Counts() != (weirtest.Counts{}) {
		t.Errorf("%+v, %+v before a run", source.Counts(), sink.Counts())
	}
	for range 2 {
		if err := source.Stream().To(sink.Sink()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	from, to := source.Counts(), sink.Counts()
	if from.Opened != 2 || from.Closed != 2 || from.Values != 6 || from.Calls != 8 || from.Committed != 0 || from.Asked < from.Values {
		t.Errorf("source: %+v", from)
	}
	if to.Opened != 2 || to.Closed != 2 || to.Values != 6 || to.Committed != 2 || to.Asked != 6 || to.Calls > 6 {
		t.Errorf("sink: %+v", to)
	}
}
