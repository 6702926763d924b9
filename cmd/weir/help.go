package main

import (
	"embed"
	"path"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed help/*.md
var helpTexts embed.FS

// topics are what weir help explains beside the commands.
var topics = []struct{ name, short string }{
	{"memory", "What the memory ceiling covers, and --memory"},
	{"states", "Busy, blocked, starved and outside"},
	{"verdict", "How the bottleneck is found"},
	{"exit-codes", "What the exit codes mean"},
	{"json", "The lines of --json"},
}

func helpTopics() (list []*cobra.Command) {
	for _, t := range topics {
		list = append(list, &cobra.Command{Use: t.name, Short: t.short, Long: helpText(t.name)})
	}
	return list
}

func helpText(name string) string {
	text, err := helpTexts.ReadFile(path.Join("help", name+".md"))
	if err != nil {
		panic(err) // it is embedded
	}
	return strings.TrimSuffix(string(text), "\n")
}
