package weirhttp

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTus_ConcatenationIsRefused(t *testing.T) {
	in := newInbox(t, &Uploads{})
	for _, concat := range []string{"partial", "final;/upload/a /upload/b"} {
		in.wantStatus(501, "POST", "/upload", strings.NewReader("x"), "Tus-Resumable", "1.0.0", "Upload-Length", "1",
			"Content-Type", "application/offset+octet-stream", "Upload-Concat", concat)
	}
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestTus_ResumableUploadIsWhatItsClientSaysOfIt(t *testing.T) {
	in := newInbox(t, &Uploads{})
	said := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	}
	loc := in.create(10, "a")
	in.patch(415, loc, 0, strings.NewReader("01234"), "Content-Encoding", "gzip")
	for _, name := range []string{"Repr-Digest", "Digest", "Content-MD5"} {
		in.patch(400, loc, 0, strings.NewReader("01234"), name, said("01234"))
	}
	in.patch(400, loc, 0, strings.NewReader("01234"), "Content-Digest", said("0123x"))
	in.wantOffset(loc, 0)
	in.patch(204, loc, 0, strings.NewReader("01234"), "Content-Digest", said("01234"))
	in.patch(400, loc, 5, unsized("56789"), "Content-Digest", said("x"))
	in.wantOffset(loc, 5)
	in.patch(204, loc, 5, unsized("56789"), "Content-Digest", said("56789"))
	in.wantStatus(415, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "1", "Content-Encoding", "gzip")
	in.wantNoRoom()
}

func TestTus_ResumableUploadThatMustBeNewReplacesNothing(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	begin := []string{"Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", metadata("a"), "If-None-Match", "*"}
	loc := in.wantStatus(201, "POST", "/upload", nil, begin...).Header.Get("Location")
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("first"))
	in.wantStatus(412, "POST", "/upload", nil, begin...)
	in.patch(412, loc, 0, strings.NewReader("later"))
	in.wantStatus(412, "HEAD", loc, nil, "Tus-Resumable", "1.0.0")
	in.wantStatus(204, "DELETE", loc, nil, "Tus-Resumable", "1.0.0")
	in.wantFiles(map[string]string{"a": "first"})
	in.wantNoRoom()
}

