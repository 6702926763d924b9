package markup

import (
	"bufio"
	"errors"
	"html"
	"html/template"
	"reflect"
	"strings"
	"testing"
)

// written returns what write writes.
func written(t *testing.T, write func(w *Writer)) string {
	t.Helper()
	var b strings.Builder
	w := NewWriter(&b)
	write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriter_EscapesTextsAndLeavesMarkup(t *testing.T) {
	got := written(t, func(w *Writer) {
		w.HTML(`<p title="`).Text("a\"b'c").HTML(`">`).Text("<b> & \x00").Trusted("<hr>").Int(-7).HTML(`</p>`)
	})
	want := "<p title=\"a&#34;b&#39;c\">&lt;b&gt; &amp; \uFFFD<hr>-7</p>"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A variable of another package can be used for a string, but not for a type that the
// package cannot name.
func TestWriter_TakesOnlyConstantsForMarkup(t *testing.T) {
	in := reflect.TypeFor[func(*Writer, constant) *Writer]().In(1)
	if m, _ := reflect.TypeFor[*Writer]().MethodByName("HTML"); m.Type.In(1) != in || in == reflect.TypeFor[string]() || in.Name() != "constant" {
		t.Errorf("HTML takes a %v", m.Type.In(1))
	}
}

func TestWriter_LinksOnlyToPagesOfTheWeb(t *testing.T) {
	for url, want := range map[string]string{
		"":                       "",
		"./a/?b=c&d#e":           "./a/?b=c&amp;d#e",
		"http://host/":           "http://host/",
		"HTTPS://host/":          "HTTPS://host/",
		"javascript:alert(1)":    "#",
		"JavaScript:alert(1)":    "#",
		" javascript:alert(1)":   "#",
		"java\tscript:alert(1)":  "#",
		"\x01javascript:x":       "#",
		"data:text/html,<b>":     "#",
		"http:javascript:x":      "http:javascript:x",
		"./javascript:x":         "./javascript:x",
		`"><b>'()`:               "%22%3e%3cb%3e%27%28%29",
		"a b\u00e4\xff%41%4":     "a%20b%c3%a4%ff%41%254",
		"%":                      "%25",
		"/a\\b":                  "/a%5cb",
		"&javascript&colon;x(1)": "&amp;javascript&amp;colon;x%281%29",
	} {
		if got := written(t, func(w *Writer) { w.Link(url) }); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
	}
}

// failing fails at the second write.
type failing struct{ writes int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.writes++; f.writes == 2 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriter_KeepsTheFirstErrorAndWritesNothingAfterIt(t *testing.T) {
	var to failing
	w := NewWriter(&to)
	for range 10 * collected {
		w.HTML("<b>").Text("a").Link("b").Int(1)
	}
	if !errors.Is(w.Err(), errFull) || !errors.Is(w.Flush(), errFull) || to.writes != 2 {
		t.Errorf("%v after %d writes", w.Err(), to.writes)
	}
}

func TestWriter_UsesTheMemoryOfAWriterThatCollects(t *testing.T) {
	out := bufio.NewWriterSize(&failing{}, 2*collected)
	if w := NewWriter(out); w.out != out {
		t.Error("it has memory of its own")
	}
}

var sameLink = template.Must(template.New("").Parse(`<a title="{{.}}" href="{{.}}">{{.}}</a>`))

// The texts read as html/template writes them. It writes a + as a code, and marks links that
// it does not let through in another way. It lets mailto: through.
func FuzzWriter_ReadsAsAPageOfHTMLTemplate(f *testing.F) {
	for _, s := range []string{"", "a", "<script>", `"'`, "\x00", "&amp;&#39;&lt", "javascript:x", "a:b", "./%41%zz", "\xff\xc3", "https://x/'()", "+", "\r\n\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		page := written(t, func(w *Writer) {
			w.HTML(`<a title="`).Text(s).HTML(`" href="`).Link(s).HTML(`">`).Text(s).HTML(`</a>`)
		})
		var b strings.Builder
		if err := sameLink.Execute(&b, s); err != nil {
			t.Fatal(err)
		}
		want := strings.NewReplacer("&#43;", "+", `href="#ZgotmplZ"`, `href="#"`).Replace(b.String())
		if scheme, _, _ := strings.Cut(s, ":"); !strings.EqualFold(scheme, "mailto") && page != want {
			t.Errorf("%s\nwant\n%s", page, want)
		}
		text := Escape(s)
		if strings.ContainsAny(text, "<>\"'\x00") {
			t.Errorf("%q has markup", text)
		}
		if back := html.UnescapeString(text); back != strings.ReplaceAll(s, "\x00", "\uFFFD") {
			t.Errorf("%q reads as %q", text, back)
		}
	})
}
