package weirhttp

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func metadata(name string) string {
	return "filename " + base64.StdEncoding.EncodeToString([]byte(name)) + ",filetype dGV4dA=="
}

// create begins a tus upload of n bytes and returns its path.
func (in *inbox) create(n int, name string) string {
	in.t.Helper()
	res := in.wantStatus(201, "POST", "/upload", nil, "Tus-Resumable", "1.0.0",
		"Upload-Length", strconv.Itoa(n), "Upload-Metadata", metadata(name))
	loc := res.Header.Get("Location")
	if !strings.HasPrefix(loc, "/upload/") || res.Header.Get("Upload-Expires") == "" {
		in.t.Fatalf("Location %q, expires %q", loc, res.Header.Get("Upload-Expires"))
	}
	return loc
}

func (in *inbox) patch(want int, loc string, offset int, body io.Reader, header ...string) *http.Response {
	in.t.Helper()
	return in.wantStatus(want, "PATCH", loc, body, append([]string{"Tus-Resumable", "1.0.0",
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset)}, header...)...)
}

func (in *inbox) wantOffset(loc string, want int) {
	in.t.Helper()
	res := in.wantStatus(200, "HEAD", loc, nil, "Tus-Resumable", "1.0.0")
	if got := res.Header.Get("Upload-Offset"); got != strconv.Itoa(want) {
		in.t.Errorf("Upload-Offset %s, want %d", got, want)
	}
}

func TestTus_TellsWhatItCan(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 1000})
	h := in.wantStatus(200, "OPTIONS", "/upload", nil, "Tus-Resumable", "1.0.0").Header
	if h.Get("Tus-Version") != "1.0.0" || h.Get("Tus-Max-Size") != "1000" ||
		h.Get("Tus-Extension") != "creation,creation-with-upload,termination,creation-defer-length,checksum,expiration" ||
		h.Get("Tus-Checksum-Algorithm") != "sha1,sha256,sha512,md5" {
		t.Errorf("%v", h)
	}
	in.wantStatus(413, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "1001")
	in.wantStatus(412, "POST", "/upload", nil, "Tus-Resumable", "0.2", "Upload-Length", "1")
	in.wantStatus(400, "POST", "/upload", nil, "Tus-Resumable", "1.0.0")
	for _, id := range []string{"x", "..", strings.Repeat("a", 26), strings.Repeat("a", 26) + ".json"} {
		in.wantStatus(404, "HEAD", "/upload/"+id, nil, "Tus-Resumable", "1.0.0")
		in.wantStatus(404, "DELETE", "/upload/"+id, nil, "Tus-Resumable", "1.0.0")
	}
	in.wantNoRoom()
}

func TestTus_UploadOutlivesConnectionAndServer(t *testing.T) {
	dir, all := t.TempDir(), content(3<<20)
	half := len(all)/2 + 1
	in := newInbox(t, &Uploads{Dir: dir, Quota: 4 << 20})
	loc := in.create(len(all), "../big.bin")

	// The connection ends in the middle of the PATCH.
	conn := in.dial(fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"+
		"Content-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n%s", loc, len(all), all[:half]))
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
	conn.Close()
	in.stop()
	if _, err := os.Stat(filepath.Join(dir, "big.bin")); err == nil {
		t.Error("half a file has its name")
	}

	in = newInbox(t, &Uploads{Dir: dir, Quota: 4 << 20})
	in.wantOffset(loc, half)
	in.wantStatus(507, "PUT", "/upload/other", strings.NewReader(content(2<<20))) // the room is taken
	in.patch(409, loc, half-1, strings.NewReader(all[half-1:]))
	res := in.patch(204, loc, half, strings.NewReader(all[half:]))
	if res.Header.Get("Upload-Offset") != strconv.Itoa(len(all)) {
		t.Errorf("Upload-Offset %s", res.Header.Get("Upload-Offset"))
	}
	in.wantNoRoom()
	if got, err := os.ReadFile(filepath.Join(dir, "big.bin")); err != nil || string(got) != all {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	in.wantOffset(loc, len(all)) // for a client that missed the answer
	in.patch(204, loc, len(all), nil)
	if _, text := in.do("DELETE", loc, nil, "Tus-Resumable", "1.0.0"); !strings.Contains(text, "the file stays") {
		t.Errorf("DELETE of a complete upload: %s", text)
	}
	in.wantOffset(loc, len(all))
	in.wantFiles(map[string]string{"big.bin": all})
}

