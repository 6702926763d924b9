package weirhttp

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filesBelow returns the files in a folder and below, without the folder of resumable
// uploads.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, ".weir-uploads") {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestUploads_GoIntoTheFolderThatTheClientChooses(t *testing.T) {
	in := newInbox(t, &Uploads{Folders: true, Sync: true, NoDigest: true})
	if err := os.Mkdir(filepath.Join(in.u.Dir, " odd: name"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in.u.Dir, "file"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"file": "old"}
	tus := func(folder string) (*http.Response, string) {
		res, text := in.do("POST", "/upload/?folder="+folder, nil, "Tus-Resumable", "1.0.0", "Upload-Length", "3", "Upload-Metadata", "filename dC5iaW4=")
		if res.StatusCode != 201 {
			return res, text
		}
		return in.do("PATCH", res.Header.Get("Location"), strings.NewReader("tus"), "Tus-Resumable", "1.0.0", "Upload-Offset", "0",
			"Content-Type", "application/offset+octet-stream")
	}
	for _, c := range []struct{ folder, path string }{
		{"", ""}, {"/", ""}, {"a", "a/"}, {"/a/b//c/", "a/b/c/"}, {"%20odd:%20name/x:y", " odd: name/x_y/"}, {"ünï", "ünï/"},
	} {
		res, text := in.do("PUT", "/upload/p.bin?folder="+c.folder, strings.NewReader("put"))
		var got Received
		if err := json.Unmarshal([]byte(text), &got); err != nil || res.StatusCode != 201 {
			t.Errorf("%q: PUT: %s %s", c.folder, res.Status, text)
			continue
		}
		if !strings.HasPrefix(got.Name, c.path+"p") || strings.Contains(res.Header.Get("Location"), "%2F") {
			t.Errorf("%q: PUT: %+v at %s", c.folder, got, res.Header.Get("Location"))
		}
		want[got.Name] = "put"
		if c.path == "" {
			continue // the names are taken
		}
		form := "--x\r\nContent-Disposition: form-data; name=f; filename=\"up/f.bin\"\r\n\r\nform\r\n--x--\r\n"
		if res, text := in.do("POST", "/upload?folder="+c.folder, strings.NewReader(form), "Content-Type", "multipart/form-data; boundary=x"); res.StatusCode != 201 {
			t.Errorf("%q: form: %s %s", c.folder, res.Status, text)
		}
		if res, text := tus(c.folder); res.StatusCode != 204 {
			t.Errorf("%q: tus: %s %s", c.folder, res.Status, text)
		}
		if res, text := in.do("POST", "/upload/?name=h.bin&folder="+c.folder, strings.NewReader("http"), "Upload-Complete", "?1", "Upload-Draft-Interop-Version", "8"); res.StatusCode != 201 {
			t.Errorf("%q: resumable: %s %s", c.folder, res.Status, text)
		}
		want[c.path+"f.bin"], want[c.path+"t.bin"], want[c.path+"h.bin"] = "form", "tus", "http"
	}
	for folder, status := range map[string]int{"..": 400, "a/../../b": 400, ".hidden": 400, ".": 400, "a/.weir-uploads": 400, "file": 409, "file/x": 409,
		strings.Repeat("d/", mostFolders+1): 400} {
		if res, _ := in.do("PUT", "/upload/no.bin?folder="+folder, strings.NewReader("x")); res.StatusCode != status {
			t.Errorf("%q: PUT: %s, want %d", folder, res.Status, status)
		}
		if res, _ := tus(folder); res.StatusCode != status {
			t.Errorf("%q: tus: %s, want %d", folder, res.Status, status)
		}
	}
	files := filesBelow(t, in.u.Dir)
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s: %q, want %q", name, files[name], text)
		}
		delete(files, name)
	}
	if len(files) > 0 {
		t.Errorf("more files: %v", files)
	}
}

func TestUploads_FoldersOfClientsCountOnlyIfTheyMay(t *testing.T) {
	in := newInbox(t, &Uploads{})
	if res, text := in.do("PUT", "/upload/a.bin?folder=x", strings.NewReader("x")); res.StatusCode != 201 {
		t.Errorf("%s %s", res.Status, text)
	}
	if files := filesBelow(t, in.u.Dir); len(files) != 1 || files["a.bin"] != "x" {
		t.Errorf("%v", files)
	}
}

func TestUploads_LinksLeadNoUploadOutOfTheFolder(t *testing.T) {
	in, out := newInbox(t, &Uploads{Folders: true}), t.TempDir()
	if err := os.Symlink(out, filepath.Join(in.u.Dir, "link")); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	if res, _ := in.do("PUT", "/upload/a.bin?folder=link/sub", strings.NewReader("x")); res.StatusCode < 400 {
		t.Errorf("%s", res.Status)
	}
	if files := filesBelow(t, out); len(files) > 0 {
		t.Errorf("outside: %v", files)
	}
}
