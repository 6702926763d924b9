package precondition

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func TestMet_ComparesTagsAndDates(t *testing.T) {
	modified := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for _, c := range []struct {
		field, value string
		want         bool
	}{
		{"If-Match", `"a", W/"b"`, true}, {"If-Match", `W/"a"`, false}, {"If-Match", `"b"`, false}, {"If-Match", "*", true}, {"If-Match", `"a`, false},
		{"If-None-Match", `"b"`, true}, {"If-None-Match", `"b", W/"a"`, false},
		{"If-Unmodified-Since", "Fri, 02 Jan 2026 03:04:05 GMT", true}, {"If-Unmodified-Since", "Fri, 02 Jan 2026 03:04:04 GMT", false},
		{"If-Unmodified-Since", "yesterday", true}, {"If-Modified-Since", "Fri, 02 Jan 2026 03:04:04 GMT", true},
	} {
		terms := Of(http.Header{c.field: {c.value}})
		stored, err := json.Marshal(terms)
		var again Terms
		if err == nil {
			err = json.Unmarshal(stored, &again)
		}
		if err != nil || again != terms {
			t.Errorf("%s: stored as %s, %v", c.field, stored, err)
		}
		if got := terms.Met(`"a"`, modified); got != c.want {
			t.Errorf("%s: %s is %v", c.field, c.value, got)
		}
	}
	if terms := Of(http.Header{"If-None-Match": {"*"}}); !terms.OnlyNew || terms.NoneMatch != "" {
		t.Errorf("%+v", terms)
	}
}
