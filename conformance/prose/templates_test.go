package prose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A template calls methods by names that it computes, so that the linker keeps every
// exported method of every type. cobra imports text/template too, but reaches that part of it
// only through these methods. .ci/run looks for it in the program.
func TestTemplates_AreInNoProgramOfTheModule(t *testing.T) {
	all, _ := packages(t)
	for _, p := range all {
		for _, imported := range []string{"text/template", "html/template"} {
			if file := p.imports[imported]; file != "" {
				t.Errorf("%s imports %s; use internal/markup, or fmt", file, imported)
			}
		}
	}
	setter := regexp.MustCompile(`\.Set(Usage|Help|Version)Template\(`)
	files := 0
	walk(t, func(name string) {
		if !strings.HasPrefix(name, "cmd/weir/") || !strings.HasSuffix(name, ".go") {
			return
		}
		files++
		code, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := setter.Find(code); found != nil {
			t.Errorf("%s: %s…); set a function", name, found)
		}
	})
	if files < 50 {
		t.Errorf("found %d files of the command", files)
	}
}