func TestTus_WholeUploadThatCannotHaveItsNameCanBeRemoved(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	loc, other := in.create(5, "a"), in.create(5, "a")
	if err := os.Mkdir(filepath.Join(in.u.Dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(409, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", metadata("a"))
	in.patch(409, loc, 0, strings.NewReader("12345"))
	in.patch(409, loc, 5, nil)
	in.patch(409, other, 0, strings.NewReader("12345"))
	in.wantStatus(204, "DELETE", loc, nil, "Tus-Resumable", "1.0.0")
	os.Remove(filepath.Join(in.u.Dir, "a"))
	in.wantOffset(other, 5) // has its name now
	in.wantStatus(404, "DELETE", other, nil, "Tus-Resumable", "1.0.0")
	in.wantFiles(map[string]string{"a": "12345"})
	in.wantNoRoom()
}

func TestTus_CreationThatFailsLeavesNothing(t *testing.T) {
	in := newInbox(t, &Uploads{})
	in.wantStatus(460, "POST", "/upload", strings.NewReader("12345"), "Tus-Resumable", "1.0.0", "Upload-Length", "10",
		"Content-Type", "application/offset+octet-stream", "Upload-Checksum", "md5 AAAA")
	conn := in.dial("POST /upload HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 10\r\nContent-Length: 10\r\n" +
		"Content-Type: application/offset+octet-stream\r\n\r\n12345")
	conn.CloseWrite()
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 400 {
		t.Errorf("%v, %v", res, err)
	}
	conn.Close()
	in.wantNoRoom()
	in.wantFiles(nil)
}

func TestTus_PieceThatAnotherRequestInterruptsIsSentAgain(t *testing.T) {
	for _, length := range []int{10_000, 2 << 20} { // copied, and moved by the kernel
		in := impatientInbox(t, &Uploads{})
		all := content(length)
		loc := in.create(length, "a")
		conn := in.dial(patchHead(loc, 0, "Content-Length: "+strconv.Itoa(length)) + all[:5000])
		in.waitMoved("a", 1)
		head := in.wantStatus(200, "HEAD", loc, nil, "Tus-Resumable", "1.0.0")
		offset, _ := strconv.Atoi(head.Header.Get("Upload-Offset"))
		if offset == 0 {
			t.Errorf("%d bytes: nothing is kept", length)
		}
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 423 {
			t.Errorf("%d bytes: %v, %v", length, res, err)
		}
		conn.Close()
		in.patch(204, loc, offset, strings.NewReader(all[offset:]))
		in.wantFiles(map[string]string{"a": all})
		in.wantNoRoom()
	}
}

func TestTus_AnswerIsReadByAClientWhosePieceIsNotWanted(t *testing.T) {
	atOnce(t)
	in := newInbox(t, &Uploads{})
	loc := in.create(5, "a")
	in.patch(204, loc, 0, strings.NewReader("12345"))
	conn := in.dial(patchHead(loc, 5, "Content-Length: 33554432"))
	if _, err := conn.Write(make([]byte, 32<<20)); err != nil {
		t.Errorf("the connection was closed while sending: %v", err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 204 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestTus_BytesWithoutTheirRecordAreNoUploadAndExpire(t *testing.T) {
	in := newInbox(t, &Uploads{})
	loc := in.create(5, "a")
	data := filepath.Join(in.u.Dir, names.UploadsDir, path.Base(loc))
	if err := os.Remove(data + ".json"); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(404, "HEAD", loc, nil, "Tus-Resumable", "1.0.0")
	if err := in.u.opened.removeOld(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestTus_RefusedPieceIsEnteredWithItsCause(t *testing.T) {
	in := unstartedInbox(t, &Uploads{Quota: 100})
	inner := in.Config.Handler
	causes := make(chan error, 10)
	in.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(WithDone(r.Context(), func(_ Transfer, err error) { causes <- err })))
	})
	in.Start()
	in.wantStatus(507, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "101")
	if err := <-causes; !errors.Is(err, quota.ErrNoSpace) {
		t.Errorf("%v", err)
	}
	in.wantStatus(400, "POST", "/upload", nil, "Tus-Resumable", "1.0.0") // by tusd itself
	if err := <-causes; err == nil || err.Error() != "Bad Request" {
		t.Errorf("%v", err)
	}
}

func TestTus_PendingUploadsAndTheirMetadataAreBounded(t *testing.T) {
	in := newInbox(t, &Uploads{})
	begin := func(want int, metadata string) string {
		t.Helper()
		return in.wantStatus(want, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Defer-Length", "1",
			"Upload-Metadata", metadata).Header.Get("Location")
	}
	begin(413, metadata(strings.Repeat("a", 4<<10)))
	loc := begin(201, metadata(strings.Repeat("a", 4000)))
	s := in.u.opened.http.store.(*folderStore)
	for len(s.holds) < mostPending {
		s.holds[newUploadID()] = held{Hold: s.d.ledger.Adopt(0, 0)}
	}
	begin(507, metadata("a"))
	in.wantStatus(204, "DELETE", loc, nil, "Tus-Resumable", "1.0.0")
	begin(201, metadata("a"))
	begin(507, metadata("a"))
	if ids, err := s.files(); err != nil || len(ids) != 1 {
		t.Errorf("%d uploads have files, %v", len(ids), err)
	}
}

// A client that is still sending when it gets its answer must be able to read all of it,
// whatever the form of the answer.
func TestTus_AnswersBeforeTheBodyAreComplete(t *testing.T) {
	atOnce(t)
	in := newInbox(t, &Uploads{})
	full := in.create(5, "full")
	in.patch(204, full, 0, strings.NewReader("12345"))
	const length = "Content-Length: 33554432\r\n"
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"nothing left to add", patchHead(full, 5, strings.TrimSpace(length)), 204},
		{"a creation that takes no bytes", "POST /upload HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n" + length + "\r\n", 201},
		{"a question", "HEAD " + full + " HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n" + length + "\r\n", 200},
		{"a conflict", patchHead(full, 3, strings.TrimSpace(length)), 409},
		{"an unknown upload", patchHead("/upload/none", 0, strings.TrimSpace(length)), 404},
		{"a removal", "DELETE " + in.create(9, "b") + " HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n" + length + "\r\n", 204},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := in.dial(c.head)
			if _, err := conn.Write(make([]byte, 32<<20)); err != nil {
				t.Errorf("the connection was closed while sending: %v", err)
			}
			method, _, _ := strings.Cut(c.head, " ")
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil || res.StatusCode != c.status {
				t.Fatalf("%v, %v", res, err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Errorf("the answer is incomplete: %v", err)
			}
		})
	}
}

// Who follows an upload can have sent on bytes that are then taken back.
func TestTus_PieceThatIsTakenBackEndsThoseWhoFollow(t *testing.T) {
	in := newInbox(t, &Uploads{})
	dir, err := filepath.EvalSymlinks(in.u.Dir)
	if err != nil {
		t.Fatal(err)
	}
	loc := in.create(10, "a")
	in.patch(204, loc, 0, strings.NewReader("01234"))
	followed := arriving.find(filepath.Join(dir, "a"))
	if followed == nil {
		t.Fatal("the upload cannot be followed")
	}
	in.patch(460, loc, 5, strings.NewReader("56789"), "Upload-Checksum", "md5 AAAA")
	<-followed.over
	if !errors.Is(followed.err, errUnfinished) {
		t.Error(followed.err)
	}
	in.patch(204, loc, 5, strings.NewReader("56789"))
	in.wantFiles(map[string]string{"a": "0123456789"})
}
