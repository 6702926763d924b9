package weirhttp

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestQuotaHoldsUnderConcurrency(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 10_000, NoDigest: true})
	if err := os.WriteFile(filepath.Join(in.u.Dir, "there"), make([]byte, 1500), 0o644); err != nil {
		t.Fatal(err)
	}
	var stored, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			body := strings.NewReader(content(1000))
			var res *http.Response
			if i%2 == 0 {
				res, _ = in.do("PUT", "/upload/a", body)
			} else {
				res, _ = in.do("PUT", "/upload/a", struct{ *onlyReader }{&onlyReader{body}})
			}
			switch res.StatusCode {
			case 201:
				stored.Add(1)
			case 507:
				refused.Add(1)
			default:
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	all.Wait()
	// Uploads of unknown length may stand in each other's way.
	if stored.Load() > 8 || stored.Load() == 0 || stored.Load()+refused.Load() != 40 {
		t.Errorf("%d stored, %d refused", stored.Load(), refused.Load())
	}
	in.wantNoRoom()
	for range 8 - stored.Load() {
		in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(content(1000)))
	}
	in.wantStatus(507, "PUT", "/upload/a", strings.NewReader(content(1000)))
	in.wantStatus(201, "PUT", "/upload/rest", strings.NewReader(content(500)))
	in.wantStatus(507, "PUT", "/upload/a", strings.NewReader("x"))

	// What others remove is free, and what others add is not.
	if err := os.Remove(filepath.Join(in.u.Dir, "there")); err != nil {
		t.Fatal(err)
	}
	in.u.folder.ledger.took = 0 // count again at once
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader(content(1500)))
	in.wantStatus(507, "PUT", "/upload/b", strings.NewReader("x"))
	in.wantNoRoom()
}

type onlyReader struct{ r *strings.Reader }

func (o *onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

func TestReplacedFilesCountOnce(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 1000, Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(content(500)))
	for range 5 {
		in.wantStatus(200, "PUT", "/upload/a", strings.NewReader(content(500)))
	}
	in.wantStatus(200, "PUT", "/upload/a", strings.NewReader(content(100)))
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader(content(900)))
	in.wantStatus(507, "PUT", "/upload/c", strings.NewReader("x"))
	if got := in.u.folder.ledger.stored; got != 1000 {
		t.Errorf("%d bytes are stored", got)
	}
}

// ledgerOn is a ledger of an empty folder on a disk with free bytes.
func ledgerOn(t *testing.T, quota, spare, free int64) *ledger {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &ledger{root: root, quota: quota, spare: spare, free: func() (int64, error) { return free, nil }}
}

func TestUploadsOnTheirWayShareTheDisk(t *testing.T) {
	l := ledgerOn(t, 0, 100, 1000)
	a, err := l.take(600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.take(301); !errors.Is(err, errNoSpace) {
		t.Errorf("%v", err)
	}
	b, err := l.take(300)
	if err != nil {
		t.Fatal(err)
	}
	a.wrote(600) // the disk says 400 now, of which 300 are taken
	l.free = func() (int64, error) { return 400, nil }
	if _, err := l.take(1); !errors.Is(err, errNoSpace) {
		t.Errorf("%v", err)
	}
	b.release()
	if _, err := l.take(300); err != nil {
		t.Error(err)
	}
	l.free = func() (int64, error) { return 0, errors.ErrUnsupported }
	if _, err := l.take(1 << 50); err != nil {
		t.Error(err)
	}
	l.free = func() (int64, error) { return 0, os.ErrPermission }
	if _, err := l.take(1); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

func TestUploadsGoOnWhileFilesAreNamedAndTheDiskIsAsked(t *testing.T) {
	l := ledgerOn(t, 10_000, 100, 1<<40)
	a, err := l.take(1000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.take(1000)
	if err != nil {
		t.Fatal(err)
	}
	goOn := func() {
		b.wrote(10)
		if err := b.need(b.room + 10); err != nil {
			t.Error(err)
		}
	}
	free := l.free
	l.free = func() (int64, error) {
		goOn()
		return free()
	}
	err = a.publish(func() (int64, error) {
		goOn()
		c, err := l.take(1000)
		if err == nil {
			c.release()
		}
		return 1000, err
	})
	if err != nil || l.stored != 1000 || l.held != 1020 || l.coming.Load() != 1000 {
		t.Errorf("%v, %d stored, %d held, %d coming", err, l.stored, l.held, l.coming.Load())
	}
	b.release()
	if l.held != 0 || l.coming.Load() != 0 {
		t.Errorf("%d held, %d coming", l.held, l.coming.Load())
	}
}

func TestUploadOfUnknownLengthLooksAtTheDiskAgain(t *testing.T) {
	l := ledgerOn(t, 0, 0, 1<<40)
	h, err := l.take(0)
	if err != nil {
		t.Fatal(err)
	}
	l.free = func() (int64, error) { return 0, nil }
	n := int64(0)
	for err = h.need(n); err == nil; err = h.need(n) {
		n += 1 << 20
	}
	if !errors.Is(err, errNoSpace) || n > 2*recheck {
		t.Errorf("%v at %d", err, n)
	}
}

func TestFullDiskIsToldBeforeTheBodyIsTaken(t *testing.T) {
	in := newInbox(t, &Uploads{MinFree: 1 << 60})
	if _, err := freeSpace(os.Stdin); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("free space is not known here")
	}
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	line := make([]byte, len("HTTP/1.1 507 "))
	if _, err := conn.Read(line); err != nil || string(line) != "HTTP/1.1 507 " {
		t.Errorf("%q, %v", line, err)
	}
	in.wantFiles(nil)
}

func TestFilesOfOthersAndUploadsOnTheirWayAreCountedOnce(t *testing.T) {
	l := ledgerOn(t, 10_000, 0, 1<<40)
	for name, n := range map[string]int{"a": 100, "sub/b": 200, hiddenDir + "/c": 400, ".upload.weir-ABCDEFGHIJKLMNOP.tmp": 800} {
		l.root.MkdirAll(filepath.Dir(name), 0o755)
		if err := l.root.WriteFile(name, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.take(50)
	if err != nil || l.stored != 300 || l.held != 50 {
		t.Fatalf("%v, %d stored, %d held", err, l.stored, l.held)
	}
	if err := h.publish(func() (int64, error) { return 0, os.ErrExist }); !errors.Is(err, os.ErrExist) || l.held != 50 {
		t.Errorf("%v, %d held", err, l.held)
	}
	if err := h.publish(func() (int64, error) { return 50, nil }); err != nil || l.stored != 350 || l.held != 0 {
		t.Errorf("%v, %d stored, %d held", err, l.stored, l.held)
	}
	h.release()
	if l.held != 0 || l.stored != 350 {
		t.Error(fmt.Sprint("a release after publish counts: ", l.held, l.stored))
	}
}

func TestUploadThatDoesNotFitIsToldWhileItsClientIsSilent(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 1000})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + content(2000) + "\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 507 {
		t.Fatalf("%v, %v", res, err)
	}
	conn.Close()
	in.wantFiles(nil)
	in.wantNoRoom()
}