func TestTus_ChecksumThatIsWrongTakesNothing(t *testing.T) {
	in := newInbox(t, &Uploads{})
	sum := func(s string) string {
		h := sha1.Sum([]byte(s))
		return "sha1 " + base64.StdEncoding.EncodeToString(h[:])
	}
	loc := in.create(10, "a")
	in.patch(460, loc, 0, strings.NewReader("01234"), "Upload-Checksum", sum("0123x"))
	in.wantOffset(loc, 0)
	in.patch(400, loc, 0, strings.NewReader("01234"), "Upload-Checksum", "crc7 AAAA")
	in.patch(400, loc, 0, strings.NewReader("01234"), "Upload-Checksum", "sha1")
	in.patch(204, loc, 0, strings.NewReader("01234"), "Upload-Checksum", sum("01234"))
	in.wantOffset(loc, 5)

	conn := in.dial(fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 5\r\nUpload-Checksum: %s\r\n"+
		"Content-Type: application/offset+octet-stream\r\nContent-Length: 5\r\n\r\n56", loc, sum("56789")))
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
	in.wantOffset(loc, 5)
	in.patch(204, loc, 5, strings.NewReader("56789"), "Upload-Checksum", sum("56789"))
	in.wantNoRoom()
	if got, _ := os.ReadFile(filepath.Join(in.u.Dir, "a")); string(got) != "0123456789" {
		t.Errorf("%q", got)
	}
}

func TestTus_CreationWithUploadDeferredLengthAndTermination(t *testing.T) {
	var told []Received
	in := newInbox(t, &Uploads{MaxSize: 20, Done: func(r Received) { told = append(told, r) }})
	tus := []string{"Tus-Resumable", "1.0.0", "Content-Type", "application/offset+octet-stream"}
	in.wantStatus(201, "POST", "/upload", strings.NewReader("whole"), append(tus, "Upload-Length", "5", "Upload-Metadata", metadata("a.txt"))...)
	in.wantStatus(201, "POST", "/upload", strings.NewReader("again"), append(tus, "Upload-Length", "5", "Upload-Metadata", metadata("a.txt"))...)
	in.wantStatus(201, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "0", "Upload-Metadata", metadata("empty"))

	loc := in.wantStatus(201, "POST", "/upload", strings.NewReader("01234"), append(tus, "Upload-Defer-Length", "1", "Upload-Metadata", metadata("b"))...).Header.Get("Location")
	in.patch(413, loc, 5, strings.NewReader(content(16)))
	in.wantStatus(200, "HEAD", loc, nil, "Tus-Resumable", "1.0.0")
	gone := in.create(10, "gone")
	in.patch(204, gone, 0, strings.NewReader("0123"))
	in.wantStatus(204, "DELETE", gone, nil, "Tus-Resumable", "1.0.0")
	in.patch(404, gone, 4, strings.NewReader("45"))

	override := in.create(3, "override")
	in.wantStatus(204, "POST", override, strings.NewReader("abc"), append(tus, "Upload-Offset", "0", "X-HTTP-Method-Override", "PATCH")...)
	if want := []Received{{Name: "a.txt", Size: 5}, {Name: "a (2).txt", Size: 5}, {Name: "empty"}, {Name: "override", Size: 3}}; fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v", told)
	}
}

func TestTus_ExpiredUploadsAreRemovedAndOthersStay(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 1000})
	old, young, busy := in.create(100, "old"), in.create(100, "young"), in.create(100, "busy")
	stale := filepath.Join(in.u.Dir, ".upload.weir-ABCDEFGHIJKLMNOP.tmp")
	mine := filepath.Join(in.u.Dir, ".mine.tmp")
	past := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{stale, mine} {
		os.WriteFile(name, []byte("x"), 0o600)
		os.Chtimes(name, past, past)
	}
	for _, loc := range []string{old, busy} {
		id := filepath.Join(in.u.Dir, names.UploadsDir, filepath.Base(loc))
		os.Chtimes(id, past, past)
		os.Chtimes(id+".json", past, past)
	}
	d := in.u.opened
	own, err := d.http.claim(t.Context(), filepath.Base(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.removeOld(time.Now().Add(-24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	d.http.release(filepath.Base(busy), own)
	in.wantStatus(404, "HEAD", old, nil, "Tus-Resumable", "1.0.0")
	in.wantOffset(young, 0)
	in.wantOffset(busy, 0)
	if _, err := os.Stat(stale); err == nil {
		t.Error("a temporary file of a killed process is still there")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error("a file of somebody else was removed")
	}
	if _, held, _ := d.ledger.Sums(); held != 200 {
		t.Errorf("%d bytes are held", held)
	}
	in.stop()
	in = newInbox(t, &Uploads{Dir: in.u.Dir, Quota: 1000}) // sweeps when it has opened
	in.wantOffset(young, 0)
	eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(in.u.Dir, names.UploadsDir, filepath.Base(busy)))
		return err != nil
	}, "what has expired is still there")
	in.wantStatus(404, "HEAD", busy, nil, "Tus-Resumable", "1.0.0")
	in.wantOffset(young, 0)
}

