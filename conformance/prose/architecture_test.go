package prose

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module           = "github.com/weir-go/weir"
	architecturePage = "docs/architecture.md"
)

func architecture(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, architecturePage))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what stands under a heading of a page.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(page, "\n"+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	level := heading[:strings.IndexByte(heading, ' ')+1]
	text, _, _ = strings.Cut(text, "\n"+level)
	return text
}

// pkg is a package of the module: what its files import, tests aside, on any system.
type pkg struct {
	imports map[string]string // by import path: a file that has the import
}

// packages returns the module's packages by their folder, "weir" for the root, and the
// folders of other modules.
func packages(t *testing.T) (all map[string]pkg, modules []string) {
	t.Helper()
	files := map[string][]string{}
	walk(t, func(name string) {
		switch {
		case name != "go.mod" && path.Base(name) == "go.mod":
			modules = append(modules, path.Dir(name))
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			files[path.Dir(name)] = append(files[path.Dir(name)], name)
		}
	})
	all = map[string]pkg{}
	for dir, names := range files {
		if slices.ContainsFunc(modules, func(m string) bool { return within(dir, m) }) {
			continue
		}
		p := pkg{map[string]string{}}
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, im := range f.Imports {
				imported, err := strconv.Unquote(im.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				p.imports[imported] = name
			}
		}
		if dir == "." {
			dir = "weir"
		}
		all[dir] = p
	}
	if len(all) < 30 {
		t.Fatalf("found %d packages", len(all))
	}
	return all, modules
}

// within reports whether dir is the folder or below it.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// ownPackage returns the name that the drawing has for an import path, "" if it is none
// of the module's packages.
func ownPackage(importPath string) string {
	if importPath == module {
		return "weir"
	}
	name, _ := strings.CutPrefix(importPath, module+"/")
	if name == importPath {
		return ""
	}
	return name
}

// isForeign reports whether a package is neither the module's nor the standard
// library's.
func isForeign(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return ownPackage(importPath) == "" && strings.Contains(first, ".")
}

// drawing is the picture of the layers.
type drawing struct {
	rows  map[string]int     // by name: the row, 0 for the lowest
	allow map[[2]string]bool // imports inside a row
}

// parseDrawing reads lines of the form "label | name → name name".
func parseDrawing(text string) (d drawing, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	d = drawing{map[string]int{}, map[[2]string]bool{}}
	for i, line := range lines {
		_, names, ok := strings.Cut(line, "|")
		if !ok {
			return d, fmt.Errorf("no | in %q", line)
		}
		last, arrow := "", false
		for _, name := range strings.Fields(names) {
			if name == "→" {
				arrow = true
				continue
			}
			if _, twice := d.rows[name]; twice {
				return d, fmt.Errorf("%s is drawn twice", name)
			}
			d.rows[name] = len(lines) - 1 - i
			if arrow {
				d.allow[[2]string{last, name}] = true
			}
			last, arrow = name, false
		}
	}
	return d, nil
}

// place returns the name under which a package is drawn: its own, or the longest
// wildcard. It returns "" if there is none.
func (d drawing) place(pkg string) string {
	if _, ok := d.rows[pkg]; ok {
		return pkg
	}
	for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
		if _, ok := d.rows[dir+"/*"]; ok {
			return dir + "/*"
		}
	}
	return ""
}

// check compares the drawing with the packages.
func (d drawing) check(all map[string]pkg) (wrong []string) {
	drawn := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		here := d.place(name)
		if here == "" {
			wrong = append(wrong, name+" is missing in the drawing")
			continue
		}
		drawn[here] = true
		for imported, file := range all[name].imports {
			target := ownPackage(imported)
			if target == "" {
				if isForeign(imported) && d.rows[here] <= d.rows["weir"] {
					wrong = append(wrong, fmt.Sprintf("%s imports %s; up to the row of weir only the standard library is allowed", file, imported))
				}
				continue
			}
			there := d.place(target)
			if there == "" || d.rows[there] < d.rows[here] ||
				there == here && strings.HasSuffix(here, "/*") || d.allow[[2]string{here, there}] {
				continue
			}
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which is drawn above it or beside it", file, target))
		}
	}
	for name := range d.rows {
		if !drawn[name] {
			wrong = append(wrong, name+" is drawn and does not exist")
		}
	}
	return wrong
}

