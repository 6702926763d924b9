package precondition

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fields makes a header of lines such as "If-Match: x".
func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		k, v, _ := strings.Cut(l, ":")
		h.Add(k, strings.TrimPrefix(v, " "))
	}
	return h
}

const (
	before = "Fri, 31 Dec 1999 00:00:09 GMT"
	at     = "Fri, 31 Dec 1999 00:00:10 GMT"
	after  = "Fri, 31 Dec 1999 00:00:11 GMT"
)

var changed = time.Date(1999, 12, 31, 0, 0, 10, 700e6, time.UTC)

func TestRead_FollowsTheOrderOfTheRFC(t *testing.T) {
	for _, c := range []struct {
		header string // lines separated by |
		want   int
	}{
		{"", 0},
		// If-Match compares strongly.
		{`If-Match: "a"`, 0}, {`If-Match: "b"`, 412}, {`If-Match: W/"a"`, 412}, {`If-Match: *`, 0}, {`If-Match: "b", "a"`, 0},
		{`If-Match: "b"|If-Match: "a"`, 0}, {`If-Match: "b"|If-Match: "c"`, 412}, {`If-Match: a`, 412}, {`If-Match:`, 412},
		{`If-Match: "x,\"a\"", "a"`, 412}, {`If-Match: "x,y", "a"`, 0},
		// If-Unmodified-Since counts only without it.
		{"If-Unmodified-Since: " + at, 0}, {"If-Unmodified-Since: " + after, 0}, {"If-Unmodified-Since: " + before, 412},
		{"If-Unmodified-Since: yesterday", 0}, {"If-Unmodified-Since: " + before + "|If-Unmodified-Since: " + before, 0},
		{`If-Match: "a"|If-Unmodified-Since: ` + before, 0}, {`If-Match: "b"|If-Unmodified-Since: ` + after, 412},
		{"If-Unmodified-Since: Friday, 31-Dec-99 00:00:09 GMT", 412}, {"If-Unmodified-Since: Fri Dec 31 00:00:09 1999", 412},
		// If-None-Match compares weakly.
		{`If-None-Match: "a"`, 304}, {`If-None-Match: W/"a"`, 304}, {`If-None-Match: "b"`, 0}, {`If-None-Match: *`, 304},
		{`If-None-Match: "b", W/"a"`, 304}, {`If-None-Match: "b"|If-None-Match: "a"`, 304}, {`If-None-Match: a`, 0}, {`If-None-Match:`, 0},
		{`If-None-Match: w/"a"`, 0},
		// If-Modified-Since counts only without it.
		{"If-Modified-Since: " + at, 304}, {"If-Modified-Since: " + after, 304}, {"If-Modified-Since: " + before, 0},
		{"If-Modified-Since: yesterday", 0}, {"If-Modified-Since: " + at + "|If-Modified-Since: " + at, 0},
		{`If-None-Match: "b"|If-Modified-Since: ` + at, 0}, {`If-None-Match: "a"|If-Modified-Since: ` + before, 304},
		{`If-None-Match:|If-Modified-Since: ` + at, 0},
		// 412 comes before 304.
		{`If-Match: "b"|If-None-Match: "a"`, 412}, {`If-Match: "a"|If-None-Match: "a"`, 304},
		{"If-Unmodified-Since: " + before + "|If-Modified-Since: " + at, 412}, {"If-Unmodified-Since: " + at + "|If-Modified-Since: " + at, 304},
	} {
		var lines []string
		if c.header != "" {
			lines = strings.Split(c.header, "|")
		}
		if got := Read(fields(lines...), `"a"`, changed); got != c.want {
			t.Errorf("%s: %d, want %d", c.header, got, c.want)
		}
	}
	for _, l := range []string{"If-Modified-Since: " + after, "If-Unmodified-Since: " + before} {
		if got := Read(fields(l), `"a"`, time.Time{}); got != 0 {
			t.Errorf("%s of a representation without a date: %d", l, got)
		}
	}
}

func TestRangeCounts_OnlyForTheSameBytes(t *testing.T) {
	for header, want := range map[string]bool{
		"": true, `If-Range: "a"`: true, `If-Range: "b"`: false, `If-Range: W/"a"`: false, `If-Range: *`: false, `If-Range: a`: false,
		`If-Range:`: false, `If-Range: "a", "b"`: false, `If-Range: "b"|If-Range: "a"`: false,
		"If-Range: " + at: true, "If-Range: " + before: false, "If-Range: " + after: false, "If-Range: yesterday": false,
		"If-Range: Fri Dec 31 00:00:10 1999": true,
	} {
		var lines []string
		if header != "" {
			lines = strings.Split(header, "|")
		}
		if got := RangeCounts(fields(lines...), `"a"`, changed); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
	if RangeCounts(fields("If-Range: "+at), `"a"`, time.Time{}) {
		t.Error("a date identifies a representation that has none")
	}
}

// TestRead_DateIsWeakWithinItsSecond has a file that can change again within the second of
// its date.
func TestRead_DateIsWeakWithinItsSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		modified := time.Now().Add(200 * time.Millisecond)
		time.Sleep(time.Until(modified))
		since := fields("If-Modified-Since: " + modified.UTC().Format(http.TimeFormat))
		ifRange := fields("If-Range: " + modified.UTC().Format(http.TimeFormat))
		if Read(since, `"a"`, modified) != 0 || RangeCounts(ifRange, `"a"`, modified) {
			t.Error("the date counts while its second lasts")
		}
		time.Sleep(800 * time.Millisecond)
		if Read(since, `"a"`, modified) != 304 || !RangeCounts(ifRange, `"a"`, modified) {
			t.Error("the date does not count after its second")
		}
	})
}
