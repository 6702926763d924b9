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
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/record"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirhttp"
)

func ExampleFiles() {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello, world\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))

	server := httptest.NewServer(mux)
	defer server.Close()
	req, _ := http.NewRequest("GET", server.URL+"/files/hello.txt", nil)
	req.Header.Set("Range", "bytes=-6")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s: %s%v\n", resp.Status, body, err)
	// Output:
	// 206 Partial Content: world
	// <nil>
}

func ExampleRespond_stream() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		// A file that does not exist is a 404, one that cannot be read to its
		// end breaks the connection.
		weirhttp.Respond(w, r, weir.File(filepath.Join("testdata", r.URL.Path)).Through(text.Upper()))
	}
	server := httptest.NewServer(http.HandlerFunc(handler))
	defer server.Close()
	resp, err := http.Get(server.URL + "/absent.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 404 Not Found
}

func ExampleResponse() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		events := record.EncodeJSON(weir.Values("one", "two"))
		weirhttp.Response{Type: "application/x-ndjson", Flush: time.Second}.Send(w, r, events)
	}
	server := httptest.NewServer(http.HandlerFunc(handler))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s%v\n", body, err)
	// Output:
	// "one"
	// "two"
	// <nil>
}

func ExampleGuard() {
	var transfers weirhttp.Transfers
	guard := &weirhttp.Guard{
		Stall:     30 * time.Second,         // a client may take nothing for so long
		Rate:      100 << 20,                // bytes a second for all
		Budget:    weir.NewBudget(64 << 20), // for all downloads together
		Transfers: &transfers,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		weirhttp.Respond(w, r, text.Join(weir.Values("hello", "world")))
	})}
	served := make(chan error, 1)
	go func() { served <- guard.Serve(server, listener) }()

	resp, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(err, guard.Shutdown(ctx), <-served)
	fmt.Println(transfers.Totals().Succeeded, "succeeded,", transfers.Totals().Failed, "failed")
	// Output:
	// <nil> <nil> http: Server closed
	// 1 succeeded, 0 failed
}
