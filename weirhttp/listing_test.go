package weirhttp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// askListing asks a handler for a listing in JSON.
func askListing(t *testing.T, h http.Handler, target string) Listing {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	var l Listing
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d, %v\n%s", target, w.Code, err, w.Body)
	}
	return l
}

func namesIn(l Listing) (list []string) {
	for _, e := range l.Entries {
		list = append(list, e.Name)
	}
	return list
}

func TestListing_IsSortedByEachColumnAndFiltered(t *testing.T) {
	root := tree(t, map[string]string{"img10.png": "1", "IMG9.png": "333", "a.txt": "22", "Z.txt": "4444", "sub2/x": "", "Sub10/x": ""})
	for i, name := range []string{"Z.txt", "img10.png", "a.txt", "IMG9.png", "Sub10", "sub2"} {
		at := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(filepath.Join(root.Name(), name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	h := quiet(root)
	h.List = true
	for query, want := range map[string]string{
		"":                              "sub2 Sub10 a.txt IMG9.png img10.png Z.txt",
		"&order=desc":                   "Sub10 sub2 Z.txt img10.png IMG9.png a.txt",
		"&sort=size":                    "sub2 Sub10 img10.png a.txt IMG9.png Z.txt",
		"&sort=size&order=desc":         "sub2 Sub10 Z.txt IMG9.png a.txt img10.png",
		"&sort=time":                    "Sub10 sub2 Z.txt img10.png a.txt IMG9.png",
		"&sort=time&order=desc":         "sub2 Sub10 IMG9.png a.txt img10.png Z.txt",
		"&q=PNG":                        "IMG9.png img10.png",
		"&q=img+1":                      "img10.png",
		"&q=none":                       "",
		"&limit=2":                      "sub2 Sub10",
		"&limit=2&page=2":               "a.txt IMG9.png",
		"&limit=4&page=2":               "img10.png Z.txt",
		"&limit=4&page=99":              "img10.png Z.txt", // the last one
		"&sort=size&limit=1&page=3":     "img10.png",
		"&q=txt&order=desc&limit=1":     "Z.txt",
		"&limit=999999999&page=9999999": "sub2 Sub10 a.txt IMG9.png img10.png Z.txt",
	} {
		l := askListing(t, h, "/?format=json"+query)
		if got := strings.Join(namesIn(l), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if total := len(strings.Fields(want)); !strings.Contains(query, "limit") && l.Total != total {
			t.Errorf("%s: %d in all, want %d", query, l.Total, total)
		}
	}
	for _, query := range []string{"sort=colour", "order=up", "page=0", "page=x", "limit=-1", "page=99999999999999999999"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/?"+query, nil))
		if w.Code != 400 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestListing_PagesTogetherAreTheWholeFolder(t *testing.T) {
	const n = 3*listedBatch + 7
	h := crowded(t, n)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	for _, query := range []string{"", "&order=desc", "&sort=size"} {
		for _, limit := range []int{250, 999, n} {
			var got []string
			for page := 1; len(got) < n && page <= n/limit+1; page++ {
				l := askListing(t, h, fmt.Sprintf("/d/?format=json&limit=%d&page=%d%s", limit, page, query))
				if l.Total != n {
					t.Fatalf("%d names in all", l.Total)
				}
				got = append(got, namesIn(l)...)
			}
			if query == "&order=desc" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %d names, %.50q…", query, limit, len(got), got)
			}
		}
	}
}

func TestListing_FirstPageNeedsNoMoreMemoryInALongerFolder(t *testing.T) {
	h := crowded(t, 5*listedBatch)
	b := weir.NewBudget(2 * listedCost)
	s := guarded(t, &Guard{Budget: b}, h)
	if resp, _ := s.fetch(t, browser(t), "GET", "/d/"); resp.StatusCode != 200 || b.Peak() > listedCost {
		t.Errorf("%s, %d bytes", resp.Status, b.Peak())
	}
}

func TestListing_TopOfALongFolderIsSentBeforeItIsRead(t *testing.T) {
	h := crowded(t, 2*listedBatch)
	b := weir.NewBudget(listedCost)
	top := make(chan Listing, 1)
	h.Top = func(w http.ResponseWriter, _ *http.Request, l Listing) {
		io.WriteString(w, "top ")
		top <- l
	}
	h.Page = func(w http.ResponseWriter, _ *http.Request, l Listing) {
		fmt.Fprint(w, len(l.Entries), " ", l.Err != nil)
	}
	s := guarded(t, &Guard{Budget: b, Queue: -1}, h)
	resp, text := s.fetch(t, browser(t), "GET", "/d/")
	if l := <-top; resp.StatusCode != 200 || text != "top 500 false" || l.Path != "/d/" || len(l.Entries) > 0 {
		t.Errorf("%s %q %+v", resp.Status, text, l)
	}
	if err := b.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	resp, text = s.fetch(t, browser(t), "GET", "/d/")
	if <-top; resp.StatusCode != 200 || text != "top 0 true" {
		t.Errorf("without memory: %s %q", resp.Status, text)
	}
}

func TestListing_ReadmeIsShownAsText(t *testing.T) {
	h := quiet(tree(t, map[string]string{
		"README": "plain", "readme.md": "# Hi\r\n\t<script>alert(1)</script> \u202egpj", "Readme.txt": "text",
		"long/README.md": strings.Repeat("a", longestReadme+1), "none/readme.html": "x", "empty/README": "",
	}))
	h.List = true
	s := guarded(t, new(Guard), h)
	shown := func(path string) string {
		_, page := s.fetch(t, browser(t), "GET", path, "Accept", "text/html")
		return page
	}
	page := shown("/")
	if !strings.Contains(page, "<h2>readme.md</h2>") || !strings.Contains(page, "# Hi\n    &lt;script&gt;alert(1)&lt;/script&gt; ‹U+202E›gpj</pre>") {
		t.Error(page)
	}
	if strings.Contains(shown("/?q=read"), "<pre>") {
		t.Error("it is below a filtered listing")
	}
	if page := shown("/long/"); !strings.Contains(page, "The file is longer") || strings.Count(page, "a") > longestReadme+2000 {
		t.Errorf("%.200s", page)
	}
	for _, path := range []string{"/none/", "/empty/"} {
		if strings.Contains(shown(path), "<pre>") {
			t.Errorf("%s has a README", path)
		}
	}
}

func TestListing_NamesThatMisleadAreShownAsTheyAre(t *testing.T) {
	h := quiet(tree(t, map[string]string{"gpj.\u202eexe": "x"}))
	h.List = true
	s := guarded(t, new(Guard), h)
	_, page := s.fetch(t, browser(t), "GET", "/", "Accept", "text/html")
	if !strings.Contains(page, `<a href="./gpj.%E2%80%AEexe"><bdi>gpj.‹U+202E›exe</bdi></a>`) || strings.Contains(page, "\u202e") {
		t.Error(page)
	}
}

func TestSelection_LinksLeadToTheSameSelection(t *testing.T) {
	s, err := selectionOf(nil, pageLength)
	if err != nil || s.Link() != "./" {
		t.Fatalf("%+v, %q, %v", s, s.Link(), err)
	}
	for _, want := range []Selection{
		s.By("name"), s.By("size"), s.By("size").By("size"), s.By("time").At(3), {Sort: "name", Filter: "a&b=ü", Page: 2, Limit: 7, usual: pageLength},
	} {
		u := httptest.NewRequest("GET", "/x/"+strings.TrimPrefix(want.Link(), "./"), nil).URL
		if got, err := selectionOf(u.Query(), pageLength); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", want.Link(), got, err, want)
		}
	}
	if by := s.By("size"); !by.Desc || by.By("size").Desc || by.By("name").Desc || !s.By("name").Desc {
		t.Error("the direction is not the one that people expect")
	}
}

func TestListing_LinksToPagesAroundTheShownOne(t *testing.T) {
	for at, want := range map[int]string{1: "[1 2 3 0 20]", 4: "[1 2 3 4 5 6 0 20]", 10: "[1 0 8 9 10 11 12 0 20]", 20: "[1 0 18 19 20]"} {
		l := Listing{Total: 200, Selection: Selection{Page: at, Limit: 10}}
		if got := fmt.Sprint(l.Around()); got != want {
			t.Errorf("at page %d: %s, want %s", at, got, want)
		}
	}
	l := Listing{Total: 13, Entries: make([]Entry, 3), Selection: Selection{Page: 2, Limit: 10}}
	if l.First() != 11 || l.Last() != 13 || l.Pages() != 2 {
		t.Errorf("%d to %d of %d pages", l.First(), l.Last(), l.Pages())
	}
}

// BenchmarkListing lists a folder of 100,000 files. first-ms is when the answer begins.
func BenchmarkListing(b *testing.B) {
	dir := b.TempDir()
	for i := range 100_000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %d of a long folder.dat", i*7919%100_000)), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	h := Files(root)
	h.List = true
	for _, c := range []struct {
		query   string
		clients int
	}{{"", 1}, {"page=100", 1}, {"page=200", 1}, {"sort=size", 1}, {"q=999", 1}, {"format=json&limit=500", 1}, {"format=json", 1}, {"format=json", 8}} {
		b.Run(fmt.Sprintf("%s/clients=%d", c.query, c.clients), func(b *testing.B) {
			b.ReportAllocs()
			var first atomic.Int64
			for range b.N {
				var all sync.WaitGroup
				for range c.clients {
					all.Go(func() {
						w := &stopwatch{begun: time.Now()}
						h.ServeHTTP(w, httptest.NewRequest("GET", "/?"+c.query, nil))
						first.Add(int64(w.first))
					})
				}
				all.Wait()
			}
			b.ReportMetric(float64(first.Load())/1e6/float64(b.N*c.clients), "first-ms")
		})
	}
}

// stopwatch is a client that takes everything at once.
type stopwatch struct {
	head  http.Header
	begun time.Time
	first time.Duration // from begun to the first byte
}

func (w *stopwatch) Header() http.Header {
	if w.head == nil {
		w.head = http.Header{}
	}
	return w.head
}

func (w *stopwatch) WriteHeader(status int) {
	if w.first == 0 {
		w.first = time.Since(w.begun)
	}
	if status != http.StatusOK {
		panic(status)
	}
}

func (w *stopwatch) Write(p []byte) (int, error) {
	if w.first == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return len(p), nil
}

func TestEntry_LabelShowsWhatIsInvisible(t *testing.T) {
	if got := (Entry{Name: "gpj.\u202eexe"}).Label(); got != "gpj.‹U+202E›exe" {
		t.Errorf("Label = %q", got)
	}
}

func TestListing_HandsItsReadmeToThePage(t *testing.T) {
	var got *Readme
	files := quiet(tree(t, map[string]string{"README.md": "text\n", "a": ""}))
	files.List = true
	files.Page = func(_ http.ResponseWriter, _ *http.Request, l Listing) { got = l.Readme }
	files.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if want := (Readme{Name: "README.md", Text: "text"}); got == nil || *got != want {
		t.Errorf("Readme = %+v, want %+v", got, want)
	}
}
