package weirhttp

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-go/weir/internal/race"
)

var h2specFailure = regexp.MustCompile(`(?m)^\s*× (\d+: .*)$`)

// h2spec returns the cases of the HTTP/2 specification that a server fails.
func h2spec(t *testing.T, addr string) map[string]bool {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	b, err := exec.CommandContext(t.Context(), "h2spec", "-h", host, "-p", port, "-t", "-k", "-o", "1", "-P", "/small").CombinedOutput()
	out := string(b) // h2spec exits with 1 if a case fails
	if !regexp.MustCompile(`\d+ tests, \d+ passed`).MatchString(out) {
		t.Errorf("h2spec says: %v %s", err, out)
	}
	failed := map[string]bool{}
	for _, m := range h2specFailure.FindAllStringSubmatch(out, -1) {
		// Whether a stream that was just reset still gets an answer depends on
		// which of two goroutines is first, in net/http too.
		if !strings.Contains(m[1], ": closed: ") {
			failed[m[1]] = true
		}
	}
	return failed
}

func TestClients_HTTP2IsNoWorseThanThatOfNetHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	if race.Enabled {
		t.Skip("several cases wait for a frame for a second, which is short with the race detector")
	}
	if _, err := exec.LookPath("h2spec"); err != nil {
		t.Skip("h2spec is not installed: go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible")
	}
	s, _, _ := clientSite(t, &Guard{}, withTLS)
	plain := exec.Command(os.Args[0], "-test.run=^TestClients_PlainHTTP2Server$", "-test.v")
	plain.Env = append(os.Environ(), "WEIR_PLAIN_HTTP2=1")
	stop, err := plain.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := plain.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Start(); err != nil {
		t.Fatal(err)
	}
	defer plain.Wait()
	defer stop.Close()
	addr := ""
	for in := bufio.NewScanner(said); addr == "" && in.Scan(); {
		addr, _ = strings.CutPrefix(in.Text(), "listening ")
		if !strings.Contains(addr, "127.0.0.1:") {
			addr = ""
		}
	}

	// Some cases wait for a frame for a second, and fail on a busy machine: what
	// fails three times is what counts.
	theirs, worse := map[string]bool{}, map[string]bool{}
	for try := range 3 {
		var ours, also map[string]bool
		var work sync.WaitGroup
		work.Go(func() { also = h2spec(t, addr) })
		work.Go(func() { ours = h2spec(t, s.addr) })
		work.Wait()
		maps.Copy(theirs, also)
		if try == 0 {
			worse = ours
		}
		maps.DeleteFunc(worse, func(name string, _ bool) bool { return theirs[name] || !ours[name] })
		if len(worse) == 0 {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(worse)) {
		t.Errorf("net/http passes what we fail: %s", name)
	}
	t.Logf("net/http itself fails %d: %q", len(theirs), slices.Sorted(maps.Keys(theirs)))
}

// TestClients_PlainHTTP2Server is the server of net/http to compare with. It is a
// process of its own, since its goroutines outlive its Close.
func TestClients_PlainHTTP2Server(t *testing.T) {
	if os.Getenv("WEIR_PLAIN_HTTP2") == "" {
		t.Skip("it is started by another test")
	}
	l := listen(t)
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pattern(4096)) })
	withTLS(srv)
	go srv.ServeTLS(l, "", "")
	fmt.Println("listening", l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other test has ended
	srv.Close()
}