// readDrawing returns the drawing of the page.
func readDrawing(t *testing.T) drawing {
	t.Helper()
	_, text, _ := strings.Cut(section(t, architecture(t), "## Layers"), "```text\n")
	text, _, _ = strings.Cut(text, "```")
	d, err := parseDrawing(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestArchitecture_DrawingMatchesTheImports(t *testing.T) {
	all, modules := packages(t)
	d := readDrawing(t)
	if _, ok := d.rows["weir"]; !ok {
		t.Fatal("weir is not drawn")
	}
	for _, w := range d.check(all) {
		t.Error(w)
	}
	m := regexp.MustCompile(`(?m)^Modules of their own.*?: (.*)\.$`).FindStringSubmatch(architecture(t))
	if m == nil {
		t.Fatal("no list of modules")
	}
	var listed []string
	for _, s := range span.FindAllStringSubmatch(m[1], -1) {
		listed = append(listed, s[1])
	}
	// walk does not enter these.
	for _, dir := range []string{"bench", "tools"} {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			modules = append(modules, dir)
		}
	}
	slices.Sort(modules)
	if !slices.Equal(listed, modules) {
		t.Errorf("the page lists the modules %v; there are %v", listed, modules)
	}
}

func TestArchitecture_DrawingThatIsWrongIsFound(t *testing.T) {
	imports := func(paths ...string) pkg {
		p := pkg{map[string]string{}}
		for _, i := range paths {
			p.imports[i] = "x.go"
		}
		return p
	}
	all := map[string]pkg{
		"top":        imports(module, "example.com/other"),
		"weir":       imports("io", module+"/internal/a"),
		"internal/a": imports(module + "/internal/b"),
		"internal/b": imports(),
	}
	for _, c := range []struct {
		drawing string
		wrong   int
	}{
		{"t | top\nw | weir\ni | internal/*", 0},
		{"t | top\nw | weir\na | internal/a\nb | internal/b", 0},
		{"t | top\nw | weir\nb | internal/a → internal/b", 0},
		{"w | weir\ni | internal/*", 1},                          // missing
		{"t | top gone\nw | weir\ni | internal/*", 1},            // does not exist
		{"t | top\nw | weir\ni | internal/*\ng | gone/*", 1},     // matches nothing
		{"w | weir\nt | top\ni | internal/*", 2},                 // above, and another module below weir
		{"w | weir top\ni | internal/*", 2},                      // beside
		{"t | top\nw | weir\nb | internal/a internal/b", 1},      // beside
		{"t | top\nw | weir\nb | internal/b → internal/a", 1},    // the arrow points the other way
		{"t | top\nw | weir\nb | internal/b\na | internal/a", 1}, // upside down
		{"t | top\ni | internal/*\nw | weir", 1},                 // upside down
	} {
		d, err := parseDrawing(c.drawing)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := d.check(all); len(wrong) != c.wrong {
			t.Errorf("%q: found %q", c.drawing, wrong)
		}
	}
	if _, err := parseDrawing("w | weir\nx | weir"); err == nil {
		t.Error("a package that is drawn twice was not found")
	}
}

// stop is a place of a journey: a function or method of a file.
var stop = regexp.MustCompile("`([a-z0-9_/]+\\.go): ([A-Za-z][\\w.]*)`")

// functions returns the names of the functions of a file, with the type of methods.
func functions(t *testing.T, file string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	found := map[string]bool{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			name := fn.Name.Name
			if fn.Recv != nil {
				name = typeName(fn.Recv.List[0].Type) + "." + name
			}
			found[name] = true
		}
	}
	return found
}

// fileLayers returns the layers of the files of a package, the lowest first, from the
// list in its layers_test.go. Files that are not in the list are above all others.
func fileLayers(t *testing.T, dir string) func(file string) int {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, dir, "layers_test.go"), nil, parser.SkipObjectResolution)
	if os.IsNotExist(err) {
		return func(string) int { return 0 }
	}
	if err != nil {
		t.Fatal(err)
	}
	layers, n := map[string]int{}, 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || v.Names[0].Name != "layers" {
			return true
		}
		list := v.Values[0].(*ast.CompositeLit).Elts
		n = len(list)
		for i, row := range list {
			ast.Inspect(row, func(node ast.Node) bool {
				if s, ok := node.(*ast.BasicLit); ok && strings.HasSuffix(s.Value, `.go"`) {
					layers[strings.Trim(s.Value, `"`)] = i
				}
				return true
			})
		}
		return false
	})
	if len(layers) < 10 {
		t.Fatalf("%s/layers_test.go lists %d files", dir, len(layers))
	}
	return func(file string) int {
		if i, ok := layers[file]; ok {
			return i
		}
		return n
	}
}

