package weir_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers are the files of the root package from the bottom up. A file can use
// files of its own layer and of the layers listed before it. Inside a layer,
// files use each other, above all in the engine: lanes, plans and runs are one
// thing seen from three sides.
var layers = []struct {
	name  string
	files []string
}{
	{"values", []string{"doc.go", "errors.go", "limit.go", "budget.go"}},
	{"pipes", []string{"pipe.go"}},
	{"engine", []string{"flow.go", "plan.go", "node.go", "lane.go", "lane_io.go", "standstill.go", "onrun.go", "ceiling.go", "phases.go"}},
	{"streams, sources, stages and sinks", []string{"stream.go", "source.go", "stage.go", "sink.go", "kernel.go"}},
	{"operators", nil}, // all other files
}

func layerOf(file string) int {
	for i, l := range layers {
		if slices.Contains(l.files, file) {
			return i
		}
	}
	return len(layers) - 1
}

func TestLayers_NoFileOfTheRootKnowsAnUpperLayer(t *testing.T) {
	files, uses := rootUses(t)
	for _, l := range layers {
		for _, f := range l.files {
			if !slices.Contains(files, f) {
				t.Errorf("%s is in the list and not in the package", f)
			}
		}
	}
	if len(uses) < 1000 {
		t.Errorf("found only %d uses of a name in another file", len(uses))
	}
	for _, u := range uses {
		if from, to := layerOf(u.from), layerOf(u.to); from < to {
			t.Errorf("%s (%s) uses %s of %s (%s)", u.from, layers[from].name, u.name, u.to, layers[to].name)
		}
	}
}

// use is a name that one file uses and another declares.
type use struct{ from, name, to string }

// rootUses returns the files of the root package on this system, and what they use
// of each other: constants, variables, types, functions, fields and methods. Only
// the package itself is checked for types, which is quick; names of imported
// packages stay unknown.
func rootUses(t *testing.T) (files []string, uses []use) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names {
		if ok, err := build.Default.MatchFile(".", name); !ok || err != nil || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files, parsed = append(files, name), append(parsed, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: unknownPackages{}, Error: func(error) {}}
	pkg, _ := conf.Check(module, set, parsed, info) // errors come of the unknown packages
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg || !obj.Pos().IsValid() || obj.Parent() != nil && obj.Parent() != pkg.Scope() {
			continue // of another package, or local
		}
		from, to := set.Position(id.Pos()).Filename, set.Position(obj.Pos()).Filename
		if from != to {
			uses = append(uses, use{from, obj.Name(), to})
		}
	}
	return files, uses
}

// unknownPackages imports every package as an empty one.
type unknownPackages struct{}

func (unknownPackages) Import(name string) (*types.Package, error) {
	pkg := types.NewPackage(name, path.Base(name))
	pkg.MarkComplete()
	return pkg, nil
}
