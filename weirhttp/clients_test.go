package weirhttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The clients that people use, against a server with its guard on. A test is
// skipped where its client is not installed.

// tool runs a client to its end and returns what it said, and its exit code.
func tool(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// succeed runs a client that must exit with 0.
func succeed(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, code := tool(t, name, args...)
	if code != 0 {
		t.Fatalf("%s exits with %d: %s", name, code, out)
	}
	return out
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// vast is the size of /vast at a clientSite: a file without data on the disk.
const vast = 1 << 30

// clientSite serves one file of 20 MB as /big, a sparse one as /vast, a small one,
// and takes uploads.
func clientSite(t *testing.T, g *Guard, change ...func(*http.Server)) (s *site, big, inbox string) {
	t.Helper()
	big = pattern(20_000_000)
	inbox = t.TempDir()
	up := UploadTo(inbox)
	up.Log = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	files := tree(t, map[string]string{"big": big, "small": pattern(4096), "vast": ""})
	if err := os.Truncate(filepath.Join(files.Name(), "vast"), vast); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", quiet(files))
	mux.Handle("/up/", up)
	s = guarded(t, g, mux, change...)
	t.Cleanup(func() {
		if err := up.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, big, inbox
}

func sha256Of(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

func TestClients_CurlDownloadsResumesAndUploads(t *testing.T) {
	for _, how := range []string{"--http1.1", "--http2"} {
		t.Run(how, func(t *testing.T) {
			s, big, inbox := clientSite(t, &Guard{}, withTLS)
			want, dir := sha256Of(big), t.TempDir()
			got := filepath.Join(dir, "got")
			curl := func(args ...string) string {
				t.Helper()
				return succeed(t, "curl", append([]string{"-sSk", "--fail", how}, args...)...)
			}
			curl("-o", got, s.url("/big"))
			if sumOf(t, got) != want {
				t.Error("the download is not the file")
			}
			// Half of it is there already.
			if err := os.Truncate(got, 9_999_999); err != nil {
				t.Fatal(err)
			}
			if n := curl("-C", "-", "-o", got, "-w", "%{size_download}", s.url("/big")); n != "10000001" {
				t.Errorf("%s bytes came for the rest, not 10000001", n)
			}
			if sumOf(t, got) != want {
				t.Error("the resumed download is not the file")
			}
			curl("-T", got, s.url("/up/a"))
			curl("-F", "file=@"+got+";filename=b", s.url("/up/"))
			curl("--limit-rate", "40M", "-o", got, s.url("/big"))
			for _, name := range []string{got, filepath.Join(inbox, "a"), filepath.Join(inbox, "b")} {
				if sumOf(t, name) != want {
					t.Errorf("%s is not the file", name)
				}
			}
		})
	}
}

func TestClients_CurlThatGivesUpLeavesNothing(t *testing.T) {
	atOnce(t)
	s, big, inbox := clientSite(t, &Guard{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(big), 0o600); err != nil {
		t.Fatal(err)
	}
	// It ends after a second, far from the end. The file it downloads is larger
	// than all that the kernel keeps for a client that reads slowly.
	for _, args := range [][]string{{"-o", os.DevNull, s.url("/vast")}, {"-T", file, s.url("/up/half")}} {
		if out, code := tool(t, "curl", append([]string{"-sS", "--limit-rate", "1M", "-m", "1"}, args...)...); code != 28 {
			t.Fatalf("curl exits with %d: %s", code, out)
		}
	}
	eventually(t, func() bool { return s.g.transfers().Totals().Active == 0 }, "the transfers to end")
	sum := s.g.transfers().Totals()
	if sum.Failed != 2 || sum.BytesOut >= vast || sum.BytesIn >= int64(len(big)) {
		t.Errorf("the totals are %+v", sum)
	}
	left, err := os.ReadDir(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if !e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestClients_WgetGoesOnAfterABreak(t *testing.T) {
	s, big, _ := clientSite(t, &Guard{})
	got := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(got, []byte(big[:7_000_000]), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "wget", "-q", "-c", "-O", got, s.url("/big"))
	if sumOf(t, got) != sha256Of(big) {
		t.Error("the download is not the file")
	}
	if n := s.g.transfers().Totals().BytesOut; n != int64(len(big)-7_000_000) {
		t.Errorf("%d bytes were sent for the rest", n)
	}
}

func TestClients_Aria2TakesSixteenPartsAtATime(t *testing.T) {
	var mu sync.Mutex
	parts := map[string]bool{}
	// Each connection takes so long that those of the others begin meanwhile.
	s, big, _ := clientSite(t, &Guard{ConnRate: 4 << 20}, func(srv *http.Server) {
		h := srv.Handler
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin, _, _ := strings.Cut(r.Header.Get("Range"), "-")
			mu.Lock()
			parts[begin] = true
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	})
	dir := t.TempDir()
	succeed(t, "aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "--no-conf", "-d", dir, "-o", "got", s.url("/big"))
	if sumOf(t, filepath.Join(dir, "got")) != sha256Of(big) {
		t.Error("the download is not the file")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(parts) < 8 {
		t.Errorf("it came in %d parts: %v", len(parts), parts)
	}
}

func TestClients_ManyGoClientsGetTheirBytes(t *testing.T) {
	for _, change := range [][]func(*http.Server){nil, {withTLS}} {
		s, big, inbox := clientSite(t, &Guard{}, change...)
		c := browser(t)
		var work sync.WaitGroup
		for i := range 16 {
			work.Go(func() {
				resp, err := c.Get(s.url("/big"))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				h := sha256.New()
				if _, err := io.Copy(h, resp.Body); err != nil || hex.EncodeToString(h.Sum(nil)) != sha256Of(big) {
					t.Errorf("client %d: another file came, %v", i, err)
				}
			})
			work.Go(func() {
				part := big[:1_000_000+i]
				req, err := http.NewRequest(http.MethodPut, s.url("/up/"+strconv.Itoa(i)), strings.NewReader(part))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					t.Errorf("upload %d: %s", i, resp.Status)
				}
			})
		}
		work.Wait()
		for i := range 16 {
			if sumOf(t, filepath.Join(inbox, strconv.Itoa(i))) != sha256Of(big[:1_000_000+i]) {
				t.Errorf("upload %d is another file", i)
			}
		}
		c.CloseIdleConnections()
	}
}

// number returns the number behind a word in the report of a tool.
func number(t *testing.T, report, pattern string) int64 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		t.Fatalf("no %s in: %s", pattern, report)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClients_ApacheBenchIsServedWithoutAFailure(t *testing.T) {
	for _, args := range [][]string{{}, {"-k"}} {
		s, _, _ := clientSite(t, &Guard{})
		out := succeed(t, "ab", append(args, "-q", "-n", "2000", "-c", "32", s.url("/small"))...)
		if n := number(t, out, `Complete requests: +(\d+)`); n != 2000 {
			t.Errorf("%d requests were served", n)
		}
		if n := number(t, out, `Failed requests: +(\d+)`); n != 0 || strings.Contains(out, "Non-2xx") {
			t.Errorf("some failed: %s", out)
		}
		if n := number(t, out, `HTML transferred: +(\d+)`); n != 2000*4096 {
			t.Errorf("%d bytes came", n)
		}
	}
}

func TestClients_WrkIsServedWithoutAFailure(t *testing.T) {
	s, _, _ := clientSite(t, &Guard{})
	out := succeed(t, "wrk", "-t2", "-c64", "-d1s", s.url("/small"))
	if number(t, out, `(\d+) requests in`) == 0 || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		t.Errorf("some failed: %s", out)
	}
}

// ansiColour is how slowhttptest begins and ends a colour.
var ansiColour = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestClients_SlowHeadersDoNotKeepOthersOut(t *testing.T) {
	atOnce(t)
	s, _, _ := clientSite(t, &Guard{HeaderTimeout: time.Second, MaxConns: 300})
	out, _ := tool(t, "slowhttptest", "-H", "-c", "200", "-r", "200", "-i", "1", "-l", "8", "-p", "2", "-u", s.url("/small"))
	report := strings.ToLower(ansiColour.ReplaceAllString(out, ""))
	if !strings.Contains(report, "service available:   yes") || strings.Contains(report, "service available:   no") ||
		!strings.Contains(report, "no open connections left") {
		t.Errorf("they stayed, or kept others out: %s", out)
	}
}

// TestClients_SlowlorisIsSentAway is the attack by hand: headers that never end, one
// byte now and then.
func TestClients_SlowlorisIsSentAway(t *testing.T) {
	atOnce(t)
	s, _, _ := clientSite(t, &Guard{HeaderTimeout: 300 * time.Millisecond})
	var conns []net.Conn
	for range 50 {
		c := s.dial(t, 0)
		if _, err := io.WriteString(c, "GET /small HTTP/1.1\r\nHost: x\r\nX-a: "); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	var work sync.WaitGroup
	for _, c := range conns {
		work.Go(func() {
			gone := make(chan struct{})
			work.Go(func() {
				defer close(gone)
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
				if b, err := io.ReadAll(c); err != nil && !isReset(err) || bytes.Contains(b, []byte("200 OK")) {
					t.Errorf("it was not sent away: %q, %v", b, err)
				}
			})
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-gone:
					return
				case <-tick.C:
					_, _ = c.Write([]byte("a")) // the end is seen by the reader
				}
			}
		})
	}
	// Others are served meanwhile.
	if resp, body := s.fetch(t, browser(t), "GET", "/small"); resp.StatusCode != 200 || body != pattern(4096) {
		t.Errorf("another client got %s", resp.Status)
	}
	work.Wait()
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }
