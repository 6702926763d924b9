package prose

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// spread are the types with methods in several files on purpose, and why.
var spread = map[string]string{
	"internal/deflate.Encoder": "1,260 lines in three steps, which share only the state: taking the input, finding matches, writing blocks",
}

// homes lists the files that declare a type or one of its methods.
type homes map[string]map[string]bool // by folder and type: the files, without the name of a system

// add takes what a file declares. A command is left out: its files are by what its user
// can do, and types such as the settings of a run collect a method or two from each.
func (h homes) add(name string, f *ast.File) {
	if f.Name.Name == "main" {
		return
	}
	for _, d := range f.Decls {
		var types []string
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					types = append(types, s.Name.Name)
				}
			}
		case *ast.FuncDecl:
			if d.Recv != nil {
				types = append(types, typeName(d.Recv.List[0].Type))
			}
		}
		for _, typ := range types {
			key := path.Dir(name) + "." + typ
			if h[key] == nil {
				h[key] = make(map[string]bool)
			}
			// What a system has of a type is in conn_linux.go beside conn.go.
			h[key][system.ReplaceAllString(strings.TrimSuffix(path.Base(name), ".go"), "")+".go"] = true
		}
	}
}

// walkCode calls f for each file of Go code that is not a test.
func walkCode(t *testing.T, f func(name string, file *ast.File)) {
	t.Helper()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		f(name, file)
	})
}

// check reports types that are in several files, and exceptions that are none.
func (h homes) check(spread map[string]string) (wrong []string) {
	for _, key := range slices.Sorted(maps.Keys(h)) {
		files := slices.Sorted(maps.Keys(h[key]))
		if _, allowed := spread[key]; len(files) > 1 && !allowed {
			wrong = append(wrong, fmt.Sprintf("%s is in %s; keep a type and its methods in one file", key, strings.Join(files, ", ")))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(spread)) {
		if len(h[key]) < 2 {
			wrong = append(wrong, key+" is in one file, and needs no exception")
		}
	}
	return wrong
}

func TestMethods_AreInTheFileOfTheirType(t *testing.T) {
	h := make(homes)
	walkCode(t, h.add)
	if len(h) < 500 {
		t.Fatalf("found %d types", len(h))
	}
	for _, w := range h.check(spread) {
		t.Error(w)
	}
}

func TestMethods_InAnotherFileThanTheirTypeAreFound(t *testing.T) {
	for _, c := range []struct {
		files  map[string]string
		spread map[string]string
		wrong  int
	}{
		{files: map[string]string{"a/x.go": "package a; type T int; func (T) M() {}", "b/y.go": "package b; type T int"}},
		{files: map[string]string{"a/x.go": "package a; type T int", "a/x_linux.go": "package a; func (T) M() {}", "a/x_other.go": "package a; func (T) M() {}"}},
		{files: map[string]string{"a/x.go": "package a; type T int", "a/y.go": "package a; func (*T) M() {}"}, wrong: 1},
		{files: map[string]string{"a/x.go": "package a; type T[E any] struct{}", "a/y.go": "package a; func (t *T[E]) M() {}"}, wrong: 1},
		{files: map[string]string{"a/x.go": "package a; type T int", "a/y_linux.go": "package a; func (T) M() {}"}, wrong: 1},
		{files: map[string]string{"a/x.go": "package a; type T int; func (T) M() {}", "a/y.go": "package a; func (T) N() {}", "a/z.go": "package a; func (T) O() {}"}, wrong: 1},
		{files: map[string]string{"a/x.go": "package main; type T int", "a/y.go": "package main; func (T) M() {}"}},
		{files: map[string]string{"a/x.go": "package a; type T int", "a/y.go": "package a; func (T) M() {}"}, spread: map[string]string{"a.T": "why"}},
		{files: map[string]string{"a/x.go": "package a; type T int; func (T) M() {}"}, spread: map[string]string{"a.T": "why"}, wrong: 1},
		{spread: map[string]string{"a.T": "why"}, wrong: 1},
	} {
		h := make(homes)
		for name, text := range c.files {
			f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			h.add(name, f)
		}
		if wrong := h.check(c.spread); len(wrong) != c.wrong {
			t.Errorf("%v: found %q", c.files, wrong)
		}
	}
}
