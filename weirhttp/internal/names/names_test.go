package names

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSafe_MakesValidNames(t *testing.T) {
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
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSafe_KeepsExtensionAndCharactersOfLongNames(t *testing.T) {
	name := Safe(strings.Repeat("日本", 1000) + ".tar.gz")
	if len(name) > longestName || !strings.HasSuffix(name, "本.tar.gz") && !strings.HasSuffix(name, "日.tar.gz") {
		t.Errorf("%d bytes: %q", len(name), name)
	}
	if name := Safe("a." + strings.Repeat("x", 4096)); len(name) != longestName {
		t.Errorf("%d bytes", len(name))
	}
	for in, want := range map[string]string{
		"CON" + strings.Repeat(" ", 300) + "x.txt": "_CON.txt",
		"con." + strings.Repeat("x", 300):          "_con." + strings.Repeat("x", longestName-5),
	} {
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, the name of a device", in, got)
		}
	}
}

func TestNumbered_PutsNumberBeforeExtension(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"a.txt", 1, "a.txt"}, {"a.txt", 2, "a (2).txt"}, {"a", 3, "a (3)"},
		{"a.tar.gz", 2, "a (2).tar.gz"}, {"a.b.c", 2, "a.b (2).c"},
	} {
		if got := Numbered(c.name, c.n); got != c.want {
			t.Errorf("Numbered(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
	if Numbered("a", MostNumbered+1) == Numbered("a", MostNumbered+2) {
		t.Error("names beyond the numbers are equal")
	}
}

func FuzzSafe_IsAlwaysOneSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../..", "a\\b", "con.x", ".tar.gz", strings.Repeat("é", 300), "\xff", "a.\u202e", "\u2c60" /* ends in 0xa0 */} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, s string) {
		name := Safe(s)
		if name == "" {
			return
		}
		last, _ := utf8.DecodeLastRuneInString(name)
		if !utf8.ValidString(name) || len(name) > longestName || !filepath.IsLocal(name) ||
			strings.ContainsAny(name, `/\<>:"|?*`) || strings.ContainsFunc(name, unicode.IsControl) ||
			name[0] == '.' || isEdge(last) || isDevice(name) {
			t.Fatalf("Safe(%q) = %q", s, name)
		}
		if again := Safe(name); again != name {
			t.Fatalf("Safe(%q) = %q, and of that %q", s, name, again)
		}
		for _, n := range []int{2, MostNumbered, MostNumbered + 1} {
			if err := os.WriteFile(filepath.Join(dir, Numbered(name, n)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, Numbered(name, n)))
		}
	})
}

func FuzzFromURL_StaysBelowTheRoot(f *testing.F) {
	for _, s := range []string{"", "/", "a", "/a/../b", "..", "a//b/./c", ".a", "...", "a\\b", "a\x00", strings.Repeat("x", 300)} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, p string, hidden bool) {
		name, slash, status := FromURL(p, hidden)
		if status != 0 {
			if status < 400 || name != "" {
				t.Fatalf("%q: %d with %q", p, status, name)
			}
			return
		}
		if !filepath.IsLocal(name) || name != filepath.Clean(name) {
			t.Fatalf("%q became %q, which is not below the root", p, name)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Fatalf("%q became %q", p, name)
		}
		if name == "." != slash && name == "." {
			t.Fatalf("%q is the root and no folder", p)
		}
		for e := range strings.SplitSeq(name, string(filepath.Separator)) {
			if !hidden && name != "." && strings.HasPrefix(e, ".") {
				t.Fatalf("%q became the hidden %q", p, name)
			}
		}
		if again, _, status := FromURL(filepath.ToSlash(name), hidden); name != "." && (status != 0 || again != name) {
			t.Fatalf("%q became %q, and that %q", p, name, again)
		}
	})
}

func FuzzAppendEscaped_AgreesWithNetURL(f *testing.F) {
	for _, s := range []string{"", "*", "a*", "a b/c?d#e%f", "ü", "\xff", "!'()", "a:b", strings.Repeat("é", 300)} {
		f.Add(s)
	}
	for c := range 256 {
		f.Add("a" + string([]byte{byte(c)}))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(AppendEscaped([]byte("./"), s)), "./"+Escape(s); got != want {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	})
}
