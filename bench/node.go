package main

import (
	"embed"
	"os"
)

//go:embed node
var nodeFiles embed.FS

// nodeScript returns the command line that runs one of the scripts in node/,
// which is written to the data folder first.
func nodeScript(e *env, name string, args ...string) []string {
	path := e.path(name)
	if text, err := nodeFiles.ReadFile("node/" + name); err == nil && os.MkdirAll(e.dir, 0o777) == nil {
		os.WriteFile(path, text, 0o666)
	}
	return append([]string{"node", path}, args...)
}
