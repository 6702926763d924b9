//go:build linux

package weirhttp

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func countFDs(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// wantFDs checks that no more than n files are open, but for pipes of package os
// for splice, which the garbage collector closes.
func wantFDs(t *testing.T, n int) {
	t.Helper()
	now := countFDs(t)
	for try := 0; now > n && try < 1000; try++ {
		runtime.GC()
		now = countFDs(t)
	}
	if now > n {
		t.Errorf("%d files are open, %d before", now, n)
	}
}

func TestUploads_HundredsOfAbortedUploadsLeaveNothing(t *testing.T) {
	abortUploads(t, 10) // opens what a process keeps, such as its poller
	files, running := countFDs(t), goleak.IgnoreCurrent()
	abortUploads(t, 300)
	goleak.VerifyNone(t, running)
	wantFDs(t, files)
}

// abortUploads breaks off n uploads of every kind, by an end and by a reset.
func abortUploads(t *testing.T, n int) {
	in := newInbox(t, &Uploads{Quota: 1 << 40})
	heads := []string{
		"PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n",
		"PUT /upload/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
		"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 10000000\r\n\r\n" +
			"--B\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n",
	}
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() {
			for i := range n / 4 {
				conn := in.dial(heads[i%len(heads)])
				io.WriteString(conn, content(1000*(i%100))) // the server may have had enough
				if client%2 == 0 {
					conn.SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	all.Wait()
	in.Server.Close() // waits for the handlers
	in.wantNoRoom()
	in.wantFiles(nil)
	if err := in.u.Close(); err != nil {
		t.Error(err)
	}
}

func TestUploads_AbortedResumableUploadsKeepOnlyWhatHasCome(t *testing.T) {
	abort := func(n int) {
		in := newInbox(t, &Uploads{})
		for i := range n {
			conn := in.dial(patchHead(in.create(3_000_000, "a"), 0, "Content-Length: 3000000"))
			io.WriteString(conn, content(1000*i)) // the server may have had enough
			if i%2 == 0 {
				conn.SetLinger(0)
			}
			conn.Close()
		}
		in.Server.Close() // waits for the handlers
		ids, err := in.u.opened.http.store.(*folderStore).files()
		if err != nil {
			t.Error(err)
		}
		if err := in.u.opened.removeOld(time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		in.wantFiles(nil)
		in.wantNoRoom()
		if err := in.u.Close(); err != nil {
			t.Error(err)
		}
		if len(ids) != n {
			t.Errorf("%d uploads of %d were begun", len(ids), n)
		}
	}
	abort(10)
	files, running := countFDs(t), goleak.IgnoreCurrent()
	abort(100)
	goleak.VerifyNone(t, running)
	wantFDs(t, files)
}

// smallDisk mounts a file system of n bytes.
func smallDisk(t *testing.T, n int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(n)); err != nil {
		t.Skip("mount a small disk: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestUploads_DiskThatIsTooSmall(t *testing.T) {
	in := newInbox(t, &Uploads{Dir: smallDisk(t, 4<<20)})
	in.wantStatus(201, "PUT", "/upload/fits", strings.NewReader(content(1<<20)))
	in.wantStatus(507, "PUT", "/upload/announced", strings.NewReader(content(8<<20)))
	in.wantStatus(507, "PUT", "/upload/not-announced", unsized(content(8<<20)))
	in.wantFiles(map[string]string{"fits": content(1 << 20)})
	in.wantNoRoom()
	in.wantStatus(201, "PUT", "/upload/fits-too", strings.NewReader(content(2<<20)))
}

func TestUploads_DiskThatOthersFillInTheMiddle(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	in := newInbox(t, &Uploads{Dir: dir})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + content(1000))
	in.waitMoved("a", 1000)
	other := filepath.Join(dir, "other")
	f, err := os.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(f, strings.NewReader(content(8<<20)))
	f.Close()
	io.WriteString(conn, content(2_999_000))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 507 {
		t.Fatalf("%v, %v", res, err)
	}
	conn.Close()
	os.Remove(other)
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestUploads_RightsThatAreLostInTheMiddle(t *testing.T) {
	dir, u := t.TempDir(), &Uploads{}
	lose := func() { os.Chmod(dir, 0o555) }
	regain := func() { os.Chmod(dir, 0o755) }
	if os.Getuid() == 0 { // who may write everything, but not to a disk that is read-only
		dir = smallDisk(t, 4<<20)
		lose = func() { syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "") }
		regain = func() { syscall.Mount("", dir, "", syscall.MS_REMOUNT, "") }
	}
	u.Dir = dir
	in := newInbox(t, u)
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("a"))
	lose()
	in.wantStatus(500, "PUT", "/upload/b", strings.NewReader("b"))
	in.wantStatus(500, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "10")
	regain()
	in.wantStatus(201, "PUT", "/upload/c", strings.NewReader("c"))
	in.wantFiles(map[string]string{"a": "a", "c": "c"})
	in.wantNoRoom()
}

func TestUploads_FolderOpensAlthoughNotAllCanBeRemoved(t *testing.T) {
	dir := t.TempDir()
	if os.Getuid() == 0 {
		dir = smallDisk(t, 1<<20)
	}
	stale := filepath.Join(dir, ".upload.weir-ABCDEFGHIJKLMNOP.tmp")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(stale, time.Time{}, time.Unix(1, 0))
	if os.Getuid() == 0 {
		syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	} else {
		os.Chmod(dir, 0o555)
		defer os.Chmod(dir, 0o755)
	}
	in := newInbox(t, &Uploads{Dir: dir})
	in.wantStatus(405, "GET", "/upload", nil) // 500 if it does not open
	eventually(t, func() bool { return strings.Contains(in.log.String(), "cannot remove") }, "it is not in the log")
}

func TestUploads_FolderThatGoesAwayInTheMiddle(t *testing.T) {
	in := newInbox(t, &Uploads{})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("a"))
	os.RemoveAll(in.u.Dir)
	res, text := in.do("PUT", "/upload/b", strings.NewReader("b"))
	if res.StatusCode != 500 || strings.Contains(text, in.u.Dir) {
		t.Errorf("%d %q", res.StatusCode, text)
	}
	in.wantNoRoom()
}

func TestUploads_Curl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip(err)
	}
	in := newInbox(t, &Uploads{MaxSize: 8 << 20})
	file := filepath.Join(t.TempDir(), "up.bin")
	big := filepath.Join(t.TempDir(), "big.bin")
	os.WriteFile(file, []byte(content(5<<20)), 0o644)
	os.WriteFile(big, []byte(content(9<<20)), 0o644)
	for _, c := range []struct {
		status string
		args   []string
	}{
		{"201", []string{"-T", file, in.URL + "/upload/"}},
		{"201", []string{"-F", "f=@" + file + ";filename=form.bin", in.URL + "/upload"}},
		{"201", []string{"--data-binary", "@" + file, in.URL + "/upload?name=data.bin"}},
		{"201", []string{"-T", "-", in.URL + "/upload/piped.bin"}},
		{"201", []string{"--limit-rate", "20M", "-T", file, in.URL + "/upload/slow.bin"}},
		{"413", []string{"-T", big, in.URL + "/upload/"}},
		{"413", []string{"-H", "Expect:", "-T", big, in.URL + "/upload/"}},
		{"413", []string{"-H", "Expect:", "-H", "Transfer-Encoding: chunked", "-T", big, in.URL + "/upload/"}},
	} {
		cmd := exec.Command(curl, append([]string{"-sS", "-o", filepath.Join(t.TempDir(), "answer"), "-w", "%{http_code}"}, c.args...)...)
		cmd.Stdin = strings.NewReader(content(1 << 20))
		out, err := cmd.CombinedOutput()
		if string(out) != c.status {
			t.Errorf("curl %s: %s, %v", strings.Join(c.args, " "), out, err)
		}
	}
	all := content(5 << 20)
	in.wantFiles(map[string]string{"up.bin": all, "form.bin": all, "data.bin": all, "slow.bin": all, "piped.bin": content(1 << 20)})
	in.wantNoRoom()
}
