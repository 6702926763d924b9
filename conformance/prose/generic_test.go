package prose

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// promoting are the structs with type parameters that embed a type with methods, and why.
var promoting = map[string]string{}

// embeds finds structs with type parameters that embed something that has methods. The
// compiler makes each of these methods again for every type of value.
type embeds struct {
	methods map[string]bool     // by folder and type: it has some
	fields  map[string][]string // by folder and struct: what it embeds, in the same form
}

func (e *embeds) add(name string, f *ast.File) {
	key := func(typ string) string { return path.Dir(name) + "." + typ }
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				e.methods[key(typeName(d.Recv.List[0].Type))] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				t, ok := s.(*ast.TypeSpec)
				if !ok || t.TypeParams == nil {
					continue
				}
				st, ok := t.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range st.Fields.List {
					if len(field.Names) == 0 {
						e.fields[key(t.Name.Name)] = append(e.fields[key(t.Name.Name)], key(typeName(field.Type)))
					}
				}
			}
		}
	}
}

// check reports what is embedded and has methods, and exceptions that are none. Types
// of other packages, which typeName does not name, count as if they had some.
func (e *embeds) check(promoting map[string]string) (wrong []string) {
	found := make(map[string]bool)
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		for _, typ := range e.fields[key] {
			if !e.methods[typ] && !strings.HasSuffix(typ, ".") {
				continue
			}
			found[key] = true
			if _, allowed := promoting[key]; !allowed {
				wrong = append(wrong, fmt.Sprintf("%s embeds %s; name the field, or the compiler makes all of its methods again for each type of value", key, typ))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(promoting)) {
		if !found[key] {
			wrong = append(wrong, key+" embeds nothing with methods, and needs no exception")
		}
	}
	return wrong
}

func newEmbeds() *embeds {
	return &embeds{methods: make(map[string]bool), fields: make(map[string][]string)}
}

func TestGenericTypes_EmbedNothingThatHasMethods(t *testing.T) {
	e := newEmbeds()
	walkCode(t, e.add)
	if len(e.methods) < 300 {
		t.Fatalf("found %d types with methods", len(e.methods))
	}
	for _, w := range e.check(promoting) {
		t.Error(w)
	}
}

func TestGenericTypes_ThatEmbedMethodsAreFound(t *testing.T) {
	for _, c := range []struct {
		text      string
		promoting map[string]string
		wrong     int
	}{
		{text: "type A[T any] struct{ b B }; type B struct{}; func (*B) M() {}"},
		{text: "type A[T any] struct{ B }; type B struct{}"},
		{text: "type A struct{ B }; type B struct{}; func (B) M() {}"},
		{text: "type A[T any] struct{ B }; type B struct{}; func (B) M() {}", wrong: 1},
		{text: "type A[T any] struct{ *B[T] }; type B[T any] struct{}; func (*B[T]) M() {}", wrong: 1},
		{text: "type A[T any] struct{ io.Reader }", wrong: 1},
		{text: "type A[T any] struct{ *x.B[T] }", wrong: 1},
		{text: "type A[T any] struct{ io.Reader }", promoting: map[string]string{"a.A": "why"}},
		{text: "type A[T any] struct{}", promoting: map[string]string{"a.A": "why"}, wrong: 1},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package a; "+c.text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		e := newEmbeds()
		e.add("a/x.go", f)
		if wrong := e.check(c.promoting); len(wrong) != c.wrong {
			t.Errorf("%s: found %q", c.text, wrong)
		}
	}
}
