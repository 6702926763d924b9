package xattr

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestWrite_CopiesAttributesOfUsers(t *testing.T) {
	dir := t.TempDir()
	from, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	want := []Attr{{"user.empty", nil}, {"user.long", []byte(strings.Repeat("x", 1000))}}
	if err := Write(from, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(from)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 {
		t.Skip("no extended attributes on this file system")
	}
	if err := Write(to, got); err != nil {
		t.Fatal(err)
	}
	if got, err = Read(to); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %v, %v; want %v", got, err, want)
	}
}
