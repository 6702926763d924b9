package weirhttp

import (
	"encoding/base64"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// naming is a call that gives a file its name: two folders, each with a name.
var naming = regexp.MustCompile(`^\d+<([^>]*)>, "([^"]*)", \d+<([^>]*)>, "([^"]*)"`)

// TestUploads_SyncedUploadIsOnStableStorageBeforeItsAnswer watches the order of system
// calls: the file's bytes before it has its name, and its name before the answer.
func TestUploads_SyncedUploadIsOnStableStorageBeforeItsAnswer(t *testing.T) {
	dir, err := filepath.EvalSymlinks(tree(t, map[string]string{"replaced": "old"}).Name())
	if err != nil {
		t.Fatal(err)
	}
	large := pattern(2 * kernelLeast)
	form, err := io.ReadAll(formOf("form-a", "a", "form-b", large))
	if err != nil {
		t.Fatal(err)
	}
	uploads := []struct {
		method, path, body string
		header             []string
		names              []string
	}{
		{"PUT", "/copied/small", "small", nil, []string{"small"}},
		{"PUT", "/copied/replaced", "new", nil, []string{"replaced"}},
		{"PUT", "/copied/large", large, nil, []string{"large"}},
		{"PUT", "/moved/by-the-kernel", large, nil, []string{"by-the-kernel"}},
		{"POST", "/moved/", string(form), []string{"Content-Type", formType}, []string{"form-a", "form-b"}},
		{"POST", "/copied/", "resumable", []string{
			"Tus-Resumable", "1.0.0", "Upload-Length", "9", "Content-Type", "application/offset+octet-stream",
			"Upload-Metadata", "filename " + base64.StdEncoding.EncodeToString([]byte("tus")),
		}, []string{"tus"}},
	}
	list := traced(t, "uploads", dir, "fsync,fdatasync,linkat,renameat,renameat2,write", func(addr string) {
		c := browser(t)
		for _, u := range uploads {
			req, err := http.NewRequest(u.method, "http://"+addr+u.path, strings.NewReader(u.body))
			if err != nil {
				t.Error(err)
				continue
			}
			for i := 0; i < len(u.header); i += 2 {
				req.Header.Set(u.header[i], u.header[i+1])
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Errorf("%s: %v", u.path, err)
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode/100 != 2 || err != nil {
				t.Errorf("%s: %s, %s, %v", u.path, resp.Status, text, err)
			}
		}
	})
	synced := func(list []tracedCall, path string) bool {
		return slices.ContainsFunc(list, func(c tracedCall) bool {
			return (c.name == "fsync" || c.name == "fdatasync") && c.result == 0 && strings.Contains(c.args, "<"+path+">")
		})
	}
	for _, u := range uploads {
		for _, name := range u.names {
			at, from := -1, ""
			for i, c := range list {
				if m := naming.FindStringSubmatch(c.args); m != nil && c.result == 0 && m[3] == dir && m[4] == name {
					at, from = i, filepath.Join(m[1], m[2])
				}
			}
			if at < 0 {
				t.Errorf("%s: nothing gives it its name", name)
				continue
			}
			if !synced(list[:at], from) {
				t.Errorf("%s: it has its name, and its bytes may be lost", name)
			}
			answer := slices.IndexFunc(list[at:], func(c tracedCall) bool { return strings.Contains(c.args, `"HTTP/1.1 20`) })
			if answer < 0 || !synced(list[at:at+answer], dir) {
				t.Errorf("%s: it is answered, and its name may be lost", name)
			}
		}
	}
	if t.Failed() {
		for _, c := range list {
			t.Logf("%s(%.150s) = %d", c.name, c.args, c.result)
		}
	}
}
