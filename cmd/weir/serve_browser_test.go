//go:build !nobrowser

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func TestServe_PageFollowsFoldersAndDownloads(t *testing.T) {
	t.Parallel()
	dir, content := t.TempDir(), noise(3<<20)
	put(t, content, dir, "holiday", "day & night.bin")
	put(t, []byte("hello\n"), dir, "read me.txt")
	s := startServe(t, dir)
	ctx := openBrowser(t)
	into := t.TempDir()
	done := make(chan struct{})
	err := chromedp.ListenBrowser(ctx, func(ev any) {
		if p, ok := ev.(*browser.EventDownloadProgress); ok && p.State == browser.DownloadProgressStateCompleted {
			close(done)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	events := true
	_, err = chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: into, EventsEnabled: &events,
		BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
	})
	if err != nil {
		t.Fatal(err)
	}
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`document.querySelectorAll("tbody tr").length === 2`),
		seen(`!document.querySelector("#drop")`), // it is read-only
		look("browse"),
		chromedp.Click(chromedp.CSS(`a[href="./holiday/"]`)),
		seen(`location.pathname === "/holiday/" && document.querySelector("[aria-current=page]").textContent === "holiday"`),
		seen(`document.title === "holiday"`),
		look("folder"),
		chromedp.Click(chromedp.CSS(`tbody tr:nth-child(2) a`)),
	)
	select {
	case <-done:
		same(t, filepath.Join(into, "day & night.bin"), content)
	case <-ctx.Done():
		t.Fatal("the download did not end")
	}
	do(t, ctx, chromedp.Click(chromedp.CSS(`h1 a`)), seen(`location.pathname === "/"`))
}

func TestServe_PageUploadsAndShowsTheNewRow(t *testing.T) {
	t.Parallel()
	dir, content := t.TempDir(), noise(5<<20)
	put(t, []byte("old"), dir, "old.txt")
	file := put(t, content, t.TempDir(), "grüße & 日本.bin")
	empty := put(t, nil, t.TempDir(), "empty.txt")
	s := startServe(t, dir, "--uploads", dir)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		choose(file, empty),
		says("grüße & 日本.bin", "done", "Done, 5 MiB"),
		says("empty.txt", "done", "Done, 0 B"),
		seen(`document.querySelectorAll("tbody tr.new").length === 2`),
		seen(`document.querySelector("#counts").textContent.startsWith("3 files")`),
		seen(`document.querySelector("#sum").textContent.startsWith("2 of 2 files")`),
		seen(`localStorage.length === 0`),
		look("uploaded"),
	)
	same(t, filepath.Join(dir, "grüße & 日本.bin"), content)
	same(t, filepath.Join(dir, "empty.txt"), nil)
}

// receivedOnce checks that an upload came in several requests, and that no byte
// of it came twice.
func receivedOnce(t *testing.T, s *served, size int64) {
	t.Helper()
	var parts int
	var sum int64
	s.end()
	for _, r := range s.requests(t) {
		if r.Method == "PATCH" && r.Bytes > 0 {
			parts++
			sum += r.Bytes
		}
	}
	if parts < 2 || sum != size {
		t.Errorf("the server received %d bytes in %d requests; want %d bytes in several:\n%s", sum, parts, size, s.end())
	}
}

const held = 24 << 20 // beyond what sockets hold by themselves

func TestServe_PagePausesAndResumes(t *testing.T) {
	t.Parallel()
	in, content := t.TempDir(), noise(2*held)
	file := put(t, content, t.TempDir(), "long.bin")
	s := startServe(t, t.TempDir(), "--uploads", in)
	g := newGate(t, s.addr, held)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate("http://"+g.addr+"/"),
		choose(file),
		seen(`document.querySelector("#uploads progress")?.value > 0.3`),
		says("long.bin", "going", " of 48 MiB · "),
		look("going"),
		press("Pause long.bin"),
		says("long.bin", "paused", "Paused at "),
		look("paused"),
	)
	if _, err := os.Stat(filepath.Join(in, "long.bin")); err == nil {
		t.Error("half a file has its name")
	}
	// The browser may not have closed the paused connection yet, and what it has
	// handed to it would still come through.
	g.cut()
	g.open(1 << 40)
	do(t, ctx, press("Resume long.bin"), says("long.bin", "done", "Done, 48 MiB"))
	same(t, filepath.Join(in, "long.bin"), content)
	receivedOnce(t, s, int64(len(content)))
}

func TestServe_PageGoesOnAfterAReload(t *testing.T) {
	t.Parallel()
	in, content := t.TempDir(), noise(2*held)
	file := put(t, content, t.TempDir(), "long.bin")
	s := startServe(t, t.TempDir(), "--uploads", in)
	g := newGate(t, s.addr, held)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate("http://"+g.addr+"/"),
		choose(file),
		seen(`document.querySelector("#uploads progress")?.value > 0.3`),
	)
	// The page is gone with its connection, while the gate is closed.
	do(t, ctx, chromedp.Navigate("about:blank"))
	g.cut()
	g.open(1 << 40)
	do(t, ctx,
		chromedp.Navigate("http://"+g.addr+"/"),
		says("long.bin", "paused", "Choose the same file again"),
		seen(`document.querySelector("#uploads progress").value > 0.3`),
		look("interrupted"),
		choose(file),
		says("long.bin", "done", "Done, 48 MiB"),
	)
	same(t, filepath.Join(in, "long.bin"), content)
	receivedOnce(t, s, int64(len(content)))
}

