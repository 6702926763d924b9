package weir_test

import (
	"cmp"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/weir-go/weir"

// rooms lists the packages of the project from the bottom up, and whether they
// may import what is not in the standard library. A package imports only rooms
// above its own line, or on it. It is in the room whose name is the longest that
// fits.
var rooms = []struct {
	prefix string
	others bool
}{
	{"internal/clock", false},
	{"internal", false},
	{"internal/pipe", false},
	{"report", false},
	{"", false}, // the root package
	{"pace", false},
	{"text", false},
	{"record", false},
	{"weirtest", true},
	{"compress", true},
	{"endpoint", true},
	{"tree", true},
	{"s3", true},
	{"weirhttp", true},
	{"monitor", false},
	{"cmd", true},
	{"examples", true},
	{"conformance", true},
}

func roomOf(dir string) int {
	found, most := -1, -1
	for i, r := range rooms {
		if (r.prefix == "" && dir == "." || r.prefix != "" && (dir == r.prefix || strings.HasPrefix(dir, r.prefix+"/"))) && len(r.prefix) > most {
			found, most = i, len(r.prefix)
		}
	}
	return found
}

func TestImportsPointOneWayAndTheRootNeedsOnlyTheStandardLibrary(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || name == "bench" || name == "tools" || name == "e2e" || name == "contrib") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		dir := path.Dir(filepath.ToSlash(name))
		room := roomOf(dir)
		if room < 0 {
			if !strings.HasPrefix(dir, "docs") {
				t.Errorf("%s is in no known room: add it to the list in this test", name)
			}
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, im := range f.Imports {
			p, _ := strconv.Unquote(im.Path.Value)
			switch {
			case p == module:
				if room < roomOf(".") {
					t.Errorf("%s imports the root package: arrows point downward only", name)
				}
			case strings.HasPrefix(p, module+"/"):
				target := roomOf(strings.TrimPrefix(p, module+"/"))
				if target > room {
					t.Errorf("%s imports %s: arrows point downward only", name, p)
				}
			case strings.Contains(strings.Split(p, "/")[0], ".") && !rooms[room].others:
				t.Errorf("%s imports %s: only the standard library is allowed here", name, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 30 {
		t.Errorf("looked at %d files only", files)
	}
}

// Windows returns errors of its own for these, which package errno knows.
func TestPortableCode_AsksPackageErrnoForErrorsThatWindowsNamesDifferently(t *testing.T) {
	found := regexp.MustCompile(`errors\.Is\(\w+, syscall\.E(CONNREFUSED|CONNRESET|ADDRINUSE|ADDRNOTAVAIL|ACCES|NOSPC|PIPE|NAMETOOLONG)\b`)
	elsewhere := regexp.MustCompile(`_(linux|unix|bsd|darwin|test)\.go$`)
	unix := regexp.MustCompile(`(?m)^//go:build (unix|linux|!windows)`)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (name == "bench" || name == "tools" || name == "e2e" || name == "contrib" || strings.HasPrefix(name, "examples")) {
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
