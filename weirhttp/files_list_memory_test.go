package weirhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/archive"

	"github.com/weir-go/weir"
)

// crowded is a folder with n empty files.
func crowded(t *testing.T, n int) *FileServer {
	h := quiet(tree(t, map[string]string{"d/0": ""}))
	for i := 1; i < n; i++ {
		f, err := os.Create(filepath.Join(h.Root.Name(), "d", fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	h.List, h.Archive = true, true
	return h
}

func TestListing_LongListingTakesItsMemoryFromTheBudget(t *testing.T) {
	const n = 2*listedBatch + 10
	h := crowded(t, n)
	b := weir.NewBudget(2 * listedCost)
	s := guarded(t, &Guard{Budget: b, Queue: 20 * time.Millisecond}, h)
	resp, text := s.fetch(t, browser(t), "GET", "/d/?format=json")
	var list Listing
	if err := json.Unmarshal([]byte(text), &list); err != nil || resp.StatusCode != 200 || len(list.Entries) != n {
		t.Errorf("%s, %d names, %v", resp.Status, len(list.Entries), err)
	}
	if b.Peak() != b.Total() || b.Used() != 0 {
		t.Errorf("it took %d bytes and left %d", b.Peak(), b.Used())
	}
	if err := b.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	resp, text = s.fetch(t, browser(t), "GET", "/d/?format=json")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without memory: %s, %.80q", resp.Status, text)
	}
	if resp, _ := s.fetch(t, browser(t), "HEAD", "/d/?format=json"); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the header, which needs none: %s %v", resp.Status, resp.Header)
	}
	if used := b.Used(); used != 1 {
		t.Errorf("%d bytes are held", used)
	}
}

func TestArchive_OfACrowdedFolderIsWhole(t *testing.T) {
	const n = packedBatch + 2
	h := crowded(t, n)
	s := guarded(t, new(Guard), h)
	resp, body := s.fetch(t, browser(t), "GET", "/d/?archive=tar")
	if files := untar([]byte(body)); resp.StatusCode != 200 || len(files) != n+1 { // with the folder
		t.Errorf("%s, %d files", resp.Status, len(files))
	}
}

func TestArchive_ArchivesTakeTheirMemoryFromTheBudget(t *testing.T) {
	const n = archive.ZipBatch + 1
	h := crowded(t, n)
	b := weir.NewBudget(64 << 20)
	s := guarded(t, &Guard{Budget: b}, h)
	peak := map[string]int64{}
	for _, kind := range []string{"tar", "tar.gz", "tar.zst", "zip"} {
		before := b.Peak()
		if resp, _ := s.fetch(t, browser(t), "GET", "/d/?archive="+kind); resp.StatusCode != 200 {
			t.Errorf("%s: %s", kind, resp.Status)
		}
		peak[kind] = b.Peak()
		if b.Peak() < before || kind != "tar" && b.Peak() < archiveCost {
			t.Errorf("%s took %d bytes", kind, b.Peak())
		}
		if kind == "tar" { // its list is kept, and takes no more than it needs
			eventually(t, func() bool { // the transfer gives back its own after the client has all
				used := b.Used()
				return used >= n*packedCost && used <= n*(packedCost+16)
			}, fmt.Sprintf("the list to take %d to %d bytes", n*packedCost, n*(packedCost+16)))
			h.tars.drop()
		}
		eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
	}
	if peak["tar.zst"] > 4<<20 {
		t.Errorf("tar.zst took %d bytes", peak["tar.zst"])
	}
	if peak["zip"] < archiveCost+archive.ZipMemory {
		t.Errorf("zip of %d files took %d bytes", archive.ZipBatch+1, peak["zip"])
	}
	small := weir.NewBudget(archiveCost / 2)
	s = guarded(t, &Guard{Budget: small, Queue: -1}, h)
	if resp, _ := s.fetch(t, browser(t), "GET", "/d/?archive=tar.gz"); resp.StatusCode != 503 {
		t.Errorf("a budget that can never do: %s", resp.Status)
	}
}

func TestListing_ErrorDoesNotDescribeTheAnswerThatThereIsNot(t *testing.T) {
	h := quiet(tree(t, map[string]string{"a": "a"}))
	s := guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Content-Disposition", "attachment")
		h.ServeHTTP(w, r)
	}))
	resp, _ := s.fetch(t, browser(t), "GET", "/none")
	if resp.StatusCode != 404 || strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Content-Disposition") != "" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	resp, _ = s.fetch(t, browser(t), "GET", "/a")
	if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}
