package e2e

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

var (
	putOptions  minio.PutObjectOptions
	partOptions minio.PutObjectPartOptions
	sinkOptions endpoint.SinkOptions
	httpOptions endpoint.HTTPOptions
)

// client speaks to the gateway without weir.
func client(t *testing.T, s s3.Store) *minio.Core {
	t.Helper()
	core, err := minio.NewCore(strings.TrimPrefix(s.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKeyID, s.SecretAccessKey, ""), Region: s.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}
