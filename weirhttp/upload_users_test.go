package weirhttp

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-go/weir/weirhttp/auth"
)

// sharedInbox is an inbox in which "writer" can upload and "reader" can only read. Each has
// its name as its password.
func sharedInbox(t *testing.T) *inbox {
	t.Helper()
	var lines strings.Builder
	for name, rights := range map[string]string{"writer": "w", "reader": "r"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s:%s:%s\n", name, hash, rights)
	}
	users, err := auth.Parse(strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	users.Uploads = "/upload"
	in := unstartedInbox(t, &Uploads{})
	d, err := in.u.open()
	if err != nil {
		t.Fatal(err)
	}
	d.http.moving = 0 // so that a HEAD of tus takes every upload over
	d.users.Done()
	in.Config.Handler = users.Handler(in.Config.Handler)
	in.Start()
	return in
}

const asWriter = "Bearer writer.writer"

// foreign are requests by which others could interrupt an upload that is at "at".
var foreign = []string{
	"HEAD at", "GET at", "DELETE at", "PATCH at", "PUT at", "POST at", "QUERY at", "OPTIONS at",
	"HEAD /upload/..%2F..%2Fid", "GET /upload/..%2F..%2Fid", "GET /%75pload/..%2Fid", "GET /upload/x%2Fid", "GET /upload//id", "HEAD /upload/./id",
}

func TestUploads_AreNotInterruptedByUsersWhoOnlyRead(t *testing.T) {
	for _, c := range []struct {
		protocol, name string
		create, header string
		done           int
	}{
		{"HTTP", "a", "Upload-Complete: ?0\r\nUpload-Length: 10\r\n", "Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\n", 201},
		{"HTTP", "", "Upload-Complete: ?0\r\nUpload-Length: 10\r\n", "Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\n", 201},
		{"tus", "a", "Tus-Resumable: 1.0.0\r\nUpload-Length: 10\r\nUpload-Metadata: " + metadata("a") + "\r\n", "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n", 204},
		{"tus", "", "Tus-Resumable: 1.0.0\r\nUpload-Length: 10\r\n", "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n", 204},
	} {
		t.Run(c.protocol+" "+c.name, func(t *testing.T) {
			in := sharedInbox(t)
			conn := in.dial("POST /upload?name=" + c.name + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: " + asWriter + "\r\n" + c.create + "\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != http.StatusCreated {
				t.Fatalf("creation: %v, %v", res, err)
			}
			at, id := res.Header.Get("Location"), path.Base(res.Header.Get("Location"))
			conn = in.dial("PATCH " + at + " HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\nContent-Length: 10\r\nAuthorization: " + asWriter + "\r\n" + c.header + "\r\nhello")
			var live Transfer
			eventually(t, func() bool {
				for _, x := range DefaultTransfers.List() {
					if live = x; x.Client == conn.LocalAddr().String() && x.Moved == 5 {
						return true
					}
				}
				return false
			}, "the upload is not under way")
			if shown := fmt.Sprint(live.Name, live.Files, live.Report()); strings.Contains(shown, id) {
				t.Errorf("everybody who sees the transfers learns the id of the upload: %s", shown)
			}
			if c.name != "" && live.Name != c.name {
				t.Errorf("the transfer is called %q", live.Name)
			}
			for _, request := range foreign {
				method, target, _ := strings.Cut(request, " ")
				target = strings.ReplaceAll(strings.ReplaceAll(target, "at", at), "id", id)
				for _, version := range []string{"", "Tus-Resumable: 1.0.0\r\n", "Upload-Draft-Interop-Version: 3\r\n", "X-HTTP-Method-Override: HEAD\r\nTus-Resumable: 1.0.0\r\n"} {
					other := in.dial(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer reader.reader\r\n" + version + "\r\n")
					res, err := http.ReadResponse(bufio.NewReader(other), nil)
					if err != nil || res.Header.Get("Upload-Offset") != "" || res.StatusCode != http.StatusForbidden && method != http.MethodOptions {
						t.Errorf("%s %s %q of the reader: %v, %v", method, target, version, res, err)
					}
				}
			}
			if _, err := io.WriteString(conn, "world"); err != nil {
				t.Error(err)
			}
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != c.done {
				t.Errorf("the upload was interrupted: %v, %v", res, err)
			}
		})
	}
}
