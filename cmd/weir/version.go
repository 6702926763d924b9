package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A release sets these with -ldflags "-X main.releaseVersion=v1.2.3 …", because
// a build from a source archive knows neither its tag nor its commit.
var (
	releaseVersion string // as the tag: v1.2.3
	releaseCommit  string // the full hash
	releaseDate    string // of the commit, in RFC 3339
)

// version describes this build.
type version struct {
	Version  string `json:"version"`            // devel if unknown
	Commit   string `json:"commit,omitempty"`   // as long as it is known: 40 or 12 digits
	Date     string `json:"date,omitempty"`     // of the commit, in RFC 3339
	Modified bool   `json:"modified,omitempty"` // the working tree differed from the commit
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// thisVersion returns the version that the release build, the version control system or the
// module proxy recorded, in this order.
func thisVersion() version {
	info, _ := debug.ReadBuildInfo()
	v := builtVersion(info)
	if releaseVersion != "" {
		v.Version, v.Commit, v.Date, v.Modified = releaseVersion, releaseCommit, releaseDate, false
	}
	return v
}

// builtVersion reads the version from info, which may be nil.
func builtVersion(info *debug.BuildInfo) version {
	v := version{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info == nil {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
		// go install …@latest has no settings of version control, but a version
		// without a tag names its commit.
		v.Commit, v.Date = pseudoVersion(m)
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// pseudoVersion returns the commit and its date that a version such as
// v0.1.1-0.20261130011315-72923fd02ab1 names, or empty strings.
func pseudoVersion(v string) (commit, date string) {
	v, _, _ = strings.Cut(v, "+")
	before, commit, ok := lastCut(v, "-")
	if !ok || len(commit) != 12 || strings.Trim(commit, "0123456789abcdef") != "" {
		return "", ""
	}
	stamp := before[max(0, len(before)-14):]
	t, err := time.Parse("20060102150405", stamp)
	if err != nil {
		return "", ""
	}
	return commit, t.Format(time.RFC3339)
}

// lastCut is strings.Cut at the last sep.
func lastCut(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// String returns one line: weir v1.2.3 (commit 72923fd02ab1, 2026-11-30) go1.26.8 linux/amd64.
func (v version) String() string {
	from := "commit unknown"
	if v.Commit != "" {
		from = "commit " + v.Commit[:min(12, len(v.Commit))]
	}
	if day, _, _ := strings.Cut(v.Date, "T"); day != "" {
		from += ", " + day
	}
	if v.Modified {
		from += ", modified"
	}
	return fmt.Sprintf("weir %s (%s) %s %s/%s", v.Version, from, v.Go, v.OS, v.Arch)
}

// addVersionFlag adds --version to a command that has its RunE. cobra's own flag of that name
// prints another text, unless it gets a template.
func addVersionFlag(c *cobra.Command, short string) {
	c.Flags().BoolP("version", short, false, "print the version")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !asksVersion(c) {
			return run(c, args)
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), thisVersion())
		return err
	}
}

// asksVersion reports whether --version was given to c.
func asksVersion(c *cobra.Command) bool {
	asked, _ := c.Flags().GetBool("version") // an error means that c has no such flag
	return asked
}

func newVersion(stdout io.Writer) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, its commit and its date",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if asJSON {
				return json.NewEncoder(stdout).Encode(v)
			}
			_, err := fmt.Fprintln(stdout, v)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}
