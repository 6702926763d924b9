//go:build linux || darwin

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir/weirhttp/auth"
)

// weirIn prepares a run of weir in a folder, in a new session, so that it has
// no terminal.
func weirIn(t *testing.T, dir string, args ...string) (*exec.Cmd, *said) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	name := filepath.Join(bin, "weir") // testscript runs the command of that name
	if err := os.Symlink(exe, name); err != nil {
		t.Fatal(err)
	}
	if args[0] != "sh" {
		args = append([]string{name}, args...)
	}
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stderr := &said{}
	c.Stderr = stderr
	c.WaitDelay = time.Second // for commands that exec starts
	t.Cleanup(func() {
		if c.Process != nil && c.ProcessState == nil {
			_ = c.Process.Kill()
		}
	})
	return c, stderr
}

// said is standard error of a process.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// temporary lists the temporary files below dir.
func temporary(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".weir-") {
			list = append(list, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was just removed
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var signalEndings = []struct {
	sig  syscall.Signal
	code int
	text string
}{
	{syscall.SIGHUP, 129, "hung up (SIGHUP)"},
	{syscall.SIGINT, 130, "interrupted"},
	{syscall.SIGQUIT, 131, "quit (SIGQUIT)"},
	{syscall.SIGTERM, 143, "terminated (SIGTERM)"},
}

func TestSignals_EndARunAndLeaveNoTemporaryFile(t *testing.T) {
	t.Parallel()
	// What comes through named pipes is enough to begin with, and has no end.
	noise := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	var gz, zst bytes.Buffer
	_, _ = gzip.NewWriter(&gz).Write(noise)
	enc, err := zstd.NewWriter(&zst, zstd.WithEncoderConcurrency(1)) // which writes at once
	if err != nil {
		t.Fatal(err)
	}
	_, _ = enc.Write(noise)
	endless := map[string][]byte{"fifo": noise, "packed.gz": gz.Bytes(), "packed.zst": zst.Bytes()}
	for _, args := range [][]string{
		{"copy", "big", "out", "--rate", "1MiB/s"},
		{"copy", "folder", "out", "--rate", "1MiB/s"},
		{"copy", "big", "nope", "into/", "--rate", "1MiB/s"},
		{"pipe", "big", "rate:1MiB/s", "out"},
		{"pipe", "big", "tee:copy", "rate:1MiB/s", "gzip", "out"},
		{"gzip", "-f", "fifo"},
		{"gzip", "-f", "fifo", "big"},
		{"gunzip", "-f", "packed.gz"},
		{"zstd", "-f", "fifo"},
		{"unzstd", "-f", "packed.zst"},
	} {
		for _, e := range signalEndings {
			t.Run(fmt.Sprint(strings.Join(args, " "), " ", e.sig), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				for _, name := range args {
					switch name {
					case "big":
						put(t, make([]byte, 20<<20), dir, "big")
					case "folder":
						for i := range 40 {
							put(t, make([]byte, 512<<10), dir, "folder", fmt.Sprint(i))
						}
					case "nope":
						put(t, nil, dir, "nope")
						put(t, nil, dir, "into/file")
					}
				}
				for name, content := range endless {
					if !slices.Contains(args, name) {
						continue
					}
					if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
						t.Fatal(err)
					}
					f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0) // or else its reader sees the end
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					go func() { _, _ = f.Write(content) }()
				}
				c, stderr := weirIn(t, dir, append(args, "--json")...)
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				until(t, "it at work", func() bool {
					started := strings.Contains(stderr.String(), `"type":"start"`)
					return started && (args[1] == "folder" || len(temporary(t, dir)) > 0)
				})
				if err := c.Process.Signal(e.sig); err != nil {
					t.Fatal(err)
				}
				_ = c.Wait()
				if code := c.ProcessState.ExitCode(); code != e.code {
					t.Errorf("exit code %d, want %d", code, e.code)
				}
				if !strings.Contains(stderr.String(), `"text":"`+e.text) {
					t.Errorf("it said %q, which lacks %q", stderr, e.text)
				}
				if left := temporary(t, dir); len(left) > 0 {
					t.Errorf("it left %q", left)
				}
			})
		}
	}
}

