package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestServe_ForcedEndLogsAndCountsEveryRequest stops a server twice while clients
// download without reading, and upload without an end: each request has its line,
// and the summary counts each transfer.
func TestServe_ForcedEndLogsAndCountsEveryRequest(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send an interrupt")
	}
	files := t.TempDir()
	f, err := os.Create(filepath.Join(files, "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, test := range []struct {
		name string
		args []string
		two  bool
	}{
		{"HTTP/1", nil, false},
		{"HTTP/1 with TLS", []string{"--tls-self-signed"}, false},
		{"HTTP/2", []string{"--tls-self-signed"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startServe(t, append([]string{files, "--uploads", t.TempDir(), "--grace", "1m"}, test.args...)...)
			const clients, each = 4, 4 // requests of each: two downloads, a folder and an upload
			var work sync.WaitGroup
			for i := range clients {
				wire := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: test.two}
				t.Cleanup(wire.CloseIdleConnections)
				client := &http.Client{Transport: wire}
				for j, path := range []string{"large.bin?a", "large.bin?b", "?archive=tar"} {
					work.Go(func() {
						answer, err := client.Get(fmt.Sprintf("%s%s&%d", s.url, path, i))
						if err != nil {
							t.Errorf("client %d, request %d: %v", i, j, err)
							return
						}
						t.Cleanup(func() { answer.Body.Close() })
						if _, err := io.CopyN(io.Discard, answer.Body, 100); err != nil || (answer.ProtoMajor == 2) != test.two {
							t.Errorf("client %d, request %d: %s, %v", i, j, answer.Proto, err)
						}
					})
				}
				in, out := io.Pipe()
				r, err := http.NewRequest("PUT", fmt.Sprintf("%s_upload/%d.bin", s.url, i), in)
				if err != nil {
					t.Fatal(err)
				}
				work.Go(func() {
					if _, err := out.Write(make([]byte, 100<<10)); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				})
				var refused sync.WaitGroup
				refused.Go(func() {
					if answer, err := client.Do(r); err == nil {
						answer.Body.Close()
					}
				})
				t.Cleanup(refused.Wait)
				t.Cleanup(func() { out.Close() })
			}
			work.Wait()
			s.awaitTransfers(t, clients*each)
			interrupt := func() {
				if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
					t.Error(err)
				}
			}
			interrupt()
			s.await(t, "stopping: ")
			time.Sleep(2 * echoTime) // a signal that comes earlier counts as an echo of the first
			interrupt()
			<-s.ended
			requests := s.requests(t)
			lines := map[string]int{}
			for _, r := range requests {
				lines[r.Method]++
				if r.Error == "" {
					t.Errorf("the line of a transfer that was disconnected has no error: %+v", r)
				}
			}
			if lines["GET"] != clients*(each-1) || lines["PUT"] != clients {
				t.Errorf("lines: %v, want %d", lines, clients*each)
			}
			if sum := s.lines[len(s.lines)-1]; !strings.Contains(sum, fmt.Sprintf("; %d ended early; transfers still running at shutdown were disconnected", clients*each)) {
				t.Errorf("summary: %s", sum)
			}
		})
	}
}

// awaitTransfers waits until n transfers are under way.
func (s *served) awaitTransfers(t *testing.T, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	active := -1
	for range 1000 {
		answer, err := client.Get(s.url + "_weir/status.json")
		if err != nil {
			t.Fatal(err)
		}
		var status struct {
			Transfers map[string]struct{ Active int }
		}
		err = json.NewDecoder(answer.Body).Decode(&status)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if active = status.Transfers["files"].Active; active == n {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d transfers under way, want %d", active, n)
}

// await waits for a line of standard error that begins with text.
func (s *served) await(t *testing.T, text string) {
	t.Helper()
	for {
		s.mu.Lock()
		for _, line := range s.lines {
			if strings.HasPrefix(line, text) {
				s.mu.Unlock()
				return
			}
		}
		s.mu.Unlock()
		select {
		case <-s.ended:
			t.Fatalf("weir serve ended without a line %q: %s", text, s.end())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
