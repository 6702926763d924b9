// Package prose checks what the project says about itself: that the identifiers
// in its pages and comments exist and that its links lead somewhere.
package prose

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

// names are the exported names of the project's packages.
type names struct {
	packages map[string]map[string]bool // package name → "Name" and "Type.Member"
	members  map[string]bool            // methods, fields and package-level names of any package
}

func (n *names) add(pkg, name string) {
	if n.packages[pkg] == nil {
		n.packages[pkg] = make(map[string]bool)
	}
	n.packages[pkg][name] = true
	n.members[name[strings.LastIndex(name, ".")+1:]] = true
}

// has reports whether a name exists, as "pkg.Name", "Type.Member" or "Name".
func (n *names) has(name string) bool {
	first, rest, qualified := strings.Cut(name, ".")
	if !qualified {
		return n.members[name]
	}
	if own, ok := n.packages[first]; ok {
		return own[rest]
	}
	if unicode.IsLower(rune(first[0])) {
		// A variable of an example, or another module's package.
		return true
	}
	for _, own := range n.packages {
		if own[name] {
			return true
		}
	}
	return false
}

func (n *names) declare(pkg string, f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				n.add(pkg, d.Name.Name)
			} else {
				n.add(pkg, typeName(d.Recv.List[0].Type)+"."+d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						n.add(pkg, id.Name)
					}
				case *ast.TypeSpec:
					n.add(pkg, spec.Name.Name)
					ast.Inspect(spec.Type, func(node ast.Node) bool {
						if field, ok := node.(*ast.Field); ok {
							for _, id := range field.Names {
								n.add(pkg, spec.Name.Name+"."+id.Name)
							}
						}
						return true
					})
				}
			}
		}
	}
}

// typeName returns the name of the type in *T, T[A] or T.
func typeName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.IndexExpr:
		return typeName(t.X)
	case *ast.IndexListExpr:
		return typeName(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// source is a file of a package that others can import.
type source struct {
	name string
	file *ast.File
	fset *token.FileSet
}

// load parses the project's code.
func load(t *testing.T) (*names, []source) {
	t.Helper()
	n := &names{packages: make(map[string]map[string]bool), members: make(map[string]bool)}
	var all []source
	fset := token.NewFileSet()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		n.declare(f.Name.Name, f)
		all = append(all, source{name, f, fset})
	})
	if len(all) < 100 {
		t.Fatalf("found %d Go files", len(all))
	}
	return n, all
}

// walk calls f for every file of the project, with its path from the root.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name != "." && strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "node_modules", "bench", "tools"}, d.Name())):
			return fs.SkipDir
		case !d.IsDir():
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pages returns the project's pages. CHANGELOG and decision records name what was
// there once.
func pages(t *testing.T, ok func(name string) bool) map[string]string {
	t.Helper()
	found := make(map[string]string)
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".md") || !ok(name) {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	})
	if len(found) < 5 {
		t.Fatalf("found %d pages", len(found))
	}
	return found
}

var (
	fence = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```")
	span  = regexp.MustCompile("`([^`\n]+)`")

	// identifier is an exported Go name, perhaps qualified, perhaps called.
	identifier = regexp.MustCompile(`^\*?((?:[A-Za-z]\w*\.)?(?:[A-Z][a-z]\w*)(?:\.[A-Z]\w*)?)(?:\[.*\])?(?:\(.*\))?$`)
)

// foreign are names of others that look like exported names of Go.
var foreign = map[string]bool{
	"Digest":             true, // a header
	"Forwarded":          true, // a header
	"UpperCaseTransform": true, // a class of the tutorial
}

func TestPages_NameOnlyIdentifiersThatExist(t *testing.T) {
	known, _ := load(t)
	checked := 0
	for name, text := range pages(t, func(name string) bool { return name != "CHANGELOG.md" && !strings.HasPrefix(name, "docs/adr/") }) {
		for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			id := identifier.FindStringSubmatch(m[1])
			if id == nil || foreign[id[1]] {
				continue
			}
			checked++
			if !known.has(id[1]) {
				t.Errorf("%s: `%s` does not exist", name, m[1])
			}
		}
	}
	if checked < 100 {
		t.Errorf("checked %d identifiers", checked)
	}
}

// standard are the packages of the standard library that comments refer to by
// their last name: go/doc finds them without an import.
var standard = regexp.MustCompile(`^[a-z]+(/[a-z0-9]+)*$`)

func TestComments_LinkOnlyToIdentifiersThatExist(t *testing.T) {
	known, files := load(t)
	checked := 0
	for _, s := range files {
		pkg := s.file.Name.Name
		imports := make(map[string]bool)
		for _, i := range s.file.Imports {
			p := strings.Trim(i.Path.Value, `"`)
			imports[path.Base(p)] = true
			if i.Name != nil {
				imports[i.Name.Name] = true
			}
		}
		p := comment.Parser{
			LookupPackage: func(name string) (string, bool) {
				return name, imports[name] || known.packages[name] != nil || standard.MatchString(name)
			},
			// Any symbol is taken for a link, to see those that are none.
			LookupSym: func(_, _ string) bool { return true },
		}
		for _, g := range s.file.Comments {
			for _, link := range links(p.Parse(g.Text()).Content) {
				from := link.ImportPath
				if from == "" {
					from = pkg
				}
				if known.packages[from] == nil {
					continue
				}
				symbol := link.Name
				if link.Recv != "" {
					symbol = strings.TrimPrefix(link.Recv, "*") + "." + link.Name
				}
				checked++
				if symbol != "" && !known.packages[from][symbol] {
					t.Errorf("%s: [%s] does not exist in package %s", s.fset.Position(g.Pos()), symbol, from)
				}
			}
		}
	}
	if checked < 300 {
		t.Errorf("checked %d links", checked)
	}
}

// links returns the doc links of a comment.
func links(blocks []comment.Block) (found []*comment.DocLink) {
	text := func(ts []comment.Text) {
		for _, x := range ts {
			if l, ok := x.(*comment.DocLink); ok {
				found = append(found, l)
			}
		}
	}
	for _, b := range blocks {
		switch b := b.(type) {
		case *comment.Paragraph:
			text(b.Text)
		case *comment.Heading:
			text(b.Text)
		case *comment.List:
			for _, item := range b.Items {
				found = append(found, links(item.Content)...)
			}
		}
	}
	return found
}

// anchor returns the fragment by which a page's heading can be linked to.
func anchor(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_', r == '-':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

func TestPages_LinksInsideTheRepositoryResolve(t *testing.T) {
	all := pages(t, func(string) bool { return true })
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	link := regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	test := regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)\w*$`)
	anchors := make(map[string]map[string]bool)
	for name, text := range all {
		anchors[name] = make(map[string]bool)
		for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			anchors[name][anchor(m[1])] = true
		}
	}
	checked := 0
	for name, text := range all {
		prose := span.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			text, address := m[1], m[2]
			if strings.Contains(address, "://") || strings.HasPrefix(address, "mailto:") {
				continue
			}
			checked++
			file, fragment, _ := strings.Cut(address, "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s links to %s: %v", name, address, err)
					continue
				}
			}
			if fragment != "" && !anchors[target][fragment] {
				t.Errorf("%s links to %s: no such heading", name, address)
			}
			if test.MatchString(text) {
				code, err := os.ReadFile(filepath.Join(root, target))
				if err != nil || !strings.Contains(string(code), "\nfunc "+text+"(") {
					t.Errorf("%s: %s has no %s", name, target, text)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("checked %d links", checked)
	}
}
