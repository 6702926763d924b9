package ranges

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse_FollowsTheRFC(t *testing.T) {
	const huge = "99999999999999999999999999"
	whole, refused := "whole", "416"
	for _, c := range []struct {
		lines string // separated by |
		size  int64
		want  string // offset+length, or how to answer
	}{
		// One range.
		{"bytes=0-8", 1000, "0+9"},
		{"bytes=0-0", 1000, "0+1"},
		{"bytes=999-999", 1000, "999+1"},
		{"bytes=500-", 1000, "500+500"},
		{"bytes=0-", 1000, "0+1000"},
		{"bytes=0-999", 1000, "0+1000"},
		{"bytes=0-1000", 1000, "0+1000"},
		{"bytes=0-" + huge, 1000, "0+1000"},
		{"bytes=000000000000000000000000005-6", 1000, "5+2"},
		{"bytes=1000-", 1000, refused},
		{"bytes=1000-2000", 1000, refused},
		{"bytes=" + huge + "-", 1000, refused},
		{"bytes=" + huge + "-" + huge, 1000, refused},
		{"bytes=9223372036854775807-9223372036854775807", 1000, refused},
		// The end.
		{"bytes=-1", 1000, "999+1"},
		{"bytes=-10", 1000, "990+10"},
		{"bytes=-1000", 1000, "0+1000"},
		{"bytes=-1001", 1000, "0+1000"},
		{"bytes=-" + huge, 1000, "0+1000"},
		{"bytes=-0", 1000, refused},
		{"bytes=-00", 1000, refused},
		// Not well formed.
		{"bytes=", 1000, refused},
		{"bytes=,", 1000, refused},
		{"bytes=-", 1000, refused},
		{"bytes=--1", 1000, refused},
		{"bytes=5", 1000, refused},
		{"bytes=5-2", 1000, refused},
		{"bytes=10-9", 1000, refused},
		{"bytes=" + huge + "1-" + huge, 1000, refused},
		{"bytes=a-b", 1000, refused},
		{"bytes=0-b", 1000, refused},
		{"bytes=0x1-2", 1000, refused},
		{"bytes=+1-2", 1000, refused},
		{"bytes=1.5-2", 1000, refused},
		{"bytes=0-1-2", 1000, refused},
		{"bytes=0-1;2-3", 1000, refused},
		{"bytes=0 1-2", 1000, refused},
		{"bytes=0-1,x", 1000, refused},
		{"bytes=x,0-1", 1000, refused},
		{"bytes=bytes=0-1", 1000, refused},
		// Units.
		{"Bytes=0-8", 1000, "0+9"},
		{"BYTES=0-8", 1000, "0+9"},
		{"items=0-8", 1000, whole},
		{"seconds=x", 1000, whole},
		{"bytes", 1000, whole},
		{"bytes:0-8", 1000, whole},
		{"0-8", 1000, whole},
		{"=0-8", 1000, whole},
		{"bytes =0-8", 1000, whole},
		{"", 1000, whole},
		// Space.
		{" bytes=0-8 ", 1000, "0+9"},
		{"bytes= 0-8", 1000, "0+9"},
		{"bytes=0 - 8", 1000, "0+9"},
		{"bytes=\t0-8\t", 1000, "0+9"},
		// Several.
		{"bytes=0-0,-1", 1000, "0+1 999+1"},
		{"bytes=0-0 , 2-3", 1000, "0+1 2+2"},
		{"bytes=5-6,0-1", 1000, "5+2 0+2"},
		{"bytes=0-9,5-9", 1000, "0+10 5+5"},
		{"bytes=0-1,2000-", 1000, "0+2"},
		{"bytes=2000-,0-1", 1000, "0+2"},
		{"bytes=2000-,3000-", 1000, refused},
		{"bytes=,,0-1,,2-3,", 1000, "0+2 2+2"},
		{"bytes=0-,0-", 1000, whole},
		{"bytes=0-998,998-999", 1000, whole},
		{"bytes=0-,-" + huge + ",x", 1000, refused},
		{"bytes=0-1|2-3", 1000, "0+2 2+2"},
		{"bytes=0-1|bytes=2-3", 1000, refused},
		{"bytes=" + strings.Repeat("0-0,", Most), 1000, strings.TrimSpace(strings.Repeat("0+1 ", Most))},
		{"bytes=" + strings.Repeat("0-0,", Most+1), 1000, whole},
		// Nothing to have a part of.
		{"bytes=0-", 0, whole},
		{"bytes=-5", 0, whole},
		{"bytes=5-", 0, whole},
		{"bytes=x", 0, whole},
		// The smallest and the largest.
		{"bytes=0-0", 1, "0+1"},
		{"bytes=1-", 1, refused},
		{"bytes=-1", 1, "0+1"},
		{"bytes=9223372036854775806-", 1<<63 - 1, "9223372036854775806+1"},
		{"bytes=0-9223372036854775807", 1<<63 - 1, "0+9223372036854775807"},
		{"bytes=0-,0-,0-", 1<<63 - 1, whole},
	} {
		list, how := Parse(strings.Split(c.lines, "|"), c.size)
		got := [...]string{Whole: whole, Unsatisfiable: refused, Parts: ""}[how]
		for _, r := range list {
			got += fmt.Sprintf("%d+%d ", r.Off, r.N)
		}
		if got = strings.TrimSpace(got); got != c.want {
			t.Errorf("%.60q of %d bytes: %.80s, want %.80s", c.lines, c.size, got, c.want)
		}
	}
	if _, how := Parse(nil, 1000); how != Whole {
		t.Errorf("no field: %v", how)
	}
}
