package weirhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-go/weir"
)

// mixed is a folder with files of many sizes and names.
func mixed(t *testing.T) (*os.Root, map[string]string) {
	t.Helper()
	files := map[string]string{
		"d/big": pattern(3 << 20), "d/edge": pattern(smallest), "d/over": pattern(smallest + 1), "d/empty": "", "d/block": pattern(512),
		"d/" + strings.Repeat("long", 40): "x", "d/é ü.txt": "latin", "d/deep/er/x": "deep", "d/last": pattern(100_000),
	}
	for i := range 100 {
		files[fmt.Sprintf("d/many/%03d", i)] = pattern(i * 37)
	}
	return tree(t, files), files
}

func archives(root *os.Root) *FileServer {
	h := quiet(root)
	h.Archive, h.List = true, true
	return h
}

// TestTarball_IsOneVersionInAllItsParts compares parts of a tar file with the whole.
func TestTarball_IsOneVersionInAllItsParts(t *testing.T) {
	for kind, serve := range sentOver {
		t.Run(kind, func(t *testing.T) {
			root, files := mixed(t)
			c, url := serve(t, archives(root))
			url += "/d/?archive=tar"
			get := func(method string, header ...string) (*http.Response, string) {
				t.Helper()
				resp, body := fetch(t, c, method, url, header...)
				return resp, received(t, resp, body)
			}
			resp, whole := get("GET")
			tag := resp.Header.Get("ETag")
			if resp.StatusCode != 200 || resp.ContentLength != int64(len(whole)) || tag == "" || resp.Header.Get("Accept-Ranges") != "bytes" {
				t.Fatalf("%s, %d bytes: %v", resp.Status, len(whole), resp.Header)
			}
			unpacked := untar([]byte(whole))
			for name, body := range files {
				if unpacked[name] != body {
					t.Errorf("%.40s: %d bytes of %d", name, len(unpacked[name]), len(body))
				}
			}
			if want := len(files) + 4; len(unpacked) != want { // with the folders
				t.Errorf("%d names, want %d", len(unpacked), want)
			}
			size := len(whole)
			rnd := rand.New(rand.NewPCG(3, 4))
			for i := range 60 {
				from := rnd.IntN(size)
				to := min(from+rnd.IntN([...]int{2, 600, 40_000, size}[i%4]), size-1)
				resp, got := get("GET", "Range", fmt.Sprintf("bytes=%d-%d", from, to), "If-Range", tag)
				if want := fmt.Sprintf("%d-%d/%d:%s", from, to, size, whole[from:to+1]); resp.StatusCode != 206 || got != want {
					t.Fatalf("%d to %d: %s, %d bytes", from, to, resp.Status, len(got))
				}
			}
			for _, r := range []struct {
				method string
				header []string
				status int
				want   string
			}{
				{"GET", []string{"Range", "bytes=-1024"}, 206, fmt.Sprintf("%d-%d/%d:%s", size-1024, size-1, size, make([]byte, 1024))},
				{"GET", []string{"Range", "bytes=0-9,1000-1999"}, 206, fmt.Sprintf("0-9/%d:%s 1000-1999/%d:%s", size, whole[:10], size, whole[1000:2000])},
				{"GET", []string{"Range", fmt.Sprintf("bytes=%d-", size)}, 416, fmt.Sprintf("*/%d:Requested Range Not Satisfiable\n", size)},
				{"GET", []string{"Range", "bytes=5-", "If-Range", `"other"`}, 200, whole},
				{"GET", []string{"If-None-Match", tag}, 304, ""},
				{"GET", []string{"If-Match", tag}, 200, whole},
				{"GET", []string{"If-Match", `"other"`}, 412, ""},
				{"HEAD", nil, 200, ""},
				{"HEAD", []string{"Range", "bytes=5-"}, 200, ""},
			} {
				resp, got := get(r.method, r.header...)
				if resp.StatusCode != r.status || got != r.want {
					t.Errorf("%s %q: %s, %d bytes, want %d, %d bytes", r.method, r.header, resp.Status, len(got), r.status, len(r.want))
				}
				if r.method == "HEAD" && (resp.ContentLength != int64(size) || resp.Header.Get("ETag") != tag) {
					t.Errorf("HEAD: %v", resp.Header)
				}
			}
		})
	}
}

