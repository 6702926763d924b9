package endpoint_test

import (
	"net/url"

	"github.com/weir-go/weir/endpoint"
)

func failingScheme(err error) func(*url.URL, endpoint.SourceOptions) (endpoint.Input, error) {
	return func(*url.URL, endpoint.SourceOptions) (endpoint.Input, error) { return nil, err }
}
