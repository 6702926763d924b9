package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A number before a plural is right only for numbers other than one, so it comes
// from units.Count.
func TestMessages_CountInEnglish(t *testing.T) {
	t.Parallel()
	number := regexp.MustCompile(`%d ([a-z]+s)\b`)
	verbs := regexp.MustCompile(`^(is|was|has|does|lets|cuts|leaves|asks|needs|takes)$`)
	for _, pattern := range []string{"*.go", "../../endpoint/*.go", "../../compress/*.go", "../../tree/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				for _, m := range number.FindAllStringSubmatch(lit.Value, -1) {
					if !verbs.MatchString(m[1]) {
						t.Errorf("%s: %s is wrong for 1; use units.Count", set.Position(lit.Pos()), m[0])
					}
				}
				return true
			})
		}
	}
}
