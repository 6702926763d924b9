package weirhttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuard_ShutdownWaitsForHandlersWhoseConnectionsItHasClosed: whatever a handler
// does last, as to log its request, is done when Shutdown returns.
func TestGuard_ShutdownWaitsForHandlersWhoseConnectionsItHasClosed(t *testing.T) {
	for name, change := range map[string][]func(*http.Server){"HTTP/1": nil, "HTTP/2": {withTLS}} {
		t.Run(name, func(t *testing.T) {
			const handlers = 3
			started, told, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
			s := guarded(t, &Guard{last: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				started <- struct{}{}
				<-r.Context().Done()
				told <- struct{}{}
				<-goOn
			}), change...)
			c := browser(t)
			var clients sync.WaitGroup
			defer clients.Wait()
			for range handlers {
				clients.Go(func() {
					if resp, err := c.Get(s.url("/")); err == nil {
						resp.Body.Close()
						t.Error("a handler that writes nothing has answered")
					}
				})
			}
			for range handlers {
				<-started
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			down := make(chan error, 1)
			go func() { down <- s.g.Shutdown(ctx) }()
			for range handlers {
				<-told
			}
			clients.Wait()
			select {
			case err := <-down:
				t.Errorf("Shutdown returned %v while handlers ran", err)
				close(goOn)
			case <-time.After(100 * time.Millisecond): // one that does not wait returns at once
				close(goOn)
				if err := <-down; !errors.Is(err, context.Canceled) {
					t.Errorf("Shutdown: %v", err)
				}
			}
		})
	}
}

func TestGuard_WaitsForHandlersUntilTheyReturnOrItsTimeIsOver(t *testing.T) {
	for _, test := range []struct {
		name     string
		cut      bool          // after a minute the connections are closed
		handlers time.Duration // how long they run
		want     time.Duration
	}{
		{"no handlers", false, 0, 0},
		{"handlers that return", false, time.Hour, time.Hour},
		{"handlers that return before the end", true, time.Second, time.Second},
		{"handlers that return at the end", true, time.Minute + 100*time.Millisecond, time.Minute + 100*time.Millisecond},
		{"handlers that do not return", true, time.Hour, time.Minute + lastWords},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPort(&Guard{}, &http.Server{}, nowhere{})
				h := p.counts(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(test.handlers) }))
				var running sync.WaitGroup
				defer running.Wait()
				for range 3 {
					running.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
				}
				synctest.Wait()
				p.Close()
				if test.cut {
					time.AfterFunc(time.Minute, func() { close(p.cut) })
				}
				began := time.Now()
				p.rest()
				if got := time.Since(began); got != test.want {
					t.Errorf("it waited %v, want %v", got, test.want)
				}
			})
		})
	}
}

// A server whose listener fails ends, though nobody calls Shutdown.
func TestGuard_ServeReturnsTheErrorOfItsListener(t *testing.T) {
	p := newPort(&Guard{last: time.Millisecond}, &http.Server{}, broken{})
	p.handlers.Add(1) // of a stream that was reset
	if err := p.serve(); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// broken is a listener that accepts nothing.
type broken struct{ nowhere }

var errBroken = errors.New("the listener is broken")

func (broken) Accept() (net.Conn, error) { return nil, errBroken }
