package weirhttp

import (
	"bufio"
	"errors"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestUploads_QuotaHoldsUnderConcurrency(t *testing.T) {
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
	eventually(t, func() bool { // the ledger does not count again at once
		res, _ := in.do("PUT", "/upload/b", strings.NewReader(content(1500)))
		return res.StatusCode == 201
	}, "the bytes of the removed file are not free")
	in.wantStatus(507, "PUT", "/upload/b", strings.NewReader("x"))
	in.wantNoRoom()
}

type onlyReader struct{ r *strings.Reader }

func (o *onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

func TestUploads_ReplacedFilesCountOnce(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 1000, Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(content(500)))
	for range 5 {
		in.wantStatus(200, "PUT", "/upload/a", strings.NewReader(content(500)))
	}
	in.wantStatus(200, "PUT", "/upload/a", strings.NewReader(content(100)))
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader(content(900)))
	in.wantStatus(507, "PUT", "/upload/c", strings.NewReader("x"))
	if got, _, _ := in.u.opened.ledger.Sums(); got != 1000 {
		t.Errorf("%d bytes are stored", got)
	}
}

func TestUploads_FullDiskIsToldBeforeTheBodyIsTaken(t *testing.T) {
	in := newInbox(t, &Uploads{MinFree: 1 << 60})
	if _, err := quota.FreeSpace(os.Stdin); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("free space is not known here")
	}
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	line := make([]byte, len("HTTP/1.1 507 "))
	if _, err := conn.Read(line); err != nil || string(line) != "HTTP/1.1 507 " {
		t.Errorf("%q, %v", line, err)
	}
	in.wantFiles(nil)
}

func TestUploads_ThatDoesNotFitIsToldWhileItsClientIsSilent(t *testing.T) {
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
