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

	"github.com/chromedp/chromedp"

	"github.com/weir-go/weir/internal/browsertest"
)

// openBrowser opens a tab, which is closed with the test.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	return browsertest.Open(t, 1000, 800, 45*time.Second)
}

// deed is something done in the browser.
type deed = chromedp.Action[chromedp.Void]

// do runs actions in the browser.
func do(t *testing.T, ctx context.Context, actions ...deed) {
	t.Helper()
	for i, a := range actions {
		err := chromedp.Do(ctx, a)
		// A page that is still loading can replace a node that was found before
		// anything was done with it.
		for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil {
			err = chromedp.Do(ctx, a)
		}
		if err != nil {
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			body, _ := chromedp.Run(short, chromedp.Text(chromedp.CSS("body")))
			cancel()
			t.Fatalf("action %d: %v; the page says:\n%s", i, err, body)
		}
	}
}

// seen waits for an expression to be true in the page, over navigations too.
func seen(expression string) deed {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for {
			if ok, err := chromedp.Evaluate[bool]("Boolean("+expression+")")(ctx, t); err == nil && ok {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", expression, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
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
