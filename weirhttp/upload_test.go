package weirhttp

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

func TestUploads_IsStoredWholeUnderItsNameAndTold(t *testing.T) {
	in := newInbox(t, &Uploads{URL: "/files"})
	var told []Received
	in.u.Done = func(r Received) { told = append(told, r) }
	big := content(5<<20 + 17)
	for _, c := range []struct {
		method, path string
		header       []string
		name, loc    string
	}{
		{"POST", "/upload", []string{"Content-Disposition", `attachment; filename="a b.txt"`}, "a b.txt", "/files/a%20b.txt"},
		{"POST", "/upload?name=q.bin", nil, "q.bin", "/files/q.bin"},
		{"POST", "/upload", []string{"Content-Disposition", `attachment; filename*=UTF-8''%C3%BC.txt`}, "ü.txt", "/files/%C3%BC.txt"},
		{"PUT", "/upload/put.bin", nil, "put.bin", "/files/put.bin"},
		{"PUT", "/upload/%2e%2e%2f%2e%2e%2fetc%2fpasswd", nil, "passwd", ""},
	} {
		told = nil
		res, text := in.do(c.method, c.path, strings.NewReader(big), c.header...)
		var got Received
		if err := json.Unmarshal([]byte(text), &got); err != nil || res.StatusCode != 201 {
			t.Fatalf("%s %s: %d %q", c.method, c.path, res.StatusCode, text)
		}
		if want := (Received{c.name, int64(len(big)), sha(big)}); got != want || len(told) != 1 || told[0] != want {
			t.Errorf("%s %s: %+v, told %+v", c.method, c.path, got, told)
		}
		if loc := res.Header.Get("Location"); c.loc != "" && loc != c.loc {
			t.Errorf("%s %s: Location %q, want %q", c.method, c.path, loc, c.loc)
		}
	}
	in.wantFiles(map[string]string{"a b.txt": big, "q.bin": big, "ü.txt": big, "put.bin": big, "passwd": big})
	in.wantNoRoom()
}

func TestUploads_WithoutNameGetsANewOne(t *testing.T) {
	in := newInbox(t, &Uploads{URL: "/files", NoDigest: true})
	res, text := in.do("POST", "/upload", unsized("x"))
	var got Received
	json.Unmarshal([]byte(text), &got)
	if res.StatusCode != 201 || !strings.HasPrefix(got.Name, "upload-") || res.Header.Get("Location") != "/files/"+got.Name || got.SHA256 != "" {
		t.Errorf("%d %s, Location %s", res.StatusCode, text, res.Header.Get("Location"))
	}
	in.wantStatus(400, "PUT", "/upload/", strings.NewReader("x"))
	in.wantStatus(405, "GET", "/upload/x", nil)
}

func TestUploads_EmptyUploadIsAFile(t *testing.T) {
	in := newInbox(t, &Uploads{Sync: true})
	in.wantStatus(201, "PUT", "/upload/empty", nil)
	in.wantStatus(201, "PUT", "/upload/synced", strings.NewReader("x"))
	in.wantFiles(map[string]string{"empty": "", "synced": "x"})
}

func TestUploads_EqualNamesAtTheSameTimeAllSurvive(t *testing.T) {
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprintf("links=%v", links), func(t *testing.T) {
			if !links {
				was := dirOf
				dirOf = func(root *os.Root) atomicfile.Dir { return noLinks{root} }
				defer func() { dirOf = was }()
			}
			in := newInbox(t, &Uploads{})
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					in.wantStatus(201, "PUT", "/upload/a.txt", strings.NewReader(strings.Repeat(string(rune('a'+i)), 1000)))
				})
			}
			all.Wait()
			seen := map[string]bool{}
			for n := range 20 {
				data, err := os.ReadFile(filepath.Join(in.u.Dir, names.Numbered("a.txt", n+1)))
				if err != nil || len(data) != 1000 || seen[string(data)] {
					t.Errorf("%s: %d bytes, %v", names.Numbered("a.txt", n+1), len(data), err)
				}
				seen[string(data)] = true
			}
			in.wantNoRoom()
		})
	}
}

// noLinks is a folder on a file system without hard links.
type noLinks struct{ *os.Root }

func (noLinks) Link(string, string) error { return errors.ErrUnsupported }

// keepsTemp is a folder in which the temporary name of a file stays.
type keepsTemp struct{ *os.Root }

func (d keepsTemp) Link(temp, name string) error {
	err := d.Root.Link(temp, name)
	if err == nil { // a folder in its place, which is not empty, cannot be removed
		err = errors.Join(d.Remove(temp), d.MkdirAll(temp+"/sub", 0o755))
	}
	return err
}

