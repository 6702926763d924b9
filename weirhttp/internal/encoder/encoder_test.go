package encoder

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestNew_FlushedBytesCanBeReadBeforeTheEnd(t *testing.T) {
	open := map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
	}
	for coding, reader := range open {
		for range 2 { // the second one is reused
			var b bytes.Buffer
			e := New(coding, &b)
			io.WriteString(e, "first")
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			r, err := reader(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(r, got); err != nil || string(got) != "first" {
				t.Errorf("%s: %q, %v", coding, got, err)
			}
			io.WriteString(e, " last")
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			Free(coding, e)
			if r, err = reader(&b); err != nil {
				t.Fatal(err)
			}
			if all, err := io.ReadAll(r); err != nil || string(all) != "first last" {
				t.Errorf("%s: %q, %v", coding, all, err)
			}
		}
	}
}
