package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/s3/filestore"
	"github.com/weir-go/weir/weirhttp"
)

// serves serves a store in this process, and returns its URL.
func serves(t *testing.T, store *filestore.Store, set func(*weirhttp.Uploads)) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	up := &weirhttp.Uploads{Store: store, URL: "/", Log: quiet}
	if set != nil {
		set(up)
	}
	mux := http.NewServeMux()
	mux.Handle("/", &weirhttp.FileServer{Store: store, List: true, Log: quiet})
	mux.Handle("/_upload/", up)
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := up.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.URL
}

// slowBody is the body of a client that stops in the middle and goes on when its time has
// come.
type slowBody struct {
	io.Reader
	left int64           // bytes before the stop
	wait <-chan struct{} // until it goes on
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.wait
		b.left = -1
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.Reader.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	return n, err
}

// offsetOf asks for the offset of an upload.
func offsetOf(t *testing.T, url string) int64 {
	t.Helper()
	status, head, err := send(t.Context(), "HEAD", url, nil, 0, tusHead...)
	if err != nil || status != 200 {
		t.Fatal(status, err)
	}
	var n int64
	fmt.Sscan(head.Get("Upload-Offset"), &n)
	return n
}

func TestReplicas_PairsOfRequestsNeverWriteAWrongByte(t *testing.T) {
	t.Parallel()
	pairs, most := 100, 300<<10
	if long() {
		pairs, most = 1000, 600<<10
	}
	name, _ := bucket(t, nil)
	// The requests of the second server to the object store arrive late, a third of them.
	late := newProxy(t, func(string, int, *http.Request) fault {
		if rand.N(3) == 0 {
			return delays(time.Duration(rand.N(30)) * time.Millisecond)
		}
		return nil
	})
	servers := []string{serves(t, openStore(t, name, nil), nil), serves(t, openStore(t, name, late), nil)}
	data := random(pairs * most)
	status, head, err := send(t.Context(), "POST", servers[0]+"/_upload/", nil, 0, append([]string{"Upload-Length", fmt.Sprint(len(data))}, tusHead...)...)
	if err != nil || status != 201 {
		t.Fatal(status, err)
	}
	at := head.Get("Location")[strings.Index(head.Get("Location"), "/_upload/"):]

	var zombies sync.WaitGroup
	var mu sync.Mutex // guards told
	told, zombie := int64(0), 0
	for pair := range pairs {
		mu.Lock()
		before := told
		mu.Unlock()
		off := offsetOf(t, servers[pair%2]+at)
		if off < before {
			t.Fatalf("pair %d: the offset went back from %d to %d", pair, before, off)
		}
		var wg sync.WaitGroup
		wake := make(chan struct{})
		for i := range 2 {
			n := min(int64(1+rand.N(most)), int64(len(data))-off-1)
			if n <= 0 {
				continue
			}
			body := io.Reader(bytes.NewReader(data[off : off+n]))
			asleep := i == 0 && pair%3 != 2 // a third of all requests
			if asleep {
				zombie++
				body = &slowBody{body, n / 2, wake}
			}
			work := func() {
				status, _, err := send(t.Context(), "PATCH", servers[(pair+i)%2]+at, body, n,
					append([]string{"Upload-Offset", fmt.Sprint(off), "Content-Type", "application/offset+octet-stream"}, tusHead...)...)
				if err == nil && status == 204 {
					mu.Lock()
					told = max(told, off+n)
					mu.Unlock()
				} else if status != 0 && status != 409 && status != 423 {
					t.Errorf("pair %d: PATCH: %d, %v", pair, status, err)
				}
			}
			if asleep {
				zombies.Go(work) // it goes on during later pairs
			} else {
				wg.Go(work)
			}
		}
		wg.Wait()
		if rand.N(2) == 0 {
			close(wake)
		} else {
			time.AfterFunc(time.Duration(rand.N(100))*time.Millisecond, func() { close(wake) })
		}
		if pair%8 == 7 {
			zombies.Wait()
		}
		if t.Failed() {
			break
		}
	}
	zombies.Wait()
	t.Logf("%d pairs, %d zombies, offset %d", pairs, zombie, offsetOf(t, servers[0]+at))
	for off := int64(-1); ; {
		now := offsetOf(t, servers[1]+at)
		if now < told || now <= off {
			t.Fatalf("offset %d after %d and %d", now, told, off)
		}
		if off = now; off == int64(len(data)) {
			break
		}
		status, _, err := send(t.Context(), "PATCH", servers[0]+at, bytes.NewReader(data[off:]), int64(len(data))-off,
			append([]string{"Upload-Offset", fmt.Sprint(off), "Content-Type", "application/offset+octet-stream"}, tusHead...)...)
		if err != nil || status != 204 {
			t.Fatal(status, err)
		}
	}
	key := "some/prefix/upload-" + at[strings.LastIndexByte(at, '/')+1:]
	if got := stored(t, name, key); !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, or wrong ones", len(got), len(data))
	}
	swept(t, name, "some/prefix", 1)
}