func TestSignals_AHangupThatNohupIgnoresStaysIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, make([]byte, 20<<20), dir, "big")
	for _, args := range []string{"copy big out --rate 1MiB/s", "serve --listen 127.0.0.1:0"} {
		c, stderr := weirIn(t, dir, "sh", "-c", "trap '' HUP; exec weir "+args)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "it at work", func() bool { return len(temporary(t, dir)) > 0 || strings.Contains(stderr.String(), "serving ") })
		for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM} { // handled in this order
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != exitTerminated || strings.Contains(stderr.String(), "SIGHUP") {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestSignals_AReaderOfStandardErrorThatLeavesEndsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, make([]byte, 1<<20), dir, "big")
	c, _ := weirIn(t, dir, "sh", "-c", "{ weir copy big out --json --rate 4MiB/s; echo $? >code; } 2>&1 | :")
	_ = c.Run()
	if code, err := os.ReadFile(filepath.Join(dir, "code")); err != nil || string(code) != "0\n" {
		t.Errorf("exit code %q, %v", code, err)
	}
	if st, err := os.Stat(filepath.Join(dir, "out")); err != nil || st.Size() != 1<<20 {
		t.Errorf("%v, %v", st, err)
	}
	if left := temporary(t, dir); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
}

func TestSignals_AClosedTerminalEndsARunAndAServer(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"copy", "big", "out", "--rate", "1MiB/s"}, {"serve", ".", "--listen", "127.0.0.1:0"}} {
		dir := t.TempDir()
		put(t, make([]byte, 20<<20), dir, "big")
		for i, a := range args {
			if a == "big" || a == "out" || a == "." {
				args[i] = filepath.Join(dir, a)
			}
		}
		tty, s, cmd, _ := inTerminal(t, 100, nil, args...)
		until(t, "it at work", func() bool { return len(temporary(t, dir)) > 0 || s.seen("^serving ") })
		tty.Close()
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitHungUp {
			t.Errorf("weir %s: exit code %d, want %d", args[0], code, exitHungUp)
		}
		if left := temporary(t, dir); len(left) > 0 {
			t.Errorf("weir %s left %q", args[0], left)
		}
	}
}

func TestSignals_AHangupEndsAServerOnlyInTheForegroundOfATerminal(t *testing.T) {
	t.Parallel()
	_, s, cmd, wait := inTerminal(t, 100, nil, "serve", t.TempDir(), "--listen", "127.0.0.1:0")
	until(t, "the address", func() bool { return s.seen("^serving ") })
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitHungUp {
		t.Errorf("in the foreground: exit code %d, want %d", code, exitHungUp)
	}

	// set -m gives the job a separate process group.
	_, s, cmd, wait = inTerminal(t, 100, []string{"DIR=" + t.TempDir()}, "sh", "-c",
		`set -m; weir serve "$DIR" --listen 127.0.0.1:0 & echo job $!; wait; echo code $?`)
	until(t, "the address", func() bool { return s.seen("^serving ") })
	s.mu.Lock()
	pid := regexp.MustCompile(`job (\d+)`).FindStringSubmatch(strings.Join(s.lines, "\n"))
	s.mu.Unlock()
	if pid == nil {
		t.Fatal("the shell named no job")
	}
	hup := func(sig string) {
		if out, err := exec.Command("kill", "-"+sig, pid[1]).CombinedOutput(); err != nil {
			t.Errorf("kill: %v, %s", err, out)
		}
	}
	hup("HUP")
	until(t, "the reload", func() bool { return s.seen("no users and no certificate to reload") })
	hup("TERM")
	wait()
	if !s.seen("^served 0 B") {
		t.Errorf("exit code %d, %q", cmd.ProcessState.ExitCode(), s.lines)
	}
}

