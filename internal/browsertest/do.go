//go:build !nobrowser

package browsertest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Action is something to do in a tab.
type Action = chromedp.Action[chromedp.Void]

// Do runs actions in the tab of ctx, up to the first that fails. The error then has
// the text of the page.
func Do(ctx context.Context, actions ...Action) error {
	for i, a := range actions {
		err := chromedp.Do(ctx, a)
		// A page that is still loading can replace a node that was found before
		// anything was done with it.
		for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil {
			err = chromedp.Do(ctx, a)
		}
		if err != nil {
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			body, _ := chromedp.Run(short, chromedp.Text(chromedp.CSS("body")))
			return fmt.Errorf("action %d: %w; the page says:\n%s", i, err, body)
		}
	}
	return nil
}

// Seen waits for an expression to be true in the page, over navigations too.
func Seen(expression string) Action {
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

// Viewport sets the size of the page, in pixels, and its colour scheme: "light" or
// "dark".
func Viewport(width, height int64, scheme string) Action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := chromedp.EmulateViewport(width, height)(ctx, t); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
