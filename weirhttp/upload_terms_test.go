package weirhttp

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// served returns the entity tag and date that a FileServer answers with.
func (in *inbox) served(name string) (tag, date string) {
	in.t.Helper()
	root, err := os.OpenRoot(in.u.Dir)
	if err != nil {
		in.t.Fatal(err)
	}
	defer root.Close()
	rec := httptest.NewRecorder()
	(&FileServer{Root: root}).ServeHTTP(rec, httptest.NewRequest("GET", "/"+name, nil))
	return rec.Header().Get("ETag"), rec.Header().Get("Last-Modified")
}

func TestUploads_OverwritingIsGuardedByPreconditions(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true, Quota: 1000})
	in.wantStatus(412, "PUT", "/upload/a", strings.NewReader("x"), "If-Match", "*")
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("first"), "If-Match", "")
	first, _ := in.served("a")
	in.wantStatus(200, "PUT", "/upload/a", strings.NewReader("second"), "If-Match", `"no", `+first)
	tag, date := in.served("a")
	modified, _ := http.ParseTime(date)
	before := httpTime(modified.Add(-time.Second))
	for _, header := range [][]string{
		{"If-Match", first},
		{"If-Match", "W/" + tag},
		{"If-Match", "nonsense"},
		{"If-None-Match", tag},
		{"If-None-Match", first + ", W/" + tag},
		{"If-None-Match", "*"},
		{"If-Unmodified-Since", before},
		{"If-Match", first, "If-Unmodified-Since", date},
	} {
		in.wantStatus(412, "PUT", "/upload/a", strings.NewReader("lost"), header...)
		in.wantStatus(412, "POST", "/upload", formOf("a", "lost"), append(header, "Content-Type", formType)...)
		in.wantStatus(412, "POST", "/upload", nil, append(header, "Tus-Resumable", "1.0.0", "Upload-Length", "4", "Upload-Metadata", metadata("a"))...)
	}
	in.wantFiles(map[string]string{"a": "second"})
	for _, header := range [][]string{
		{"If-Match", "*"},
		{"If-None-Match", first},
		{"If-Unmodified-Since", "yesterday"},
		{"If-Unmodified-Since", httpTime(time.Now().Add(time.Minute))},
	} {
		in.wantStatus(200, "PUT", "/upload/a", strings.NewReader("third"), header...)
	}
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader("b"), "If-Unmodified-Since", before)
	in.wantFiles(map[string]string{"a": "third", "b": "b"})
	in.wantNoRoom()
}

func TestUploads_PreconditionsAreLookedAtBeforeTheBodyIsTaken(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("a"))
	if err := os.Mkdir(filepath.Join(in.u.Dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"PUT /upload/a HTTP/1.1\r\nIf-None-Match: *":    "HTTP/1.1 412 ",
		"PUT /upload/a HTTP/1.1\r\nIf-Match: \"other\"": "HTTP/1.1 412 ",
		"PUT /upload/dir HTTP/1.1":                      "HTTP/1.1 409 ",
	} {
		conn := in.dial(request + "\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		line := make([]byte, len(want))
		if _, err := conn.Read(line); err != nil || string(line) != want {
			t.Errorf("%s: %q, %v", request, line, err)
		}
		conn.Close()
	}
}

func TestUploads_PreconditionsHoldWhenTheFileGetsItsName(t *testing.T) {
	in := newInbox(t, &Uploads{Overwrite: true})
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader("first"))
	tag, _ := in.served("a")
	loc := in.wantStatus(201, "POST", "/upload", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "4",
		"Upload-Metadata", metadata("a"), "If-Match", tag).Header.Get("Location")
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nIf-Match: " + tag + "\r\nContent-Length: 4\r\n\r\n12")
	in.waitMoved("a", 2)
	in.wantStatus(200, "PUT", "/upload/a", strings.NewReader("second"), "If-Match", tag)
	conn.Write([]byte("34"))
	line := make([]byte, len("HTTP/1.1 412 "))
	if _, err := conn.Read(line); err != nil || string(line) != "HTTP/1.1 412 " {
		t.Errorf("%q, %v", line, err)
	}
	in.patch(412, loc, 0, strings.NewReader("late"))
	in.wantStatus(204, "DELETE", loc, nil, "Tus-Resumable", "1.0.0")
	in.wantFiles(map[string]string{"a": "second"})
	in.wantNoRoom()
}