func TestServe_PageTellsWhyAnUploadWasRefused(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	file := put(t, noise(2<<20), t.TempDir(), "too large.bin")
	s := startServe(t, t.TempDir(), "--uploads", in, "--max-size", "1MiB")
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		seen(`document.querySelector("#drop").textContent.includes("up to 1 MiB each")`),
		choose(file),
		says("too large.bin", "failed", "it has 2 MiB, and 1 MiB is the most here"),
		seen(`document.querySelector("#told").textContent.includes("too large.bin was refused")`),
		look("refused"),
		press("Dismiss too large.bin"),
		seen(`!document.querySelector("#uploads li")`),
	)
	if left, err := os.ReadDir(in); err != nil || len(left) > 1 {
		t.Errorf("the refused upload left %v, %v", left, err)
	}
}

func TestServe_PageCancelsAnUpload(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	file := put(t, noise(2*held), t.TempDir(), "long.bin")
	s := startServe(t, t.TempDir(), "--uploads", in)
	g := newGate(t, s.addr, held)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate("http://"+g.addr+"/"),
		choose(file),
		seen(`document.querySelector("#uploads progress")?.value > 0.3`),
		press("Cancel long.bin"),
		// Not before: the upload could come to its end.
		chromedp.Func(func(context.Context, *chromedp.Target) error { g.open(1 << 40); return nil }),
		seen(`!document.querySelector("#uploads li") && localStorage.length === 0`),
		seen(`fetch("/").then(() => true)`),
	)
	_ = filepath.WalkDir(in, func(path string, d os.DirEntry, _ error) error {
		if i, err := d.Info(); err == nil && i.Size() >= 2*held {
			t.Errorf("%s is left", path)
		}
		return nil
	})
}

func TestServe_PageWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := put(t, []byte("by form\n"), t.TempDir(), "form.txt")
	large := put(t, noise(2<<20), t.TempDir(), "large.bin")
	s := startServe(t, dir, "--uploads", dir, "--max-size", "1MiB")
	ctx := openBrowser(t)
	_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	if err != nil {
		t.Fatal(err)
	}
	submit := chromedp.Click(chromedp.CSS("form > button"))
	note := func() string {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(".note")))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	do(t, ctx, chromedp.Navigate(s.url), choose(file), look("no script"), submit)
	shown := note()
	do(t, ctx,
		look("no script done"),
		chromedp.Click(chromedp.CSS("a.button")),
		chromedp.WaitVisible(chromedp.CSS(`a[href="./form.txt"]`)),
		choose(large), submit,
	)
	refused := note()
	if !strings.Contains(shown, "Uploaded") || !strings.Contains(shown, "form.txt") {
		t.Errorf("the answer to the form says %q", shown)
	}
	if !strings.Contains(refused, "Not uploaded") || !strings.Contains(refused, "larger than 1 MiB") {
		t.Errorf("the answer to a form that is too large says %q", refused)
	}
	same(t, filepath.Join(dir, "form.txt"), []byte("by form\n"))
}

// TestServe_PageFitsSmallScreens also is where pictures of the page come from.
func TestServe_PageFitsSmallScreens(t *testing.T) {
	t.Parallel()
	dir, from := t.TempDir(), t.TempDir()
	long := strings.Repeat("a very long name without an end ", 6)
	put(t, noise(1000), dir, long+".txt")
	put(t, noise(1000), dir, strings.Repeat("x", 200))
	put(t, noise(5<<20), dir, "holiday.mp4")
	put(t, nil, dir, "photos 2026", "a.jpg")
	put(t, nil, dir, "archive", "a")
	s := startServe(t, dir, "--uploads", dir, "--max-size", "100MiB")
	g := newGate(t, s.addr, held)
	ctx := openBrowser(t)
	files := []string{put(t, noise(2000), from, "notes.txt"), put(t, noise(101<<20), from, "too large.iso"), put(t, noise(3*held), from, "film.mp4")}
	for i := range 12 {
		files = append(files, put(t, noise(held), from, fmt.Sprintf("%s%d.jpg", long, i)))
	}
	do(t, ctx,
		chromedp.Navigate("http://"+g.addr+"/"),
		choose(files...),
		says("too large.iso", "failed", "is the most here"),
		seen(`document.querySelectorAll("#uploads li.going").length === 3`),
		seen(`[...document.querySelectorAll("#uploads .going progress")].some(p => p.value > 0.1)`),
	)
	for _, width := range []int64{1000, 380} {
		for _, scheme := range []string{"light", "dark"} {
			do(t, ctx,
				viewport(width, 900, scheme),
				seen(`document.documentElement.scrollWidth <= innerWidth`),
				look(fmt.Sprintf("%d %s", width, scheme)),
			)
		}
	}
}

func TestServe_PageIsUsedByKeyboardAndByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, nil, dir, "a.txt")
	s := startServe(t, dir, "--uploads", dir)
	ctx := openBrowser(t)
	do(t, ctx,
		chromedp.Navigate(s.url),
		choose(put(t, []byte("x"), t.TempDir(), "b.txt")),
		says("b.txt", "done", ""),
	)
	unnamed, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("a, button, input, progress, section, nav, table th, ul")]
			.filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim()))
			.map(e => e.outerHTML)`))
	if err != nil {
		t.Fatal(err)
	}
	do(t, ctx,
		// From the last control of the form, on to the row of the upload.
		chromedp.Focus(chromedp.CSS("input[webkitdirectory]")),
		chromedp.KeyEvent("\t"),
		seen(`document.activeElement.getAttribute("aria-label") === "Dismiss b.txt"`),
		chromedp.KeyEvent("\r"),
		seen(`!document.querySelector("#uploads li") && document.activeElement.type === "file"`),
	)
	if len(unnamed) > 0 {
		t.Errorf("without a name for who cannot see them: %q", unnamed)
	}
}