func TestTus_UploadsThatDoNotExpireStay(t *testing.T) {
	in := newInbox(t, &Uploads{Expire: -1})
	ext := in.wantStatus(200, "OPTIONS", "/upload", nil, "Tus-Resumable", "1.0.0").Header.Get("Tus-Extension")
	if strings.Contains(ext, "expiration") {
		t.Errorf("extensions %s", ext)
	}
	res := in.wantStatus(201, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", metadata("a"))
	if e, told := res.Header["Upload-Expires"]; told {
		t.Errorf("expires %s", e)
	}
	data := filepath.Join(in.u.Dir, names.UploadsDir, filepath.Base(res.Header.Get("Location")))
	for _, name := range [...]string{data, data + ".json"} {
		if err := os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	in.stop()
	in = newInbox(t, &Uploads{Dir: in.u.Dir, Expire: -1})
	in.wantOffset(res.Header.Get("Location"), 0)
	if in.u.opened.sweep.timer != nil {
		t.Error("expired uploads are looked for")
	}
	in.patch(204, res.Header.Get("Location"), 0, strings.NewReader("12345"))
}

func TestTus_UploadThatIsWholeGetsItsNameAfterACrash(t *testing.T) {
	dir := t.TempDir()
	in := newInbox(t, &Uploads{Dir: dir, Sync: true})
	var locs []string
	for _, name := range []string{"whole", "placing", "linked", "moved"} {
		loc := in.create(5, name)
		locs = append(locs, loc)
		data := filepath.Join(dir, names.UploadsDir, filepath.Base(loc))
		os.WriteFile(data, []byte("12345"), 0o644)
		if name == "whole" {
			continue
		}
		record, _ := os.ReadFile(data + ".json")
		os.WriteFile(data+".json", []byte(strings.Replace(string(record), "{", `{"state":"placing",`, 1)), 0o600)
		switch name {
		case "linked":
			os.Link(data, filepath.Join(dir, name))
		case "moved":
			os.Rename(data, filepath.Join(dir, name))
		}
	}
	in.stop()
	in = newInbox(t, &Uploads{Dir: dir, Sync: true})
	for _, loc := range locs {
		in.wantOffset(loc, 5)
		in.wantStatus(404, "DELETE", loc, nil, "Tus-Resumable", "1.0.0")
	}
	in.wantFiles(map[string]string{"whole": "12345", "placing": "12345", "linked": "12345", "moved": "12345"})
	in.wantNoRoom()
}

func TestTus_RefusesWhatDoesNotFitBeforeItIsSent(t *testing.T) {
	in := newInbox(t, &Uploads{Quota: 100})
	in.wantStatus(507, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "101")
	in.create(60, "a")
	in.wantStatus(507, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "41")
	conn := in.dial("POST /upload HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 33554432\r\nContent-Length: 33554432\r\n" +
		"Content-Type: application/offset+octet-stream\r\n\r\n")
	if _, err := conn.Write(make([]byte, 32<<20)); err != nil {
		t.Errorf("the connection was closed while sending: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 507 {
		t.Fatalf("%v, %v", res, err)
	}
}

func TestTus_DoesNotLimitWhatTheConnectionIsUsedForLater(t *testing.T) {
	in := newInbox(t, &Uploads{Stall: 50 * time.Millisecond})
	in.Config.Handler.(*http.ServeMux).HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(150 * time.Millisecond) // longer than twice Stall, which tusd sets
		io.WriteString(w, "slow")
	})
	in.create(5, "a")
	if _, text := in.do("GET", "/slow", nil); text != "slow" {
		t.Errorf("%q", text)
	}
}

func TestTus_ExpiredUploadsAreLookedForFromTimeToTime(t *testing.T) {
	in := newInbox(t, &Uploads{Expire: 20 * time.Millisecond})
	in.create(100, "a")
	for {
		ids, err := in.u.opened.http.store.(*folderStore).files()
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		runtime.Gosched()
	}
	// The files go before the room that was taken for them.
	eventually(t, func() bool {
		_, held, _ := in.u.opened.ledger.Sums()
		return held == 0
	}, "the room of the upload is still held")
	in.wantNoRoom()
}
