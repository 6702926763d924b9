package weirhttp

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestNames_AreServedByOneRuleInAllViews has a folder with every kind of name, and looks
// at it as a page, as JSON, with GET and HEAD, and in archives.
func TestNames_AreServedByOneRuleInAllViews(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "root"), filepath.Join(base, "outside")
	for _, d := range []string{"root/box/sub", "root/box/.secret", "root/box/.weir-uploads", "root/other", "outside/folder"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const (
		served  = 1 << iota // in all views
		folder              // it is a folder
		packed              // in archives too, if it is a folder
		counted             // where it is not, that is counted
		open                // served with Symlinks
		bare                // served with Hidden
	)
	kinds := map[string]int{"sub": served | folder | packed, ".secret": bare | folder | packed, ".weir-uploads": 0}
	file := func(name string, kind int) {
		if err := os.WriteFile(filepath.Join(dir, "box", name), []byte("text"), 0o644); err != nil {
			t.Logf("%q cannot be made here: %v", name, err)
			return
		}
		if !strings.Contains(name, "/") {
			kinds[name] = kind
		}
	}
	link := func(name, target string, kind int) {
		if err := os.Symlink(target, filepath.Join(dir, "box", name)); err != nil {
			t.Logf("%q cannot be made here: %v", name, err)
			return
		}
		kinds[name] = kind
	}
	for _, f := range []string{filepath.Join(dir, "other", "x"), filepath.Join(outside, "f"), filepath.Join(outside, "folder", "x")} {
		if err := os.WriteFile(f, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file("plain.txt", served)
	file("sub/x", served)
	file(".secret/x", 0)
	file(".weir-uploads/x", 0)
	file(".hidden", bare)
	file("a b%2fc#d?e.txt", served)
	file("é.txt", served)
	if runtime.GOOS == "linux" { // other systems keep names as Unicode, and some forbid these
		file("not\xffutf8.txt", served)
		file("line\nfeed", counted)
		file("del\x7f", counted)
		file("next\u0085line", counted)
		file("..dots", bare)
		file("back\\slash", served)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	link("in", "plain.txt", served)
	link("in twice", "in", served)
	link("in sub", "sub/x", served)
	link("absolute", filepath.Join(root, "box", "plain.txt"), served)
	link("out and in", "../../root/box/plain.txt", served)
	link("up", "../other/x", served)
	link("around", "sub/../.secret/../plain.txt", served)
	link("to sub", "sub", served|folder|counted)
	link("to other", "../other", served|folder|packed)
	link("to other again", filepath.Join(root, "other"), served|folder|counted)
	link("to parent", "..", served|folder|counted)
	link("to itself", ".", served|folder|counted)
	link("to hidden", ".hidden", bare|counted)
	link("to secret", ".secret/x", bare|counted)
	link("to secret folder", ".secret", bare|folder|counted)
	link("to upload", ".weir-uploads/x", counted)
	link("out", filepath.Join(outside, "f"), open|counted)
	link("out again", "../../outside/f", open|counted)
	link("out folder", filepath.Join(outside, "folder"), open|folder|packed|counted)
	link("broken", "nothing", counted)
	link("loop", "loop", counted)
	if runtime.GOOS == "linux" {
		link("to line feed", "line\nfeed", counted)
	}

	rooted, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer rooted.Close()
	for _, with := range []struct{ hidden, symlinks bool }{{}, {hidden: true}, {symlinks: true}, {true, true}} {
		t.Run(fmt.Sprintf("%+v", with), func(t *testing.T) {
			h := archives(rooted)
			h.Hidden, h.Symlinks = with.hidden, with.symlinks
			s := guarded(t, new(Guard), h)
			c := browser(t)
			want := func(name string) bool {
				k := kinds[name]
				return k&served != 0 || k&bare != 0 && with.hidden || k&open != 0 && with.symlinks
			}
			leftOut, leftOutOfArchives := 0, 0
			for name, k := range kinds {
				switch {
				case !want(name) && k&counted != 0:
					leftOut++
					leftOutOfArchives++
				case want(name) && k&folder != 0 && k&packed == 0:
					leftOutOfArchives++
				}
			}

			// JSON, whose links work.
			_, text := s.fetch(t, c, "GET", "/box/?format=json")
			var list Listing
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				t.Fatal(err)
			}
			listed := map[string]bool{}
			for _, e := range list.Entries {
				u, err := url.Parse(s.url("/box/"))
				if err == nil {
					u, err = u.Parse(e.Href)
				}
				if err != nil {
					t.Errorf("%q: %v", e.Href, err)
					continue
				}
				listed[strings.TrimSuffix(strings.TrimPrefix(u.Path, "/box/"), "/")] = true
				for _, method := range []string{"GET", "HEAD"} {
					resp, body := s.fetch(t, c, method, u.EscapedPath())
					if resp.StatusCode != 200 || !e.Folder && method == "GET" && body != "text" || !e.Folder && resp.ContentLength != 4 {
						t.Errorf("%s %s: %s, %.20q", method, e.Href, resp.Status, body)
					}
				}
			}
			if list.LeftOut != leftOut {
				t.Errorf("JSON leaves out %d, want %d", list.LeftOut, leftOut)
			}

			// The page.
			_, page := s.fetch(t, c, "GET", "/box/?format=html")
			linked := map[string]bool{}
			for _, m := range regexp.MustCompile(`<td><a href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
				name, err := url.PathUnescape(html.UnescapeString(m[1]))
				if err != nil {
					t.Error(err)
				}
				linked[strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")] = true
			}

			// Archives.
			archived := map[string]map[string]string{}
			for kind, unpack := range map[string]func([]byte) map[string]string{"tar": untar, "tar.gz": ungzip, "zip": unzip} {
				resp, body := s.fetch(t, c, "GET", "/box/?archive="+kind)
				archived[kind] = unpack([]byte(body))
				said := resp.Header.Get(leftOutHeader) + resp.Trailer.Get(leftOutHeader)
				if said != fmt.Sprint(leftOutOfArchives) {
					t.Errorf("%s leaves out %q, want %d", kind, said, leftOutOfArchives)
				}
			}

			for name, k := range kinds {
				if listed[name] != want(name) || linked[name] != want(name) {
					t.Errorf("%q: %v in JSON, %v on the page, want %v", name, listed[name], linked[name], want(name))
				}
				u := url.URL{Path: "/box/" + name}
				for _, method := range []string{"GET", "HEAD"} {
					resp, _ := s.fetch(t, c, method, u.EscapedPath())
					if ok := resp.StatusCode == http.StatusOK || k&folder != 0 && resp.StatusCode == http.StatusMovedPermanently; ok != want(name) {
						t.Errorf("%s %q: %s, want %v", method, name, resp.Status, want(name))
					}
					if !want(name) && resp.StatusCode/100 != 4 {
						t.Errorf("%s %q: %s", method, name, resp.Status)
					}
				}
				for kind, files := range archived {
					_, isFolder := files["box/"+name+"/"]
					body, isFile := files["box/"+name]
					switch {
					case k&folder != 0 && (isFile || isFolder != (want(name) && k&packed != 0)):
						t.Errorf("%s has the folder %q: %v", kind, name, isFolder)
					case k&folder == 0 && (isFolder || isFile != want(name) || isFile && body != "text"):
						t.Errorf("%s has the file %q: %v, %q", kind, name, isFile, body)
					}
				}
			}
		})
	}
}
