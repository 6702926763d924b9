package monitor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

func TestDocs_CodeIsThatOfTheExamples(t *testing.T) {
	page, err := os.ReadFile("../docs/monitor.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	flat := func(code string) string {
		lines := strings.Split(strings.TrimSpace(code), "\n")
		for i, l := range lines {
			lines[i] = strings.TrimSpace(l)
		}
		return strings.Join(lines, "\n")
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Errorf("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(flat(string(examples)), flat(b[1])) {
			t.Errorf("this block is in no example:\n%s", b[1])
		}
	}
}

func TestDocs_NameEveryMetricWithItsLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Monitor{Budget: weir.NewBudget(1 << 20)}
		defer m.Close()
		defer m.WatchAll()()
		m.Transfers("files", &fakeTransfers{n: 1, start: time.Now()})
		stop := start(t, paced("f", 1<<30, 0, time.Millisecond))
		time.Sleep(3 * time.Second)
		var table, lines []string
		for _, f := range m.Metrics() {
			table = append(table, strings.TrimSpace("| `"+f.Name+"` | "+strings.Join(f.Labels, ", "))+" | "+f.Type)
			line := "//\t" + f.Name
			if len(f.Labels) > 0 {
				line += "{" + strings.Join(f.Labels, ",") + "}"
			}
			lines = append(lines, line)
		}
		_ = stop()
		check := func(file, pattern string, want []string) {
			t.Helper()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := regexp.MustCompile(pattern).FindAllString(string(text), -1)
			for _, w := range want {
				if !slices.Contains(found, w) {
					t.Errorf("%s has no %q", file, w)
				}
			}
			if len(found) != len(want) {
				t.Errorf("%s has %d metrics, and there are %d", file, len(found), len(want))
			}
		}
		check("../docs/monitor.md", "(?m)^\\| `weir_\\w+` \\|[ \\w,]*\\| (?:counter|gauge|histogram)", table)
		check("doc.go", `(?m)^//\tweir_\w+(?:\{[\w,]+\})?`, lines)
	})
}

// The package is light: a program that mounts it links nothing but weir and the
// standard library.
func TestMonitor_ImportsOnlyWeirAndTheStandardLibrary(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, m := range regexp.MustCompile(`(?m)^\t"([^"]+\.[^"]+)"$`).FindAllStringSubmatch(string(text), -1) {
			if m[1] != "github.com/weir-go/weir" && m[1] != "github.com/weir-go/weir/report" {
				t.Errorf("%s imports %s", f.Name(), m[1])
			}
		}
	}
	if n < 10 {
		t.Errorf("looked at %d files only", n)
	}
}
