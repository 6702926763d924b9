package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan writes the manual pages, for whoever packages weir.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages into a folder",
		Hidden: true,
		Args:   one("folder", "weir man pages"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &failure{code: exitDestination, text: err.Error()}
			}
			root := c.Root()
			root.DisableAutoGenTag = true // the same pages from the same source
			if err := doc.GenManTree(root, &doc.GenManHeader{Title: "WEIR", Section: "1", Source: "weir"}, args[0]); err != nil {
				return &failure{code: exitDestination, text: err.Error()}
			}
			return nil
		},
	}
}
