package weir_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// sentinels returns the texts of the package-level errors of a file, by name.
func sentinels(f *ast.File) map[string]string {
	found := map[string]string{}
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			for i, id := range v.Names {
				if !strings.HasPrefix(id.Name, "Err") || i >= len(v.Values) {
					continue
				}
				call, ok := v.Values[i].(*ast.CallExpr)
				if !ok || len(call.Args) != 1 {
					continue
				}
				lit, ok := call.Args[0].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				if text, err := strconv.Unquote(lit.Value); err == nil {
					found[id.Name] = text
				}
			}
		}
	}
	return found
}

var (
	prefixed = regexp.MustCompile(`^\w+: `)
	headless = regexp.MustCompile(`^(it|its|that|this|what|who|the) `)
	openEnd  = regexp.MustCompile(` (than|of|to|by|for|with|in|at|from|a|the)$`)
)

// wrongSentinel returns a complaint about the text of an exported error, or "".
func wrongSentinel(text string) string {
	first, rest := rune(text[0]), text[1:]
	switch {
	case prefixed.MatchString(text):
		return "it has a prefix; whoever wraps it says what was being done"
	case headless.MatchString(text):
		return "it does not name the thing that is wrong"
	case openEnd.MatchString(text):
		return "it stops in the middle"
	case strings.HasSuffix(text, "."):
		return "it ends with a full stop"
	case unicode.IsUpper(first) && strings.ToLower(rest) == rest:
		return "it begins with a capital letter"
	}
	return ""
}

func TestSentinels_ReadAsAWholeAndHaveNoPrefix(t *testing.T) {
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || name == "tools" || name == "bench") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for id, text := range sentinels(f) {
			n++
			if wrong := wrongSentinel(text); wrong != "" {
				t.Errorf("%s: %s, %q: %s", name, id, text, wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 30 {
		t.Errorf("found %d exported errors only", n)
	}
}

func TestSentinels_OfEachWrongKindAreFound(t *testing.T) {
	for _, text := range []string{
		"weir: pipe is closed", "it has changed", "what was read is wrong", "a frame needs a window larger than", "Too large", "too large.",
	} {
		if wrongSentinel(text) == "" {
			t.Errorf("%q passes", text)
		}
	}
	for _, text := range []string{"pipe is closed", "Content-Encoding is not supported", "name is taken by a folder", "invalid UTF-8"} {
		if wrong := wrongSentinel(text); wrong != "" {
			t.Errorf("%q: %s", text, wrong)
		}
	}
}
