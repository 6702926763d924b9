package weir_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// flat removes the indentation, which differs between a page and a function.
func flat(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}

func TestReadme_CodeIsCompiledAndRun(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples string
	for _, name := range []string{"example_test.go", "weirhttp/example_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples += string(text)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Errorf("found %d blocks only", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(flat(examples), flat(b[1])) {
			t.Errorf("this block is in no example:\n%s", b[1])
		}
	}
}

func TestPages_LinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`]*`")
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "docs/from-node.md", "docs/serve.md", "docs/scale.md", "docs/ceiling.md", "docs/how-the-verdict-works.md", "docs/monitor.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := ""
		if strings.HasPrefix(page, "docs/") {
			dir = "docs/"
		}
		prose := code.ReplaceAllString(string(text), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if _, err := os.Stat(dir + m[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
