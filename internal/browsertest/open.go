//go:build !nobrowser

package browsertest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// tabs are slots: each page takes a process with some tens of MiB.
var tabs = make(chan struct{}, 3)

// Open returns the context of a new tab of the given size, in pixels, for
// chromedp. Its cookies and its storage are its own. The test must not use it for
// longer than timeout; the tab is closed at the end of the test. Open skips the test
// in short mode and where there is no Chromium. TestMain must run the tests with a
// [Suite].
func Open(t *testing.T, width, height int64, timeout time.Duration) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	path := chromium()
	if path == "" {
		t.Skip("no chromium in PATH: the page is not tested (apt-get install chromium)")
	}
	parent, err := start(path)
	if err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	tabs <- struct{}{}
	t.Cleanup(func() { <-tabs })
	ctx, end := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("chromium opens no tab: %v", err)
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	t.Cleanup(cancel)
	return limited
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// start starts the browser that all tests share, unless it runs already, and returns
// its context.
func start(path string) (context.Context, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.quit == nil {
		shared.ctx, shared.err = launch(path)
	}
	return shared.ctx, shared.err
}

// launch starts a browser and returns the function that ends it.
func launch(path string) (context.Context, error) {
	dir, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(dir), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, end := chromedp.NewContext(alloc)
	shared.quit = func() {
		end()
		stop()
		os.RemoveAll(dir)
	}
	return ctx, chromedp.Do(ctx)
}
