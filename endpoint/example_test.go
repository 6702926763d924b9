package endpoint_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-go/weir/endpoint"
)

// A download ends in a file that is whole or absent, however often the
// connection breaks.
func ExampleSource() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Now().Add(-time.Hour), strings.NewReader("a big file"))
	}))
	defer server.Close()
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	in, err := endpoint.Source(server.URL+"/big.txt", endpoint.SourceOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	known, err := in.Stat(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := endpoint.Sink(filepath.Join(dir, known.Name), endpoint.SinkOptions{Size: known.Size})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(known.Name, known.Size, known.Resumable)
	fmt.Println(in.Stream().To(out).Run(ctx))
	// Output:
	// big.txt 10 true
	// <nil>
}
