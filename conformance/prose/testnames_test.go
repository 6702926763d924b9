package prose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// topics are what tests are about that is neither a declared name nor a file.
var topics = map[string]bool{
	"Operators":  true, // of streams, all of them
	"Rendezvous": true, // a pipe with a limit of 0
	"Sentinels":  true, // the exported errors of all packages
}

var (
	testFunc = regexp.MustCompile(`^(?:Test|Fuzz)[A-Z0-9_]`)
	testName = regexp.MustCompile(`^(?:Test|Fuzz)([A-Z][A-Za-z0-9]*)_[A-Z0-9][A-Za-z0-9]*$`)
	scenario = regexp.MustCompile(`^TestS\d\d_[A-Z]`) // of the conformance tests
)

// subjects are the names that a test may begin with, in lower case.
type subjects struct {
	exported map[string]bool            // of any package, and the packages' names
	own      map[string]map[string]bool // by folder: what it declares, and its files
}

// add takes what a file declares.
func (s *subjects) add(name string, f *ast.File) {
	own := s.own[path.Dir(name)]
	if own == nil {
		own = make(map[string]bool)
		s.own[path.Dir(name)] = own
	}
	own[fileSubject(name)] = true
	if strings.HasSuffix(name, "_test.go") {
		return
	}
	s.exported[strings.ToLower(f.Name.Name)] = true
	n := &names{packages: make(map[string]map[string]bool), members: make(map[string]bool)}
	n.declare(f.Name.Name, f)
	for id := range n.members {
		if len(id) > 1 {
			own[strings.ToLower(id)] = true
			if ast.IsExported(id) {
				s.exported[strings.ToLower(id)] = true
			}
		}
	}
}

// system is the end of the name of a file that is for some systems only.
var system = regexp.MustCompile(`_(aix|bsd|darwin|linux|other|unix|windows)$`)

// fileSubject returns the name of a file as a test would have it.
func fileSubject(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".go"), "_test")
	return strings.ReplaceAll(system.ReplaceAllString(name, ""), "_", "")
}

// has reports whether a subject consists of names that the package in the folder
// knows: one, or several as in HashAndTally and MergeZipAndPartition.
func (s *subjects) has(folder, subject string) bool {
	if subject == "" {
		return true
	}
	for end := 1; end <= len(subject); end++ {
		if end < len(subject) && !unicode.IsUpper(rune(subject[end])) {
			continue
		}
		if s.knows(folder, subject[:end]) && s.has(folder, strings.TrimPrefix(subject[end:], "And")) {
			return true
		}
	}
	return false
}

// knows reports whether a word, or what it is the plural of, is a name.
func (s *subjects) knows(folder, word string) bool {
	if topics[word] {
		return true
	}
	word = strings.ToLower(word)
	for _, w := range []string{word, strings.TrimSuffix(word, "s"), strings.TrimSuffix(word, "es")} {
		if s.own[folder][w] || s.exported[w] {
			return true
		}
	}
	return false
}

// wrong returns a complaint about the name of a test in a folder, or "".
func (s *subjects) wrong(folder, name string) string {
	m := testName.FindStringSubmatch(name)
	switch {
	case m == nil:
		return "not of the form TestSubject_WhatMustHold"
	case !s.has(folder, m[1]):
		return m[1] + " is no name of the package, no exported name, no file and no topic"
	}
	return ""
}

// testNames returns the subjects of the project, and its tests by folder.
func testNames(t *testing.T) (*subjects, map[string][]string) {
	t.Helper()
	s := &subjects{exported: make(map[string]bool), own: make(map[string]map[string]bool)}
	tests := make(map[string][]string)
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.add(name, f)
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && testFunc.MatchString(d.Name.Name) && d.Name.Name != "TestMain" {
				tests[path.Dir(name)] = append(tests[path.Dir(name)], d.Name.Name)
			}
		}
	})
	return s, tests
}

func TestTestNames_BeginWithTheirSubject(t *testing.T) {
	s, tests := testNames(t)
	checked := 0
	for folder, names := range tests {
		for _, name := range names {
			checked++
			if folder == "conformance" && scenario.MatchString(name) {
				continue
			}
			if wrong := s.wrong(folder, name); wrong != "" {
				t.Errorf("%s: %s: %s", folder, name, wrong)
			}
		}
	}
	if checked < 900 {
		t.Errorf("checked %d tests", checked)
	}
}

func TestTestNames_WithoutASubjectAreFound(t *testing.T) {
	s, _ := testNames(t)
	for _, c := range []struct {
		folder, name string
		ok           bool
	}{
		{".", "TestPipe_NeverHoldsMoreThanItsLimit", true},
		{".", "TestMergeZipAndPartition_LoseNothing", true},
		{"compress", "FuzzUnsplitter_Ends", true},
		{"tree", "TestGzip_IsReadByTools", true},
		{"cmd/weir", "TestLiveView_IsOneLine", true},
		{".", "TestAThousandStalledClientsFitTheTutorialsSum", false},
		{".", "TestAThousandStalledClients_FitTheTutorialsSum", false},
		{".", "TestTheRealTools_ReadMembers", false},
		{".", "TestPipeNeverHoldsMoreThanItsLimit", false},
		{".", "TestPipe_neverHoldsMoreThanItsLimit", false},
		{".", "TestPiped_DataArrives", false},
		{"tree", "FuzzUnsplitter_Ends", false}, // of package compress alone
		{".", "FuzzPipe", false},
	} {
		if wrong := s.wrong(c.folder, c.name); (wrong == "") != c.ok {
			t.Errorf("%s: %s: %q", c.folder, c.name, wrong)
		}
	}
}