// TestTarball_FileThatChangedBreaksTheConnection has files that change after the list was
// made, and before they are sent.
func TestTarball_FileThatChangedBreaksTheConnection(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		for what, change := range map[string]func(t *testing.T, path string){
			"shrinks": func(t *testing.T, path string) {
				if err := os.Truncate(path, int64(size-1)); err != nil {
					t.Fatal(err)
				}
			},
			"changes": rewrite,
			"grows":   lengthen,
			"goes": func(t *testing.T, path string) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(fmt.Sprint(what, size), func(t *testing.T) {
				root := tree(t, map[string]string{"d/a": "a", "d/x": pattern(size)})
				s := guarded(t, &Guard{Log: quiet(nil).Log}, archives(root))
				c := browser(t)
				first, whole := s.fetch(t, c, "GET", "/d/?archive=tar")
				change(t, filepath.Join(root.Name(), "d", "x"))
				req, _ := http.NewRequest("GET", s.url("/d/?archive=tar"), nil)
				req.Header.Set("Range", "bytes=1-")
				req.Header.Set("If-Range", first.Header.Get("ETag"))
				resp, err := c.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err == nil {
					t.Error("the client has the rest of a version that there is not")
				}
				// Now the server knows.
				again, body := s.fetch(t, c, "GET", "/d/?archive=tar", "Range", "bytes=1-", "If-Range", first.Header.Get("ETag"))
				if again.StatusCode != 200 || again.Header.Get("ETag") == first.Header.Get("ETag") || body == whole {
					t.Errorf("afterwards: %s", again.Status)
				}
			})
		}
	}
}