// errorIn200 answers a request with 200 and an error in the body, as S3 can after it has begun to
// answer.
func errorIn200(_ *proxy, w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>made by the test</Message></Error>`)
}

func TestReplicas_FaultsOfTheStoreLoseAndDuplicateNothing(t *testing.T) {
	t.Parallel()
	data := random(12<<20 + 345)
	for _, c := range []struct {
		name string
		plan func(kind string, n int, r *http.Request) fault
	}{
		{"500", func(_ string, n int, _ *http.Request) fault { return some(n%4 == 1, answers(500, "InternalError")) }},
		{"503", func(_ string, n int, _ *http.Request) fault { return some(n%3 == 1, answers(503, "SlowDown")) }},
		{"409", func(kind string, n int, r *http.Request) fault {
			conditional := r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
			return some(conditional && n%2 == 0, answers(409, "ConditionalRequestConflict"))
		}},
		{"broken connections", func(_ string, n int, _ *http.Request) fault { return some(n%4 == 2, breaks(100)) }},
		{"lost answers", func(kind string, n int, _ *http.Request) fault {
			return some(n%3 == 0 && (kind == "put" || kind == "complete" || kind == "part" || kind == "delete"), loses)
		}},
		{"an error behind 200", func(kind string, n int, r *http.Request) fault {
			copies := r.Header.Get("X-Amz-Copy-Source") != ""
			return some(kind == "complete" && n%2 == 0 || copies && n%3 == 1, errorIn200)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name, _ := bucket(t, nil)
			base := serves(t, openStore(t, name, newProxy(t, c.plan)), nil)
			for _, over := range []string{"one", "two"} {
				status, _, err := send(t.Context(), "PUT", base+"/_upload/"+over, bytes.NewReader(data), int64(len(data)))
				if err != nil || status != 201 {
					t.Errorf("PUT: %d, %v", status, err)
				}
			}
			if status, _, err := send(t.Context(), "PUT", base+"/_upload/small", strings.NewReader("small"), 5); err != nil || status != 201 {
				t.Errorf("PUT of a small file: %d, %v", status, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			u := &tusUpload{base: base, name: "three", data: data, most: 7 << 20}
			if err := u.run(ctx); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				return
			}
			for _, key := range []string{"one", "two", "three"} {
				if got := stored(t, name, "some/prefix/"+key); !bytes.Equal(got, data) {
					t.Errorf("%s: %d bytes of %d, or wrong ones", key, len(got), len(data))
				}
			}
			swept(t, name, "some/prefix", 4)
		})
	}
}

func some(when bool, f fault) fault {
	if when {
		return f
	}
	return nil
}

func TestReplicas_KeepThePromisesOfAFolder(t *testing.T) {
	t.Parallel()
	name, _ := bucket(t, nil)
	big := random(20<<20 + 1)
	first := serves(t, openStore(t, name, nil), func(u *weirhttp.Uploads) { u.Folders = true })
	second := serves(t, openStore(t, name, nil), func(u *weirhttp.Uploads) { u.Overwrite = true })
	put := func(base, path string, data []byte, want int, head ...string) http.Header {
		t.Helper()
		status, h, err := send(t.Context(), "PUT", base+"/_upload/"+path, bytes.NewReader(data), int64(len(data)), head...)
		if status != want {
			t.Errorf("PUT %s: %d, %v; want %d", path, status, err, want)
		}
		return h
	}
	get := func(base, path string, head ...string) (int, http.Header, []byte) {
		t.Helper()
		req, err := http.NewRequest("GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(head); i += 2 {
			req.Header.Set(head[i], head[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, resp.Header, b
	}
	put(first, "big.bin", big, 201)
	if h := put(first, "big.bin", big[:100], 201); h.Get("Location") != "/big%20%282%29.bin" {
		t.Errorf("a name that is taken: %v", h)
	}
	put(first, "a%20b.txt?folder=x/y", []byte("in a folder"), 201)
	status, h, got := get(second, "/big.bin")
	tag := h.Get("ETag")
	if status != 200 || !bytes.Equal(got, big) || tag == "" {
		t.Errorf("%d, %d bytes, %v", status, len(got), h)
	}
	status, h, got = get(second, "/big.bin", "Range", "bytes=10000000-18000000")
	if status != 206 || !bytes.Equal(got, big[10_000_000:18_000_001]) || h.Get("Content-Range") != fmt.Sprintf("bytes 10000000-18000000/%d", len(big)) {
		t.Errorf("a range: %d, %d bytes, %v", status, len(got), h)
	}
	if status, _, _ = get(second, "/big.bin", "If-None-Match", tag); status != 304 {
		t.Errorf("If-None-Match: %d", status)
	}
	if _, _, got = get(second, "/x/y/a%20b.txt"); string(got) != "in a folder" {
		t.Errorf("%q", got)
	}
	if _, _, got = get(second, "/?format=json"); !bytes.Contains(got, []byte(`"total":3`)) || !bytes.Contains(got, []byte(`"name":"x","size":0`)) {
		t.Errorf("%s", got)
	}
	// Conditions, at the second server, which replaces files.
	put(second, "big.bin", []byte("no"), 412, "If-None-Match", "*")
	put(second, "big.bin", []byte("no"), 412, "If-Match", `"other"`)
	put(second, "big.bin", big[:6<<20], 200, "If-Match", tag)
	put(second, "new.bin", []byte("no"), 412, "If-Match", tag)
	put(second, "new.bin", []byte("no"), 400, "Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")
	if _, _, got = get(first, "/big.bin"); !bytes.Equal(got, big[:6<<20]) {
		t.Errorf("after a replacement: %d bytes", len(got))
	}
	// A form is stored as a whole or not at all.
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, name := range []string{"f1", "f2", "big.bin"} {
		part, err := w.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		part.Write([]byte(name))
	}
	w.Close()
	body := form.Bytes()
	for want, head := range map[int][]string{412: {"If-None-Match", "*"}, 201: nil} {
		status, _, err := send(t.Context(), "POST", first+"/_upload/", bytes.NewReader(body), int64(len(body)), append([]string{"Content-Type", w.FormDataContentType()}, head...)...)
		if err != nil || status != want {
			t.Errorf("form: %d, %v; want %d", status, err, want)
		}
	}
	// big.bin, big (2).bin, x/y/a b.txt, f1, f2, big (3).bin; the form that was refused left
	// nothing, or the one that was stored has numbers.
	n := 0
	for _, key := range objects(t, name) {
		if !strings.Contains(key, "/.weir-uploads/") {
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d files: %v", n, objects(t, name))
	}
	swept(t, name, "some/prefix", 6)
}

func TestReplicas_ResumableUploadsOverHTTPMoveBetweenServers(t *testing.T) {
	t.Parallel()
	name, _ := bucket(t, nil)
	servers := []string{serves(t, openStore(t, name, nil), nil), serves(t, openStore(t, name, nil), nil)}
	data := random(11<<20 + 5)
	cut := 6 << 20
	status, head, err := send(t.Context(), "POST", servers[0]+"/_upload/?name=r.bin", bytes.NewReader(data[:cut]), int64(cut), "Upload-Complete", "?0", "Upload-Length", fmt.Sprint(len(data)))
	if err != nil || status != 201 {
		t.Fatal(status, err)
	}
	at := head.Get("Location")[strings.Index(head.Get("Location"), "/_upload/"):]
	status, head, err = send(t.Context(), "HEAD", servers[1]+at, nil, 0)
	if err != nil || status != 204 || head.Get("Upload-Offset") != fmt.Sprint(cut) || head.Get("Upload-Complete") != "?0" {
		t.Errorf("HEAD: %d, %v, %v", status, head, err)
	}
	patch := func(base string, off int) (int, error) {
		status, _, err := send(t.Context(), "PATCH", base+at, bytes.NewReader(data[off:]), int64(len(data)-off),
			"Upload-Offset", fmt.Sprint(off), "Upload-Complete", "?1", "Content-Type", "application/partial-upload")
		return status, err
	}
	if status, _ := patch(servers[0], 5); status != 409 {
		t.Errorf("a wrong offset: %d", status)
	}
	if status, err := patch(servers[1], cut); err != nil || status != 201 {
		t.Errorf("the last PATCH: %d, %v", status, err)
	}
	status, head, err = send(t.Context(), "HEAD", servers[0]+at, nil, 0)
	if err != nil || status != 204 || head.Get("Upload-Complete") != "?1" {
		t.Errorf("HEAD of a complete upload: %d, %v, %v", status, head, err)
	}
	if got := stored(t, name, "some/prefix/r.bin"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, or wrong ones", len(got), len(data))
	}
	// DELETE through another server.
	_, head, _ = send(t.Context(), "POST", servers[0]+"/_upload/?name=gone.bin", bytes.NewReader(data[:cut]), int64(cut), "Upload-Complete", "?0")
	at = head.Get("Location")[strings.Index(head.Get("Location"), "/_upload/"):]
	if status, _, err := send(t.Context(), "DELETE", servers[1]+at, nil, 0); err != nil || status != 204 {
		t.Errorf("DELETE: %d, %v", status, err)
	}
	if status, _, err := send(t.Context(), "HEAD", servers[0]+at, nil, 0); err != nil || status != 404 {
		t.Errorf("after DELETE: %d, %v", status, err)
	}
	swept(t, name, "some/prefix", 1)
}

func TestReplicas_QuotaHoldsForAllOfThemTogether(t *testing.T) {
	t.Parallel()
	name, _ := bucket(t, nil)
	const quota, size = 1 << 20, 300 << 10
	var servers []string
	for range 2 {
		store, err := filestore.Open("s3://"+name+"/some/prefix", filestore.Options{Store: storeOf(nil), Quota: quota})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		servers = append(servers, serves(t, store, nil))
	}
	data := random(size)
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		wg.Go(func() {
			length := int64(size)
			if i%2 == 1 {
				length = -1
			}
			statuses[i], _, _ = send(t.Context(), "PUT", fmt.Sprintf("%s/_upload/f%d", servers[i/2%2], i), bytes.NewReader(data), length)
		})
	}
	wg.Wait()
	// Servers that reserve at the same time can all be refused; one after the other cannot.
	stored := func() (n int) {
		for _, key := range objects(t, name) {
			if !strings.Contains(key, "/.weir-uploads/") {
				n++
			}
		}
		return n
	}
	if n := stored(); n > quota/size {
		t.Errorf("%d files of %d bytes; statuses %v", n, size, statuses)
	}
	for i := range 4 {
		status, _, _ := send(t.Context(), "PUT", fmt.Sprintf("%s/_upload/g%d", servers[i%2], i), bytes.NewReader(data), size)
		if status != 201 && status != 507 {
			t.Errorf("%d", status)
		}
	}
	if n := stored(); n != quota/size {
		t.Errorf("%d files of %d bytes, want %d", n, size, quota/size)
	}
	status, _, _ := send(t.Context(), "POST", servers[0]+"/_upload/", nil, 0, append([]string{"Upload-Length", fmt.Sprint(size)}, tusHead...)...)
	if status != 507 {
		t.Errorf("a resumable upload that does not fit: %d", status)
	}
	swept(t, name, "some/prefix", quota/size)
}

func TestReplicas_UploadsWaitForOneBudget(t *testing.T) {
	t.Parallel()
	name, _ := bucket(t, nil)
	budget := weir.NewBudget(17 << 20) // two parts
	store, err := filestore.Open("s3://"+name+"/some/prefix", filestore.Options{Store: storeOf(nil), Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	base := serves(t, store, nil)
	data := random(18 << 20)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			status, _, err := send(t.Context(), "PUT", fmt.Sprintf("%s/_upload/f%d", base, i), bytes.NewReader(data), int64(len(data)))
			if err != nil || status != 201 {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	wg.Wait()
	for i := range 6 {
		if got := stored(t, name, fmt.Sprintf("some/prefix/f%d", i)); !bytes.Equal(got, data) {
			t.Errorf("file %d: %d bytes", i, len(got))
		}
	}
	if budget.Peak() > budget.Total() || budget.Peak() == 0 || budget.Used() != 0 {
		t.Errorf("%d of %d bytes taken, %d left", budget.Peak(), budget.Total(), budget.Used())
	}
}

// pretender starts a server that accepts conditions and does not honour them.
func pretender(t *testing.T) s3.Store {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("files"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	return s3.Store{Endpoint: s.URL, AccessKeyID: "id", SecretAccessKey: "secret", Region: "us-east-1"}
}

func TestProbe_RefusesAStoreThatOnlyPretends(t *testing.T) {
	t.Parallel()
	s := pretender(t)
	store, err := filestore.Open("s3://files/prefix", filestore.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Probe(t.Context()); !errors.Is(err, filestore.ErrUnsafe) || !strings.Contains(err.Error(), "the failed check is") {
		t.Errorf("%v", err)
	}
	code, said := runs(t, s, "serve", "--store", "s3://files/prefix", "--uploads", ".", "--listen", "127.0.0.1:0")
	if code != 4 || !strings.Contains(said, "not safe for servers that share it; the failed check is: ") || !strings.Contains(said, "try: ") {
		t.Errorf("weir exited with %d: %s", code, said)
	}
}

func TestServe_RefusesFlagsThatContradictAStore(t *testing.T) {
	name, s := bucket(t, nil)
	url := "s3://" + name + "/x"
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, `invalid URL "files" for --store`, []string{"--store", "files"}},
		{2, "--store says what to serve", []string{"--store", url, "."}},
		{2, "--symlinks does not work", []string{"--store", url, "--symlinks"}},
		{2, "--sync does not work", []string{"--store", url, "--uploads", ".", "--sync"}},
		{2, "must be a folder of the store", []string{"--store", url, "--uploads", "../y"}},
		{2, "must be a folder of the store", []string{"--store", url, "--uploads", url}},
		{2, "--quota requires --uploads", []string{"--store", url, "--quota", "1MiB"}},
		{5, "--memory 16MiB is too small", []string{"--store", url, "--uploads", ".", "--memory", "16MiB"}},
		{4, "no such bucket", []string{"--store", "s3://no-such-bucket/x", "--uploads", "."}},
	} {
		code, said := runs(t, s, append([]string{"serve", "--listen", "127.0.0.1:0"}, c.args...)...)
		if code != c.code || !strings.Contains(said, c.says) || !strings.Contains(said, "try: ") {
			t.Errorf("weir serve %q exited with %d, want %d, and said %q, want %q", c.args, code, c.code, said, c.says)
		}
	}
}

func TestServe_UploadsIntoAFolderOfAStore(t *testing.T) {
	name, _ := bucket(t, nil)
	f := startFleet(t, 1, name, "--uploads", "in/box")
	status, head, err := send(t.Context(), "PUT", f.url+"/_upload/page.html", strings.NewReader("<p>"), 3)
	if err != nil || status != 201 || head.Get("Location") != "/in/box/page.html" {
		t.Errorf("PUT: %d, %v, %v", status, head, err)
	}
	status, head, err = send(t.Context(), "GET", f.url+"/in/box/page.html", nil, 0)
	if err != nil || status != 200 || head.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("GET: %d, %v, %v", status, head, err)
	}
	if got := stored(t, name, "files/in/box/page.html"); string(got) != "<p>" {
		t.Errorf("%q", got)
	}
}