func TestUploads_ThatCannotGiveUpItsTemporaryNameIsNotStored(t *testing.T) {
	was := dirOf
	defer func() { dirOf = was }()
	dirOf = func(root *os.Root) atomicfile.Dir { return keepsTemp{root} }
	in := newInbox(t, &Uploads{})
	in.wantStatus(500, "PUT", "/upload/a", strings.NewReader("a"))
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestUploads_OverwriteReplacesAndIfNoneMatchRefuses(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("old"))
	in.wantStatus(200, "PUT", "/upload/a", strings.NewReader("new"))
	in.wantStatus(412, "PUT", "/upload/a", strings.NewReader("newer"), "If-None-Match", "*")
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader("b"), "If-None-Match", "*")
	in.wantFiles(map[string]string{"a": "new", "b": "b"})
	if err := os.Mkdir(filepath.Join(in.u.Dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(409, "PUT", "/upload/dir", strings.NewReader("x"))
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(in.u.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(409, "PUT", "/upload/link", strings.NewReader("x"))
	if data, _ := os.ReadFile(outside); string(data) != "safe" {
		t.Errorf("a link was followed out of the folder: %q", data)
	}
}

func TestForm_StoresAllFilesOrNone(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 3 << 20})
	big := content(3 << 20)
	build := func(files ...string) (io.Reader, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField("comment", "hello")
		for i, f := range files {
			p, _ := w.CreateFormFile("f", fmt.Sprintf("../%d.bin", i))
			io.WriteString(p, f)
		}
		w.Close()
		return &b, w.FormDataContentType()
	}
	body, ct := build(big, "small", "")
	res, text := in.do("POST", "/upload", body, "Content-Type", ct)
	var list []Received
	if err := json.Unmarshal([]byte(text), &list); err != nil || res.StatusCode != 201 {
		t.Fatalf("%d %s %v", res.StatusCode, text, err)
	}
	if want := []Received{{"0.bin", 3 << 20, sha(big)}, {"1.bin", 5, sha("small")}, {"2.bin", 0, sha("")}}; !slices.Equal(list, want) {
		t.Errorf("%+v", list)
	}
	files := map[string]string{"0.bin": big, "1.bin": "small", "2.bin": ""}
	in.wantFiles(files)

	body, ct = build("first", big+"x")
	in.wantStatus(413, "POST", "/upload", body, "Content-Type", ct)
	body, ct = build()
	in.wantStatus(400, "POST", "/upload", body, "Content-Type", ct)
	in.wantStatus(400, "POST", "/upload", strings.NewReader("no form at all"), "Content-Type", ct)
	in.wantStatus(400, "POST", "/upload", strings.NewReader("x"), "Content-Type", "multipart/form-data")
	body, ct = build("x", "y", "z")
	os.Remove(filepath.Join(in.u.Dir, "0.bin"))
	delete(files, "0.bin")
	in.wantStatus(412, "POST", "/upload", body, "Content-Type", ct, "If-None-Match", "*") // 1.bin is there
	body, ct = build("first", "second")
	half, _ := io.ReadAll(body)
	in.wantStatus(400, "POST", "/upload", bytes.NewReader(half[:len(half)-20]), "Content-Type", ct)
	in.wantFiles(files)
	in.wantNoRoom()
}

func TestUploads_DigestsAreChecked(t *testing.T) {
	in := newInbox(t, &Uploads{NoDigest: true})
	b64 := func(s string) string {
		sum, _ := hex.DecodeString(sha(s))
		return base64.StdEncoding.EncodeToString(sum)
	}
	for i, c := range []struct {
		name, value string
		want        int
	}{
		{"Content-Digest", "sha-256=:" + b64("x") + ":", 201},
		{"Content-Digest", "sha-256=:" + b64("y") + ":", 400},
		{"Repr-Digest", "unixsum=:AAA=:, sha-256=:" + b64("x") + ":", 201},
		{"Repr-Digest", "sha-256=:" + b64("y") + ":", 400},
		{"Digest", "SHA-256=" + b64("x"), 201},
		{"Digest", "sha-256=" + b64("y"), 400},
		{"Content-Digest", "sha-256=" + b64("x"), 400},
		{"Content-Digest", "nonsense", 400},
		{"Content-MD5", "nd1Ge9IWtcHPYl8vSXxNdg==", 400},
		{"Content-MD5", "ndTkYSaMgDT1yFZOFVxnpg==", 201},
		{"Content-MD5", "!", 400},
		{"Content-Encoding", "gzip", 415},
		{"Content-Range", "bytes 0-0/2", 400},
	} {
		name := fmt.Sprintf("%d", i)
		in.wantStatus(c.want, "PUT", "/upload/"+name, strings.NewReader("x"), c.name, c.value)
		_, err := os.Stat(filepath.Join(in.u.Dir, name))
		if there := err == nil; there != (c.want == 201) {
			t.Errorf("%s: %s: the file is there: %v", c.name, c.value, there)
		}
	}
	in.wantNoRoom()
}

