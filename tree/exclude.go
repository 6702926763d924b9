package tree

import (
	"fmt"
	"path"
	"strings"
)

// pattern is one pattern of [Copy].Exclude.
type pattern struct {
	parts    []string // between the slashes
	anchored bool     // it is matched against the path, not the name
	folders  bool     // it matches folders only
}

// ParsePattern returns an error if s is not a valid pattern for [Copy].Exclude.
func ParsePattern(s string) error {
	_, err := parsePattern(s)
	return err
}

// Patterns is a list of patterns for names to leave out, as in [Copy].Exclude.
type Patterns struct{ list []pattern }

// ParsePatterns reads patterns. Its error names the first invalid one.
func ParsePatterns(list []string) (Patterns, error) {
	patterns, err := parsePatterns(list)
	return Patterns{patterns}, err
}

// Match reports whether name matches one of the patterns. name is a path below
// the top folder, with slashes. Match does not look at the folders that contain
// it.
func (p Patterns) Match(name string, folder bool) bool { return excluded(p.list, name, folder) }

func parsePattern(s string) (pattern, error) {
	var p pattern
	text := s
	if text, p.folders = strings.CutSuffix(text, "/"); text == "" {
		return p, fmt.Errorf("empty pattern %q", s)
	}
	p.anchored = strings.Contains(text, "/")
	p.parts = strings.Split(strings.TrimPrefix(text, "/"), "/")
	for _, part := range p.parts {
		if _, err := path.Match(part, ""); err != nil || part == "" {
			return p, fmt.Errorf("invalid pattern %q", s)
		}
	}
	return p, nil
}

func parsePatterns(list []string) (patterns []pattern, err error) {
	for _, s := range list {
		p, err := parsePattern(s)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// excluded reports whether one of the patterns matches name, a path below the
// top with slashes.
func excluded(patterns []pattern, name string, folder bool) bool {
	for _, p := range patterns {
		if p.matches(name, folder) {
			return true
		}
	}
	return false
}

func (p pattern) matches(name string, folder bool) bool {
	switch {
	case p.folders && !folder:
		return false
	case !p.anchored:
		ok, _ := path.Match(p.parts[0], path.Base(name))
		return ok
	}
	return matchParts(p.parts, strings.Split(name, "/"))
}

// matchParts matches part by part. "**" means any number of parts.
func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(name) + 1 {
				if matchParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], name[0]); !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}
