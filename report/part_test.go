package report_test

import (
	"testing"
	"time"

	"github.com/weir-go/weir/report"
)

func TestPart_NamesTheTwoStagesThatTakeTurns(t *testing.T) {
	const wall = 10 * time.Second
	read := report.StageStats{Name: "read", Kind: report.KindSource, Workers: 1, Wall: wall, Outside: 6 * time.Second, Blocked: 4 * time.Second}
	write := report.StageStats{Name: "write", Kind: report.KindSink, Workers: 1, Wall: wall, Outside: 4 * time.Second, Starved: 6 * time.Second}

	v := report.Judge(wall, read, write)

	if want := [2]report.Part{{Name: "read", Share: 0.6}, {Name: "write", Share: 0.4}}; v.Between != want {
		t.Errorf("Between is %v, want %v", v.Between, want)
	}
	if v.Stage != "" {
		t.Errorf("stage %q is named as the bottleneck", v.Stage)
	}
}

func TestPart_IsEmptyIfOneStageIsTheBottleneck(t *testing.T) {
	const wall = 10 * time.Second
	read := report.StageStats{Name: "read", Kind: report.KindSource, Workers: 1, Wall: wall, Outside: time.Second, Blocked: 9 * time.Second}
	write := report.StageStats{Name: "write", Kind: report.KindSink, Workers: 1, Wall: wall, Outside: 9 * time.Second, Starved: time.Second}

	v := report.Judge(wall, read, write)

	if v.Stage != "write" || v.Between != [2]report.Part{} {
		t.Errorf("stage %q, between %v; want write alone", v.Stage, v.Between)
	}
}
