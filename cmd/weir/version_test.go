package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion_NamesItsCommitAndDate(t *testing.T) {
	const hash = "72923fd02ab13b3fc0a14f6d1cfae6e8c2a3e4b5"
	set := func(kv ...string) (s []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			s = append(s, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return s
	}
	for _, c := range []struct {
		how  string
		main string
		set  []debug.BuildSetting
		want string // up to the Go version
	}{
		{"go build in a checkout", "v0.1.1-0.20261130011315-72923fd02ab1+dirty",
			set("vcs.revision", hash, "vcs.time", "2026-11-30T01:13:15Z", "vcs.modified", "true"),
			"weir v0.1.1-0.20261130011315-72923fd02ab1+dirty (commit 72923fd02ab1, 2026-11-30, modified) "},
		{"go build of a tag", "v0.1.0", set("vcs.revision", hash, "vcs.time", "2026-11-30T01:13:15Z", "vcs.modified", "false"),
			"weir v0.1.0 (commit 72923fd02ab1, 2026-11-30) "},
		{"go install of a tag", "v0.1.0", nil, "weir v0.1.0 (commit unknown) "},
		{"go install of a commit", "v0.0.0-20261130011315-72923fd02ab1", nil,
			"weir v0.0.0-20261130011315-72923fd02ab1 (commit 72923fd02ab1, 2026-11-30) "},
		{"go install of a commit behind a pre-release", "v1.0.0-rc.1.0.20261130011315-72923fd02ab1", nil,
			"weir v1.0.0-rc.1.0.20261130011315-72923fd02ab1 (commit 72923fd02ab1, 2026-11-30) "},
		{"a tag that resembles a commit", "v1.0.0-rc-abcdefabcdef", nil, "weir v1.0.0-rc-abcdefabcdef (commit unknown) "},
		{"a tag of one word", "v1.0.0-abcdefabcdef", nil, "weir v1.0.0-abcdefabcdef (commit unknown) "},
		{"go build -buildvcs=false", "(devel)", nil, "weir devel (commit unknown) "},
		{"go test", "", nil, "weir devel (commit unknown) "},
	} {
		v := builtVersion(&debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.set})
		if got := v.String(); !strings.HasPrefix(got, c.want+"go1.") {
			t.Errorf("%s: %s, want %s…", c.how, got, c.want)
		}
	}
	if got := builtVersion(nil).String(); !strings.HasPrefix(got, "weir devel (commit unknown) go1.") {
		t.Errorf("no build information: %s", got)
	}
}

func TestVersion_TakesTheValuesOfARelease(t *testing.T) {
	defer func(v, c, d string) { releaseVersion, releaseCommit, releaseDate = v, c, d }(releaseVersion, releaseCommit, releaseDate)
	releaseVersion, releaseCommit, releaseDate = "v9.8.7", strings.Repeat("ab", 20), "2026-11-30T01:13:15Z"
	var out, errs bytes.Buffer
	for _, args := range [][]string{{"version"}, {"--version"}} {
		out.Reset()
		if code := run(args, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), "weir v9.8.7 (commit abababababab, 2026-11-30) go1.") {
			t.Errorf("%v: %d, %s%s", args, code, &out, &errs)
		}
	}
	out.Reset()
	if code := run([]string{"version", "--json"}, &out, &errs); code != exitOK {
		t.Fatal(code, &errs)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"version": releaseVersion, "commit": releaseCommit, "date": releaseDate} {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
	if _, there := got["modified"]; there {
		t.Error("a release counts as modified")
	}
}

// A misspelled -X sets nothing, and the linker does not complain.
func TestVersion_IsSetByTheReleaseTool(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join("..", "..", "tools", "release", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"releaseVersion", "releaseCommit", "releaseDate"} {
		if !bytes.Contains(script, []byte("-X main."+name+"=")) {
			t.Errorf("tools/release does not set main.%s", name)
		}
	}
}
