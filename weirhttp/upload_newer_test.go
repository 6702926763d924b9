package weirhttp

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// under is an upload with a request that still adds to it.
type under struct {
	*resumer
	conn net.Conn
	all  string
}

// sending begins an upload over HTTP and sends the first half of it in a PATCH.
func sending(t *testing.T, in *inbox, length int) *under {
	t.Helper()
	c := &resumer{inbox: in}
	c.run(step{request: "POST /upload?name=a", header: "Upload-Complete: ?0 | Upload-Length: " + strconv.Itoa(length), status: 201})
	u := &under{resumer: c, all: content(length)}
	u.conn = in.dial(fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\nUpload-Complete: ?1\r\n"+
		"Content-Type: application/partial-upload\r\nContent-Length: %d\r\n\r\n%s", c.at, length, u.all[:length/2]))
	in.waitMoved("a", int64(length/2))
	return u
}

// wantWhole sends the rest and checks that the request has not been touched.
func (u *under) wantWhole() {
	u.t.Helper()
	if _, err := io.WriteString(u.conn, u.all[len(u.all)/2:]); err != nil {
		u.t.Error(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(u.conn), nil)
	if err != nil || res.StatusCode != 201 {
		u.t.Errorf("the older request: %v, %v", res, err)
	}
	u.conn.Close()
	u.wantFiles(map[string]string{"a": u.all})
	u.wantNoRoom()
}

// wantBroken checks that the older request got no answer.
func (u *under) wantBroken() {
	u.t.Helper()
	if res, err := http.ReadResponse(bufio.NewReader(u.conn), nil); err == nil {
		u.t.Errorf("the older request got %s", res.Status)
	}
	u.conn.Close()
}

// underWay are lengths of uploads that are copied, and that the kernel moves.
var underWay = []int{10_000, 2 << 20}

func TestHTTPUpload_InvalidRequestLeavesTheRunningOneAlone(t *testing.T) {
	for _, length := range underWay {
		u := sending(t, newInbox(t, &Uploads{MaxRequest: 3 << 20, MaxSize: 3 << 20}), length)
		half := strconv.Itoa(length / 2)
		for _, s := range []struct {
			method string
			status int
			header string
		}{
			{"PATCH", 409, "Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload"},
			{"PATCH", 409, "Upload-Offset: 999999 | Upload-Complete: ?0 | Content-Type: application/partial-upload"},
			{"PATCH", 400, "Upload-Offset: " + half + " | Upload-Complete: ?0 | Content-Type: application/partial-upload | Upload-Length: 5"},
			{"PATCH", 400, "Upload-Offset: " + half + " | Upload-Complete: ?1 | Content-Type: application/partial-upload"}, // too short
			{"PATCH", 400, "Upload-Offset: " + half + " | Content-Type: application/partial-upload"},
			{"PATCH", 400, "Upload-Complete: ?0 | Content-Type: application/partial-upload"},
			{"PATCH", 415, "Upload-Offset: " + half + " | Upload-Complete: ?0"},
			{"PATCH", 415, "Upload-Offset: " + half + " | Upload-Complete: ?0 | Content-Type: application/partial-upload | Content-Encoding: gzip"},
			{"PATCH", 400, "Upload-Offset: " + half + " | Upload-Complete: ?0 | Content-Type: application/partial-upload | Content-Digest: sha-256=x"},
			{"PATCH", 400, "Upload-Offset: " + half + " | Upload-Complete: ?0 | Content-Type: application/partial-upload | Upload-Draft-Interop-Version: 2"},
			{"HEAD", 400, "Upload-Offset: " + half},
			{"HEAD", 400, "Upload-Draft-Interop-Version: 2"},
			{"DELETE", 400, "Upload-Complete: ?1"},
			{"DELETE", 400, "Upload-Draft-Interop-Version: x"},
			{"DELETE", 412, "Tus-Resumable: 0.2"},
		} {
			u.run(step{request: s.method + " at", header: s.header, body: "x"[:btoi(s.method == "PATCH")], status: s.status})
		}
		u.wantWhole()
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestHTTPUpload_TheNewerRequestEndsTheOlder(t *testing.T) {
	for _, length := range underWay {
		u := sending(t, newInbox(t, &Uploads{}), length)
		u.run(headStep(length/2, "?0", ""))
		u.wantBroken()
		u.run(appendStep(length/2, "?1", u.all[length/2:], 201, "Upload-Complete: ?1"))
		u.wantFiles(map[string]string{"a": u.all})

		u = sending(t, newInbox(t, &Uploads{}), length)
		u.run(appendStep(length/2, "?1", u.all[length/2:], 201, "Upload-Complete: ?1"))
		u.wantBroken()
		u.wantFiles(map[string]string{"a": u.all})

		u = sending(t, newInbox(t, &Uploads{}), length)
		u.run(step{request: "DELETE at", status: 204}, isGone)
		u.wantBroken()
		u.wantFiles(nil)
		u.wantNoRoom()
	}
}

func TestHTTPUpload_OfManyAppendsAtOneOffsetOneSucceeds(t *testing.T) {
	in := newInbox(t, &Uploads{})
	c := &resumer{inbox: in}
	c.run(newOfAny)
	statuses := make(chan int, 8)
	for range cap(statuses) {
		go func() { statuses <- c.patchOnce(0, "?0", strings.Repeat("A", 32)) }()
	}
	won, ended := 0, 0
	for range cap(statuses) {
		switch status := <-statuses; status {
		case 204:
			won++
		case 0:
			ended++
		case 409, 423:
		default:
			t.Errorf("status %d", status)
		}
	}
	if won > 1 || won == 0 && ended == 0 {
		t.Errorf("%d of %d succeeded, %d were ended", won, cap(statuses), ended)
	}
	if won == 1 {
		c.run(headStep(32, "?0", ""))
	}
}

// head asks for the offset until no request that came late is in the way.
func (c *resumer) head() *http.Response {
	for {
		if res, _ := c.do(step{request: "HEAD at"}); res.StatusCode != 423 {
			return res
		}
	}
}

// patchOnce sends an append and returns the status of the answer, 0 if the server has broken
// the connection.
func (c *resumer) patchOnce(offset int, complete, body string) int {
	s := appendStep(offset, complete, body, 0, "")
	req, err := http.NewRequest("PATCH", c.URL+c.at, strings.NewReader(s.body))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	for _, f := range fields(s.header) {
		req.Header.Set(f[0], f[1])
	}
	res, err := c.Client().Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// startedCreation begins a whole upload, reads the interim response, and returns the URL.
func startedCreation(t *testing.T, conn net.Conn) (url string, rest *bufio.Reader) {
	t.Helper()
	rest = bufio.NewReader(conn)
	for {
		line, err := rest.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if loc, ok := strings.CutPrefix(line, "Location: "); ok {
			url = strings.TrimSpace(loc)
		}
		if line == "\r\n" {
			return url, rest
		}
	}
}

func creation(length int, body string) string {
	return fmt.Sprintf("POST /upload?name=a HTTP/1.1\r\nHost: x\r\nUpload-Complete: ?1\r\nUpload-Draft-Interop-Version: 8\r\n"+
		"Content-Length: %d\r\n\r\n%s", length, body)
}

func TestHTTPUpload_CreationThatBreaksOffIsResumed(t *testing.T) {
	for _, length := range underWay {
		in := newInbox(t, &Uploads{})
		all := content(length)
		conn := in.dial(creation(length, all[:length/2]))
		url, rest := startedCreation(t, conn)
		conn.CloseWrite()
		if data, err := io.ReadAll(rest); len(data) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q, %v", data, err)
		}
		conn.Close()
		c := &resumer{inbox: in, version: "8", at: url}
		c.run(headStep(length/2, "?0", " | Upload-Length: "+strconv.Itoa(length)),
			appendStep(length/2, "?1", all[length/2:], 201, "Upload-Complete: ?1"))
		in.wantFiles(map[string]string{"a": all})
		in.wantNoRoom()
	}
}

func TestHTTPUpload_ClientWithoutInterimResponsesLeavesNothing(t *testing.T) {
	in := newInbox(t, &Uploads{})
	conn := in.dial("POST /upload?name=a HTTP/1.0\r\nHost: x\r\nUpload-Complete: ?1\r\nContent-Length: 10\r\n\r\n01234")
	conn.CloseWrite()
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 400 {
		t.Errorf("%v, %v", res, err)
	}
	conn.Close()
	in.wantFiles(nil)
	in.wantNoRoom()
}

// A client of Apple's resumes when its connection breaks after a 104, and gives up when it
// gets an answer.
func TestHTTPUpload_ShutdownBreaksTheConnection(t *testing.T) {
	for _, length := range underWay {
		dir, all := t.TempDir(), content(length)
		u := &Uploads{Dir: dir}
		guard := new(Guard)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		mux := http.NewServeMux()
		mux.Handle("/upload", u)
		mux.Handle("/upload/", u)
		go func() { served <- guard.Serve(&http.Server{Handler: mux}, l) }()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, creation(length, all[:length/2])); err != nil {
			t.Fatal(err)
		}
		url, rest := startedCreation(t, conn)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the time for running transfers is over
		if err := guard.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if res, err := http.ReadResponse(rest, nil); err == nil {
			t.Errorf("%d bytes: the client got %s", length, res.Status)
		}
		conn.Close()
		<-served
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		in := newInbox(t, &Uploads{Dir: dir})
		c := &resumer{inbox: in, version: "8", at: url}
		res, _ := c.do(step{request: "HEAD at"})
		offset, err := strconv.Atoi(res.Header.Get("Upload-Offset"))
		if err != nil || offset > length/2 {
			t.Errorf("%d bytes: HEAD: %v", length, res)
			continue
		}
		c.run(appendStep(offset, "?1", all[offset:], 201, "Upload-Complete: ?1"))
		in.wantFiles(map[string]string{"a": all})
	}
}

func TestHTTPUpload_IsTakenOverFromAnotherProcess(t *testing.T) {
	for _, length := range underWay {
		dir := t.TempDir()
		u := sending(t, newInbox(t, &Uploads{Dir: dir}), length)
		other := &resumer{inbox: newInbox(t, &Uploads{Dir: dir}), at: u.at}
		other.run(headStep(length/2, "?0", ""))
		u.wantBroken()
		other.run(appendStep(length/2, "?1", u.all[length/2:], 201, "Upload-Complete: ?1"))
		other.wantFiles(map[string]string{"a": u.all})
		u.run(headStep(length, "?1", ""))
		// The first process still holds space for the upload, until it looks.
		if err := u.u.opened.http.sweep(t.Context(), time.Now().Add(-time.Hour)); err != nil {
			t.Error(err)
		}
		u.wantNoRoom()
	}
}

func TestHTTPUpload_OverHTTP2(t *testing.T) {
	in := unstartedInbox(t, &Uploads{})
	in.EnableHTTP2 = true
	in.StartTLS()
	c := &resumer{inbox: in, version: "9"}
	all := content(100_000)
	body, more := io.Pipe()
	req, err := http.NewRequest("POST", in.URL+"/upload?name=a", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Upload-Complete", "?1")
	req.Header.Set("Upload-Length", strconv.Itoa(len(all)))
	ended := make(chan error, 1)
	go func() {
		res, err := in.Client().Do(req)
		if err == nil {
			res.Body.Close()
			err = fmt.Errorf("status %s", res.Status)
		}
		ended <- err
	}()
	if _, err := io.WriteString(more, all[:50_000]); err != nil {
		t.Fatal(err)
	}
	x := in.waitMoved("a", 1)
	if x.Direction != Upload {
		t.Errorf("%v", x)
	}
	d, err := in.u.open()
	if err != nil {
		t.Fatal(err)
	}
	d.users.Done()
	d.http.mu.Lock()
	for id := range d.http.owners {
		c.at = "/upload/" + id
	}
	d.http.mu.Unlock()
	res, _ := c.do(step{request: "HEAD at"})
	if err := <-ended; err == nil || strings.HasPrefix(err.Error(), "status") {
		t.Errorf("the older request: %v", err)
	}
	more.Close()
	offset, err := strconv.Atoi(res.Header.Get("Upload-Offset"))
	if err != nil || res.ProtoMajor != 2 || offset == 0 {
		t.Fatalf("%v", res)
	}
	c.run(appendStep(offset, "?1", all[offset:], 201, ""))
	in.wantFiles(map[string]string{"a": all})
}

// tusSending is sending by tus.
func tusSending(t *testing.T, in *inbox, length int, more string) *under {
	t.Helper()
	u := &under{resumer: &resumer{inbox: in}, all: content(length)}
	u.at = in.create(length, "a")
	if more != "" {
		more = "\r\n" + more
	}
	u.conn = in.dial(patchHead(u.at, 0, "Content-Length: "+strconv.Itoa(length)+more) + u.all[:length/2])
	in.waitMoved("a", int64(length/2))
	return u
}

func (u *under) wantTusWhole() {
	u.t.Helper()
	if _, err := io.WriteString(u.conn, u.all[len(u.all)/2:]); err != nil {
		u.t.Error(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(u.conn), nil); err != nil || res.StatusCode != 204 {
		u.t.Errorf("the older request: %v, %v", res, err)
	}
	u.conn.Close()
	u.wantFiles(map[string]string{"a": u.all})
}

func TestTus_HEADAndInvalidRequestsLeaveAMovingTransferAlone(t *testing.T) {
	for _, length := range underWay {
		in := unstartedInbox(t, &Uploads{})
		d, err := in.u.open()
		if err != nil {
			t.Fatal(err)
		}
		d.http.moving = time.Hour // the test can be slow
		d.users.Done()
		in.Start()
		u := tusSending(t, in, length, "")
		u.wantOffset(u.at, length/2)
		u.patch(409, u.at, 0, strings.NewReader("x"))
		u.patch(409, u.at, length, strings.NewReader("x"))
		u.patch(400, u.at, length/2, strings.NewReader("x"), "Content-Digest", "sha-256=x")
		u.wantStatus(412, "PATCH", u.at, strings.NewReader("x"), "Tus-Resumable", "0.2", "Upload-Offset", strconv.Itoa(length/2))
		u.wantStatus(400, "PATCH", u.at, strings.NewReader("x"), "Tus-Resumable", "1.0.0", "Upload-Offset", "x")
		u.wantTusWhole()
	}
}

func TestTus_NewerRequestEndsTheOlder(t *testing.T) {
	for _, length := range underWay {
		for _, method := range []string{"PATCH", "DELETE"} {
			u := tusSending(t, newInbox(t, &Uploads{}), length, "")
			want := map[string]string{"a": u.all}
			if method == "PATCH" {
				u.patch(204, u.at, length/2, strings.NewReader(u.all[length/2:]))
			} else {
				u.wantStatus(204, "DELETE", u.at, nil, "Tus-Resumable", "1.0.0")
				want = nil
			}
			if res, err := http.ReadResponse(bufio.NewReader(u.conn), nil); err != nil || res.StatusCode != 423 {
				t.Errorf("%s: the older request: %v, %v", method, res, err)
			}
			u.conn.Close()
			u.wantFiles(want)
			u.wantNoRoom()
		}
	}
}

func TestTus_HEADDoesNotCountBytesThatCanStillBeRefused(t *testing.T) {
	in := newInbox(t, &Uploads{})
	all := content(10_000)
	sum := sha1.Sum([]byte(all))
	u := tusSending(t, in, len(all), "Upload-Checksum: sha1 "+base64.StdEncoding.EncodeToString(sum[:]))
	u.wantOffset(u.at, 0)
	u.patch(409, u.at, 5000, strings.NewReader("x"))
	u.wantTusWhole()
}

func TestUploads_BodyNeedsALengthOverHTTP1(t *testing.T) {
	in := newInbox(t, &Uploads{})
	for _, c := range []struct {
		head   string
		status int
	}{
		{"PUT /upload/a HTTP/1.1\r\nHost: x\r\n\r\n", 411},
		{"PUT /upload/a HTTP/1.0\r\n\r\n", 411},
		{"POST /upload HTTP/1.1\r\nHost: x\r\n\r\n", 411},
		{"PUT /upload/a HTTP/1.1\r\nHost: x\r\nUpload-Complete: ?1\r\n\r\n", 411},
		{"PUT /upload/a HTTP/1.1\r\nHost: x\r\nUpload-Complete: ?0\r\n\r\n", 201}, // begins a resumable upload
		{"PUT /upload/empty HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 201},
		{"PUT /upload/chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 201},
	} {
		conn := in.dial(c.head)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != c.status {
			t.Errorf("%q: %v, %v", c.head, res, err)
		}
		conn.Close()
	}
	in.wantStatus(201, "PUT", "/upload/unsized", unsized("abc"))

	h2 := unstartedInbox(t, &Uploads{})
	h2.EnableHTTP2 = true
	h2.StartTLS()
	if res := h2.wantStatus(201, "PUT", "/upload/unsized", unsized("abc")); res.ProtoMajor != 2 {
		t.Errorf("%v", res)
	}
	h2.wantFiles(map[string]string{"unsized": "abc"})
}

func TestUploads_AreResumedWhereTheHandlerIsMounted(t *testing.T) {
	u := &Uploads{Dir: t.TempDir(), Overwrite: true}
	defer u.Close()
	mux := func(pattern string, h http.Handler) http.Handler {
		m := http.NewServeMux()
		m.Handle(pattern, h)
		return m
	}
	for _, c := range []struct {
		h                  http.Handler
		method, path, want string
	}{
		{u, "PUT", "/a", "/"},
		{u, "POST", "/any?name=a", "/any/"},
		{mux("/", u), "PUT", "/sub/folder/a", "/"},
		{mux("/up/", u), "PUT", "/up/a", "/up/"},
		{mux("/up/", u), "PUT", "/up/sub/a", "/up/"},
		{mux("/up/", u), "POST", "/up/sub?name=a", "/up/"},
		{mux("/up", u), "POST", "/up?name=a", "/up/"},
		{mux("PUT example.com/up/{name}", u), "PUT", "/up/a", "/up/"},
		{mux("/up/{rest...}", u), "PUT", "/up/sub/a", "/up/"},
		{mux("/of/{user}/up/", u), "PUT", "/of/a%20b/up/sub/a", "/of/a%20b/up/"},
		{http.StripPrefix("/api", u), "PUT", "/api/sub/a", "/api/"},
		{mux("/api/up/", http.StripPrefix("/api/up", u)), "PUT", "/api/up/sub/a", "/api/up/"},
		{mux("/api/", http.StripPrefix("/api", mux("/up/", u))), "PUT", "/api/up/sub/a", "/api/up/"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader("x"))
		r.Header.Set("Upload-Complete", "?0")
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); !isUploadID(lastElement(got)) || got != c.want+lastElement(got) {
			t.Errorf("%s %s: %d, Location %s, want it in %s", c.method, c.path, w.Code, got, c.want)
		}
	}
}

// Each upload goes through two processes on one folder. Some requests are abandoned: they
// keep their connection, and their client asks for the offset somewhere else. If such a
// request reaches the server late, it ends a newer one, whose client then asks again.
func TestHTTPUpload_IsExactOverTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	both := []*inbox{newInbox(t, &Uploads{Dir: dir}), newInbox(t, &Uploads{Dir: dir})}
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		name, all := fmt.Sprintf("file-%d", i), content(1_000_000+i)
		want[name] = all
		wg.Go(func() {
			c := &resumer{inbox: both[i%2]}
			c.run(step{request: "POST /upload?name=" + name, header: "Upload-Complete: ?0", status: 201})
			sent := 0 // the end of the last byte that any request has sent: an abandoned one can still arrive
			for offset, pieces := 0, 0; ; pieces++ {
				n, complete := random.IntN(500_000), "?0"
				if offset+n >= len(all) {
					n, complete = len(all)-offset, "?1"
				}
				c.inbox = both[random.IntN(2)]
				if pieces%3 == 1 {
					conn := c.dial(fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nUpload-Offset: %d\r\nUpload-Complete: ?1\r\n"+
						"Content-Type: application/partial-upload\r\nContent-Length: %d\r\n\r\n%s", c.at, offset, len(all)-offset, all[offset:offset+n/2]))
					defer conn.Close()
					sent = max(sent, offset+n/2)
				} else {
					sent = max(sent, offset+n)
					switch status := c.patchOnce(offset, complete, all[offset:offset+n]); status {
					case 0, 201, 204, 409, 423:
					default:
						t.Errorf("%s: status %d", name, status)
						return
					}
				}
				c.inbox = both[random.IntN(2)]
				res := c.head()
				now, err := strconv.Atoi(res.Header.Get("Upload-Offset"))
				if err != nil || now < offset || now > sent {
					t.Errorf("%s: the offset is %d after %d to %d, of %d sent: %v", name, now, offset, offset+n, sent, res.Status)
					return
				}
				if res.Header.Get("Upload-Complete") == "?1" {
					return
				}
				offset = now
			}
		})
	}
	wg.Wait()
	both[0].wantFiles(want)
}
