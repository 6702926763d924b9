// Package browsertest gives tests tabs of a real browser: the machine's own
// Chromium, without a window. All tests of a package share one browser, because
// starting one takes longer than most tests.
package browsertest

import (
	"context"
	"sync"
)

// shared is the browser. mu guards the rest.
var shared struct {
	mu   sync.Mutex
	quit func() // nil: no browser was started
	ctx  context.Context
	err  error
}

// Suite runs tests and then ends the browser that they have used.
type Suite struct {
	M interface{ Run() int } // a *testing.M
}

// Run runs the tests and returns their exit code. It is for TestMain.
func (s Suite) Run() int {
	defer quit()
	return s.M.Run()
}

func quit() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.quit != nil {
		shared.quit()
		shared.quit = nil
	}
}
