package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/tree"
)

// files writes files with the given contents below a new folder.
func files(t *testing.T, contents map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range contents {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents reads all files below a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	m := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		m[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func same(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for name, data := range want {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(data))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// sample has names that sort differently as keys than folder by folder.
func sample() map[string][]byte {
	m := map[string][]byte{
		"a":             random(10),
		"a-b":           random(20),
		"dir/x":         random(30),
		"dir-x":         random(40),
		"dir.x":         random(50),
		"dir/sub/deep":  random(60),
		"empty":         {},
		"ü/sp ace+%&#?": random(70),
		"z/big":         random(2*filePart + 3),
	}
	for i := range 1200 { // more than a page
		m[fmt.Sprintf("many/%04d", i)] = []byte(fmt.Sprint(i))
	}
	return m
}

func TestCopy_FolderAndBackLeavesOutWhatIsEqual(t *testing.T) {
	name, s := bucket(t, nil)
	want := sample()
	dir := files(t, want)
	up := func() *s3.Copy { return &s3.Copy{From: dir, To: "s3://" + name + "/p/", Store: s} }
	c := up()
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := c.Progress(); p.Files != int64(len(want)) || p.Equal != 0 || !p.Walked {
		t.Errorf("progress %+v", p)
	}
	for key, data := range want {
		if !bytes.Equal(stored(t, name, "p/"+key), data) {
			t.Errorf("the store has other bytes under %s", key)
		}
	}
	back := filepath.Join(t.TempDir(), "new", "back")
	down := func(to string) *s3.Copy { return &s3.Copy{From: "s3://" + name + "/p/", To: to, Store: s} }
	if err := down(back).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, back), want)

	all := int64(len(want))
	for _, c := range []struct {
		what string
		c    *s3.Copy
	}{
		{"up again", up()}, {"down again", down(back)}, {"down to where it came from", down(dir)}, {"down there again", down(dir)}, {"up after down", up()},
	} {
		if err := c.c.Run(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if p := c.c.Progress(); p.Equal != all {
			t.Errorf("%s: %d of %d are equal", c.what, p.Equal, all)
		}
	}

	// Changes of the same length are found on both sides.
	changed := random(60)
	slices.Reverse(changed)
	if err := os.WriteFile(filepath.Join(dir, "dir", "sub", "deep"), changed, 0o644); err != nil {
		t.Fatal(err)
	}
	c = up()
	if err := c.Run(t.Context()); err != nil || c.Progress().Equal != all-1 {
		t.Errorf("after a change: %d of %d are equal, %v", c.Progress().Equal, all, err)
	}
	want["dir/sub/deep"] = changed
	c = down(back)
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, back), want)
}

func TestCopy_ReadsALargeObjectAsRangesAndComparesItsChecksum(t *testing.T) {
	var mu sync.Mutex
	ranges := map[string]bool{}
	damage := false
	p := newProxy(t, func(kind string, _ int, r *http.Request) fault {
		mu.Lock()
		defer mu.Unlock()
		if kind == "get" {
			ranges[r.Header.Get("Range")] = true
			if damage {
				damage = false
				return corrupts
			}
		}
		return nil
	})
	name, s := bucket(t, p)
	data := random(4*4<<20 + 77)
	if err := put(t, s, name, "d/large", bytes.NewReader(data), endpoint.SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	// Where nobody has said how many, the speed of the first request decides.
	for _, c := range []struct{ workers, parallel, want int }{{0, 0, 0}, {0, 4, 5}, {2, 3, 5}, {1, 4, 1}, {0, 1, 1}} {
		clear(ranges)
		s.Parallel = c.parallel
		dir := t.TempDir()
		down := &s3.Copy{From: "s3://" + name + "/d/", To: dir, Store: s, Workers: c.workers}
		if err := down.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		same(t, contents(t, dir), map[string][]byte{"large": data})
		if c.want > 0 && len(ranges) != c.want {
			t.Errorf("%+v: ranges %q", c, slices.Sorted(maps.Keys(ranges)))
		}
		if held := down.Memory() > 12<<20; held != (c.want != 1) {
			t.Errorf("%+v: holds %d", c, down.Memory())
		}
	}
	for _, s.Parallel = range []int{0, 4} {
		mu.Lock()
		damage = true
		mu.Unlock()
		dir := t.TempDir()
		down := &s3.Copy{From: "s3://" + name + "/d/", To: dir, Store: s}
		if err := down.Run(t.Context()); !errors.Is(err, endpoint.ErrDigest) {
			t.Errorf("a byte was changed on the way: %v", err)
		}
		same(t, contents(t, dir), map[string][]byte{})
	}
}

func TestCopy_DeletesAndExcludesOnBothSides(t *testing.T) {
	name, s := bucket(t, nil)
	dir := files(t, map[string][]byte{"keep": random(10), "sub/keep": random(20), "sub/no.tmp": random(30)})
	url := "s3://" + name + "/p/"
	for key, n := range map[string]int{"p/extra": 1, "p/sub/extra": 2, "p/sub/other.tmp": 3, "pother": 4} {
		if err := put(t, s, name, key, bytes.NewReader(random(n)), endpoint.SinkOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	up := func() *s3.Copy {
		return &s3.Copy{From: dir, To: url, Store: s, Delete: true, Exclude: []string{"*.tmp"}}
	}
	plan, err := up().Plan(t.Context())
	if err != nil || plan.Files != 2 || plan.Bytes != 30 || !slices.Equal(plan.Delete, []string{"extra", "sub/extra"}) {
		t.Errorf("plan %+v, %v", plan, err)
	}
	absent(t, name, "p/keep")
	c := up()
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := c.Progress(); p.Deleted != 2 || p.Files != 2 {
		t.Errorf("progress %+v", p)
	}
	absent(t, name, "p/extra")
	absent(t, name, "p/sub/no.tmp")
	stored(t, name, "p/sub/other.tmp")
	stored(t, name, "pother")

	back := files(t, map[string][]byte{"old": random(5), "gone/deep/old": random(6), "mine.tmp": random(7)})
	down := &s3.Copy{From: url, To: back, Store: s, Delete: true, Exclude: []string{"*.tmp"}}
	if err := down.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, back), map[string][]byte{"keep": random(10), "sub/keep": random(20), "mine.tmp": random(7)})
	if _, err := os.Stat(filepath.Join(back, "gone")); err == nil {
		t.Error("a folder that is empty now is left")
	}
}

func TestCopy_OfAPrefixWithoutObjectsDeletesNothing(t *testing.T) {
	name, s := bucket(t, nil)
	dir := files(t, map[string][]byte{"precious": random(10)})
	err := (&s3.Copy{From: "s3://" + name + "/typo/", To: dir, Store: s, Delete: true}).Run(t.Context())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	same(t, contents(t, dir), map[string][]byte{"precious": random(10)})
	fresh := filepath.Join(t.TempDir(), "fresh")
	if err := (&s3.Copy{From: "s3://" + name + "/typo/", To: fresh, Store: s}).Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("the folder was made for nothing")
	}
}

func TestCopy_NoClobberReplacesNothing(t *testing.T) {
	name, s := bucket(t, nil)
	url := "s3://" + name + "/p/"
	if err := put(t, s, name, "p/there", bytes.NewReader(random(10)), endpoint.SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string][]byte{"there": random(11), "new": random(12)})
	var failures []error
	c := &s3.Copy{From: dir, To: url, Store: s, NoClobber: true, Failed: func(err error) { failures = append(failures, err) }}
	err := c.Run(t.Context())
	var incomplete *tree.IncompleteError
	if !errors.As(err, &incomplete) || len(failures) != 1 || !errors.Is(failures[0], fs.ErrExist) {
		t.Errorf("up: %v, %v", err, failures)
	}
	if !bytes.Equal(stored(t, name, "p/there"), random(10)) || !bytes.Equal(stored(t, name, "p/new"), random(12)) {
		t.Error("the store has other bytes")
	}
	failures = nil
	c = &s3.Copy{From: url, To: dir, Store: s, NoClobber: true, Failed: func(err error) { failures = append(failures, err) }}
	err = c.Run(t.Context())
	if !errors.As(err, &incomplete) || len(failures) != 1 || !errors.Is(failures[0], fs.ErrExist) {
		t.Errorf("down: %v, %v", err, failures)
	}
	same(t, contents(t, dir), map[string][]byte{"there": random(11), "new": random(12)})
}

