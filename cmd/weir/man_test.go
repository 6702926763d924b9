package main

import (
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func allPages(t *testing.T) map[string]string {
	t.Helper()
	root := newRoot(io.Discard, io.Discard, io.Discard)
	root.InitDefaultCompletionCmd()
	pages := map[string]string{}
	if err := manPages(root, func(name string, page []byte) error {
		pages[name] = string(page)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestManPages_ThereIsOneForEachCommandAndTopic(t *testing.T) {
	t.Parallel()
	pages := allPages(t)
	root := newRoot(io.Discard, io.Discard, io.Discard)
	for _, c := range root.Commands() {
		if c.Hidden {
			continue
		}
		name := "weir-" + c.Name() + ".1"
		if c.IsAdditionalHelpTopicCommand() {
			name = "weir-" + c.Name() + ".7"
		}
		if c.Name() != "help" && pages[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for _, topic := range topics {
		if pages["weir-"+topic.name+".7"] == "" {
			t.Errorf("there is no page of %s", topic.name)
		}
	}
	if pages["weir.1"] == "" {
		t.Error("there is no weir.1")
	}
}

func TestManPages_HaveExitStatusAndEnvironment(t *testing.T) {
	t.Parallel()
	for name, page := range allPages(t) {
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"} {
			if n := strings.Count(page, "\n.SH "+section+"\n"); n != 1 {
				t.Errorf("%s has %d sections %s", name, n, section)
			}
		}
		if !regexp.MustCompile(`(?s)\.SH EXIT STATUS\n\.TP\n\\fB[01]\\fP\n[a-z].*\.SH ENVIRONMENT\n\.(TP|PP)\n.*\.SH SEE ALSO`).MatchString(page) {
			t.Errorf("%s says nothing in a section", name)
		}
	}
}

func TestManPages_NameEveryVariable(t *testing.T) {
	t.Parallel()
	pages := allPages(t)
	for _, c := range newRoot(io.Discard, io.Discard, io.Discard).Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			page := pages["weir-"+c.Name()+".1"]
			if f.Hidden || f.Name == "help" || f.Name == "version" || page == "" {
				return
			}
			if !strings.Contains(page, `\fB`+environmentName(f.Name)+`\fP`) {
				t.Errorf("the page of %s lacks %s", c.Name(), environmentName(f.Name))
			}
		})
	}
}

// Each code that the program has is explained, and no other.
func TestManPages_ExplainTheExitCodesThereAre(t *testing.T) {
	t.Parallel()
	want := []string{"0", "1", "2", "3", "4", "5", "6", "129", "130", "131", "143"}
	var got []string
	for _, e := range exitCodeTexts() {
		got = append(got, e.code)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("help exit-codes has %q, want %q", got, want)
	}
}

func TestManPages_AreWellFormed(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip("man is not installed")
	}
	for name, page := range allPages(t) {
		if strings.HasPrefix(name, "weir-completion") {
			continue // the generator's alone
		}
		cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-")
		cmd.Stdin = strings.NewReader(page)
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil || said.Len() > 0 {
			t.Errorf("%s: %v, %s", name, err, said.String())
		}
	}
}
