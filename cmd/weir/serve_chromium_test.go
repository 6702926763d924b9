//go:build !nobrowser

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/weir-go/weir/internal/browsertest"
)

// openBrowser opens a tab, which is closed with the test.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	return browsertest.Open(t, 1000, 800, 45*time.Second)
}

// deed is something done in the browser.
type deed = browsertest.Action

var (
	seen     = browsertest.Seen
	viewport = browsertest.Viewport
)

// do runs actions in the browser.
func do(t *testing.T, ctx context.Context, actions ...deed) {
	t.Helper()
	if err := browsertest.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// says waits for the state of the upload of a file.
func says(name, state, text string) deed {
	return seen(fmt.Sprintf(`[...document.querySelectorAll("#uploads li")].some(
		li => li.querySelector(".name").textContent === %q && li.className === %q && li.querySelector("p").textContent.includes(%q))`, name, state, text))
}

// press clicks a button by its accessible name.
func press(label string) deed {
	return chromedp.Click(chromedp.CSS(fmt.Sprintf(`button[aria-label=%q]`, label)))
}

func choose(files ...string) deed {
	return chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), files)
}

// look keeps a picture of the page for people, if WEIR_SCREENSHOTS is a folder.
func look(name string) deed {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		dir := os.Getenv("WEIR_SCREENSHOTS")
		if dir == "" {
			return nil
		}
		png, err := chromedp.CaptureScreenshot()(ctx, t)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	})
}
