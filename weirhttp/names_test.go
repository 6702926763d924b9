package weirhttp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNamesOfClientsBecomeSafe(t *testing.T) {
	for in, want := range map[string]string{
		"report.pdf":                   "report.pdf",
		"Übersicht (2).pdf":            "Übersicht (2).pdf",
		"../../etc/passwd":             "passwd",
		`C:\Users\me\notes.txt`:        "notes.txt",
		"/abs/olute":                   "olute",
		"dir/":                         "",
		"..":                           "",
		".":                            "",
		"":                             "",
		".bashrc":                      "bashrc",
		"...hidden":                    "hidden",
		"trailing. . ":                 "trailing",
		"a\x00b":                       "ab",
		"line\nbreak\r.txt":            "linebreak.txt",
		"gpj.\u202eexe":                "gpj.exe",
		"zero\u200bwidth":              "zerowidth",
		`a<b>c:d"e|f?g*h`:              "a_b_c_d_e_f_g_h",
		"con":                          "_con",
		"NUL.txt":                      "_NUL.txt",
		"lpt9.tar.gz":                  "_lpt9.tar.gz",
		"COM¹":                         "_COM¹",
		"com10":                        "com10",
		"console":                      "console",
		"aux .c":                       "_aux .c",
		"\xff\xfe.bin":                 "_.bin",
		"%2e%2e%2fetc":                 "%2e%2e%2fetc",
		".x.weir-ABCDEFGHIJKLMNOP.tmp": "x.weir-ABCDEFGHIJKLMNOP.tmp",
	} {
		if got := SafeName(in); got != want {
			t.Errorf("SafeName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLongNamesKeepTheirExtensionAndTheirCharacters(t *testing.T) {
	name := SafeName(strings.Repeat("日本", 1000) + ".tar.gz")
	if len(name) > longestName || !strings.HasSuffix(name, "本.tar.gz") && !strings.HasSuffix(name, "日.tar.gz") {
		t.Errorf("%d bytes: %q", len(name), name)
	}
	if name := SafeName("a." + strings.Repeat("x", 4096)); len(name) != longestName {
		t.Errorf("%d bytes", len(name))
	}
	for in, want := range map[string]string{
		"CON" + strings.Repeat(" ", 300) + "x.txt": "_CON.txt",
		"con." + strings.Repeat("x", 300):          "_con." + strings.Repeat("x", longestName-5),
	} {
		if got := SafeName(in); got != want {
			t.Errorf("SafeName(%q) = %q, the name of a device", in, got)
		}
	}
}

func TestNumbersGoInFrontOfTheExtension(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"a.txt", 1, "a.txt"}, {"a.txt", 2, "a (2).txt"}, {"a", 3, "a (3)"},
		{"a.tar.gz", 2, "a (2).tar.gz"}, {"a.b.c", 2, "a.b (2).c"},
	} {
		if got := numbered(c.name, c.n); got != c.want {
			t.Errorf("numbered(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
	if numbered("a", mostNumbered+1) == numbered("a", mostNumbered+2) {
		t.Error("names beyond the numbers are equal")
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../..", "a\\b", "con.x", ".tar.gz", strings.Repeat("é", 300), "\xff", "a.\u202e"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, s string) {
		name := SafeName(s)
		if name == "" {
			return
		}
		if !utf8.ValidString(name) || len(name) > longestName || !filepath.IsLocal(name) ||
			strings.ContainsAny(name, `/\<>:"|?*`) || strings.ContainsFunc(name, unicode.IsControl) ||
			name[0] == '.' || isEdge(rune(name[len(name)-1])) || isDevice(name) {
			t.Fatalf("SafeName(%q) = %q", s, name)
		}
		if again := SafeName(name); again != name {
			t.Fatalf("SafeName(%q) = %q, and of that %q", s, name, again)
		}
		for _, n := range []int{2, mostNumbered, mostNumbered + 1} {
			if err := os.WriteFile(filepath.Join(dir, numbered(name, n)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, numbered(name, n)))
		}
	})
}
