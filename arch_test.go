package weir_test

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/weir-go/weir"

// Windows returns other errors for these, which package errno knows.
func TestErrno_IsAskedForErrorsThatWindowsNamesDifferently(t *testing.T) {
	found := regexp.MustCompile(`errors\.Is\(\w+, syscall\.E(CONNREFUSED|CONNRESET|ADDRINUSE|ADDRNOTAVAIL|ACCES|NOSPC|PIPE|NAMETOOLONG)\b`)
	elsewhere := regexp.MustCompile(`_(linux|unix|bsd|darwin|test)\.go$`)
	unix := regexp.MustCompile(`(?m)^//go:build (unix|linux|!windows)`)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (name == "bench" || name == "tools" || name == "contrib" || strings.HasPrefix(name, "examples")) {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(name, ".go") || elsewhere.MatchString(name) {
			return nil
		}
		code, err := os.ReadFile(name)
		if err == nil && !unix.Match(code) {
			for _, m := range found.FindAll(code, -1) {
				t.Errorf("%s: %s; use errno.Is", name, m)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
