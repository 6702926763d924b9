package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// newMan writes the manual pages, for packagers: one in section 1 for each
// command, and one in section 7 for each topic of weir help.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages into a folder",
		Hidden: true,
		Args:   one("folder", "weir man pages"),
		RunE: func(c *cobra.Command, args []string) error {
			err := os.MkdirAll(args[0], 0o755)
			if err == nil {
				err = manPages(c.Root(), func(name string, page []byte) error {
					return os.WriteFile(filepath.Join(args[0], name), page, 0o644)
				})
			}
			if err != nil {
				return &failure{code: exitDestination, text: err.Error()}
			}
			return nil
		},
	}
}

// manPages writes the pages of c and its subcommands.
func manPages(c *cobra.Command, write func(name string, page []byte) error) error {
	for _, sub := range c.Commands() {
		switch {
		case sub.IsAdditionalHelpTopicCommand():
			if err := write("weir-"+sub.Name()+".7", topicPage(sub)); err != nil {
				return err
			}
		case sub.IsAvailableCommand():
			if err := manPages(sub, write); err != nil {
				return err
			}
		}
	}
	page, err := commandPage(c)
	if err != nil {
		return err
	}
	return write(strings.ReplaceAll(c.CommandPath(), " ", "-")+".1", page)
}

// manHeader has the date of the revision, so that the same source gives the same
// pages.
func manHeader(section string) *doc.GenManHeader {
	h := &doc.GenManHeader{Title: "WEIR", Section: section, Source: "weir"}
	if at, err := time.Parse(time.RFC3339, thisVersion().Date); err == nil {
		h.Date = &at
	}
	return h
}

// commandPage is the page of a command, with the two sections that its
// generator does not know.
func commandPage(c *cobra.Command) ([]byte, error) {
	c.DisableAutoGenTag = true
	c.InitDefaultHelpFlag()
	var b bytes.Buffer
	if err := doc.GenMan(c, manHeader("1"), &b); err != nil {
		return nil, err
	}
	more := exitStatus(c) + environment(c)
	if c.HasParent() && !strings.Contains(b.String(), ".SH SEE ALSO") {
		more += ".SH SEE ALSO\n\\fBweir(1)\\fP\n"
	}
	page := b.String()
	if i := strings.Index(page, ".SH SEE ALSO"); i >= 0 {
		return []byte(page[:i] + more + page[i:]), nil
	}
	return []byte(page + more + ".SH SEE ALSO\n" + topicPages()), nil
}

func topicPages() string {
	var names []string
	for _, t := range topics {
		names = append(names, `\fBweir-`+t.name+`(7)\fP`)
	}
	return strings.Join(names, ", ") + "\n"
}

// topicPage is the page of a topic of weir help.
func topicPage(c *cobra.Command) []byte {
	date := ""
	if h := manHeader("7"); h.Date != nil {
		date = h.Date.Format("Jan 2006")
	}
	return fmt.Appendf(nil, ".nh\n.TH \"WEIR-%s\" \"7\" \"%s\" \"weir\" \"\"\n.SH NAME\nweir-%s - %s\n.SH SYNOPSIS\n\\fBweir help %s\\fP\n.SH DESCRIPTION\n.nf\n%s\n.fi\n%s%s.SH SEE ALSO\n\\fBweir(1)\\fP, %s",
		strings.ToUpper(c.Name()), date, c.Name(), roff(c.Short), c.Name(), roff(c.Long), exitStatus(c), environment(c), topicPages())
}

// roff is text that troff sets as it is.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	return regexp.MustCompile(`(?m)^([.'])`).ReplaceAllString(text, `\&$1`)
}

// exitCode is a code and what it means.
type exitCodeText struct {
	code string
	text string
}

// exitCodeTexts reads help/exit-codes.md, so that there is one list.
func exitCodeTexts() (list []exitCodeText) {
	line := regexp.MustCompile(`^ {2,4}( *\d+)  (\S.*)$`)
	for l := range strings.Lines(helpText("exit-codes")) {
		l = strings.TrimRight(l, "\n")
		if m := line.FindStringSubmatch(l); m != nil {
			list = append(list, exitCodeText{strings.TrimSpace(m[1]), m[2]})
		} else if n := len(list); n > 0 && strings.HasPrefix(l, "       ") {
			list[n-1].text += " " + strings.TrimSpace(l)
		} else if n > 0 && l == "" {
			break
		}
	}
	return list
}

// exitStatus is the section about the codes that c exits with.
func exitStatus(c *cobra.Command) string {
	var codes []string // all
	switch c.Name() {
	case "weir", "copy", "pipe", "gzip", "gunzip", "zstd", "unzstd":
	case "serve":
		codes = []string{"1", "2", "3", "4", "5", "129", "130", "131", "143"}
	case "lab":
		codes = []string{"0", "1", "2", "4", "6", "129", "130", "131", "143"}
	case "who":
		codes = []string{"0", "1", "2", "3", "4", "129", "130", "131", "143"}
	case "password":
		codes = []string{"0", "2", "3", "4"}
	default:
		if !c.IsAdditionalHelpTopicCommand() {
			codes = []string{"0", "2", "4"}
		}
	}
	s := ".SH EXIT STATUS\n"
	for _, e := range exitCodeTexts() {
		if codes == nil || slices.Contains(codes, e.code) {
			s += fmt.Sprintf(".TP\n\\fB%s\\fP\n%s\n", e.code, roff(e.text))
		}
	}
	return s
}

// environment is the section about the variables that c reads.
func environment(c *cobra.Command) string {
	s := ".SH ENVIRONMENT\n"
	flags := 0
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		flags++
		s += fmt.Sprintf(".TP\n\\fB%s\\fP\nsets \\fB\\-\\-%s\\fP; a flag on the command line takes precedence\n", environmentName(f.Name), roff(f.Name))
	})
	if flags == 0 {
		s += ".PP\nEach flag of a command can be set by a variable: WEIR_ and the name of the flag in upper case, with _ for \\-, as in WEIR_MEMORY=64MiB. A flag on the command line takes precedence.\n"
	}
	if c.Flags().Lookup("no-color") != nil || flags == 0 {
		s += ".TP\n\\fBNO_COLOR\\fP\nif it is not empty, no colours are used\n" +
			".TP\n\\fBCLICOLOR_FORCE\\fP\nif it is neither empty nor 0, colours are always used\n" +
			".TP\n\\fBTERM\\fP\nif it is dumb, progress is shown in plain lines\n"
	}
	switch c.Name() {
	case "copy", "pipe":
		s += ".TP\n\\fBHTTP_PROXY, HTTPS_PROXY, NO_PROXY\\fP\nthe proxy for URLs, and the hosts that need none\n"
	case "serve":
		s += ".TP\n\\fBGOGC\\fP\nif it is set, weir does not change it; otherwise weir collects garbage early when idle\n"
	}
	return s
}