// TestTarball_ListIsKeptForThoseWhoResume adds a file to a folder of which a client has
// the beginning of a tar file.
func TestTarball_ListIsKeptForThoseWhoResume(t *testing.T) {
	root := tree(t, map[string]string{"d/a": pattern(1000)})
	s := guarded(t, new(Guard), archives(root))
	c := browser(t)
	first, whole := s.fetch(t, c, "GET", "/d/?archive=tar")
	if err := os.WriteFile(filepath.Join(root.Name(), "d", "b"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, header := range [][]string{{"Range", "bytes=700-", "If-Range", first.Header.Get("ETag")}, {"Range", "bytes=700-"}} {
		if resp, rest := s.fetch(t, c, "GET", "/d/?archive=tar", header...); resp.StatusCode != 206 || rest != whole[700:] {
			t.Errorf("%q: %s, %d bytes", header, resp.Status, len(rest))
		}
	}
	for _, method := range []string{"HEAD", "GET"} {
		resp, body := s.fetch(t, c, method, "/d/?archive=tar", "If-None-Match", first.Header.Get("ETag"))
		if resp.StatusCode != 200 || resp.Header.Get("ETag") == first.Header.Get("ETag") || method == "GET" && untar([]byte(body))["d/b"] != "new" {
			t.Errorf("%s: the old list is taken for the folder: %s", method, resp.Status)
		}
	}
	if resp, _ := s.fetch(t, c, "GET", "/d/?archive=tar", "Range", "bytes=700-", "If-Range", first.Header.Get("ETag")); resp.StatusCode != 200 {
		t.Errorf("the list that was replaced: %s", resp.Status)
	}
}

func TestTarball_ListIsMadeOnceForManyClients(t *testing.T) {
	h := archives(tree(t, map[string]string{"d/a": "a"}))
	rest := func(*tarball) bool { return true }
	var wg sync.WaitGroup
	lists := make([]*tarball, 20)
	for i := range lists {
		wg.Go(func() {
			list, err := h.tars.get(t.Context(), h.view(), nil, "d", "d", rest)
			if err != nil {
				t.Error(err)
			}
			lists[i] = list
		})
	}
	wg.Wait()
	for _, l := range lists {
		if l != lists[0] {
			t.Error("there are two lists")
		}
		h.tars.release(l)
	}
	if h.tars.drop(); lists[0].users != 0 || len(h.tars.folders) != 0 || h.tars.kept != 0 {
		t.Errorf("%d users, %d folders, %d bytes are left", lists[0].users, len(h.tars.folders), h.tars.kept)
	}
}

func TestTarball_OfAFolderThatIsTooLargeIsStreamed(t *testing.T) {
	files := map[string]string{"d/0": "0", "d/1": "1", "d/2": "2"}
	root := tree(t, files)
	for most, streamed := range map[int]bool{len(files): true, len(files) + 1: false} { // with the folder
		h := archives(root)
		h.tars.most = most
		b := weir.NewBudget(4 << 20)
		s := guarded(t, &Guard{Budget: b}, h)
		resp, body := s.fetch(t, browser(t), "GET", "/d/?archive=tar", "If-Range", `"none"`)
		if resp.StatusCode != 200 || (resp.ContentLength < 0) != streamed || (resp.Header.Get("ETag") == "") != streamed || len(untar([]byte(body))) != len(files)+1 {
			t.Errorf("at most %d entries: %s, length %d, %d names", most, resp.Status, resp.ContentLength, len(untar([]byte(body))))
		}
		h.tars.drop()
		eventually(t, func() bool { return b.Used() == 0 }, "memory was not given back")
	}
}

func TestTarball_IsNotMadeWithoutMemory(t *testing.T) {
	h := archives(tree(t, map[string]string{"d/a": "a", "d/b": "b"}))
	b := weir.NewBudget(packedStep + 100)
	g := &Guard{Budget: b}
	list, err := h.tars.get(t.Context(), h.view(), g, "d", "d", func(*tarball) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if b.Used() == 0 || b.Used() > 3*(packedCost+1) {
		t.Errorf("a list of three takes %d bytes", b.Used())
	}
	if err := b.Acquire(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tars.get(t.Context(), h.view(), g, "d", "d", func(*tarball) bool { return false }); !errors.Is(err, errLong) {
		t.Errorf("without memory: %v", err)
	}
	h.tars.release(list)
	if b.Used() != 200 {
		t.Errorf("%d bytes are held", b.Used())
	}
}

// TestTarball_KeptListsGiveWayToDownloads has a budget that is full of lists.
func TestTarball_KeptListsGiveWayToDownloads(t *testing.T) {
	h := archives(tree(t, map[string]string{"d/a": "a", "big": pattern(1 << 20)}))
	b := weir.NewBudget(1 << 20)
	g := &Guard{Budget: b, Queue: -1}
	s := guarded(t, g, h)
	s.fetch(t, browser(t), "GET", "/d/?archive=tar")
	eventually(t, func() bool { return g.Transfers.Totals().Active == 0 }, "the transfer did not end")
	if b.Used() == 0 {
		t.Fatal("the list is not kept")
	}
	if err := b.Acquire(t.Context(), b.Total()-b.Used()-parkedCost+1); err != nil {
		t.Fatal(err)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/big"); resp.StatusCode != 200 {
		t.Errorf("a download next to a list: %s", resp.Status)
	}
	h.tars.mu.Lock()
	defer h.tars.mu.Unlock()
	if len(h.tars.folders) != 0 {
		t.Error("the list is still kept")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.kept) != 0 {
		t.Error("the guard still asks for memory")
	}
}

func TestTarball_WaitsForItsClientWithoutNetHTTP(t *testing.T) {
	root, _ := mixed(t)
	s := guarded(t, new(Guard), archives(root))
	c := s.dial(t, 16<<10)
	br := bufio.NewReader(c)
	resp := ask(t, c, br, "/d/?archive=tar")
	eventually(t, func() bool {
		l := s.g.Transfers.List()
		return len(l) == 1 && l[0].State == StateClient && l[0].Size == resp.ContentLength
	}, "it does not wait for its client")
	got, err := io.ReadAll(resp.Body)
	if err != nil || int64(len(got)) != resp.ContentLength || untar(got) == nil {
		t.Errorf("%d bytes of %d, %v", len(got), resp.ContentLength, err)
	}
	ask(t, c, br, "/d/?archive=tar", "Range", "bytes=0-0") // the connection goes on
}

// TestTarball_ZipThatIsNotCompressedStatesItsSize makes a zip file of the list of a tar
// file.
func TestTarball_ZipThatIsNotCompressedStatesItsSize(t *testing.T) {
	root, files := mixed(t)
	h := archives(root)
	s := guarded(t, new(Guard), h)
	c := browser(t)
	resp, body := s.fetch(t, c, "GET", "/d/?archive=zip&method=store")
	if resp.StatusCode != 200 || resp.ContentLength != int64(len(body)) {
		t.Errorf("%s, %d bytes of %d", resp.Status, len(body), resp.ContentLength)
	}
	unpacked := unzip([]byte(body))
	for name, text := range files {
		if unpacked[name] != text {
			t.Errorf("%.40s: %d bytes of %d", name, len(unpacked[name]), len(text))
		}
	}
	if head, _ := s.fetch(t, c, "HEAD", "/d/?archive=zip&method=store"); head.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: %d bytes of %d", head.ContentLength, len(body))
	}
	h.tars.most = 5
	if resp, body := s.fetch(t, c, "GET", "/d/?archive=zip&method=store"); resp.ContentLength != -1 || len(unzip([]byte(body))) != len(unpacked) {
		t.Errorf("of a folder that is too large: %d bytes", resp.ContentLength)
	}
	for _, path := range []string{"/d/?archive=zip&method=best", "/d/?archive=tar&method=store"} {
		if resp, _ := s.fetch(t, c, "GET", path); resp.StatusCode != 400 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	path := filepath.Join(t.TempDir(), "d.zip")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "unzip", "-qt", path)
}

// TestTarball_ClientsResume interrupts downloads, and compares with one that was not.
func TestTarball_ClientsResume(t *testing.T) {
	root, files := mixed(t)
	s := guarded(t, new(Guard), archives(root))
	url := s.url("/d/?archive=tar")
	_, whole := s.fetch(t, browser(t), "GET", "/d/?archive=tar")
	for client, args := range map[string][]string{
		"curl":   {"-sSf", "-C", "-", "-o", "d.tar", url},
		"wget":   {"-q", "-c", "-O", "d.tar", url},
		"aria2c": {"-q", "-c", "-x4", "-k1M", "-o", "d.tar", url},
	} {
		t.Run(client, func(t *testing.T) {
			t.Chdir(t.TempDir())
			const have = 1_234_567
			if err := os.WriteFile("d.tar", []byte(whole[:have]), 0o644); err != nil {
				t.Fatal(err)
			}
			before := s.g.Transfers.Totals()
			succeed(t, client, args...)
			got, err := os.ReadFile("d.tar")
			if err != nil || string(got) != whole {
				t.Errorf("%d bytes of %d, %v", len(got), len(whole), err)
			}
			eventually(t, func() bool { return s.g.Transfers.Totals().Active == 0 }, "the transfer did not end")
			if sent := s.g.Transfers.Totals().BytesOut - before.BytesOut; sent >= int64(len(whole)) {
				t.Errorf("%d bytes were sent to resume %d", sent, len(whole)-have)
			}
			if list := succeed(t, "tar", "-tf", "d.tar"); strings.Count(list, "\n") != len(files)+4 {
				t.Errorf("tar lists\n%s", list)
			}
		})
	}
}
