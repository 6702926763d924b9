package weirhttp

import (
	"bufio"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fetchElsewhere returns a function that fetches path from a server, in a process of its
// own, so that no trace of the server has its system calls.
func fetchElsewhere(t *testing.T, path string) func(addr string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(addr string) {
		client := exec.Command(self)
		client.Env = append(os.Environ(), "WEIR_TEST_FETCH=http://me:word@"+addr+path)
		if err := client.Run(); err != nil {
			t.Errorf("the client: %v", err)
		}
	}
}

// TestSendfile_PlainDownloadIsSendfileAndAHandfulOfWrites counts system calls. What is put
// around the writer, and what a server can switch on, must not change them.
func TestSendfile_PlainDownloadIsSendfileAndAHandfulOfWrites(t *testing.T) {
	const size = 16 << 20
	root := tree(t, map[string]string{"big": strings.Repeat("x", size)})
	for _, how := range []string{"files", "files with everything on"} {
		t.Run(how, func(t *testing.T) {
			list := traced(t, how, root.Name(), "sendfile,write,writev,sendmsg,sendto,read,pread64", fetchElsewhere(t, "/big"))
			var sent, memory int64
			heads, writes := 0, 0
			for _, c := range list {
				switch {
				case c.name == "sendfile":
					sent += max(c.result, 0)
				case strings.Contains(c.args, "<"+root.Name()+"/big>"):
					memory += max(c.result, 0)
				case !strings.Contains(strings.SplitN(c.args, ">", 2)[0], "<socket:"):
					// Wake-ups of the poller and the address on standard output.
				case c.name == "sendmsg":
					heads++
				case strings.HasPrefix(c.name, "write"), c.name == "sendto":
					writes++
				}
			}
			if sent != size {
				t.Errorf("sendfile moved %d bytes of %d", sent, size)
			}
			if memory > 512 { // from which the type is guessed
				t.Errorf("%d bytes of the file were read into memory", memory)
			}
			if heads != 1 || writes != 0 {
				t.Errorf("%d sendmsg and %d writes for one header", heads, writes)
			}
		})
	}
}

func TestSendfile_TarIsSentByTheKernel(t *testing.T) {
	const size = 4 << 20
	root := tree(t, map[string]string{"d/big": strings.Repeat("x", size), "d/small": "small"})
	list := traced(t, "files with everything on", root.Name(), "sendfile,read,pread64", fetchElsewhere(t, "/d/?archive=tar"))
	var sent, memory int64
	for _, c := range list {
		switch {
		case c.name == "sendfile":
			sent += max(c.result, 0)
		case strings.Contains(c.args, "<"+root.Name()+"/d/big>"):
			memory += max(c.result, 0)
		}
	}
	if sent != size || memory != 0 {
		t.Errorf("the kernel sent %d bytes of %d, and %d went through memory", sent, size, memory)
	}
}

// TestSendfile_SpecialFilesAreRefusedWithoutWaiting has a named pipe without a writer,
// which would keep whoever opens it waiting, a socket, and a device.
func TestSendfile_SpecialFilesAreRefusedWithoutWaiting(t *testing.T) {
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
	if _, err := h.view().openFile("d/fifo", false); err == nil {
		t.Error("a named pipe was opened as a file")
	}
}

// TestSendfile_KernelHoldsLittleForASlowClient asks the kernel about the server's end.
func TestSendfile_KernelHoldsLittleForASlowClient(t *testing.T) {
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