func TestUploads_DigestInTheTrailerIsChecked(t *testing.T) {
	in := newInbox(t, &Uploads{})
	for _, said := range []string{"x", "y"} {
		sum := sha256.Sum256([]byte(said))
		req, _ := http.NewRequest("PUT", in.URL+"/upload/"+said, nil)
		req.Trailer = http.Header{"Content-Digest": nil}
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), eofFunc(func() {
			req.Trailer.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		})))
		res, err := in.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[string]int{"x": 201, "y": 400}[said]; res.StatusCode != want {
			t.Errorf("%s: %d", said, res.StatusCode)
		}
	}
	in.wantFiles(map[string]string{"x": "x"})
}

type eofFunc func()

func (f eofFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestUploads_TakeTheirBuffersFromTheBudget(t *testing.T) {
	budget := weir.NewBudget(16 << 10)
	in := newInbox(t, &Uploads{Budget: budget})
	big := content(4 << 20)
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(big))
	in.wantFiles(map[string]string{"a": big})
	if budget.Peak() != 16<<10 || budget.Used() != 0 {
		t.Errorf("peak %d, used %d", budget.Peak(), budget.Used())
	}
	if err := budget.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	in = newInbox(t, &Uploads{Budget: budget, Queue: -1})
	res := in.wantStatus(503, "PUT", "/upload/b", strings.NewReader(big))
	if after := res.Header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestUploads_WaitsForMemoryAsLongAsItsQueueSays(t *testing.T) {
	atOnce(t)
	budget := weir.NewBudget(16 << 10)
	if err := budget.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	in := newInbox(t, &Uploads{Budget: budget, Queue: 2500 * time.Millisecond, Stall: -1})
	loc := in.create(5, "tus")
	var all sync.WaitGroup
	begun := time.Now()
	all.Go(func() {
		res := in.wantStatus(503, "PUT", "/upload/a", strings.NewReader("a"))
		if after := res.Header.Get("Retry-After"); after != "2" {
			t.Errorf("Retry-After %q", after)
		}
	})
	all.Go(func() {
		res := in.patch(503, loc, 0, strings.NewReader("12345"))
		if after := res.Header.Get("Retry-After"); after != "2" {
			t.Errorf("Retry-After %q of a resumable upload", after)
		}
	})
	all.Wait()
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("refused after %v", took)
	}
	budget.Release(1)
	in.patch(204, loc, 0, strings.NewReader("12345"))
}

func TestUploads_IsInTheRegistry(t *testing.T) {
	in := newInbox(t, &Uploads{})
	before := DefaultTransfers.Totals()
	conn := in.dial("PUT /upload/seen HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n0123456789")
	if x := in.waitMoved("seen", 10); x.Direction != Upload || x.Size != 20 || x.Method != "PUT" || x.Moved != 10 {
		t.Errorf("%+v", x)
	}
	io.WriteString(conn, "0123456789")
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 201 {
		t.Fatal(res, err)
	}
	in.wantNoRoom()
	if now := DefaultTransfers.Totals(); now.BytesIn-before.BytesIn != 20 || now.Succeeded-before.Succeeded != 1 {
		t.Errorf("%+v, then %+v", before, now)
	}
}

func TestUploads_ClosedHandlerRefuses(t *testing.T) {
	in := newInbox(t, &Uploads{})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("a"))
	if err := in.u.Close(); err != nil {
		t.Error(err)
	}
	in.wantStatus(503, "PUT", "/upload/b", strings.NewReader("b"))
	missing := newInbox(t, &Uploads{Dir: filepath.Join(t.TempDir(), "missing")})
	res, text := missing.do("PUT", "/upload/a", strings.NewReader("a"))
	if res.StatusCode != 500 || strings.Contains(text, "missing") {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestUploads_OverHTTP2(t *testing.T) {
	u := &Uploads{Dir: t.TempDir(), MaxSize: 4 << 20, Log: slog.New(slog.DiscardHandler)}
	s := httptest.NewUnstartedServer(u)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	in := &inbox{Server: s, t: t, u: u}
	res := in.wantStatus(201, "PUT", "/a", unsized(content(4<<20)))
	if res.ProtoMajor != 2 {
		t.Errorf("%s", res.Proto)
	}
	in.wantStatus(413, "PUT", "/b", unsized(content(5<<20)))
	in.wantStatus(413, "PUT", "/b", strings.NewReader(content(5<<20)))
	in.wantStatus(400, "PUT", "/b", strings.NewReader("x"), "Content-Digest", "sha-256=:AAAA:")
	loc := in.wantStatus(201, "POST", "/", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", metadata("tus")).Header.Get("Location")
	in.patch(204, loc, 0, strings.NewReader("12345"))
	in.wantNoRoom()
	s.Close()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	os.RemoveAll(filepath.Join(u.Dir, names.UploadsDir))
	in.wantFiles(map[string]string{"a": content(4 << 20), "tus": "12345"})
}
