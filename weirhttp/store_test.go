package weirhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/storetest"
	"github.com/weir-go/weir/weirhttp"
)

// memory is a store in memory, the shortest one that keeps the promises of the interfaces.
type memory struct {
	mu      sync.Mutex // guards the fields below
	serial  int
	files   map[string]memoryFile
	uploads map[string]*memoryUpload
	broken  error // of every Open
}

var (
	_ weirhttp.FileStore   = (*memory)(nil)
	_ weirhttp.UploadStore = (*memory)(nil)
)

type memoryFile struct {
	weirhttp.StoredFile
	data []byte
	from string // id of its upload
}

type memoryUpload struct {
	weirhttp.UploadState
	version string
	data    []byte
	changed time.Time
	name    string // once it has one
}

func newMemory() *memory {
	return &memory{files: map[string]memoryFile{}, uploads: map[string]*memoryUpload{}}
}

func (m *memory) Stat(_ context.Context, name string) (weirhttp.StoredFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stat(name)
}

func (m *memory) stat(name string) (weirhttp.StoredFile, error) {
	if f, ok := m.files[name]; ok {
		return f.StoredFile, nil
	}
	for have := range m.files {
		if name == "." || strings.HasPrefix(have, name+"/") {
			return weirhttp.StoredFile{Name: name, Folder: true}, nil
		}
	}
	return weirhttp.StoredFile{}, fs.ErrNotExist
}

func (m *memory) List(_ context.Context, folder string) iter.Seq2[weirhttp.StoredFile, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]weirhttp.StoredFile{}
	for name, f := range m.files {
		rest := name
		if folder != "." {
			var ok bool
			if rest, ok = strings.CutPrefix(name, folder+"/"); !ok {
				continue
			}
		}
		first, _, deeper := strings.Cut(rest, "/")
		at := strings.TrimSuffix(name, rest) + first
		if found[at] = f.StoredFile; deeper {
			found[at] = weirhttp.StoredFile{Name: at, Folder: true}
		}
	}
	return func(yield func(weirhttp.StoredFile, error) bool) {
		for _, f := range found {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (m *memory) Open(_ context.Context, f weirhttp.StoredFile, off, n int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.files[f.Name]
	switch {
	case m.broken != nil:
		return nil, m.broken
	case have.Version != f.Version:
		return nil, weirhttp.ErrChanged
	}
	return io.NopCloser(bytes.NewReader(have.data[off : off+n])), nil
}

func (m *memory) Create(_ context.Context, id string, s weirhttp.UploadState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[id] != nil {
		return fs.ErrExist
	}
	s.Offset = 0
	m.uploads[id] = &memoryUpload{UploadState: s, version: m.next(), changed: time.Now()}
	return nil
}

func (m *memory) next() string {
	m.serial++
	return fmt.Sprint("v", m.serial)
}

func (m *memory) Read(_ context.Context, id string) (weirhttp.UploadState, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.uploads[id]
	if u == nil {
		return weirhttp.UploadState{}, "", fs.ErrNotExist
	}
	s := u.UploadState
	s.Offset = int64(len(u.data))
	if s.Placing && u.name != "" {
		s.Placing, s.Done = false, true
	}
	return s, u.version, nil
}

// at returns an upload with a version. m is locked.
func (m *memory) at(id, version string) (*memoryUpload, error) {
	u := m.uploads[id]
	switch {
	case u == nil:
		return nil, fs.ErrNotExist
	case u.version != version:
		return nil, weirhttp.ErrUploadChanged
	}
	return u, nil
}

func (m *memory) Swap(_ context.Context, id, version string, s weirhttp.UploadState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.at(id, version)
	if err == nil {
		u.UploadState, u.version, u.changed = s, m.next(), time.Now()
	}
	return err
}

func (m *memory) Remove(_ context.Context, id, version string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.at(id, version)
	if err == nil {
		delete(m.uploads, id)
	}
	return err
}

func (m *memory) Sweep(_ context.Context, before time.Time, claim func(string) (func(), bool)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, u := range m.uploads {
		if !u.changed.Before(before) {
			continue
		}
		if release, ok := claim(id); ok {
			delete(m.uploads, id)
			release()
		}
	}
	return nil
}

func (m *memory) Append(_ context.Context, id string, epoch int64, lost func()) (weirhttp.UploadContent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.uploads[id]
	switch {
	case u == nil:
		return nil, fs.ErrNotExist
	case u.Epoch != epoch:
		return nil, weirhttp.ErrUploadChanged
	}
	c := &memoryContent{m: m, id: id, epoch: epoch, data: bytes.Clone(u.data), closed: make(chan struct{})}
	c.watching.Go(func() {
		for c.current() {
			select {
			case <-c.closed:
				return
			case <-time.After(time.Millisecond):
			}
		}
		lost()
	})
	return c, nil
}

func (m *memory) Receive(context.Context, int64) (weirhttp.UploadContent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryContent{m: m, id: m.next(), closed: make(chan struct{})}, nil
}

// memoryContent is a content. Its bytes are its own until Flush.
type memoryContent struct {
	m        *memory
	id       string
	epoch    int64 // 0: it belongs to no upload
	data     []byte
	name     string
	closed   chan struct{}
	watching sync.WaitGroup
}

func (c *memoryContent) current() bool {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.mine() == nil
}

// mine says whether the upload still belongs to this epoch. m is locked.
func (c *memoryContent) mine() error {
	if u := c.m.uploads[c.id]; c.epoch > 0 && (u == nil || u.Epoch != c.epoch) {
		return weirhttp.ErrUploadChanged
	}
	return nil
}

func (c *memoryContent) Write(p []byte) (int, error) {
	c.data = append(c.data, p...)
	return len(p), nil
}

func (c *memoryContent) Size() int64       { return int64(len(c.data)) }
func (c *memoryContent) Checkpoint() error { return nil }
func (c *memoryContent) Reader() io.Reader { return bytes.NewReader(c.data) }

func (c *memoryContent) Cut(n int64) error {
	c.data = c.data[:n]
	return nil
}

func (c *memoryContent) Flush() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	err := c.mine()
	if u := c.m.uploads[c.id]; err == nil && u != nil {
		u.data, u.version, u.changed = bytes.Clone(c.data), c.m.next(), time.Now()
	}
	return err
}

func (c *memoryContent) Finish(to weirhttp.UploadTarget) (string, bool, error) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if err := c.mine(); err != nil {
		return "", false, err
	}
	u := c.m.uploads[c.id]
	if u != nil && u.name != "" {
		return u.name, false, nil
	}
	err := error(nil)
	for name := range to.Names() {
		at := (*weirhttp.StoredFile)(nil)
		if f, serr := c.m.stat(name); serr == nil {
			at = &f
		}
		if err = to.Check(name, at); errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", false, err
		}
		f := weirhttp.StoredFile{Name: name, Size: c.Size(), Modified: time.Now().Add(-time.Hour), Version: c.m.next()}
		c.m.files[name] = memoryFile{f, bytes.Clone(c.data), c.id}
		if c.name = name; u != nil {
			u.name = name
		}
		return name, at != nil, nil
	}
	return "", false, err
}

