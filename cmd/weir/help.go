package main

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:embed help/*.md
var helpTexts embed.FS

// topics are the subjects that weir help explains in addition to the commands.
var topics = []struct{ name, short string }{
	{"memory", "What the memory ceiling covers, and --memory"},
	{"states", "Busy, blocked, starved and outside"},
	{"verdict", "How the bottleneck is found"},
	{"exit-codes", "What the exit codes mean"},
	{"json", "The lines of --json"},
	{"survive", "Flows that continue after kill -9: spool:DIR and nats://"},
	{"stores", "Object stores: s3://bucket/key"},
	{"remote", "What weir sends to servers: passwords, headers, certificates"},
	{"keep", "What a copy keeps: permissions, owner, times, holes"},
}

// asTopic is the annotation of a command whose help is also a topic, with what the topic
// explains.
const asTopic = "weir_topic"

func helpTopics() (list []*cobra.Command) {
	for _, t := range topics {
		list = append(list, &cobra.Command{Use: t.name, Short: t.short, Long: helpText(t.name)})
	}
	return list
}

// newHelp returns the command help. For an unknown word it returns an error,
// not the general help.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND or TOPIC]",
		Short: "Explain a command or a topic",
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) (list []string, _ cobra.ShellCompDirective) {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, sub := range found.Commands() {
				if !sub.Hidden {
					list = append(list, sub.Name()+"\t"+sub.Short)
				}
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				topic := strings.Join(args, " ")
				f := &failure{code: exitUsage, text: fmt.Sprintf("there is no help about %q", topic), try: "weir help"}
				if best := closest(topic, commandNames(c.Root())); best != "" {
					f.text += fmt.Sprintf(" (did you mean %s?)", best)
					f.try += " " + best
				}
				return f
			}
			found.InitDefaultHelpFlag() // it is among the flags that are shown
			return found.Help()
		},
	}
}

// writeUsage writes the usage of a command as cobra does, with one difference: a topic is
// listed as the texts call it, weir help keep.
func writeUsage(c *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:")
	if c.Runnable() {
		b.WriteString("\n  " + c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\n  " + c.CommandPath() + " [command]")
	}
	if len(c.Aliases) > 0 {
		b.WriteString("\n\nAliases:\n  " + c.NameAndAliases())
	}
	if c.HasExample() {
		b.WriteString("\n\nExamples:\n" + c.Example)
	}
	if c.HasAvailableSubCommands() {
		writeCommands(&b, c)
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString("\n\nFlags:\n" + flagUsages(c.LocalFlags()))
	}
	if c.HasAvailableInheritedFlags() {
		b.WriteString("\n\nGlobal Flags:\n" + flagUsages(c.InheritedFlags()))
	}
	if c.HasHelpSubCommands() {
		b.WriteString("\n\nHelp topics:")
		for _, sub := range c.Commands() {
			short := sub.Annotations[asTopic]
			if sub.IsAdditionalHelpTopicCommand() {
				short = sub.Short
			}
			if short != "" {
				fmt.Fprintf(&b, "\n  %s help %-*s %s", c.Root().Name(), sub.NamePadding(), sub.Name(), short)
			}
		}
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\nUse \"%s [command] --help\" for more information about a command.", c.CommandPath())
	}
	_, err := fmt.Fprintln(c.OutOrStderr(), b.String())
	return err
}

// writeCommands writes the commands below c, by their groups.
func writeCommands(b *strings.Builder, c *cobra.Command) {
	list := func(title, group string) {
		b.WriteString("\n\n" + title)
		for _, sub := range c.Commands() {
			if sub.GroupID == group && (sub.IsAvailableCommand() || sub.Name() == "help") {
				fmt.Fprintf(b, "\n  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if len(c.Groups()) == 0 {
		list("Available Commands:", "")
		return
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	if !c.AllChildCommandsHaveGroup() {
		list("Additional Commands:", "")
	}
}

func flagUsages(flags *pflag.FlagSet) string {
	return strings.TrimRightFunc(flags.FlagUsages(), unicode.IsSpace)
}

func helpText(name string) string {
	text, err := helpTexts.ReadFile(path.Join("help", name+".md"))
	if err != nil {
		panic(err) // it is embedded
	}
	return strings.TrimSuffix(string(text), "\n")
}