func TestSignals_EndAServerAndRemoveHalfAnUpload(t *testing.T) {
	t.Parallel()
	for _, e := range signalEndings {
		args := []string{"serve", "--uploads", ".", "--listen", "127.0.0.1:0", "--grace", "100ms"}
		if e.sig == syscall.SIGHUP {
			continue // it reloads, see above; in a terminal it ends
		}
		dir := t.TempDir()
		c, stderr := weirIn(t, dir, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		addr := address(t, stderr)
		conn := (&served{addr: addr}).call(t)
		fmt.Fprintf(conn, "PUT /_upload/half HTTP/1.1\r\nHost: %s\r\nContent-Length: 10000000\r\n\r\n%s", addr, make([]byte, 1<<20))
		until(t, "half an upload", func() bool { return len(temporary(t, dir)) > 0 })
		if err := c.Process.Signal(e.sig); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != e.code {
			t.Errorf("%v: exit code %d, want %d: %s", e.sig, code, e.code, stderr)
		}
		if left := temporary(t, dir); len(left) > 0 {
			t.Errorf("%v: it left %q", e.sig, left)
		}
	}

	dir := t.TempDir()
	tty, s, cmd, _ := inTerminal(t, 100, nil, "serve", dir, "--uploads", dir, "--listen", "127.0.0.1:0", "--grace", "100ms")
	until(t, "the address", func() bool { return s.seen("^serving .*http") })
	s.mu.Lock()
	addr := servedAt.FindStringSubmatch(strings.Join(s.lines, "\n"))[1]
	s.mu.Unlock()
	conn := (&served{addr: addr}).call(t)
	fmt.Fprintf(conn, "PUT /_upload/half HTTP/1.1\r\nHost: %s\r\nContent-Length: 10000000\r\n\r\n%s", addr, make([]byte, 1<<20))
	until(t, "half an upload", func() bool { return len(temporary(t, dir)) > 0 })
	tty.Close()
	_ = cmd.Wait()
	if code, left := cmd.ProcessState.ExitCode(), temporary(t, dir); code != exitHungUp || len(left) > 0 {
		t.Errorf("a closed terminal: exit code %d, left %q", code, left)
	}
}

var servedAt = regexp.MustCompile(`https?://(127\.0\.0\.1:\d+)/`)

func address(t *testing.T, stderr *said) string {
	t.Helper()
	var m []string
	until(t, "the address", func() bool {
		m = servedAt.FindStringSubmatch(stderr.String())
		return m != nil
	})
	return m[1]
}

func TestServe_ReloadsUsersAndCertificateAtAHangup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, []byte("alpha"), dir, "public/a.txt")
	users := func(name string) {
		hash, err := auth.Hash("sesame")
		if err != nil {
			t.Fatal(err)
		}
		put(t, []byte(name+":"+hash+":r\n"), dir, "users")
	}
	certify := func() {
		cert, err := selfSigned("127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		put(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), dir, "cert.pem")
		put(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), dir, "key.pem")
	}
	users("ann")
	certify()
	c, stderr := weirIn(t, dir, "serve", "public", "--listen", "127.0.0.1:0", "--auth", "users", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--json")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "{") || !strings.Contains(line, `"v":1`) {
				t.Errorf("a line of --json is %q", line)
			}
		}
	}()
	addr := address(t, stderr)
	get := func(name string) (status int, serial string) {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		}}
		r, err := http.NewRequest(http.MethodGet, "https://"+addr+"/a.txt", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(name, "sesame")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	reload := func(lines int, text string) {
		if err := c.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, text, func() bool { return strings.Count(stderr.String(), text) == lines })
	}
	status, first := get("ann")
	if status != http.StatusOK {
		t.Errorf("ann gets %d", status)
	}
	users("bob")
	certify()
	reload(2, `"msg":"reloaded"`)
	if status, _ := get("ann"); status != http.StatusUnauthorized {
		t.Errorf("ann is no user any more and gets %d", status)
	}
	status, second := get("bob")
	if status != http.StatusOK || second == first {
		t.Errorf("bob gets %d; certificate %s after %s", status, second, first)
	}

	// A file that cannot be used changes nothing.
	put(t, []byte("nonsense\n"), dir, "users")
	put(t, []byte("nonsense\n"), dir, "cert.pem")
	reload(2, `"msg":"cannot reload; the old one stays in use"`)
	if status, serial := get("bob"); status != http.StatusOK || serial != second {
		t.Errorf("bob gets %d; certificate %s after %s", status, serial, second)
	}
}