func TestArchitecture_JourneysStopAtFunctionsThatExistAndNeverGoUp(t *testing.T) {
	page := architecture(t)
	mentioned := stop.FindAllStringSubmatch(page, -1)
	for _, s := range mentioned {
		if !functions(t, s[1])[s[2]] {
			t.Errorf("%s has no %s", s[1], s[2])
		}
	}
	d := readDrawing(t)
	item := regexp.MustCompile("(?m)^([0-9]+)\\. (\\*[^*]+\\* )?(`[^`]+`)")
	journeys := strings.Split(section(t, page, "## Four journeys"), "\n### ")[1:]
	if len(journeys) != 4 {
		t.Errorf("there are %d journeys", len(journeys))
	}
	for _, j := range journeys {
		title, text, _ := strings.Cut(j, "\n")
		stops := item.FindAllStringSubmatch(text, -1)
		if len(stops) < 3 || len(stops) > 8 {
			t.Errorf("%q has %d stops", title, len(stops))
		}
		var last []int
		for _, s := range stops {
			at := stop.FindStringSubmatch(s[3])
			if at == nil {
				t.Errorf("%q, stop %s: %s names no function", title, s[1], s[3])
				continue
			}
			dir := path.Dir(at[1])
			own := dir
			if dir == "." {
				own = "weir"
			}
			here := []int{d.rows[d.place(own)], fileLayers(t, dir)(path.Base(at[1]))}
			if last != nil && s[2] == "" && slices.Compare(here, last) > 0 {
				t.Errorf("%q, stop %s: %s is above the stop before it", title, s[1], at[1])
			}
			last = here
		}
	}
}

// linked returns the modules that a program links on a system if it imports one of the
// packages, by package.
func linked(t *testing.T, goos string, pkgs []string) map[string][]string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	args := []string{"list", "-deps", "-f", `{{.ImportPath}} {{with .Module}}{{.Path}}{{else}}-{{end}} {{join .Imports " "}}`}
	for _, p := range pkgs {
		args = append(args, importPath(p))
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(complaint.String(), "GOPROXY=off") {
			t.Skip("not all modules are downloaded; run go mod download")
		}
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	modules, imports := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		modules[f[0]], imports[f[0]] = f[1], f[2:]
	}
	found := map[string][]string{}
	for _, p := range pkgs {
		seen, list := map[string]bool{}, map[string]bool{}
		todo := []string{importPath(p)}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			if seen[at] {
				continue
			}
			seen[at] = true
			if m := modules[at]; m != "" && m != "-" && m != module {
				list[m] = true
			}
			todo = append(todo, imports[at]...)
		}
		if len(seen) < 5 {
			t.Errorf("%s imports %d packages", p, len(seen))
		}
		if seen["text/template"] {
			t.Errorf("a program that imports %s links text/template on %s; ADR 28 says what that costs", p, goos)
		}
		found[p] = slices.Sorted(maps.Keys(list))
	}
	return found
}

// importPath returns the import path of a package of the drawing.
func importPath(pkg string) string {
	if pkg == "weir" {
		return module
	}
	return module + "/" + pkg
}

// moduleNames returns the names in a cell of the table.
func moduleNames(cell string) (names []string) {
	for _, s := range span.FindAllStringSubmatch(cell, -1) {
		names = append(names, s[1])
	}
	return names
}

func TestArchitecture_TableSaysWhatProgramsLinkAndRequire(t *testing.T) {
	all, _ := packages(t)
	links, requires := map[string][]string{}, map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| (`.*?) \\| (.*?) \\| (.*?) \\|$")
	for _, m := range row.FindAllStringSubmatch(section(t, architecture(t), "## What a program links"), -1) {
		if m[3] == "the same" {
			m[3] = m[2]
		}
		for _, cell := range m[2:] {
			if (cell == "nothing") == (len(moduleNames(cell)) > 0) {
				t.Errorf("%s: write module names or nothing, not %q", m[1], cell)
			}
		}
		for _, name := range moduleNames(m[1]) {
			if _, twice := links[name]; twice {
				t.Errorf("%s is in two rows", name)
			}
			links[name], requires[name] = moduleNames(m[2]), moduleNames(m[3])
		}
	}
	var public []string
	for name := range all {
		first, _, _ := strings.Cut(name, "/")
		if !slices.Contains(strings.Split(name, "/"), "internal") && !slices.Contains([]string{"cmd", "examples", "conformance"}, first) {
			public = append(public, name)
		}
	}
	slices.Sort(public)
	if listed := slices.Sorted(maps.Keys(links)); !slices.Equal(listed, public) {
		t.Fatalf("the table lists %v; programs can import %v", listed, public)
	}
	// A go.mod covers all systems.
	union := map[string]map[string]bool{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for name, list := range linked(t, goos, public) {
			if goos == "linux" && !slices.Equal(list, links[name]) {
				t.Errorf("a program that imports %s links %v; the table says %v", name, list, links[name])
			}
			for _, m := range list {
				if union[name] == nil {
					union[name] = map[string]bool{}
				}
				union[name][m] = true
			}
		}
	}
	for _, name := range public {
		if list := slices.Sorted(maps.Keys(union[name])); !slices.Equal(list, requires[name]) {
			t.Errorf("the go.mod of a program that imports %s requires %v; the table says %v", name, list, requires[name])
		}
		// Files for other systems, or with build tags, count too.
		for imported, file := range all[name].imports {
			if isForeign(imported) && !slices.ContainsFunc(requires[name], func(m string) bool { return within(imported, m) }) {
				t.Errorf("%s imports %s; the table says that %s requires %v", file, imported, name, cmp.Or(strings.Join(requires[name], ", "), "nothing"))
			}
		}
	}
}
