package weir_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What moves data between machines is heavy, and few programs need it.
func TestPrograms_LinkNothingOfObjectStoresUnlessTheyAskForThem(t *testing.T) {
	linked := func(pkg string) []string {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		return strings.Fields(string(out))
	}
	heavy := func(p string) bool {
		return p == module+"/s3" || strings.HasPrefix(p, "github.com/minio/") || strings.HasPrefix(p, "gopkg.in/ini") ||
			strings.HasPrefix(p, "github.com/versity/") || strings.HasPrefix(p, "github.com/nats-io/")
	}
	for _, pkg := range []string{"", "/report", "/text", "/record", "/compress", "/endpoint", "/tree", "/weirtest", "/weirhttp"} {
		deps := linked(module + pkg)
		if len(deps) < 10 {
			t.Errorf("%s links %d packages only", module+pkg, len(deps))
		}
		for _, p := range deps {
			if heavy(p) {
				t.Errorf("a program that imports %s links %s", module+pkg, p)
			}
		}
	}
	// The list above is worth something: this one does link them.
	found := false
	for _, p := range linked(module + "/s3") {
		found = found || strings.HasPrefix(p, "github.com/minio/")
	}
	if !found {
		t.Error("package s3 links nothing of minio-go: the prefixes of this test are out of date")
	}
}
