//go:build !nobrowser

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// left returns how many files are in a folder and below, but for those that the
// server keeps its books in.
func left(dir string, least int64) (files []string) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if i, err := d.Info(); err == nil && !d.IsDir() && i.Size() >= least {
			files = append(files, path)
		}
		return nil
	})
	return files
}

// slowly makes the page's requests of a method wait until release() is called.
func slowly(method string) deed {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](`(() => {
			const real = fetch, gate = new Promise((open) => { window.release = open; });
			window.sent = [];
			window.fetch = async (url, options) => {
				const m = options?.method ?? "GET";
				window.sent.push(m);
				const answer = await real(url, options);
				if (m === "`+method+`") await gate;
				return answer;
			};
			return true;
		})()`)(ctx, t)
		return err
	})
}

// openPage opens the page of a server that takes uploads into in.
func openPage(t *testing.T, in string) (*served, context.Context) {
	s := startServe(t, t.TempDir(), "--uploads", in)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`typeof rows === "object"`),
	)
	return s, ctx
}

func TestServe_PageCancelsAnUploadThatIsBeingMade(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	file := put(t, noise(1<<20), t.TempDir(), "a.bin")
	s, ctx := openPage(t, in)
	do(t, ctx,
		slowly("POST"),
		choose(file),
		seen(`sent.includes("POST")`),
		press("Cancel a.bin"),
		seen(`!document.querySelector("#uploads li") && (release(), true)`),
		seen(`sent.includes("DELETE") && localStorage.length === 0`),
	)
	s.end()
	for _, r := range s.requests(t) {
		if r.Method == "PATCH" || r.Method == "DELETE" && r.Status != 204 {
			t.Errorf("after it was cancelled: %+v", r)
		}
	}
}

func TestServe_PageMakesAnUploadOnceThoughItIsPausedMeanwhile(t *testing.T) {
	t.Parallel()
	in, content := t.TempDir(), noise(1<<20)
	file := put(t, content, t.TempDir(), "a.bin")
	_, ctx := openPage(t, in)
	do(t, ctx,
		slowly("POST"),
		choose(file),
		seen(`sent.includes("POST")`),
		press("Pause a.bin"),
		press("Resume a.bin"),
		seen(`release() || true`),
		says("a.bin", "done", "Done, 1 MiB"),
		seen(`sent.filter((m) => m === "POST").length === 1`),
	)
	same(t, filepath.Join(in, "a.bin"), content)
}

func TestServe_PageDiscardsWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	file := put(t, noise(1<<20), t.TempDir(), "a.bin")
	s, ctx := openPage(t, in)
	do(t, ctx,
		slowly("none"),
		seen(`Upload.prototype.send = () => Promise.reject(new Failure("Not enough space", 507))`),
		choose(file),
		says("a.bin", "failed", "Not enough space"),
		seen(`sent.includes("DELETE") && localStorage.length === 0`),
	)
	s.end()
	if files := left(in, 1<<20); len(files) > 0 {
		t.Errorf("%q are left", files)
	}
}

func TestServe_PageLeavesUploadsOfAnotherTabAlone(t *testing.T) {
	t.Parallel()
	file := put(t, noise(1000), t.TempDir(), "a.bin")
	s := startServe(t, t.TempDir(), "--uploads", t.TempDir())
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`typeof rows === "object"`),
		slowly("POST"),
		choose(file),
		seen(`sent.includes("POST")`),
		// What another tab sees: the same memory and locks, and no rows.
		seen(`(() => {
			const [key] = rows.keys();
			memory.set(key, { url: "/_upload/x", name: "a.bin", size: 1000 });
			rows.clear();
			recall();
			setTimeout(() => { window.recalled = true; }, 200);
			return true;
		})()`),
		seen(`window.recalled`),
	)
	asked, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`sent.includes("HEAD")`))
	if err != nil || asked {
		t.Errorf("the upload of another tab was asked for: %v, %v", asked, err)
	}
}

func TestServe_PageSaysThatItTakesNoFolders(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--uploads", t.TempDir())
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`typeof rows === "object"`),
		seen(`(() => {
			const e = new Event("drop"), folder = { kind: "file", webkitGetAsEntry: () => ({ isDirectory: true }) };
			const file = { kind: "file", webkitGetAsEntry: () => ({ isDirectory: false }), getAsFile: () => new File(["x"], "a.txt") };
			e.dataTransfer = { items: [folder, file] };
			return dispatchEvent(e);
		})()`),
		says("a.txt", "done", "Done, 1 B"),
		seen(`document.querySelector("#note").checkVisibility() && note.textContent.startsWith("Folders cannot be uploaded")`),
	)
}
