package weirhttp

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// jsResult is what testdata/tus-js/client.js says of an upload.
type jsResult struct {
	URL      string
	Requests int
	Accepted int64
	Error    string
	Status   int
}

// The ways in which tus-js-client's own suite makes uploads, with the real client and
// real files: tus 1.0, and the drafts of resumable HTTP uploads that it speaks.
func TestTus_JSClientUploadsInEachOfItsWays(t *testing.T) {
	client := jsClient(t)
	const size = 3 << 20
	for _, c := range []struct {
		name  string
		does  string // for client.js
		empty bool
		want  string // "whole", "part" or "none"
		check func(t *testing.T, r jsResult)
	}{
		{name: "in one request", does: `{}`, want: "whole", check: requests(2)},
		{name: "in chunks", does: `{"options": {"chunkSize": 1000000}}`, want: "whole", check: requests(5)},
		{name: "an empty file", does: `{}`, empty: true, want: "whole"},
		{name: "data with the creation", does: `{"options": {"uploadDataDuringCreation": true}}`, want: "whole", check: requests(1)},
		{name: "chunks, the first with the creation", does: `{"options": {"uploadDataDuringCreation": true, "chunkSize": 1000000}}`, want: "whole", check: requests(4)},
		{name: "an empty file with the creation", does: `{"options": {"uploadDataDuringCreation": true}}`, empty: true, want: "whole"},
		{name: "a stream", does: `{"stream": true, "options": {"chunkSize": 1000000}}`, want: "whole"},
		// Not with a stream: of that, version 4.3.1 announces a whole chunk where less is
		// left, and never sends it.
		{name: "the length comes last", does: `{"options": {"chunkSize": 1000000, "uploadLengthDeferred": true}}`, want: "whole"},
		{name: "POST in place of PATCH", does: `{"options": {"overridePatchMethod": true}}`, want: "whole"},
		{name: "aborted", does: `{"options": {"chunkSize": 1000000}, "abortAt": 2000000}`, want: "part", check: func(t *testing.T, r jsResult) {
			if n := headOf(t, r.URL).Get("Upload-Offset"); n != "2000000" {
				t.Errorf("the server has %q bytes, want 2000000", n)
			}
		}},
		{name: "aborted and resumed", does: `{"options": {"chunkSize": 1000000}, "abortAt": 2000000, "resume": true}`, want: "whole"},
		{name: "terminated", does: `{"options": {"chunkSize": 1000000}, "abortAt": 2000000, "terminate": true}`, want: "none", check: func(t *testing.T, r jsResult) {
			resp, err := http.Head(r.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusGone {
				t.Errorf("status %d after the upload was terminated", resp.StatusCode)
			}
		}},
		{name: "an upload that the server does not know", does: `{"options": {"uploadUrl": "URL00000000000000000000000000000000", "endpoint": null}}`, want: "none", check: fails(404)},
		{name: "an upload that the server does not know, made anew", does: `{"options": {"uploadUrl": "URL00000000000000000000000000000000"}}`, want: "whole"},
		{name: "too large", does: `{"options": {"uploadSize": 99999999999}}`, want: "none", check: fails(413)},
		{name: "in parallel parts, which are refused", does: `{"options": {"parallelUploads": 2}}`, want: "none", check: fails(0)},
		// The drafts know no metadata.
		{name: "draft 03", does: `{"options": {"endpoint": "URL?name=from-js.bin", "protocol": "ietf-draft-03"}}`, want: "whole"},
		{name: "draft 05", does: `{"options": {"endpoint": "URL?name=from-js.bin", "protocol": "ietf-draft-05", "chunkSize": 1000000}}`, want: "whole"},
		{name: "draft 05, aborted and resumed", does: `{"options": {"endpoint": "URL?name=from-js.bin", "protocol": "ietf-draft-05", "chunkSize": 1000000}, "abortAt": 2000000, "resume": true}`, want: "whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			all := content(size)
			if c.empty {
				all = ""
			}
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(all), 0o644); err != nil {
				t.Fatal(err)
			}
			u := &Uploads{Dir: dir, MaxSize: 1 << 30, Log: slog.New(slog.DiscardHandler)}
			s := httptest.NewServer(u)
			defer func() {
				s.Close()
				if err := u.Close(); err != nil {
					t.Error(err)
				}
			}()
			cmd := client("client.js", s.URL+"/files/", file, strings.ReplaceAll(c.does, "URL", s.URL+"/files/"))
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, &said)
			}
			var r jsResult
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if c.want == "whole" && r.Error != "" {
				t.Errorf("%+v", r)
			}
			if c.check != nil {
				c.check(t, r)
			}
			got, err := os.ReadFile(filepath.Join(dir, "from-js.bin"))
			switch {
			case c.want == "whole" && (err != nil || string(got) != all):
				t.Errorf("%d bytes of %d, %v", len(got), len(all), err)
			case c.want != "whole" && err == nil:
				t.Errorf("there is a file of %d bytes", len(got))
			}
		})
	}
}

func requests(n int) func(*testing.T, jsResult) {
	return func(t *testing.T, r jsResult) {
		t.Helper()
		if r.Requests != n {
			t.Errorf("%d requests, want %d", r.Requests, n)
		}
	}
}

// fails returns a check that the client got an error with a status; 0: any.
func fails(status int) func(*testing.T, jsResult) {
	return func(t *testing.T, r jsResult) {
		t.Helper()
		if r.Error == "" || status != 0 && r.Status != status {
			t.Errorf("%+v, want status %d", r, status)
		}
	}
}

func headOf(t *testing.T, url string) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "HEAD", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header
}