func (c *memoryContent) Withdraw() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.files[c.name].from == c.id {
		delete(c.m.files, c.name)
	}
	return nil
}

func (c *memoryContent) Close() error {
	close(c.closed)
	c.watching.Wait()
	return nil
}

func TestUploadStore_InMemoryKeepsThePromises(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) func() storetest.Store {
		m := newMemory()
		return func() storetest.Store { return m }
	})
}

// shared starts two servers over one store, and returns their URLs.
func shared(t *testing.T, m *memory) (urls [2]string) {
	t.Helper()
	for i := range urls {
		up := &weirhttp.Uploads{Store: m, URL: "/", Log: slog.New(slog.DiscardHandler), MaxSize: 1 << 20, Folders: true}
		mux := http.NewServeMux()
		mux.Handle("/", &weirhttp.FileServer{Store: m, List: true, Log: slog.New(slog.DiscardHandler)})
		mux.Handle("/up/", up)
		g := &weirhttp.Guard{Log: slog.New(slog.DiscardHandler)}
		s := httptest.NewUnstartedServer(nil)
		srv := &http.Server{Handler: mux}
		served := make(chan error, 1)
		go func() { served <- g.Serve(srv, s.Listener) }()
		t.Cleanup(func() {
			g.Shutdown(context.Background())
			<-served
			if err := up.Close(); err != nil {
				t.Error(err)
			}
		})
		urls[i] = "http://" + s.Listener.Addr().String()
	}
	return urls
}

// ask sends a request and returns the answer with its body. head is pairs of a field and
// its value.
func ask(t *testing.T, method, url, body string, head ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	return resp, string(text)
}

