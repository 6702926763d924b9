package weirhttp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// layers lists the files of this package from the bottom up. The code of a file uses only
// files above its own line, or on it: those are the same code for different systems.
var layers = [][]string{
	{"doc.go"},
	{"gointernals.go"},
	{"transfers.go"}, // what is under way
	{"span.go"},
	{"conn.go", "conn_linux.go", "conn_other.go"}, // a connection, and the rules of its guard
	{"lot.go"},
	{"lot_linux.go", "lot_other.go"},
	{"guard.go"}, // Guard and its ports
	{"park.go"},
	{"store.go"},
	{"status.go"}, // which status for which error
	{"body.go"},   // what a request brings
	{"rolling.go"},
	{"answer.go"}, // downloads
	{"content.go"},
	{"arriving.go"}, // uploads that can be followed
	{"open.go"},
	{"follow.go"},
	{"respond.go"},
	{"walk.go"},
	{"archive.go"},
	{"tarball.go"},
	{"store_files.go"},
	{"listing.go"},
	{"listing_page.go"},
	{"small.go"},
	{"files.go"},
	{"upload_request.go"}, // uploads
	{"upload_copy.go"},
	{"upload_kernel.go", "upload_kernel_linux.go", "upload_kernel_other.go"},
	{"upload_folder.go"},
	{"upload_form.go"},
	{"upload_store.go"}, // resumable uploads
	{"upload_store_folder.go"},
	{"upload_store_own.go"},
	{"upload_resume.go"},
	{"tus_store.go"},
	{"tus.go"},
	{"upload_draft.go"},
	{"upload_http.go"},
	{"upload.go"},
}

func layerOf(file string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, file) })
}

func TestLayers_FilesUseOnlyThoseBelow(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			names = append(names, name)
			if layerOf(name) < 0 {
				t.Errorf("%s has no layer; add it to the list", name)
			}
		}
	}
	for _, l := range layers {
		for _, name := range l {
			if !slices.Contains(names, name) {
				t.Errorf("%s is in the list and does not exist", name)
			}
		}
	}
	arrows := map[[2]string]bool{}
	for _, other := range []string{"_other.go", "_linux.go"} { // leave out one of the two
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range names {
			if strings.HasSuffix(name, other) {
				continue
			}
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		file := func(p token.Pos) string { return fset.Position(p).Filename }
		// What other packages declare does not matter here, so they are empty, and the
		// errors about that are ignored.
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		conf := types.Config{Importer: empty{}, Error: func(error) {}}
		pkg, _ := conf.Check("weirhttp", fset, files, info)
		for id, obj := range info.Uses {
			if obj.Pkg() != pkg || obj.Parent() != nil && obj.Parent() != pkg.Scope() {
				continue // not of this package, or local; methods and fields have no parent
			}
			from, to := file(id.Pos()), file(obj.Pos())
			arrows[[2]string{from, to}] = true
			if layerOf(to) > layerOf(from) {
				t.Errorf("%s uses %s of %s, which is above it", from, id.Name, to)
			}
		}
	}
	if len(arrows) < 100 {
		t.Errorf("found %d pairs of files that use each other", len(arrows))
	}
}

// empty imports packages without content.
type empty struct{}

func (empty) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}
