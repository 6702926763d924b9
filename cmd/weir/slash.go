package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-go/weir/endpoint"
)

// withSlashes returns name as the URL that it is without a slash or two, such as s3:/logs/x,
// or "" if it does not look like one.
func withSlashes(name string) string {
	scheme, rest, ok := strings.Cut(name, ":")
	scheme = strings.ToLower(scheme)
	path, slash := strings.CutPrefix(rest, "/")
	switch {
	case !ok || !slices.Contains(endpoint.Schemes(), scheme) || path == "" || path[0] == '/':
		return ""
	case scheme == "file" && !slash:
		return "" // whatever it is, it is not below the root
	case scheme == "file":
		path = "/" + path
	}
	return scheme + "://" + path
}

// missingSlash returns the failure of a name that lacks a slash of its URL, or nil.
func missingSlash(name string) *failure {
	url := withSlashes(name)
	if url == "" {
		return nil
	}
	// Only a whole URL can be redacted: typed is name with the rest of that.
	safe := endpoint.Redact(url)
	_, rest, _ := strings.Cut(name, ":")
	_, safeRest, _ := strings.Cut(safe, "://")
	typed := strings.TrimSuffix(name, strings.TrimPrefix(rest, "/")) + strings.TrimPrefix(safeRest, "/")
	// Quotes keep the question mark from being redacted as the query of the URL.
	return &failure{code: exitUsage, text: fmt.Sprintf(`%s is not a URL (did you mean "%s"?)`, typed, safe), try: quoted(safe)}
}

// slashes returns the failure of the first name that lacks a slash of its URL. A source that
// exists is a file all the same, and so is a destination whose folder exists.
func slashes(sources, destinations []string) error {
	for _, name := range sources {
		if f := missingSlash(name); f != nil {
			if _, err := os.Lstat(name); err != nil {
				return f
			}
		}
	}
	for _, name := range destinations {
		if f := missingSlash(name); f != nil {
			if _, err := os.Stat(filepath.Dir(name)); err != nil {
				return f
			}
		}
	}
	return nil
}
