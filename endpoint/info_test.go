package endpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weir-go/weir/endpoint"
)

// A program can say what it understands.
func ExampleSchemes() {
	for _, name := range endpoint.Schemes() {
		if name == "http" || name == "https" {
			fmt.Println(name)
		}
	}
	// Output:
	// http
	// https
}

func TestSchemes_AreSortedAndEachOfThemIsKnown(t *testing.T) {
	names := endpoint.Schemes()
	if !slices.IsSorted(names) || !slices.Contains(names, "http") || !slices.Contains(names, "https") {
		t.Error(names)
	}
	names[0] = "changed"
	if slices.Contains(endpoint.Schemes(), "changed") {
		t.Error("the list is shared with the registry")
	}
}

func TestInfo_DescribesAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := os.Chtimes(file, modified, modified); err != nil {
		t.Fatal(err)
	}
	in, err := endpoint.Source(file, endpoint.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := in.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := endpoint.Info{Name: "notes.txt", Size: 5, Validator: info.Validator, Modified: modified, Resumable: true}
	info.Modified = info.Modified.UTC()
	if info != want || info.Validator == "" {
		t.Errorf("%+v, want %+v", info, want)
	}
	// Another version of the contents has another validator.
	if err := os.WriteFile(file, []byte("hello, you"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := in.Stat(t.Context()); err != nil || again.Validator == info.Validator || again.Size != 10 {
		t.Errorf("%+v, %v after %+v", again, err, info)
	}
}
