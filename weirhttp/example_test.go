package weirhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirhttp"
)

// A server of files and uploads, whose slow clients cost it little.
func Example() {
	dir, err := os.MkdirTemp("", "weirhttp")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	public, inbox := filepath.Join(dir, "public"), filepath.Join(dir, "inbox")
	for _, name := range []string{public, inbox} {
		if err := os.Mkdir(name, 0o755); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(public, "hello.txt"), []byte("hello\n"), 0o644); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	root, err := os.OpenRoot(public)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
	uploads := weirhttp.UploadTo(inbox)
	mux.Handle("/upload/", uploads)

	guard := &weirhttp.Guard{Budget: weir.NewBudget(64 << 20)}
	done := make(chan error)
	go func() { done <- guard.Serve(&http.Server{Handler: mux}, listener) }()

	url := "http://" + listener.Addr().String()
	resp, err := http.Get(url + "/files/hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Printf("%s %q %v\n", resp.Status, body, err)

	req, err := http.NewRequest(http.MethodPut, url+"/upload/notes.txt", strings.NewReader("some notes\n"))
	if err != nil {
		log.Fatal(err)
	}
	if resp, err = http.DefaultClient.Do(req); err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	stored, err := os.ReadFile(filepath.Join(inbox, "notes.txt"))
	fmt.Printf("%s %q %v\n", resp.Status, stored, err)

	http.DefaultClient.CloseIdleConnections()
	if err := guard.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-done)
	uploads.Close()
	root.Close()
	// Output:
	// 200 OK "hello\n" <nil>
	// 201 Created "some notes\n" <nil>
	// http: Server closed
}

// Any stream is an answer. What fails before the first byte has a status of its
// own; what fails later breaks the connection, so that the client sees it.
func ExampleRespond() {
	root, err := os.OpenRoot("testdata")
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	handler := func(w http.ResponseWriter, r *http.Request) {
		file, err := root.Open(r.PathValue("name")) // an os.Root: no path leads out of it
		if err != nil {
			http.NotFound(w, r)
			return
		}
		weirhttp.Respond(w, r, weir.FromReader(file).Through(text.Upper()))
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /upper/{name...}", handler)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, name := range []string{"hello.txt", "none.txt", "..%2fguard.go"} {
		resp, err := srv.Client().Get(srv.URL + "/upper/" + name)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s %q %v\n", resp.Status, body, err)
	}
	// Output:
	// 200 OK "HELLO\n" <nil>
	// 404 Not Found "404 page not found\n" <nil>
	// 404 Not Found "404 page not found\n" <nil>
}
