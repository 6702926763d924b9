package weirhttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

func FuzzListing_EntryIsWhatPackageJSONWrites(f *testing.F) {
	for _, name := range []string{"a", "a b", `"\`, "<&>", "\x7f", "\xff\xfe", "ü", "\u2028\u2029", "*", "a:b?c#d%", strings.Repeat("é", 127)} {
		f.Add(name, int64(1), int64(1_700_000_000), false)
		f.Add(name, int64(0), int64(0), true)
	}
	for _, at := range []int64{earliest, latest, -1, -62_135_596_800} { // the last one is the zero time
		f.Add("a", int64(math.MaxInt64), at, false)
	}
	f.Fuzz(func(t *testing.T, name string, size, modified int64, folder bool) {
		c := &listed{name: name, size: size, modified: min(max(modified, earliest), latest), folder: folder}
		want, err := json.Marshal(c.entry())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.appendJSON(nil); err != nil || string(got) != string(want) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
	})
}

// dirEntry is an entry of a folder.
type dirEntry struct {
	fs.FileInfo
	name string
	err  error // of Info
	look func()
}

func (n dirEntry) Name() string      { return n.name }
func (n dirEntry) Type() fs.FileMode { return 0 }
func (n dirEntry) IsDir() bool       { return false }
func (n dirEntry) Info() (fs.FileInfo, error) {
	if n.look != nil {
		n.look()
	}
	return n.FileInfo, n.err
}

// these are the entries of a folder, and the error behind them.
type these struct {
	list []fs.DirEntry
	err  error
}

func (x *these) Close() error { return nil }

func (x *these) Read(n int) (batch []fs.DirEntry, err error) {
	n = min(n, len(x.list))
	batch, x.list = x.list[:n], x.list[n:]
	if n == 0 && x.err != nil {
		return nil, x.err
	}
	if n == 0 {
		return nil, io.EOF
	}
	return batch, nil
}

// listThese lists entries in JSON.
func listThese(t *testing.T, query string, list []fs.DirEntry) (l Listing) {
	t.Helper()
	r := httptest.NewRequest("GET", "/?"+query, nil)
	s, err := selectionOf(r.URL.Query(), mostListed)
	if err != nil {
		t.Fatal(err)
	}
	x, err := begun(&lister{r: r, dir: &these{}, entries: &these{list: list}, name: "."}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	if err := x.read(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	out := bufio.NewWriter(&b)
	for _, err := range []error{x.writeTop(out), x.writeRest(out), out.Flush()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &l); err != nil {
		t.Fatalf("%v\n%.200s", err, b.String())
	}
	return l
}

func TestListing_FilesThatVanishOrCannotBeReadAreNotListed(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*listedBatch + 500
	var list []fs.DirEntry
	for i := range n {
		d := dirEntry{FileInfo: info, name: fmt.Sprintf("%04d", i)}
		switch i % 5 {
		case 0:
			d.err = fs.ErrNotExist
		case 1:
			d.err = fs.ErrPermission
		}
		list = append(list, d)
	}
	for _, query := range []string{"", "sort=size", "limit=5000"} {
		l := listThese(t, query, list)
		if len(l.Entries) != n*3/5 || l.Total != n*3/5 || l.LeftOut != n/5 {
			t.Errorf("%q: %d entries, %d in all, %d left out", query, len(l.Entries), l.Total, l.LeftOut)
		}
		for i, e := range l.Entries {
			if want := fmt.Sprintf("%04d", i/3*5+2+i%3); e.Name != want {
				t.Fatalf("%q: %s, want %s", query, e.Name, want)
			}
		}
	}
}

func TestListing_HelpersAreNoMoreThanProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Two files wait until both are looked at, which one goroutine cannot do.
	first, second := make(chan struct{}), make(chan struct{})
	var list []fs.DirEntry
	for i := range listedBatch {
		d := dirEntry{FileInfo: info, name: fmt.Sprintf("%04d", i), look: func() {
			if n := describing.Load(); n > 3 { // one of them is about to leave
				t.Errorf("%d goroutines help", n)
			}
		}}
		switch i {
		case 0:
			d.look = func() { close(first); <-second }
		case describedRun:
			d.look = func() { close(second); <-first }
		}
		list = append(list, d)
	}
	if l := listThese(t, "", list); len(l.Entries) != listedBatch {
		t.Errorf("%d entries", len(l.Entries))
	}
	if n := describing.Load(); n != 0 {
		t.Errorf("%d goroutines help nobody", n)
	}
}

// longStore is a store with one long folder.
type longStore struct {
	FileStore
	list func(yield func(StoredFile, error) bool)
}

func (s longStore) List(context.Context, string) iter.Seq2[StoredFile, error] { return s.list }

func (s longStore) Stat(context.Context, string) (StoredFile, error) {
	return StoredFile{}, fs.ErrNotExist
}

// files yields files up to a number.
func (s longStore) files(yield func(StoredFile, error) bool, n int) bool {
	for i := range n {
		if !yield(StoredFile{Name: fmt.Sprint(i), Size: 1}, nil) {
			return false
		}
	}
	return true
}

func TestListing_JSONOfALongFolderBeginsBeforeItIsRead(t *testing.T) {
	const n = listedFirst*listedBatch + 10
	came := make(chan struct{})
	store := longStore{}
	store.list = func(yield func(StoredFile, error) bool) {
		if store.files(yield, n) {
			<-came // the beginning of the answer
		}
	}
	b := weir.NewBudget(1 << 30)
	h := &FileServer{Store: store, List: true}
	s := guarded(t, &Guard{Budget: b}, h)
	resp, err := browser(t).Get(s.url("/?format=json"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	top := make([]byte, len(`{"path":"/","entries":[`))
	if _, err := io.ReadFull(resp.Body, top); err != nil || string(top) != `{"path":"/","entries":[` {
		t.Fatalf("%q, %v", top, err)
	}
	close(came)
	rest, err := io.ReadAll(resp.Body)
	var l Listing
	if err := errors.Join(err, json.Unmarshal(append(top, rest...), &l)); err != nil || len(l.Entries) != n || l.Total != n {
		t.Errorf("%d entries, %d in all, %v", len(l.Entries), l.Total, err)
	}
	eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
}

func TestListing_JSONThatFailsBreaksTheConnection(t *testing.T) {
	store := longStore{}
	store.list = func(yield func(StoredFile, error) bool) {
		if store.files(yield, 2*listedFirst*listedBatch) {
			yield(StoredFile{}, errors.New("disk on fire"))
		}
	}
	h := quiet(nil)
	h.Store, h.List = store, true
	for _, total := range []int64{1 << 30, listedFirst * listedCost} { // the second one has no memory to begin early
		b := weir.NewBudget(total)
		s := guarded(t, &Guard{Budget: b, Queue: -1}, h)
		resp, err := browser(t).Get(s.url("/?format=json"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		early := total == 1<<30
		if early && (resp.StatusCode != 200 || err == nil) || !early && resp.StatusCode != 503 {
			t.Errorf("budget %d: %s, %.80q, %v", total, resp.Status, text, err)
		}
		eventually(t, func() bool { return b.Used() == 0 }, "the budget was not given back")
	}
}

// The first pieces of the answers wait in the buffers of the sockets.
func TestListing_ClientsThatReadNothingHoldNoMemoryForNames(t *testing.T) {
	store := longStore{}
	store.list = func(yield func(StoredFile, error) bool) { store.files(yield, listedFirst*listedBatch+10) }
	b := weir.NewBudget(1 << 30)
	h := &FileServer{Store: store, List: true}
	var begun atomic.Int64
	s := guarded(t, &Guard{Budget: b}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		h.ServeHTTP(w, r)
	}))
	const requests = 3000
	for range 4 {
		c := s.dial(t, 4<<10)
		go io.WriteString(c, strings.Repeat("GET /?format=json&q=none HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	}
	var served int64
	eventually(t, func() bool { // they are, until the sockets are full
		before := served
		time.Sleep(100 * time.Millisecond)
		served = begun.Load()
		return served > 0 && served == before
	}, "the answers do not stop")
	if served >= 4*requests {
		t.Fatal("nothing waits for a client")
	}
	if used := b.Used(); used > listedCost {
		t.Errorf("%d bytes are held", used)
	}
}

// longFolder is a store in which every name leads to a long folder.
type longFolder struct{ longStore }

func (longFolder) Stat(_ context.Context, name string) (StoredFile, error) {
	return StoredFile{Name: name, Folder: true}, nil
}

func TestListing_JSONForAClientWithoutAWindowIsCutOff(t *testing.T) {
	store := longFolder{}
	store.list = func(yield func(StoredFile, error) bool) { store.files(yield, listedFirst*listedBatch+10) }
	ended := make(chan struct{})
	h := &FileServer{Store: store, List: true}
	s := guarded(t, &Guard{Stall: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		h.ServeHTTP(w, r)
	}), withTLS)
	c := browser(t)
	c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 10}
	// The beginning of the answer, with the path of the folder, is larger than the window.
	resp, err := c.Get(s.url("/" + strings.Repeat(strings.Repeat("x", 200)+"/", 10) + "?format=json"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it was not cut off")
	}
}

func TestListing_TimesThatJSONCannotExpressDoNotBreakIt(t *testing.T) {
	info := oldFile{}
	for _, at := range []time.Time{time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-3000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		info.at = at
		l := listThese(t, "", []fs.DirEntry{dirEntry{FileInfo: info, name: "a"}})
		if len(l.Entries) != 1 || l.Entries[0].Modified.Year() != min(max(at.Year(), 0), 9999) {
			t.Errorf("%v: %+v", at, l.Entries)
		}
	}
}

// oldFile is a regular file with any time.
type oldFile struct {
	fs.FileInfo
	at time.Time
}

func (o oldFile) ModTime() time.Time { return o.at }
func (oldFile) Mode() fs.FileMode    { return 0 }
func (oldFile) IsDir() bool          { return false }
func (oldFile) Size() int64          { return 1 }
