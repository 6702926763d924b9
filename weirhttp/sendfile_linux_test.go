package weirhttp

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be a client of its own, so that a trace of the
// server shows the server's calls only.
func TestMain(m *testing.M) {
	if url := os.Getenv("WEIR_TEST_FETCH"); url != "" {
		resp, err := http.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("WEIR_TEST_SERVE"); dir != "" {
		serveForTrace(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveForTrace serves dir with everything switched on, says where on standard
// output, and ends with standard input.
func serveForTrace(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	g := &Guard{Transfers: &Transfers{Done: func(Transfer, error) {}}}
	done := make(chan error, 1)
	files := Files(root)
	files.Precompressed = true
	go func() { done <- g.Serve(&http.Server{Handler: files}, l) }()
	os.Stdout.WriteString("http://" + l.Addr().String() + "\n")
	io.Copy(io.Discard, os.Stdin)
	g.Close()
	<-done
}

// TestAPlainDownloadIsSendfileAndAHandfulOfWrites counts system calls.
func TestAPlainDownloadIsSendfileAndAHandfulOfWrites(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	root := tree(t, map[string]string{"big": strings.Repeat("x", size)})
	trace := filepath.Join(t.TempDir(), "trace")
	server := exec.Command(strace, "-f", "-qq", "-e", "trace=sendfile,write,writev,sendmsg,sendto,read,pread64", "-o", trace, self)
	server.Env = append(os.Environ(), "WEIR_TEST_SERVE="+root.Name())
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Skip(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		in.Close()
		t.Skipf("the server does not start under strace: %v", server.Wait())
	}
	client := exec.Command(self)
	client.Env = append(os.Environ(), "WEIR_TEST_FETCH="+strings.TrimSpace(url)+"/big")
	cerr := client.Run()
	in.Close()
	if err := server.Wait(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var sent int64
	for _, m := range regexp.MustCompile(`sendfile(?:\(| resumed).* = (\d+)`).FindAllSubmatch(b, -1) {
		var n int64
		for _, d := range m[1] {
			n = n*10 + int64(d-'0')
		}
		sent += n
	}
	if sent < size*9/10 {
		t.Errorf("sendfile moved %d bytes of %d:\n%.2000s", sent, size, b)
	}
	// Wake-ups of the poller and the address on standard output are writes too.
	large := regexp.MustCompile(`(write|writev|sendmsg|sendto|read|pread64)\(.* = (\d{5,})`).FindAll(b, -1)
	if len(large) > 0 {
		t.Errorf("bytes went through memory: %.300s", large[0])
	}
	if n := len(regexp.MustCompile(`sendmsg\(`).FindAll(b, -1)); n != 1 {
		t.Errorf("%d sendmsg for one header", n)
	}
}

// TestSpecialFilesAreRefusedWithoutWaiting has a named pipe without a writer,
// which would keep whoever opens it waiting, a socket, and a device.
func TestSpecialFilesAreRefusedWithoutWaiting(t *testing.T) {
	root := tree(t, map[string]string{"d/x": "x"})
	dir := root.Name()
	if err := unix.Mkfifo(filepath.Join(dir, "d/fifo"), 0o600); err != nil {
		t.Skip(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "d/sock")}); err != nil {
		t.Skip(err)
	}
	want := map[string]int{"/d/fifo": 403, "/d/sock": 403, "/d/x": 200}
	if unix.Mknod(filepath.Join(dir, "d/null"), syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil {
		want["/d/null"] = 403
	}
	h := quiet(root)
	h.List, h.Archive, h.Precompressed = true, true, true
	s := guarded(t, &Guard{}, h)
	for path, status := range want {
		if resp, _ := s.fetch(t, browser(t), "GET", path, "Accept-Encoding", "gzip"); resp.StatusCode != status {
			t.Errorf("%s: %s, want %d", path, resp.Status, status)
		}
	}
	if _, page := s.fetch(t, browser(t), "GET", "/d/?format=json"); strings.Contains(page, "fifo") || strings.Contains(page, "null") {
		t.Errorf("special files are listed: %s", page)
	}
	_, body := s.fetch(t, browser(t), "GET", "/d/?archive=tar")
	if files := untar([]byte(body)); len(files) != 2 || files["d/x"] != "x" {
		t.Errorf("the archive holds %d names", len(files))
	}
	if _, err := h.openFile("d/fifo", false); err == nil {
		t.Error("a named pipe was opened as a file")
	}
}

// TestTheKernelHoldsLittleForASlowClient asks the kernel about the server's end.
func TestTheKernelHoldsLittleForASlowClient(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := guarded(t, &Guard{}, bigAndStream(t, 16<<20), k.change...)
			c := s.dial(t, 16<<10)
			defer c.Close()
			if kind == "tls" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			ask(t, c, bufio.NewReader(c), k.path)
			// While the client's system still takes what comes, more may be on
			// its way out at a moment than stays.
			eventually(t, func() bool {
				l := s.g.Transfers.List()
				return len(l) == 1 && l[0].State == StateClient && l[0].Unsent > 0 && l[0].Unsent <= 32<<10
			}, "the kernel holds more, or nothing")
		})
	}
}
