package weirhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/text"
	"github.com/weir-go/weir/weirhttp"
)

func ExampleUploadTo() {
	dir, err := os.MkdirTemp("", "inbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	root, err := os.OpenRoot(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()

	inbox := weirhttp.UploadTo(dir)
	inbox.MaxSize = 10 << 30
	inbox.Sync = true
	inbox.URL = "/files/"
	defer inbox.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files/", weirhttp.Files(root)))
	mux.Handle("POST /upload", inbox)
	mux.Handle("/upload/", inbox) // for PUT and resumable uploads
	server := httptest.NewServer(mux)
	defer server.Close()

	for range 2 {
		res, err := http.Post(server.URL+"/upload?name=../../hello.txt", "", strings.NewReader("hello"))
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("%s %s\n%s", res.Status, res.Header.Get("Location"), body)
	}
	// Output:
	// 201 Created /files/hello.txt
	// {"name":"hello.txt","size":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	// 201 Created /files/hello%20%282%29.txt
	// {"name":"hello (2).txt","size":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
}

func ExampleBody() {
	count := func(w http.ResponseWriter, r *http.Request) {
		body := weirhttp.Body(w, r, weirhttp.BodyOptions{MaxSize: 1 << 20, Decode: true})
		n, err := weir.Count(context.WithoutCancel(r.Context()), text.Lines(body))
		if err != nil {
			http.Error(w, "no lines", weirhttp.BodyStatus(err))
			return
		}
		fmt.Fprintln(w, n, "lines")
	}
	server := httptest.NewServer(http.HandlerFunc(count))
	defer server.Close()

	res, err := http.Post(server.URL, "text/plain", strings.NewReader("one\ntwo\nthree\n"))
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	fmt.Print(string(answer))
	// Output: 3 lines
}

func ExampleSafeName() {
	fmt.Println(weirhttp.SafeName(`..\..\C:\Windows\notes?.txt`))
	fmt.Println(weirhttp.SafeName("/etc/.profile"))
	fmt.Println(weirhttp.SafeName("nul.txt"))
	// Output:
	// notes_.txt
	// profile
	// _nul.txt
}
