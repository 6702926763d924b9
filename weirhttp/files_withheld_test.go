package weirhttp

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-go/weir/internal/atomicfile"
)

func TestFiles_HalfFilesAreNotServedEvenWithHiddenNames(t *testing.T) {
	dir := t.TempDir()
	temp := atomicfile.TempName("a.txt")
	for _, name := range []string{".weir-uploads/half", temp, ".hidden"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := &FileServer{Root: root, Hidden: true, List: true, Archive: true}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	for path, want := range map[string]int{
		"/.weir-uploads/half": 404, "/.weir-uploads/": 404, "/.WEIR-uploads/half": 404, "/" + temp: 404, "/.hidden": 200, "/./.hidden": 200,
	} {
		if w := get(path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	for _, path := range []string{"/?format=json", "/?archive=tar"} {
		if text := get(path).Body.String(); strings.Contains(text, ".weir-") || !strings.Contains(text, ".hidden") {
			t.Errorf("%s: %q", path, text)
		}
	}
}
