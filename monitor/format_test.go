package monitor_test

import (
	"encoding/json"
	"testing"

	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

// What programs read must not change without a new version.
func TestSnapshot_JSONIsThatOfItsVersion(t *testing.T) {
	s := monitor.Snapshot{
		V: monitor.Version, Time: 1.5, Program: monitor.Program{Name: "weir", PID: 1, Start: 2}, State: monitor.Stalled, Sentence: "s", Since: 1, Subject: "flow 1", In: 2, Out: 3,
		Memory:  monitor.Memory{Used: 1, Limit: 2},
		Process: monitor.Process{Heap: 1, RSS: 2, Goroutines: 3},
		Flows: map[string]monitor.Flow{"1": {
			ID: 1, Name: "n", Running: true, Start: 1, Wall: 2, State: monitor.State("measuring"), Sentence: "s", Stalled: 5,
			Verdict: monitor.Verdict{Bottleneck: "gzip", Stage: 1, Share: 0.9, Waiting: "read", WaitingShare: 0.8, Limit: true},
			Err:     "e", In: 1, Out: 2, Used: 3, Peak: 4, Ceiling: 5, Holders: 6, Largest: 9, Kernel: "splice", Stuck: []string{"x"}, Hidden: 7,
			Stages: map[string]monitor.Stage{"0": {Name: "read", Kind: "source", Workers: 1, Unit: "bytes", OutUnit: "bytes", In: 1, Out: 2, Dropped: 3,
				InRate: 4, OutRate: 5, Shares: [5]float64{1}, Seconds: [5]float64{2}, BlockedN: 6, Progress: 7, Limits: true, Ups: []int{0}}},
			Pipes: map[string]monitor.Pipe{"0": {Name: "p", Used: 1, Limit: 2, Items: 3, Most: 9, Fill: 0.5, Peak: 4, BlockedN: 5, Blocked: 6, Writers: 7, Dropped: 8}},
		}},
		Running: 1,
		Runs:    monitor.Runs{Succeeded: 1, Failed: 2, Canceled: 3},
		Transfers: map[string]monitor.TransferGroup{"files": {
			Totals: report.Totals{Active: 1, Succeeded: 2, Failed: 3, BytesIn: 4, BytesOut: 5, UploadsSucceeded: 6, UploadsFailed: 7},
			Rows:   map[string]monitor.Row{"9": {Kind: "download", Method: "GET", Name: "f", Client: "c", Start: 1, Size: -1, Moved: 2, Unsent: 3, Rate: 4, State: "sending", Waited: 5}},
			Hidden: 8,
		}},
		Events:  map[string]monitor.Event{"1": {Time: 1, Kind: "left", Subject: "files 9", Text: "t"}},
		Viewers: 1, Closed: true,
	}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"time":1.5,"program":{"name":"weir","pid":1,"start":2},"state":"stalled","sentence":"s","since":1,"subject":"flow 1","in":2,"out":3,` +
		`"memory":{"used":1,"limit":2},"process":{"heap":1,"rss":2,"goroutines":3},` +
		`"flows":{"1":{"id":1,"name":"n","running":true,"start":1,"wall":2,"state":"measuring","sentence":"s","stalled":5,` +
		`"verdict":{"bottleneck":"gzip","stage":1,"share":0.9,"waiting":"read","waiting_share":0.8,"limit":true},"error":"e",` +
		`"in":1,"out":2,"used":3,"peak":4,"ceiling":5,"holders":6,"largest":9,"kernel":"splice","stuck":["x"],` +
		`"stages":{"0":{"name":"read","kind":"source","workers":1,"unit":"bytes","out_unit":"bytes","in":1,"out":2,"dropped":3,` +
		`"in_rate":4,"out_rate":5,"shares":[1,0,0,0,0],"seconds":[2,0,0,0,0],"blocked":6,"progress":7,"limits":true,"ups":[0]}},` +
		`"pipes":{"0":{"name":"p","used":1,"limit":2,"items":3,"most":9,"fill":0.5,"peak":4,"blocked":5,"blocked_seconds":6,"writers":7,"dropped":8}},"hidden":7}},` +
		`"running":1,"runs":{"succeeded":1,"failed":2,"canceled":3},` +
		`"transfers":{"files":{"active":1,"succeeded":2,"failed":3,"bytes_in":4,"bytes_out":5,"uploads_succeeded":6,"uploads_failed":7,` +
		`"rows":{"9":{"kind":"download","method":"GET","name":"f","client":"c","start":1,"size":-1,"moved":2,"unsent":3,"rate":4,"state":"sending","waited":5}},"hidden":8}},` +
		`"events":{"1":{"time":1,"kind":"left","subject":"files 9","text":"t"}},"viewers":1,"closed":true}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
