package endpoint_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-go/weir/endpoint"
)

func TestRedact_LeavesNoPasswordAndNoQuery(t *testing.T) {
	for text, want := range map[string]string{
		"http://ann:secret@example.org/a":                "http://example.org/a",
		"s3://ann:secret@bucket/a and S3://secret@b":     "s3://bucket/a and S3://b",
		"https://example.org/a?sig=secret&x=secret":      "https://example.org/a?…",
		"'https://ann:secret@example.org/a?s=secret' b":  "'https://example.org/a?…' b",
		"http://ann:se/secret@example.org/a":             "http://example.org/a",
		"http://ann:12/secret@example.org/a":             "http://ann:12/secret@example.org/a", // a valid URL: host ann, port 12
		"http://ann:se@secret@example.org/a":             "http://example.org/a",
		"mkdir -p http:/ann:secret@example.org":          "mkdir -p http:/example.org",
		"HTTPS:/ann:secret@example.org nats:/a:secret@h": "HTTPS:/example.org nats:/h",
		"tee:http://ann:secret@example.org/a":            "tee:http://example.org/a",
		"http://example.org:80/a@b, c@d":                 "http://example.org:80/a@b, c@d",
		"a://b and ann@example.org":                      "a://b and ann@example.org",
		"is it there?":                                   "is it there?",
		"Authorization: Bearer secret":                   "Authorization: …",
		"-H cookie:a=secret; b=secret":                   "-H cookie:…",
		"the key: a value":                               "the key: a value",
	} {
		if got := endpoint.Redact(text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
		line, err := json.Marshal(map[string]string{"text": text, "b": "x@y", "a": "http://h"})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		redacted := endpoint.Redact(string(line))
		if err := json.Unmarshal([]byte(redacted), &back); err != nil {
			t.Errorf("%s: %v", redacted, err)
		}
		if back["text"] != want || back["b"] != "x@y" || back["a"] != "http://h" || len(back) != 3 {
			t.Errorf("in JSON: %s", redacted)
		}
		if strings.Contains(want, "secret") != strings.Contains(redacted, "secret") {
			t.Error(redacted)
		}
	}
}
