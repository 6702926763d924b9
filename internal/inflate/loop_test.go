package inflate

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

func TestDecoder_HotLoopHasNoBoundsChecks(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool to compile the package with")
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "inflate.go", nil, 0)
	if err != nil {
		t.Skip("the source is not here:", err)
	}
	from, to := 0, 0
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "fast" {
			from, to = files.Position(f.Pos()).Line, files.Position(f.End()).Line
		}
	}
	if from == 0 {
		t.Fatal("inflate.go has no function fast")
	}
	out, err := exec.Command(tool, "build", "-gcflags=-d=ssa/check_bce", ".").CombinedOutput()
	if err != nil {
		t.Skipf("the package cannot be compiled here: %v\n%s", err, out)
	}
	checks := regexp.MustCompile(`(?m)^.*?([a-z_0-9]+\.go):(\d+):\d+: Found Is.*$`).FindAllSubmatch(out, -1)
	if len(checks) == 0 {
		t.Fatalf("the compiler tells of no bounds checks at all, not even where they must be:\n%s", out)
	}
	for _, c := range checks {
		if line, _ := strconv.Atoi(string(c[2])); string(c[1]) == "inflate.go" && from <= line && line <= to {
			t.Errorf("in the loop: %s", c[0])
		}
	}
}
