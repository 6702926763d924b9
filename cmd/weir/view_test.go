package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir/report"
)

func TestProgress_LeavesOutDecorationFirstAndTheTimeLeftLast(t *testing.T) {
	const gib = 1 << 30
	p := progress{
		step: "2/3", name: "a rather long name of a file.tar", files: "12 of 4711+ files",
		in: 1023 * gib, out: 100 * gib, total: 2047 * gib, inRate: 1023 << 20, outRate: 100 << 20, took: time.Hour,
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{200, "[■■■■■■■■■           ]  2/3 a rather long name of a file.tar  12 of 4711+ files  1023 GiB of 2 TiB  49%  1023 MiB/s in, 100 MiB/s out  1:00:00  ETA 0:17:05"},
		{130, "[■■■■■■■■■           ]  2/3  12 of 4711+ files  1023 GiB of 2 TiB  49%  1023 MiB/s in, 100 MiB/s out  1:00:00  ETA 0:17:05"},
		{100, "2/3  12 of 4711+ files  1023 GiB of 2 TiB  49%  1023 MiB/s in, 100 MiB/s out  1:00:00  ETA 0:17:05"},
		{80, "2/3  12 of 4711+ files  1023 GiB of 2 TiB  49%  1023 MiB/s  ETA 0:17:05"},
		{40, "2/3  49%  1023 MiB/s  ETA 0:17:05"},
		{30, "2/3  1023 GiB  ETA 0:17:05"},
		{20, "49%  ETA 0:17:05"},
		{5, "49%  ETA 0:17:05"},
	} {
		if got := p.text(c.width); got != c.want {
			t.Errorf("in %d columns: %q (%d), want %q", c.width, got, runewidth.StringWidth(got), c.want)
		}
	}
	for width := 16; width < 200; width++ {
		if got := p.text(width); runewidth.StringWidth(got) > width || !strings.HasSuffix(got, "ETA 0:17:05") {
			t.Errorf("in %d columns: %q", width, got)
		}
	}
}

func TestProgress_ShowsInAndOutOnlyWhereTheyDiffer(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name          string
		in, out, held int64
		want          string
	}{
		{"a copy", 100 * mib, 100 * mib, 0, "100 MiB of 1 GiB  9%  10 MiB/s  0:00:10  ETA 0:01:32"},
		{"a copy with bytes on their way", 100 * mib, 90 * mib, 9 * mib, "100 MiB of 1 GiB  9%  10 MiB/s  0:00:10  ETA 0:01:32"},
		{"compression", 100 * mib, 20 * mib, 0, "100 MiB of 1 GiB  9%  10 MiB/s in, 8 MiB/s out  0:00:10  ETA 0:01:32"},
		{"nothing yet", 0, 0, 0, "0 B of 1 GiB  0%  10 MiB/s  0:00:10  ETA 0:01:42"},
	} {
		p := progress{in: c.in, out: c.out, held: c.held, total: 1 << 30, inRate: 10 * mib, outRate: 8 * mib, took: 10 * time.Second}
		if got := p.text(1 << 16); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// In 80 columns every stage has its rate with a unit, and the states that matter.
func TestStageRows_FitIn80Columns(t *testing.T) {
	const s = time.Second
	r := report.Report{
		Wall: s,
		Stages: []report.StageStats{
			{Name: "read", Kind: report.KindSource, OutUnit: "bytes", Out: 1023 << 20, Wall: s, Busy: s * 3 / 100, Outside: s * 14 / 100, Blocked: s * 61 / 100, Unknown: s * 22 / 100},
			{Name: "a long name of a stage", Kind: report.KindStage, Unit: "bytes", OutUnit: "items", Out: 12, Wall: s, Busy: s * 97 / 100, Starved: s * 3 / 100},
			{Name: "write", Kind: report.KindSink, Unit: "bytes", In: 5 << 10, Wall: s, Outside: s},
		},
		Pipes: []report.PipeStats{{Name: "read → a long name of a stage", Bytes: 96 << 10, LimitBytes: 128 << 10}},
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{79, `
  read             1023 MiB/s  blocked 61%  unknown 22%  outside 14%  busy 3%
                 [■■■■■■■■  ]  75% full, 96 KiB of 128 KiB
  a long name o…   12 items/s  busy 97%  starved 3%
  write               5 KiB/s  outside 100%`},
		{110, `
  read           █░░░????▒▒▒▒▒▒▒▒▒▒▒▒   1023 MiB/s  blocked 61%  unknown 22%  outside 14%  busy 3%
                 [■■■■■■■■  ]  75% full, 96 KiB of 128 KiB
  a long name o… ███████████████████·   12 items/s  busy 97%  starved 3%
  write          ░░░░░░░░░░░░░░░░░░░░      5 KiB/s  outside 100%`},
	} {
		if got := "\n" + strings.Join(stageRows(r, c.width, painter{}), "\n"); got != c.want {
			t.Errorf("in %d columns:%s\nwant%s", c.width, got, c.want)
		}
	}
}
