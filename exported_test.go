package weir_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exported are the exported names of the module's packages, and which of them
// a test or an example uses.
type exported struct {
	where   map[string]token.Position // name, as in "weir.Map" or "weir.Flow.Run" → where it is declared
	used    map[string]bool           // package-level names
	methods map[string]bool           // names of methods and fields that are selected somewhere
}

// publicDir reports whether a folder has a package whose names are promised to
// users.
func publicDir(dir string) bool {
	first, _, _ := strings.Cut(dir, "/")
	return !slices.Contains([]string{"cmd", "examples", "conformance", "bench", "tools", "e2e", "docs"}, first) &&
		!strings.Contains("/"+dir+"/", "/internal/")
}

// importPath returns the path of a folder's package.
func importPath(dir string) string { return path.Join(module, dir) }

// declare adds what a file that is no test exports.
func (e *exported) declare(fset *token.FileSet, dir string, f *ast.File) {
	add := func(id *ast.Ident, receiver string) {
		if id.IsExported() && (receiver == "" || ast.IsExported(receiver)) {
			name := id.Name
			if receiver != "" {
				name = receiver + "." + name
			}
			e.where[importPath(dir)+"."+name] = fset.Position(id.Pos())
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name, "")
			} else {
				add(d.Name, receiver(d.Recv.List[0].Type))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						add(id, "")
					}
				case *ast.TypeSpec:
					add(spec.Name, "")
					if i, ok := spec.Type.(*ast.InterfaceType); ok {
						for _, m := range i.Methods.List {
							for _, id := range m.Names {
								add(id, spec.Name.Name)
							}
						}
					}
				}
			}
		}
	}
}

// receiver returns the name of the type in *T, T[A] or T.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// use notes what a test or an example uses: x.Name, where x is a package of the
// module or a value, and Name alone in a test inside the package. Comments, and
// names that the file declares itself, are no use.
func (e *exported) use(dir string, f *ast.File) {
	packages := map[string]string{} // name in this file → import path
	for _, im := range f.Imports {
		p, err := strconv.Unquote(im.Path.Value)
		if err != nil || p != module && !strings.HasPrefix(p, module+"/") {
			continue
		}
		name := path.Base(p)
		if im.Name != nil {
			name = im.Name.Name
		}
		packages[name] = p
	}
	inside := !strings.HasSuffix(f.Name.Name, "_test")
	declared := map[*ast.Ident]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			declared[n.Name] = true
			if n.Recv != nil {
				e.methods[n.Name.Name] = true // what implements an interface
			}
		case *ast.TypeSpec:
			declared[n.Name] = true
		case *ast.ValueSpec:
			for _, id := range n.Names {
				declared[id] = true
			}
		case *ast.Field:
			for _, id := range n.Names {
				declared[id] = true
			}
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); ok {
				declared[id] = true // a field, or found as a value elsewhere
			}
		case *ast.SelectorExpr:
			declared[n.Sel] = true // told apart here, and not seen again
			if x, ok := n.X.(*ast.Ident); ok && packages[x.Name] != "" {
				e.used[packages[x.Name]+"."+n.Sel.Name] = true
				break
			}
			e.methods[n.Sel.Name] = true
		case *ast.Ident:
			if inside && !declared[n] {
				e.used[importPath(dir)+"."+n.Name] = true
			}
		}
		return true
	})
}

// missing returns the names that no test or example uses.
func (e *exported) missing() (names []string) {
	for name := range e.where {
		bare := strings.TrimPrefix(name, module)
		bare = bare[strings.LastIndex(bare, "/")+1:]
		_, after, _ := strings.Cut(bare, ".")
		if _, method, ok := strings.Cut(after, "."); ok && !e.methods[method] || !ok && !e.used[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryExportedName_IsUsedByATestOrAnExample(t *testing.T) {
	e := exported{map[string]token.Position{}, map[string]bool{}, map[string]bool{}}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || name == "tools" || name == "bench" || name == "contrib") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := path.Dir(filepath.ToSlash(name))
		test := strings.HasSuffix(name, "_test.go")
		if !test && !publicDir(dir) && !strings.HasPrefix(dir, "examples") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if test || !publicDir(dir) {
			e.use(dir, f)
		} else {
			e.declare(fset, dir, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.where) < 300 {
		t.Errorf("found %d exported names only", len(e.where))
	}
	for _, name := range e.missing() {
		t.Errorf("%s: %s is in no test and no example; write one that shows what it does, or remove the name", e.where[name], name)
	}
}

func TestExported_ACommentOrADeclarationIsNoUse(t *testing.T) {
	const code = `package pack
		type T struct{}
		func (T) M() {}
		func (T) N() {}
		func Called() {}
		func Mentioned() {}
		func Elsewhere() {}
		func hidden() {}
		const One, Two = 1, 2
		type I interface{ Do() }`
	const inside = `package pack
		// Mentioned and Two are here.
		func TestMentioned(t *testing.T) { T{}.M(); hidden() }
		type fake struct{}
		func (fake) Do() { _ = "Two" + One }`
	const outside = `package other_test
		import ("` + module + `/pack"; "` + module + `/other/elsewhere")
		func ExampleTwo() { pack.Called(); elsewhere.Elsewhere(); var N int; use(N) }`
	fset := token.NewFileSet()
	parse := func(name, text string) *ast.File {
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	e := exported{map[string]token.Position{}, map[string]bool{}, map[string]bool{}}
	e.declare(fset, "pack", parse("pack.go", code))
	e.use("pack", parse("pack_test.go", inside))
	e.use("other", parse("other_test.go", outside))
	var want []string
	for _, name := range []string{"Elsewhere", "I", "Mentioned", "T.N", "Two"} {
		want = append(want, importPath("pack")+"."+name)
	}
	if got := e.missing(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A reader has to learn every type of the root package before the library is
// clear, so a new one belongs into another package, or replaces an old one.
func TestExported_TypesOfTheRootPackageAreFew(t *testing.T) {
	const most = 25
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				types = append(types, spec.Name.Name)
			}
			return true
		})
	}
	if len(types) > most || len(types) < 10 {
		t.Errorf("%d exported types, want at most %d: %q", len(types), most, types)
	}
}
