package main

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"
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

func helpText(name string) string {
	text, err := helpTexts.ReadFile(path.Join("help", name+".md"))
	if err != nil {
		panic(err) // it is embedded
	}
	return strings.TrimSuffix(string(text), "\n")
}