func TestCopy_GetsThroughFaultsAndReportsTheRest(t *testing.T) {
	p := newProxy(t, func(kind string, n int, r *http.Request) fault {
		switch {
		case kind == "list" && n == 0:
			return answers(http.StatusServiceUnavailable, "SlowDown")
		case r.URL.Path[len(r.URL.Path)-1] == '7':
			return answers(http.StatusForbidden, "AccessDenied")
		case kind == "put" && n%5 == 1:
			return breaks(3)
		case kind == "get" && n%5 == 1:
			return truncates(5)
		case kind == "part" && n == 0:
			return breaks(100_000)
		}
		return nil
	})
	name, s := bucket(t, p)
	want := map[string][]byte{"big": random(filePart + 5)}
	for i := range 20 {
		want[fmt.Sprint("f", i)] = random(1000 + i)
	}
	dir := files(t, want)
	url := "s3://" + name + "/p/"
	var failures []error
	failed := func(err error) { failures = append(failures, err) }
	c := &s3.Copy{From: dir, To: url, Store: s, Failed: failed}
	var incomplete *tree.IncompleteError
	var we *tree.WriteError
	if err := c.Run(t.Context()); !errors.As(err, &incomplete) || incomplete.Failed != 2 || !errors.As(failures[0], &we) {
		t.Fatalf("up: %v, %v", err, failures)
	}
	delete(want, "f7")
	delete(want, "f17")
	for key, data := range want {
		if !bytes.Equal(stored(t, name, "p/"+key), data) {
			t.Errorf("the store has other bytes under %s", key)
		}
	}
	for _, key := range []string{"p/f7", "p/f17"} { // the gateway has them, and refuses to hand them out
		s.Endpoint = gateway.url
		if err := put(t, s, name, key, bytes.NewReader(random(3)), endpoint.SinkOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Endpoint = p.url
	}
	failures = nil
	back := t.TempDir()
	c = &s3.Copy{From: url, To: back, Store: s, Failed: failed}
	if err := c.Run(t.Context()); !errors.As(err, &incomplete) || incomplete.Failed != 2 || !errors.Is(failures[0], fs.ErrPermission) {
		t.Fatalf("down: %v, %v", err, failures)
	}
	same(t, contents(t, back), want)
}

func TestCopy_RemovesOldUploadsOfItsOwnAndNoOthers(t *testing.T) {
	name, s := bucket(t, nil)
	ctx := t.Context()
	core := client(t, s)
	old := time.Now().Add(-25 * time.Hour)
	begin := func(key string, size int, age time.Time) string {
		id, err := core.NewMultipartUpload(ctx, name, key, putOptions)
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if _, err := core.PutObjectPart(ctx, name, key, id, 1, bytes.NewReader(random(size)), int64(size), partOptions); err != nil {
				t.Fatal(err)
			}
		}
		// The gateway uses the times of its files as the times of the upload.
		err = filepath.WalkDir(filepath.Join(gateway.root, name, ".sgwtmp", "multipart"), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Base(path) == id || filepath.Base(filepath.Dir(path)) == id {
				return os.Chtimes(path, age, age)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	begin("p/ours", part, old)
	begin("p/x", 0, old) // killed before its first part
	foreign := begin("p/foreign", 6<<20, old)
	empty := begin("p/empty", 0, old)
	young := begin("p/young", part, time.Now())
	youngEmpty := begin("p/x", 0, time.Now())
	elsewhere := begin("q/ours", part, old)
	dir := files(t, map[string][]byte{"x": random(10)})
	if err := (&s3.Copy{From: dir, To: "s3://" + name + "/p/", Store: s}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := core.ListMultipartUploads(ctx, name, "", "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, u := range list.Uploads {
		left = append(left, u.UploadID)
	}
	slices.Sort(left)
	want := []string{foreign, empty, young, youngEmpty, elsewhere}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("uploads %q are left, want %q", left, want)
	}
}
