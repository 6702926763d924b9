package weir_test

import (
	"flag"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
)

var updateGuides = flag.Bool("update-guides", false, "copy the regions of the examples into the guides")

var guides = []string{"docs/guide.md", "docs/guia.md"}

// region returns the lines between "// region name" and "// endregion" in a
// file, without the indentation of the first.
func region(file, name string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var lines []string
	inside, indent := false, ""
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimSpace(line)
		switch {
		case bare == "// region "+name:
			inside, indent = true, line[:strings.Index(line, "/")]
		case inside && bare == "// endregion":
			return strings.Trim(strings.Join(lines, ""), "\n") + "\n", nil
		case inside:
			lines = append(lines, strings.TrimPrefix(line, indent))
		}
	}
	return "", fmt.Errorf("%s has no region %s", file, name)
}

// A block of a guide, with the region it comes from if it is marked.
type block struct{ mark, lang, code string }

var blocks = regexp.MustCompile("(?sm)(?:^<!-- (\\S+#\\S+) -->\n)?^```(\\w*)\n(.*?)^```$")

func blocksOf(page string) (found []block) {
	for _, m := range blocks.FindAllStringSubmatch(page, -1) {
		found = append(found, block{m[1], m[2], m[3]})
	}
	return found
}

func TestGuide_GoCodeIsThatOfTheExamples(t *testing.T) {
	for _, name := range guides {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		page, goBlocks := string(text), 0
		for _, b := range blocksOf(page) {
			if b.lang != "go" {
				continue
			}
			goBlocks++
			file, part, marked := strings.Cut(b.mark, "#")
			if !marked {
				t.Errorf("%s: this block does not say where it comes from:\n%s", name, b.code)
				continue
			}
			want, err := region(file, part)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if b.code != want && *updateGuides {
				head := "<!-- " + b.mark + " -->\n```go\n"
				page = strings.Replace(page, head+b.code, head+want, 1)
			} else if b.code != want {
				t.Errorf("%s: the block of %s differs; run go test -run Guide -update-guides .\n%s", name, b.mark, b.code)
			}
		}
		if goBlocks < 12 {
			t.Errorf("%s has %d blocks of Go only", name, goBlocks)
		}
		if page != string(text) {
			if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// outline returns the heading levels and the blocks of a page, in order.
// Another test compares the contents of blocks of Go. All other blocks are the
// same in both languages.
func outline(page string) (out []string) {
	part := regexp.MustCompile("(?sm)(?:^<!-- \\S+#\\S+ -->\n)?^```\\w*\n.*?^```$|^#+ ")
	for _, m := range part.FindAllString(page, -1) {
		if b := blocksOf(m); len(b) == 1 && b[0].lang == "go" {
			m = b[0].mark
		}
		out = append(out, m)
	}
	return out
}

func TestGuide_HasTheSameSectionsAndBlocksInBothLanguages(t *testing.T) {
	var outlines [2][]string
	for i, name := range guides {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		outlines[i] = outline(string(page))
	}
	if len(outlines[0]) < 30 {
		t.Errorf("found %d sections and blocks only", len(outlines[0]))
	}
	for i := range max(len(outlines[0]), len(outlines[1])) {
		if i >= len(outlines[0]) || i >= len(outlines[1]) {
			t.Fatalf("%d sections and blocks in one, %d in the other", len(outlines[0]), len(outlines[1]))
		}
		if outlines[0][i] != outlines[1][i] {
			t.Fatalf("number %d differs:\n%s\n%s", i, outlines[0][i], outlines[1][i])
		}
	}
}

func TestGuide_LinksToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):]+)\)`)
	slug := regexp.MustCompile(`[^\p{L}\p{N} -]`)
	for _, name := range guides {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\$ go run \./(\S+)`).FindAllStringSubmatch(string(page), -1) {
			if _, err := os.Stat(path.Join(m[1], "main.go")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		prose := blocks.ReplaceAllString(string(page), "")
		var anchors []string
		for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose, -1) {
			anchors = append(anchors, strings.ReplaceAll(slug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
		}
		links := link.FindAllStringSubmatch(prose, -1)
		if len(links) < 10 {
			t.Errorf("%s has %d links only", name, len(links))
		}
		for _, m := range links {
			file, anchor, _ := strings.Cut(m[1], "#")
			if file == "" && !slices.Contains(anchors, anchor) {
				t.Errorf("%s: no section #%s", name, anchor)
			}
			if _, err := os.Stat(path.Join("docs", file)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestGuide_AThousandStalledClientsFitItsSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, leave := weir.NewBudget(64<<20), make(chan struct{})
		flows, ended := make([]*weir.Flow, 1000), make(chan error)
		for i := range flows {
			flows[i] = weir.FromReader(hugeFile{}).To(weir.ToWriter(stalled{leave}))
			flows[i].Limit, flows[i].Budget = weir.Bytes(48<<10), budget
			if most, err := flows[i].Ceiling(); err != nil || most.Bytes != 64<<10 || most.Holders != 0 {
				t.Fatalf("the ceiling is %v, %v", most, err)
			}
			go func() { ended <- flows[i].Run(t.Context()) }()
		}
		synctest.Wait() // all are blocked
		for i, f := range flows {
			if held := f.Report().Held; held != 48<<10 {
				t.Errorf("flow %d holds %d bytes", i, held)
			}
		}
		close(leave)
		for range flows {
			if err := <-ended; err == nil {
				t.Error("a client that left is no error")
			}
		}
		if budget.Peak() > budget.Total() || budget.Used() != 0 {
			t.Errorf("peak %d, used %d", budget.Peak(), budget.Used())
		}
	})
}
