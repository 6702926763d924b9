package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
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
	return write(manName(c)+".1", commandPage(c))
}

// manName returns the name of the page of c.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manDate returns the month of the revision, so that the same source gives the
// same pages. It is empty if the program does not know its revision.
func manDate() string {
	at, err := time.Parse(time.RFC3339, thisVersion().Date)
	if err != nil {
		return ""
	}
	return at.Format("Jan 2006")
}

// commandPage returns the page of a command.
func commandPage(c *cobra.Command) []byte {
	c.InitDefaultHelpFlag()
	name := manName(c)
	p := newRoff(strings.ToUpper(name), "1", manDate())
	p.section("NAME")
	p.line(roffText(name) + ` \- ` + roffText(c.Short))
	p.section("SYNOPSIS")
	p.line(roffBold(c.UseLine()))
	p.section("DESCRIPTION")
	p.prose(cmp.Or(c.Long, c.Short))
	options(p, "OPTIONS", c.NonInheritedFlags())
	options(p, "OPTIONS INHERITED FROM PARENT COMMANDS", c.InheritedFlags())
	if c.Example != "" {
		p.section("EXAMPLES")
		p.literal(strings.Trim(c.Example, "\n"))
	}
	exitStatus(p, c)
	environment(p, c)
	var also []string
	if c.HasParent() {
		also = append(also, manReference(manName(c.Parent()), "1"))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			also = append(also, manReference(manName(sub), "1"))
		}
	}
	if !c.HasParent() {
		also = append(also, topicReferences()...)
	}
	p.section("SEE ALSO")
	p.line(strings.Join(also, ", "))
	return []byte(p.b.String())
}

// topicPage returns the page of a topic of weir help.
func topicPage(c *cobra.Command) []byte {
	name := "weir-" + c.Name()
	p := newRoff(strings.ToUpper(name), "7", manDate())
	p.section("NAME")
	p.line(roffText(name) + ` \- ` + roffText(c.Short))
	p.section("SYNOPSIS")
	p.line(roffBold("weir help " + c.Name()))
	p.section("DESCRIPTION")
	p.literal(strings.Trim(c.Long, "\n"))
	exitStatus(p, c)
	environment(p, c)
	p.section("SEE ALSO")
	p.line(strings.Join(append([]string{manReference("weir", "1")}, topicReferences()...), ", "))
	return []byte(p.b.String())
}

// manReference returns a reference to a page, in roff.
func manReference(name, section string) string { return roffBold(name + "(" + section + ")") }

func topicReferences() (list []string) {
	for _, t := range topics {
		list = append(list, manReference("weir-"+t.name, "7"))
	}
	return list
}

// options adds a section about flags, unless all are hidden.
func options(p *roff, section string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(section)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		tag := roffBold("--" + f.Name)
		if f.Shorthand != "" && f.ShorthandDeprecated == "" {
			tag = roffBold("-"+f.Shorthand) + ", " + tag
		}
		argument, text := pflag.UnquoteUsage(f)
		if argument != "" {
			tag += " " + roffItalic(argument)
		}
		isString := f.Value.Type() == "string"
		switch {
		case f.NoOptDefVal == "" || f.NoOptDefVal == "true":
		case isString:
			tag += roffText(fmt.Sprintf("[=%q]", f.NoOptDefVal))
		default:
			tag += roffText("[=" + f.NoOptDefVal + "]")
		}
		switch {
		case isString && f.DefValue != "":
			text += fmt.Sprintf(" (default %q)", f.DefValue)
		case !isString && !slices.Contains([]string{"", "0", "0s", "[]", "false", "<nil>"}, f.DefValue):
			text += " (default " + f.DefValue + ")"
		}
		p.item(tag, text)
	})
}

// exitCodeText is a code and its meaning.
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

// exitStatus adds the section about the codes that c exits with.
func exitStatus(p *roff, c *cobra.Command) {
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
	p.section("EXIT STATUS")
	for _, e := range exitCodeTexts() {
		if codes == nil || slices.Contains(codes, e.code) {
			p.item(roffBold(e.code), e.text)
		}
	}
}

// environment adds the section about the variables that c reads.
func environment(p *roff, c *cobra.Command) {
	p.section("ENVIRONMENT")
	flags := 0
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		flags++
		p.item(roffBold(environmentName(f.Name)), "sets --"+f.Name+"; a flag on the command line takes precedence")
	})
	if flags == 0 {
		p.paragraph("Each flag of a command can be set by a variable: WEIR_ and the name of the flag in upper case, with _ for -, as in WEIR_MEMORY=64MiB. A flag on the command line takes precedence.")
	}
	if c.Flags().Lookup("no-color") != nil || flags == 0 {
		p.item(roffBold("NO_COLOR"), "if it is not empty, no colours are used")
		p.item(roffBold("CLICOLOR_FORCE"), "if it is neither empty nor 0, colours are always used")
		p.item(roffBold("TERM"), "if it is dumb, progress is shown in plain lines")
	}
	switch c.Name() {
	case "copy", "pipe":
		p.item(roffBold("HTTP_PROXY, HTTPS_PROXY, NO_PROXY"), "the proxy for URLs, and the hosts that need none")
	case "serve":
		p.item(roffBold("GOGC"), "if it is set, weir does not change it; otherwise weir collects garbage early when idle")
	}
}
