//go:build !nobrowser

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// zone puts the browser into a time zone.
func zone(name string) deed {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name})
		return err
	})
}

// follow clicks a link of a page that has loaded. Before, the browser can replace the link.
func follow(css string) deed {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := seen(`document.readyState === "complete"`)(ctx, t); err != nil {
			return err
		}
		_, err := chromedp.Click(chromedp.CSS(css))(ctx, t)
		return err
	})
}

func withoutScript(t *testing.T, ctx context.Context) {
	t.Helper()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
}

// lists waits for the names in the listing to begin with these.
func lists(names ...string) deed {
	return seen(fmt.Sprintf(`[...document.querySelectorAll("tbody td:first-child bdi")].slice(0, %d).map((b) => b.textContent).join("|") === %q`,
		len(names), strings.Join(names, "|")))
}

// album is a folder with 2,000 pictures, two folders and a README.
func album(t *testing.T) string {
	dir := t.TempDir()
	for i := 1; i <= 2000; i++ {
		file := put(t, make([]byte, 37*i%4001), dir, fmt.Sprintf("IMG_%d.jpg", i))
		if err := os.Chtimes(file, time.Time{}, time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC).Add(time.Duration(i*i%2003)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, nil, dir, "raw", "x")
	put(t, nil, dir, "Best of", "a.jpg")
	put(t, []byte("# Summer 2026\n\nThe pictures of the *summer*, <b>as they are</b>.\n\n- `raw/` has the originals\n- Best of has the ones to print, in "+strings.Repeat("a very ", 20)+"long list\n"), dir, "README.md")
	put(t, []byte("x"), dir, "gpj.\u202eexe")
	return dir
}

func TestServe_PageSortsAndFiltersTwoThousandFiles(t *testing.T) {
	t.Parallel()
	dir := album(t)
	s := startServe(t, dir)
	ctx := openBrowser(t)
	do(t, ctx,
		zone("Asia/Tokyo"),
		chromedp.Navigate(s.url),
		lists("Best of", "raw", "gpj.‹U+202E›exe", "IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"),
		seen(`document.querySelectorAll("tbody tr").length === 500 && document.querySelector("#counts").textContent === "1 to 500 of 2004 names"`),
		seen(`document.querySelector("#readme pre").textContent.includes("<b>as they are</b>")`),
		seen(`!document.querySelector(".zone") && document.querySelector("a[href='./IMG_1.jpg']").closest("tr").querySelector("time").textContent === "2026-07-02 08:30"`),
		follow(`.pages a:last-child`),
		seen(`location.search === "?page=5" && document.querySelectorAll("tbody tr").length === 4`),
		follow(`th:nth-child(2) a`), // size, the largest first
		seen(`document.querySelector("th[aria-sort=descending]").textContent === "Size" && location.search.includes("sort=size")`),
		lists("Best of", "raw", "IMG_1622.jpg", "IMG_865.jpg"),
		follow(`th:nth-child(3) a`),
		seen(`document.querySelector("th[aria-sort=descending]").textContent.startsWith("Modified")`),
		follow(`th:nth-child(1) a`),
		seen(`document.querySelector("th[aria-sort=ascending]").textContent === "Name"`),
		follow(`th:nth-child(1) a`), // from the end
		seen(`document.querySelector("th[aria-sort=descending]").textContent === "Name"`),
		lists("raw", "Best of", "README.md", "IMG_2000.jpg", "IMG_1999.jpg"),
		chromedp.Navigate(s.url),
		chromedp.Focus(chromedp.CSS("#filter input[name=q]")),
		chromedp.KeyEvent("img 77"),
		lists("IMG_77.jpg", "IMG_177.jpg", "IMG_277.jpg"),
		seen(`location.search === "?q=img+77" && !document.querySelector(".pages") && document.querySelector("#counts").textContent.startsWith("38 files")`),
		look("filtered"),
		chromedp.KeyEvent("x"),
		seen(`document.querySelector(".empty").textContent.startsWith("No name here contains “img 77x”")`),
		look("filtered nothing"),
		chromedp.Reload(),
		seen(`document.querySelector(".empty") && document.querySelector("#filter input").value === "img 77x"`),
		follow(".empty a"),
		lists("Best of"),
	)
}

func TestServe_PageOfALongFolderFits(t *testing.T) {
	t.Parallel()
	s := startServe(t, album(t))
	ctx := openBrowser(t)
	do(t, ctx, chromedp.Navigate(s.url+"?limit=30"), lists("Best of", "raw"))
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			do(t, ctx, viewport(width, 900, scheme),
				seen(`document.documentElement.scrollWidth <= innerWidth`),
				look(fmt.Sprintf("list %d %s", width, scheme)),
				seen(`scrollTo(0, document.body.scrollHeight) || true`),
				look(fmt.Sprintf("list end %d %s", width, scheme)),
				seen(`scrollTo(0, 0) || true`))
		}
	}
}

func TestServe_PageSortsAndFiltersWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := startServe(t, album(t))
	ctx := openBrowser(t)
	withoutScript(t, ctx)
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`document.querySelector(".zone").textContent === "UTC"`),
		follow(`th:nth-child(2) a`),
		lists("Best of", "raw", "IMG_1622.jpg"),
		chromedp.SendKeys(chromedp.CSS("#filter input[name=q]"), "77.jpg"),
		look("list no script"),
		follow("#filter button"),
		seen(`location.search.includes("q=77.jpg") && location.search.includes("sort=size")`),
		seen(`document.querySelectorAll("tbody tr").length === 20`),
	)
}

func TestServe_PageOfAnErrorLeadsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, nil, dir, "a", "b", "c.txt")
	s := startServe(t, dir)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url+"a/b/none.txt"),
		seen(`document.title === "Not found"`),
		viewport(1280, 700, "light"), look("error 1280 light"),
		viewport(390, 700, "dark"), look("error 390 dark"),
		follow(`a[href="/a/b/"]`),
		lists("c.txt"),
		chromedp.Navigate(s.url+"?sort=colour"),
		seen(`document.body.textContent.includes("sort must be name, size or time")`),
		follow(`a[href="/"]`),
		lists("a"),
	)
}

func TestServe_PageOfAnEmptyFolderFits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, dir, "--uploads", dir)
	ctx := openBrowser(t)
	do(t, ctx, chromedp.Navigate(s.url+"empty/"))
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			do(t, ctx, viewport(width, 700, scheme),
				seen(`document.documentElement.scrollWidth <= innerWidth && !document.querySelector("#filter").checkVisibility()`),
				look(fmt.Sprintf("empty %d %s", width, scheme)))
		}
	}
}
