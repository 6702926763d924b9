package s3_test

import (
	"strings"
	"testing"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

func TestDurableSink_RefusesWhatCannotHaveACheckpoint(t *testing.T) {
	for name, want := range map[string]string{
		"s3://bucket/folder/":                      "folder",
		"s3://bucket/" + strings.Repeat("k", 1020): "at most 1014",
		"s3://bucket/k?part-size=1MiB":             "part-size",
		"https://host/k":                           "invalid URL",
	} {
		if _, err := (s3.Store{}).DurableSink(name, endpoint.HTTPOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %q", name, err, want)
		}
	}
	k, err := s3.Store{}.DurableSink("s3://bucket/key", endpoint.HTTPOptions{})
	if err != nil || k.Holds() < 4*8<<20 {
		t.Errorf("%v, holds %d bytes", err, k.Holds())
	}
}
