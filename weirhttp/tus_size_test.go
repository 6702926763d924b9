package weirhttp

import (
	"bufio"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// patchHead is the header of a PATCH that is written by hand.
func patchHead(loc string, offset int, more string) string {
	return fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: %d\r\n"+
		"Content-Type: application/offset+octet-stream\r\n%s\r\n\r\n", loc, offset, more)
}

func TestTus_PieceWhoseLengthOverflowsIsRefused(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 4 << 20})
	known := in.create(10, "known")
	deferred := in.wantStatus(201, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Defer-Length", "1").Header.Get("Location")
	for _, loc := range []string{known, deferred} {
		in.patch(204, loc, 0, strings.NewReader("0"))
		conn := in.dial(patchHead(loc, 1, fmt.Sprintf("Content-Length: %d", int64(math.MaxInt64))))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 413 {
			t.Errorf("%v, %v", res, err)
		}
		conn.Close()
		in.wantOffset(loc, 1)
	}
	in.Server.Close()
	if _, held, _ := in.u.opened.ledger.Sums(); held != 11 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestTus_PieceThatGoesPastItsFileIsNotKept(t *testing.T) {
	in := newInbox(t, &Uploads{})
	loc := in.create(10, "a")
	in.patch(204, loc, 0, unsized("01234"))
	in.patch(413, loc, 5, unsized("567890"))
	in.wantOffset(loc, 5)
	if _, err := os.Stat(filepath.Join(in.u.Dir, "a")); err == nil {
		t.Error("the file has its name, and its client was refused")
	}
	in.patch(204, loc, 5, unsized("56789"))
	if got, _ := os.ReadFile(filepath.Join(in.u.Dir, "a")); string(got) != "0123456789" {
		t.Errorf("%q", got)
	}
	in.wantStatus(413, "POST", "/upload", unsized("x"), "Tus-Resumable", "1.0.0", "Upload-Length", "0",
		"Content-Type", "application/offset+octet-stream", "Upload-Metadata", metadata("empty"))
	if _, err := os.Stat(filepath.Join(in.u.Dir, "empty")); err == nil {
		t.Error("an empty file has a name, and its client was refused")
	}
}
