package weirhttp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// step is one request of a client of resumable uploads over HTTP, and what it wants to get.
// Header fields are written as in "Upload-Offset: 5 | Upload-Complete: ?0".
type step struct {
	request string // method, and "at" for the URL of the upload or a path
	header  string
	body    string
	chunked bool   // the length of the body is not announced
	status  int    // 0: any that is not 2xx
	want    string // fields of the answer; "Name:" must be there, "!Name" must not
	problem string // the problem type
}

func fields(s string) [][2]string {
	var list [][2]string
	for f := range strings.SplitSeq(s, " | ") {
		if name, value, _ := strings.Cut(f, ":"); name != "" {
			list = append(list, [2]string{name, strings.TrimSpace(value)})
		}
	}
	return list
}

// resumer is a client of resumable uploads over HTTP.
type resumer struct {
	*inbox
	version string
	at      string                 // the URL of the last upload that was created
	interim []textproto.MIMEHeader // of the 104 responses to the last request
}

func (c *resumer) do(s step) (*http.Response, string) {
	c.t.Helper()
	method, path, _ := strings.Cut(s.request, " ")
	switch path {
	case "":
		path = "/upload"
	case "at":
		path = c.at
	}
	var body io.Reader = strings.NewReader(s.body)
	if s.chunked {
		body = unsized(s.body)
	}
	req, err := http.NewRequest(method, c.URL+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.version != "" {
		req.Header.Set("Upload-Draft-Interop-Version", c.version)
	}
	for _, f := range fields(s.header) {
		req.Header.Set(f[0], f[1])
	}
	c.interim = nil
	req = req.WithContext(httptrace.WithClientTrace(c.t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 104 {
				c.interim = append(c.interim, h)
			}
			return nil
		},
	}))
	res, err := c.Client().Do(req)
	if err != nil {
		c.t.Fatalf("%s: %v", s.request, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res, string(text)
}

// run sends the requests of a client one after the other.
func (c *resumer) run(steps ...step) {
	c.t.Helper()
	for i, s := range steps {
		res, text := c.do(s)
		where := fmt.Sprintf("version %q, step %d, %s (%s)", c.version, i+1, s.request, s.header)
		if s.status != 0 && res.StatusCode != s.status || s.status == 0 && res.StatusCode < 300 {
			c.t.Errorf("%s: status %d, want %d: %s", where, res.StatusCode, s.status, text)
		}
		for _, f := range fields(s.want) {
			name, absent := strings.CutPrefix(f[0], "!")
			got := res.Header.Get(name)
			switch {
			case absent && got != "":
				c.t.Errorf("%s: %s is %q", where, name, got)
			case !absent && (got == "" || f[1] != "" && got != f[1]):
				c.t.Errorf("%s: %s is %q, want %q", where, name, got, f[1])
			}
		}
		if s.problem != "" {
			var p map[string]any
			err := json.Unmarshal([]byte(text), &p)
			if want := "https://iana.org/assignments/http-problem-types#" + s.problem; err != nil || p["type"] != want ||
				res.Header.Get("Content-Type") != "application/problem+json" {
				c.t.Errorf("%s: %s, %v", where, text, err)
			}
		}
		if loc := res.Header.Get("Location"); res.StatusCode == 201 && isUploadID(lastElement(loc)) {
			c.at = loc
		}
	}
}

// The requests that most cases need.
var (
	newOf100 = step{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 100", status: 201, want: "Location: | Upload-Complete: ?0 | Upload-Offset: 0 | Upload-Limit:"}
	newOfAny = step{request: "POST", header: "Upload-Complete: ?0", status: 201, want: "Location:"}
	first32  = appendStep(0, "?0", strings.Repeat("A", 32), 204, "Upload-Complete: ?0 | Upload-Offset: 32")
	isGone   = step{request: "HEAD at", status: 404}
)

func appendStep(offset int, complete, body string, status int, want string) step {
	return step{
		request: "PATCH at", body: body, status: status, want: want,
		header: fmt.Sprintf("Upload-Offset: %d | Upload-Complete: %s | Content-Type: application/partial-upload", offset, complete),
	}
}

func headStep(offset int, complete, more string) step {
	return step{request: "HEAD at", status: 204, want: fmt.Sprintf("Upload-Offset: %d | Upload-Complete: %s | Upload-Limit: | Cache-Control: no-store%s", offset, complete, more)}
}

func sha256Field(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// conformance are the cases of the conformance script for draft 12 of tus-java-server, in
// our own words. The names are ours too.
var conformance = []struct {
	name  string
	steps []step
}{
	{"an offset that is not an integer is ignored", []step{newOf100,
		{request: "PATCH at", header: "Upload-Offset: abc | Upload-Complete: ?0 | Content-Type: application/partial-upload", body: "A", status: 400}, headStep(0, "?0", "")}},
	{"an offset never decreases", []step{newOf100, first32, headStep(32, "?0", ""),
		appendStep(5, "?0", "BBB", 409, "Upload-Offset: 32 | Upload-Complete: ?0"), headStep(32, "?0", "")}},
	{"a malformed Upload-Complete is ignored", []step{{request: "POST", header: "Upload-Complete: true | Upload-Length: 10", body: "Hello", status: 201, want: "!Upload-Complete"}}},
	{"an unknown length becomes known at the end", []step{newOfAny, {request: "HEAD at", status: 204, want: "!Upload-Length"},
		appendStep(0, "?1", strings.Repeat("A", 32), 201, "Upload-Complete: ?1"), headStep(32, "?1", " | Upload-Length: 32")}},
	{"a whole file in one request", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 5 | Content-Type: text/plain", body: "Hello", status: 201, want: "Upload-Complete: ?1"}}},
	{"the first part of a file", []step{{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 100", body: strings.Repeat("X", 32), status: 201,
		want: "Location: | Upload-Complete: ?0 | Upload-Offset: 32 | Upload-Limit:"}}},
	{"a creation without content", []step{newOf100}},
	{"an empty file", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 0", status: 201, want: "Upload-Complete: ?1"}}},
	{"a name in Content-Disposition", []step{{request: "POST", header: `Upload-Complete: ?0 | Upload-Length: 100 | Content-Disposition: inline; filename="test.txt"`, body: "X", status: 201}}},
	{"a creation whose lengths differ", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 100", body: "12345", status: 400, want: "Upload-Complete: ?0", problem: "inconsistent-upload-length"}}},
	{"an append whose length differs from before", []step{newOf100, {request: "PATCH at", header: "Upload-Offset: 0 | Upload-Complete: ?0 | Upload-Length: 50 | Content-Type: application/partial-upload",
		body: "AA", status: 400, want: "Upload-Complete: ?0", problem: "inconsistent-upload-length"}, headStep(0, "?0", " | Upload-Length: 100")}},
	{"a length is kept across appends", []step{newOf100, first32, headStep(32, "?0", " | Upload-Length: 100")}},
	{"HEAD tells everything", []step{newOf100, headStep(0, "?0", " | Upload-Length: 100")}},
	{"GET tells the same", []step{newOf100, {request: "GET at", status: 204, want: "Upload-Offset: 0 | Upload-Complete: ?0 | Upload-Limit: | Upload-Length: 100 | Cache-Control: no-store"}}},
	{"HEAD with an offset", []step{newOf100, {request: "HEAD at", header: "Upload-Offset: 10", status: 400}}},
	{"HEAD with Upload-Complete", []step{newOf100, {request: "HEAD at", header: "Upload-Complete: ?0", status: 400}}},
	{"an append", []step{newOf100, first32}},
	{"an append without an offset", []step{newOf100, {request: "PATCH at", header: "Upload-Complete: ?0 | Content-Type: application/partial-upload", body: "A", status: 400}}},
	{"an append without Upload-Complete", []step{newOf100, {request: "PATCH at", header: "Upload-Offset: 0 | Content-Type: application/partial-upload", body: "A", status: 400, want: "Upload-Complete: ?0"}, headStep(0, "?0", "")}},
	{"an append of another type", []step{newOf100, {request: "PATCH at", header: "Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: text/plain", body: "A", status: 415}}},
	{"an empty append", []step{newOf100, appendStep(0, "?0", "", 204, "Upload-Complete: ?0")}},
	{"an append beyond the length ends the upload", []step{
		{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 50", status: 201},
		appendStep(0, "?0", strings.Repeat("B", 100), 400, "Upload-Complete: ?0"), isGone}},
	{"so does one byte too many", []step{
		{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 50", status: 201},
		appendStep(0, "?0", strings.Repeat("B", 50), 204, "Upload-Offset: 50"), headStep(50, "?0", ""),
		appendStep(50, "?0", "B", 400, ""), isGone}},
	{"a wrong offset", []step{newOf100, {request: "PATCH at", header: "Upload-Offset: 99 | Upload-Complete: ?0 | Content-Type: application/partial-upload", body: "A", status: 409,
		want: "Upload-Offset: 0 | Upload-Complete: ?0", problem: "mismatching-upload-offset"}}},
	{"a wrong offset after some bytes", []step{newOf100, first32, appendStep(0, "?0", "B", 409, "Upload-Offset: 32 | Upload-Complete: ?0")}},
	{"the last append says the length", []step{newOfAny, appendStep(0, "?1", strings.Repeat("A", 50), 201, "Upload-Complete: ?1"), headStep(50, "?1", " | Upload-Length: 50")}},
	{"a removal", []step{newOf100, {request: "DELETE at", status: 204}}},
	{"a removal of a complete upload", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 5", body: "Hello", status: 201}, {request: "DELETE at", status: 404}}},
	{"OPTIONS announces the limits", []step{{request: "OPTIONS", status: 200, want: "Upload-Limit: max-size=1000, max-age=86400"}}},
	{"a file that is too large", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 1001", body: "x", status: 413, want: "Upload-Limit:"}, {request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 1001", body: "x", status: 413, want: "Upload-Limit:"}}},
	{"a last append of one byte", []step{{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 1", status: 201}, appendStep(0, "?1", "X", 201, "Upload-Complete: ?1")}},
	{"HEAD after a removal", []step{newOf100, {request: "DELETE at", status: 204}, isGone}},
	{"an append after a removal", []step{newOf100, {request: "DELETE at", status: 204}, appendStep(0, "?0", "A", 404, "")}},
	{"a removal of nothing", []step{{request: "DELETE /upload/definitely-nonexistent-id", status: 404}}},
	{"HEAD of a complete upload", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 5", body: "Hello", status: 201}, headStep(5, "?1", " | Upload-Length: 5")}},
	{"an append to a complete upload", []step{newOfAny, appendStep(0, "?1", "0123456789", 201, ""),
		{request: "PATCH at", header: "Upload-Offset: 10 | Upload-Complete: ?1 | Content-Type: application/partial-upload", body: "x", status: 400, problem: "completed-upload"},
		appendStep(10, "?1", "", 400, "Upload-Complete: ?0"), headStep(10, "?1", "")}},
	{"the offset that HEAD returns is accepted", []step{newOf100, headStep(0, "?0", ""), first32}},
	{"the offset of a 409 is accepted", []step{newOf100, appendStep(99, "?0", "A", 409, "Upload-Offset: 0"), first32}},
	{"a whole upload in parts", []step{newOf100, first32, headStep(32, "?0", ""), appendStep(32, "?1", strings.Repeat("B", 68), 201, "Upload-Complete: ?1")}},
	{"a careful creation", []step{newOf100, first32}},
	{"an ordinary request with Upload-Complete", []step{{request: "POST", header: "Upload-Complete: ?1", body: "Full Body Upload", status: 201, want: "Upload-Complete: ?1"}}},
	{"OPTIONS with Upload-Complete", []step{{request: "OPTIONS", header: "Upload-Complete: ?1", status: 200}}},
	{"a content that matches its digest", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 4 | Content-Digest: " + sha256Field("data"), body: "data", status: 201}}},
	{"a content that does not match its digest", []step{{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 4 | Content-Digest: " + sha256Field("date"), body: "data", status: 400}}},
}

// The cases with limits are in TestHTTPUpload_RequestsHaveALimit, those with two requests at
// a time in TestHTTPUpload_TheNewerRequestEndsTheOlder.
func TestHTTPUpload_DoesAsDraft12Says(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "9", "8", "7"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			in := newInbox(t, &Uploads{MaxSize: 1000})
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) {
					own := *in
					own.t = t
					(&resumer{inbox: &own, version: version}).run(c.steps...)
				})
			}
		})
	}
}

// Each version is spoken as its own text says, where that differs from draft 12.
func TestHTTPUpload_SpeaksEachVersion(t *testing.T) {
	t.Parallel()
	for version, steps := range map[string][]step{
		"3": {
			{request: "POST", header: "Upload-Incomplete: ?1", body: "01234", status: 201, want: "Location: | Upload-Incomplete: ?1 | Upload-Offset: 5 | !Upload-Complete | !Upload-Limit"},
			{request: "HEAD at", status: 204, want: "Upload-Incomplete: ?1 | Upload-Offset: 5 | !Upload-Complete"},
			{request: "HEAD at", header: "Upload-Incomplete: ?1", status: 400},
			{request: "PATCH at", header: "Upload-Offset: 4 | Upload-Incomplete: ?1", body: "5", status: 409, want: "Upload-Offset: 5 | Upload-Incomplete: ?1 | Content-Type: text/plain; charset=utf-8"},
			{request: "PATCH at", header: "Upload-Offset: 5 | Upload-Incomplete: ?1", body: "56", status: 201, want: "Upload-Offset: 7 | Upload-Incomplete: ?1"},
			{request: "PATCH at", header: "Upload-Offset: 7", body: "789", status: 201, want: "Upload-Offset: 10 | Upload-Incomplete: ?0"}, // no field: complete
			{request: "HEAD at", status: 204, want: "Upload-Incomplete: ?0 | Upload-Offset: 10"},
		},
		"4": {
			{request: "POST", header: "Upload-Complete: ?0", body: "01234", status: 201, want: "Location: | Upload-Complete: ?0 | Upload-Offset: 5 | !Upload-Limit"},
			{request: "PATCH at", header: "Upload-Offset: 5", body: "56", status: 201, want: "Upload-Offset: 7 | Upload-Complete: ?0"}, // no field: incomplete, as in its example
			{request: "PATCH at", header: "Upload-Offset: 7 | Upload-Complete: ?1", body: "789", status: 201, want: "Upload-Offset: 10 | Upload-Complete: ?1"},
		},
		"5": {
			{request: "POST", header: "Upload-Complete: ?0", status: 201, want: "Location: | Upload-Complete: ?0 | Upload-Offset: 0"},
			{request: "PATCH at", header: "Upload-Offset: 0 | Upload-Complete: ?0", body: "0123456", status: 201, want: "Upload-Offset: 7 | Upload-Complete: ?0"},
			{request: "PATCH at", header: "Upload-Offset: 7 | Upload-Complete: ?1", body: "789", status: 201, want: "Upload-Offset: 10 | Upload-Complete: ?1"},
		},
		"6": {
			{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 10", body: "01234", status: 201, want: "Location: | Upload-Complete: ?0 | Upload-Offset: 5 | Upload-Limit: max-size=1000, expires=86400"},
			{request: "PATCH at", header: "Upload-Offset: 5 | Upload-Complete: ?0", body: "56", status: 415},
			appendStep(4, "?0", "5", 409, "Upload-Offset: 5 | Upload-Complete: ?0"),
			{request: "PATCH at", header: "Upload-Offset: 5 | Content-Type: application/partial-upload", body: "56", status: 400, want: "Upload-Complete: ?0"},
			appendStep(5, "?0", "567890", 400, "Upload-Offset: 5 | Upload-Complete: ?0"), // too long: refused, and the upload stays
			appendStep(5, "?1", "56", 400, "Upload-Offset: 5 | Upload-Complete: ?0"),     // too short
			appendStep(5, "?0", "56", 201, "Upload-Offset: 7 | Upload-Complete: ?0"),
			appendStep(7, "?1", "789", 201, "Upload-Offset: 10 | Upload-Complete: ?1"),
			{request: "PATCH at", header: "Upload-Offset: 10 | Upload-Complete: ?1 | Content-Type: application/partial-upload", body: "x", status: 400, problem: "completed-upload"},
			headStep(10, "?1", " | Upload-Length: 10"),
		},
		"7": {newOf100, {request: "HEAD at", status: 204, want: "Upload-Limit: max-size=1000, max-age=86400"}},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			in := &resumer{inbox: newInbox(t, &Uploads{MaxSize: 1000}), version: version}
			in.run(steps...)
			if version < "7" {
				matches, _ := filepath.Glob(filepath.Join(in.u.Dir, "upload-*"))
				if len(matches) != 1 {
					t.Fatalf("%d files", len(matches))
				}
				if text, err := os.ReadFile(matches[0]); err != nil || string(text) != "0123456789" {
					t.Errorf("%q, %v", text, err)
				}
			}
		})
	}
}

func TestHTTPUpload_UnknownVersionIsToldWhichOnesThereAre(t *testing.T) {
	in := newInbox(t, &Uploads{})
	c := &resumer{inbox: in}
	c.run(newOf100)
	for _, version := range []string{"2", "10", "x", "-1", ""} {
		header := []string{"Upload-Draft-Interop-Version", version}
		for _, request := range []string{"HEAD", "PATCH", "DELETE"} {
			in.wantStatus(400, request, c.at, nil, append(header, "Upload-Offset", "0", "Content-Type", partialUpload)...)
		}
		for _, method := range []string{"POST", "PUT"} {
			in.wantStatus(400, method, "/upload/a", strings.NewReader("x"), append(header, "Upload-Complete", "?0")...)
			in.wantStatus(400, method, "/upload/a", strings.NewReader("x"), append(header, "Upload-Incomplete", "?1")...)
		}
	}
	if _, text := in.do("HEAD", c.at, nil); text != "" {
		t.Errorf("%q", text)
	}
	if _, text := in.do("DELETE", c.at, nil, "Upload-Draft-Interop-Version", "10"); !strings.Contains(text, "use 3 to 9, or none") {
		t.Errorf("%q", text)
	}
	c.run(headStep(0, "?0", ""))
	// A whole file is an ordinary upload, as the draft intends.
	in.wantStatus(201, "POST", "/upload?name=new.txt", strings.NewReader("x"), "Upload-Draft-Interop-Version", "99", "Upload-Complete", "?1")
	if got, _ := os.ReadFile(filepath.Join(in.u.Dir, "new.txt")); string(got) != "x" {
		t.Errorf("%q", got)
	}
}

func TestHTTPUpload_NamesItsFile(t *testing.T) {
	in := newInbox(t, &Uploads{URL: "/files"})
	for _, version := range []string{"", "9", "3"} {
		c := &resumer{inbox: in, version: version}
		complete, partial := "Upload-Complete: ?1", "Upload-Complete: ?0"
		if version == "3" {
			complete, partial = "Upload-Incomplete: ?0", "Upload-Incomplete: ?1"
		}
		v := version + ".txt"
		c.run(step{request: "PUT /upload/put" + v, header: partial, body: "0", status: 201},
			appendStep(1, "?1", "1", 201, "Location: /files/put"+v),
			step{request: "POST /upload?name=query" + v, header: partial, body: "0", status: 201},
			appendStep(1, "?1", "1", 201, "Location: /files/query"+v),
			step{request: "POST /upload?name=x", header: partial + ` | Content-Disposition: attachment; filename="../said` + v + `"`, body: "0", status: 201},
			appendStep(1, "?1", "1", 201, "Location: /files/said"+v))
		res, text := c.do(step{request: "POST /upload?name=whole" + v, header: complete, body: "01"})
		// Until version 6 the answer to a creation has the URL of the upload.
		if loc := res.Header.Get("Location"); (loc == "/files/whole"+v) != (version != "3") {
			t.Errorf("version %q: Location %s", version, loc)
		}
		var got Received
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Name != "whole"+v || got.Size != 2 {
			t.Errorf("version %q: %s, %v", version, text, err)
		}
		for _, name := range []string{"put", "query", "said", "whole"} {
			if text, err := os.ReadFile(filepath.Join(in.u.Dir, name+v)); err != nil || string(text) != "01" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
	}
	in.wantNoRoom()
}

func TestHTTPUpload_TellsItsURLBeforeTheBodyArrives(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 1000})
	for _, d := range drafts {
		c := &resumer{inbox: in, version: d.version}
		header := "Upload-Complete: ?0"
		if d.inverse {
			header = "Upload-Incomplete: ?1"
		}
		res, _ := c.do(step{request: "POST", header: header, body: "x"})
		if len(c.interim) != 1 {
			t.Fatalf("version %q: %d interim responses", d.version, len(c.interim))
		}
		h := c.interim[0]
		if h.Get("Location") != res.Header.Get("Location") || h.Get("Upload-Draft-Interop-Version") != d.version || (h.Get("Upload-Limit") != "") != d.limits {
			t.Errorf("version %q: %v and then %v", d.version, h, res.Header)
		}
		c.do(step{request: "POST", header: header})
		if len(c.interim) > 0 {
			t.Errorf("version %q: an interim response to a request without content", d.version)
		}
	}
}

func TestHTTPUpload_LengthOfTheFileIsTheAnnouncedOne(t *testing.T) {
	for _, version := range []string{"", "8", "6"} {
		in := newInbox(t, &Uploads{})
		c := &resumer{inbox: in, version: version}
		ten := step{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 10", body: "01234", status: 201}
		inconsistent := func(offset int, complete, body string) step {
			s := appendStep(offset, complete, body, 400, "Upload-Complete: ?0")
			s.problem = "inconsistent-upload-length"
			return s
		}
		c.run(ten, inconsistent(5, "?1", "567"), inconsistent(5, "?1", ""), inconsistent(5, "?1", "567890"), headStep(5, "?0", ""))
		// The length of these bodies is only known at their end.
		short := inconsistent(5, "?1", "567")
		short.chunked = true
		c.run(short, headStep(8, "?0", ""), appendStep(8, "?1", "89", 201, "Upload-Complete: ?1"))
		long := inconsistent(5, "?1", "567890")
		long.chunked = true
		c.run(ten, long)
		whole := step{request: "POST", header: "Upload-Complete: ?1 | Upload-Length: 10", body: "0123456", chunked: true, status: 400, problem: "inconsistent-upload-length"}
		c.run(whole)
		whole.body = "01234567890"
		c.run(whole)
		whole.body, whole.status, whole.problem = "0123456789", 201, ""
		c.run(whole)
		files, err := filepath.Glob(filepath.Join(in.u.Dir, "upload-*"))
		if err != nil || len(files) != 2 {
			t.Errorf("version %s: %d files, %v", version, len(files), err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err != nil || string(text) != "0123456789" {
				t.Errorf("version %s: %q, %v", version, text, err)
			}
		}
	}
}

func TestHTTPUpload_RequestsHaveALimit(t *testing.T) {
	in := newInbox(t, &Uploads{MaxRequest: 10, Expire: -1})
	c := &resumer{inbox: in}
	limit := "Upload-Limit: max-append-size=10"
	tooMuch := appendStep(0, "?0", strings.Repeat("A", 11), 413, limit+" | Upload-Complete: ?0")
	c.run(step{request: "OPTIONS", status: 200, want: limit},
		step{request: "POST", header: "Upload-Complete: ?0 | Upload-Length: 20", status: 201, want: limit},
		tooMuch, headStep(0, "?0", ""))
	tooMuch.chunked = true
	c.run(tooMuch, headStep(10, "?0", ""), // the bytes up to the limit are kept
		appendStep(10, "?1", strings.Repeat("A", 10), 201, ""))
	c.run(step{request: "POST", header: "Upload-Complete: ?1", body: strings.Repeat("A", 11), status: 413, want: limit})
	in.wantNoRoom()

	in = newInbox(t, &Uploads{MaxRequest: 10})
	loc := in.create(20, "tus")
	in.patch(413, loc, 0, strings.NewReader(strings.Repeat("A", 11)))
	in.patch(413, loc, 0, unsized(strings.Repeat("A", 11)))
	in.patch(204, loc, 0, strings.NewReader(strings.Repeat("A", 10)))
	in.patch(204, loc, 10, strings.NewReader(strings.Repeat("A", 10)))

	in = newInbox(t, &Uploads{Expire: -1})
	c = &resumer{inbox: in}
	c.run(step{request: "OPTIONS", status: 200, want: "Upload-Limit: min-size=0"},
		step{request: "POST", header: "Upload-Complete: ?0", status: 201, want: "Upload-Limit: min-size=0"})

	in = newInbox(t, &Uploads{MaxSize: 10})
	c = &resumer{inbox: in}
	c.run(newOfAny, appendStep(0, "?0", strings.Repeat("A", 11), 413, "Upload-Limit: max-size=10, max-age=86400"),
		step{request: "POST", header: "Upload-Complete: ?1", body: strings.Repeat("A", 11), chunked: true, status: 413, want: "Upload-Limit:"})
}

func TestHTTPUpload_ChecksDigestsOfTheFileAndOfItsParts(t *testing.T) {
	in := newInbox(t, &Uploads{})
	c := &resumer{inbox: in}
	part := func(body, said string, status int) step {
		s := appendStep(5, "?1", body, status, "")
		s.header += " | Content-Digest: " + sha256Field(said)
		return s
	}
	right := step{request: "POST /upload?name=a", header: "Upload-Complete: ?0 | Repr-Digest: " + sha256Field("0123456789"), body: "01234", status: 201}
	c.run(right, part("56789", "5678x", 400), headStep(5, "?0", ""), part("56789", "56789", 201))
	wrong := right
	wrong.header = "Upload-Complete: ?0 | Repr-Digest: " + sha256Field("012345678x")
	c.run(wrong, appendStep(5, "?1", "56789", 400, ""), isGone) // no append can repair it
	c.run(step{request: "POST", header: "Upload-Complete: ?1 | Repr-Digest: " + sha256Field("x"), body: "y", status: 400},
		step{request: "POST", header: "Upload-Complete: ?0 | Repr-Digest: sha-256=x", body: "y", status: 400},
		step{request: "POST", header: "Upload-Complete: ?0 | Content-Encoding: gzip", body: "y", status: 415})
	in.wantFiles(map[string]string{"a": "0123456789"})
	in.wantNoRoom()
}

func TestHTTPUpload_FormIsOneRequest(t *testing.T) {
	in := newInbox(t, &Uploads{})
	form, err := io.ReadAll(formOf("a", "text"))
	if err != nil {
		t.Fatal(err)
	}
	in.wantStatus(201, "POST", "/upload", strings.NewReader(string(form)), "Content-Type", formType, "Upload-Complete", "?1")
	in.wantStatus(415, "POST", "/upload", strings.NewReader(string(form)), "Content-Type", formType, "Upload-Complete", "?0")
	in.wantFiles(map[string]string{"a": "text"})
}

func TestHTTPUpload_PreconditionsHoldWhenTheFileGetsItsName(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	c := &resumer{inbox: in}
	begin := step{request: "POST /upload?name=a", header: "Upload-Complete: ?0 | If-None-Match: *", body: "01234", status: 201}
	c.run(begin)
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("first"))
	refused := appendStep(5, "?1", "56789", 412, "Upload-Complete: ?0")
	c.run(refused, headStep(10, "?0", "")) // nothing is lost
	refused = appendStep(10, "?1", "", 412, "")
	c.run(refused)
	if err := os.Remove(filepath.Join(in.u.Dir, "a")); err != nil {
		t.Fatal(err)
	}
	c.run(appendStep(10, "?1", "", 201, "Upload-Complete: ?1"), headStep(10, "?1", ""))
	begin.status = 412
	c.run(begin)
	in.wantFiles(map[string]string{"a": "0123456789"})
	in.wantNoRoom()
}

func TestHTTPUpload_LargeFileArrivesWhole(t *testing.T) {
	in := newInbox(t, &Uploads{})
	all := content(3 << 20)
	c := &resumer{inbox: in}
	c.run(step{request: "POST /upload?name=a", header: "Upload-Complete: ?0 | Upload-Length: " + strconv.Itoa(len(all)), body: all[:2<<20], status: 201},
		appendStep(2<<20, "?0", all[2<<20:2<<20+5], 204, ""),
		appendStep(2<<20+5, "?1", all[2<<20+5:], 201, "Upload-Complete: ?1"))
	in.wantFiles(map[string]string{"a": all})
	in.wantNoRoom()
}