func TestStore_ServesFilesAsAFolderDoes(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := shared(t, m)
	big := strings.Repeat("0123456789abcdef", 20_000) // more than one piece
	for name, body := range map[string]string{"big.txt": big, "a": "<html>x", "sub/b.txt": "b"} {
		dir, base, ok := strings.Cut(name, "/")
		if !ok {
			dir, base = "", name
		}
		if resp, text := ask(t, "PUT", s[0]+"/up/"+base+"?folder="+dir, body); resp.StatusCode != 201 {
			t.Fatalf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	resp, text := ask(t, "GET", s[1]+"/big.txt", "")
	tag := resp.Header.Get("ETag")
	if text != big || resp.Header.Get("Accept-Ranges") != "bytes" || !strings.HasPrefix(tag, `"`) || resp.Header.Get("Last-Modified") == "" {
		t.Errorf("%d bytes, %v", len(text), resp.Header)
	}
	for _, c := range []struct {
		method, path string
		head         []string
		status       int
		body         string
	}{
		{"GET", "/big.txt", []string{"Range", "bytes=100000-100009"}, 206, big[100000:100010]},
		{"GET", "/big.txt", []string{"Range", "bytes=-3"}, 206, big[len(big)-3:]},
		{"GET", "/big.txt", []string{"Range", "bytes=1-3", "If-Range", `"other"`}, 200, big},
		{"GET", "/big.txt", []string{"Range", "bytes=99999999-"}, 416, "Requested Range Not Satisfiable\n"},
		{"GET", "/big.txt", []string{"If-None-Match", tag}, 304, ""},
		{"GET", "/big.txt", []string{"If-Match", `"other"`}, 412, ""},
		{"HEAD", "/big.txt", nil, 200, ""},
		{"GET", "/none", nil, 404, "Not Found\n"},
		{"GET", "/sub", nil, 301, ""},
		{"GET", "/a/", nil, 301, ""},
		{"GET", "/none/", nil, 404, "Not Found\n"},
		{"GET", "/.weir-uploads/", nil, 404, "Not Found\n"},
	} {
		resp, text := ask(t, c.method, s[1]+c.path, "", c.head...)
		if resp.StatusCode != c.status || text != c.body {
			t.Errorf("%s %s %q: %d, %d bytes; want %d, %d bytes", c.method, c.path, c.head, resp.StatusCode, len(text), c.status, len(c.body))
		}
	}
	resp, text = ask(t, "GET", s[1]+"/big.txt", "", "Range", "bytes=0-1,5-6")
	if resp.StatusCode != 206 || !strings.Contains(text, "\r\n\r\n01\r\n") || !strings.Contains(text, "\r\n\r\n56\r\n") {
		t.Errorf("two ranges: %d %q", resp.StatusCode, text)
	}
	if resp, _ := ask(t, "GET", s[1]+"/a", ""); !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a name without extension: %v", resp.Header)
	}
	_, text = ask(t, "GET", s[1]+"/?format=json", "")
	if !strings.Contains(text, `"total":3`) || !strings.Contains(text, `"name":"sub","size":0`) || !strings.Contains(text, `"name":"big.txt","size":320000`) {
		t.Error(text)
	}
	if _, text = ask(t, "GET", s[1]+"/sub/?format=json", ""); !strings.Contains(text, `"path":"/sub/","entries":[{"name":"b.txt","size":1,`) {
		t.Error(text)
	}
}

func TestStore_TakesUploadsAsAFolderDoes(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := shared(t, m)
	for _, c := range []struct {
		head     []string
		status   int
		location string
	}{
		{nil, 201, "/a.txt"},
		{nil, 201, "/a%20%282%29.txt"},
		{[]string{"If-None-Match", "*"}, 412, ""},
		{[]string{"If-Match", `"other"`}, 412, ""},
		{[]string{"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}, 400, ""},
	} {
		resp, text := ask(t, "PUT", s[0]+"/up/a.txt", "text", c.head...)
		if resp.StatusCode != c.status || resp.Header.Get("Location") != c.location {
			t.Errorf("%q: %d %q %s", c.head, resp.StatusCode, resp.Header.Get("Location"), text)
		}
	}
	if resp, _ := ask(t, "PUT", s[0]+"/up/large", strings.Repeat("x", 1<<20+1)); resp.StatusCode != 413 {
		t.Errorf("too large: %d", resp.StatusCode)
	}
	form := func(names ...string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, name := range names {
			part, err := w.CreateFormFile("file", name)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(part, "from "+name)
		}
		w.Close()
		return b.String(), w.FormDataContentType()
	}
	body, kind := form("one", "two")
	if resp, text := ask(t, "POST", s[1]+"/up/", body, "Content-Type", kind); resp.StatusCode != 201 || !strings.Contains(text, `"two"`) {
		t.Errorf("form: %d %s", resp.StatusCode, text)
	}
	// The second file is refused, so the first one must not stay.
	body, kind = form("three", "three")
	if resp, _ := ask(t, "POST", s[1]+"/up/", body, "Content-Type", kind, "If-None-Match", "*"); resp.StatusCode != 412 {
		t.Errorf("a form with a name twice: %d", resp.StatusCode)
	}
	for name, want := range map[string]string{"/one": "from one", "/two": "from two", "/a.txt": "text", "/three": "Not Found\n"} {
		if _, text := ask(t, "GET", s[0]+name, ""); text != want {
			t.Errorf("%s: %q", name, text)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.files) != 4 {
		t.Errorf("%d files", len(m.files))
	}
}

func TestStore_UploadsContinueThroughAnotherServer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := shared(t, m)
	tus := []string{"Tus-Resumable", "1.0.0"}
	patch := append([]string{"Content-Type", "application/offset+octet-stream"}, tus...)
	resp, _ := ask(t, "POST", s[0]+"/up/", "", append([]string{"Upload-Length", "10", "Upload-Metadata", "filename YS50eHQ="}, tus...)...)
	at := resp.Header.Get("Location")
	at = at[strings.Index(at, "/up/"):]
	for i, part := range []string{"0123", "456", "789"} {
		off := fmt.Sprint([]int{0, 4, 7}[i])
		if resp, _ := ask(t, "HEAD", s[(i+1)%2]+at, "", tus...); resp.Header.Get("Upload-Offset") != off {
			t.Errorf("HEAD says %v, want %s", resp.Header, off)
		}
		if resp, _ := ask(t, "PATCH", s[i%2]+at, "x", append([]string{"Upload-Offset", "9"}, patch...)...); resp.StatusCode != 409 {
			t.Errorf("a wrong offset: %d", resp.StatusCode)
		}
		if resp, text := ask(t, "PATCH", s[i%2]+at, part, append([]string{"Upload-Offset", off}, patch...)...); resp.StatusCode != 204 {
			t.Errorf("PATCH: %d %s", resp.StatusCode, text)
		}
	}
	if _, text := ask(t, "GET", s[0]+"/a.txt", ""); text != "0123456789" {
		t.Errorf("by tus: %q", text)
	}
	if resp, _ := ask(t, "DELETE", s[1]+at, "", tus...); resp.StatusCode != 404 {
		t.Errorf("DELETE of a complete upload: %d", resp.StatusCode)
	}

	resp, _ = ask(t, "POST", s[0]+"/up/?name=b.txt", "0123", "Upload-Complete", "?0")
	if resp.StatusCode != 201 {
		t.Fatalf("resumable: %d", resp.StatusCode)
	}
	at = resp.Header.Get("Location")
	if resp, _ = ask(t, "HEAD", s[1]+at, ""); resp.Header.Get("Upload-Offset") != "4" {
		t.Errorf("HEAD: %v", resp.Header)
	}
	resp, text := ask(t, "PATCH", s[1]+at, "4567", "Upload-Offset", "4", "Upload-Complete", "?1", "Content-Type", "application/partial-upload")
	if resp.StatusCode != 201 || !strings.Contains(text, `"b.txt"`) {
		t.Errorf("the last PATCH: %d %s", resp.StatusCode, text)
	}
	if _, text := ask(t, "GET", s[0]+"/b.txt", ""); text != "01234567" {
		t.Errorf("resumable: %q", text)
	}

	resp, _ = ask(t, "POST", s[0]+"/up/?name=c.txt", "0123", "Upload-Complete", "?0")
	if resp, _ := ask(t, "DELETE", s[1]+resp.Header.Get("Location"), ""); resp.StatusCode != 204 {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, "HEAD", s[0]+resp.Header.Get("Location"), ""); resp.StatusCode != 404 {
		t.Errorf("after DELETE: %d", resp.StatusCode)
	}
}

func TestStore_AFailureWhileSendingBreaksTheAnswer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := shared(t, m)
	ask(t, "PUT", s[0]+"/up/a.txt", "text")
	m.mu.Lock()
	m.broken = errors.New("the store is away")
	m.mu.Unlock()
	resp, err := http.Get(s[0] + "/a.txt")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the client got an answer without its body")
	}
}

func TestUploads_AnnounceTheLeastRequest(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(&weirhttp.Uploads{Store: newMemory(), MinRequest: 5 << 20, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	resp, _ := ask(t, "POST", s.URL+"/?name=a", "1", "Upload-Complete", "?0")
	head, _ := ask(t, "HEAD", s.URL+resp.Header.Get("Location"), "")
	if got := head.Header.Get("Upload-Limit"); resp.StatusCode != 201 || !strings.Contains(got, "min-append-size=5242880") {
		t.Errorf("%d, %q", resp.StatusCode, got)
	}
}
