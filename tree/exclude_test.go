package tree

import "testing"

func TestExclude_MatchesNamesAndPaths(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		folder, want  bool
	}{
		{"*.o", "a.o", false, true},
		{"*.o", "deep/down/a.o", false, true},
		{"*.o", "a.os", false, false},
		{".git", "sub/.git", true, true},
		{"cache/", "sub/cache", true, true},
		{"cache/", "sub/cache", false, false},
		{"/build", "build", true, true},
		{"/build", "sub/build", true, false},
		{"sub/*.log", "sub/x.log", false, true},
		{"sub/*.log", "other/sub/x.log", false, false},
		{"sub/*.log", "sub/deep/x.log", false, false},
		{"**/node_modules", "a/b/node_modules", true, true},
		{"**/node_modules", "node_modules", true, true},
		{"a/**/z", "a/b/c/z", false, true},
		{"a/**/z", "a/z", false, true},
		{"a/**", "b/a", false, false},
		{"[ab]?", "b1", false, true},
		{`\*`, "*", false, true},
		{`\*`, "x", false, false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		if got := p.matches(c.name, c.folder); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
	for _, bad := range []string{"", "/", "[", "a//b", "a/[b"} {
		if err := ParsePattern(bad); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
}

func TestPatterns_MatchAsExcludeDoes(t *testing.T) {
	p, err := ParsePatterns([]string{"*.tmp", "cache/"})
	if err != nil {
		t.Fatal(err)
	}
	var none Patterns
	for _, c := range []struct {
		name         string
		folder, want bool
	}{{"a/x.tmp", false, true}, {"a/x.txt", false, false}, {"cache", true, true}, {"cache", false, false}} {
		if got := p.Match(c.name, c.folder); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if none.Match(c.name, c.folder) {
			t.Errorf("%s matches no pattern at all", c.name)
		}
	}
	if _, err := ParsePatterns([]string{"["}); err == nil {
		t.Error("an invalid pattern is no error")
	}
}
