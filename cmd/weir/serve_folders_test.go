//go:build !nobrowser

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestServe_PageUploadsAFolderIntoTheOneShown(t *testing.T) {
	t.Parallel()
	dir, from := t.TempDir(), t.TempDir()
	put(t, nil, dir, "2026", "old.txt")
	want := map[string][]byte{}
	for i := range 70 { // more than the page has rows for
		name := filepath.Join("trip", fmt.Sprintf("day %d", i%3), fmt.Sprintf("IMG_%d.jpg", i))
		want[name] = noise(1000 + i)
		put(t, want[name], from, name)
	}
	want[filepath.Join("trip", "notes.txt")] = []byte("notes")
	put(t, []byte("notes"), from, "trip", "notes.txt")
	s := startServe(t, dir, "--uploads", dir)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url+"2026/"),
		seen(`document.querySelector("#drop p").textContent.includes("Stored in 2026")`),
		chromedp.SetUploadFiles(chromedp.CSS("input[webkitdirectory]"), []string{filepath.Join(from, "trip")}),
		seen(`document.querySelector("#sum").textContent.startsWith("71 of 71 files")`),
		lists("trip", "old.txt"),
		seen(`document.querySelectorAll("#uploads li").length <= 60`),
		// A folder that is dropped, as the page sees it.
		seen(`(() => {
			const file = (name) => ({ isDirectory: false, name, file: (done) => done(new File(["dropped"], name)) });
			const folder = (name, entries) => ({ isDirectory: true, name, createReader: () => ({ readEntries: (done) => done(entries.splice(0, 1)) }) });
			const item = (entry) => ({ kind: "file", webkitGetAsEntry: () => entry });
			const e = new Event("drop");
			e.dataTransfer = { items: [item(folder("deep", [file("a.txt"), folder("er", [file("b.txt")])]))] };
			return dispatchEvent(e);
		})()`),
		says("deep/er/b.txt", "done", "Done, 7 B"),
		says("deep/a.txt", "done", "Done, 7 B"),
		lists("deep", "trip", "old.txt"),
		choose(put(t, []byte("one"), t.TempDir(), "one.txt")),
		says("one.txt", "done", "Done, 3 B"),
	)
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			do(t, ctx, viewport(width, 900, scheme), seen(`document.documentElement.scrollWidth <= innerWidth`), look(fmt.Sprintf("folder %d %s", width, scheme)))
		}
	}
	want[filepath.Join("deep", "a.txt")], want[filepath.Join("deep", "er", "b.txt")], want["one.txt"] = []byte("dropped"), []byte("dropped"), []byte("one")
	for name, content := range want {
		same(t, filepath.Join(dir, "2026", name), content)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 2 { // and the folder of uploads
		t.Errorf("%v, %v", entries, err)
	}
}

func TestServe_PageUploadsIntoTheFolderShownWithoutJavaScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, nil, dir, "a & b", "old.txt")
	s := startServe(t, dir, "--uploads", dir)
	ctx := openBrowser(t)
	withoutScript(t, ctx)
	do(t, ctx,
		chromedp.Navigate(s.url+"a%20&%20b/"),
		seen(`!document.querySelector("input[webkitdirectory]").checkVisibility()`),
		choose(put(t, []byte("by form"), t.TempDir(), "form.txt")),
		look("folder no script"),
		chromedp.Click(chromedp.CSS("#drop form > button")),
		seen(`document.querySelector(".note")?.textContent.includes("form.txt")`),
		chromedp.Click(chromedp.CSS("a.button")),
		lists("form.txt", "old.txt"),
	)
	same(t, filepath.Join(dir, "a & b", "form.txt"), []byte("by form"))
}
