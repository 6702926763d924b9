package filestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/storetest"
	"github.com/weir-go/weir/weirhttp"
)

var ctx = context.Background()

func TestStore_KeepsThePromisesWithPartsOfAnySize(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][2]int64{{8 << 20, 5 << 20}, {4, 2}, {3, 3}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) func() storetest.Store {
				f := newFake(t)
				return func() storetest.Store { return f.open(t, sizes[0], sizes[1]) }
			})
		})
	}
}

// newUpload creates an upload and returns its id.
func newUpload(t *testing.T, s *Store, size int64) string {
	t.Helper()
	id := fmt.Sprintf("upload%020d", rand.N(int64(1e18)))
	if err := s.Create(ctx, id, weirhttp.UploadState{Epoch: 1, Size: size, Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	return id
}

// takeOver swaps in the next epoch, with f's changes, and opens the content.
func takeOver(t *testing.T, s *Store, id string, f func(*weirhttp.UploadState)) weirhttp.UploadContent {
	t.Helper()
	u, version, err := s.Read(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	u.Epoch++
	if f != nil {
		f(&u)
	}
	if err := s.Swap(ctx, id, version, u); err != nil {
		t.Fatal(err)
	}
	c, err := s.Append(ctx, id, u.Epoch, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nowPlacing(u *weirhttp.UploadState) { u.Placing, u.Size = true, u.Offset }

func (f *fake) object(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.objects[key].data)
}

func TestContent_IsExactOverManyEpochsOfAnyLength(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			f := newFake(t)
			part := 2 + r.Int64N(8)
			stores := []*Store{f.open(t, part, 1+r.Int64N(part)), f.open(t, part, 2)}
			stores[0].watch, stores[1].watch = time.Hour, time.Hour
			stores[0].short = r.IntN(100) // from then on, what does not fill a part is a tail
			id := newUpload(t, stores[0], -1)
			var want []byte
			sizes := 0
			for n := range 40 {
				c := takeOver(t, stores[r.IntN(2)], id, nil)
				if c.Size() != int64(len(want)) {
					t.Fatalf("%d bytes, want %d", c.Size(), len(want))
				}
				for range r.IntN(4) {
					p := make([]byte, r.IntN(20))
					for i := range p {
						p[i] = byte(r.Uint32())
					}
					if _, err := c.Write(p); err != nil {
						t.Fatal(err)
					}
					saved := c.(*content).saved
					switch r.IntN(4) {
					case 0: // a refused part
						keep := max(saved, int64(len(want)))
						keep += r.Int64N(c.Size() - keep + 1)
						want = append(want, p...)[:keep]
						if err := c.Cut(keep); err != nil {
							t.Fatal(err)
						}
						continue
					case 1:
						if err := c.Checkpoint(); err != nil {
							t.Fatal(err)
						}
					}
					want = append(want, p...)
				}
				if r.IntN(10) == 0 { // the process dies
					n := c.(*content).saved
					want = want[:n]
				} else if err := c.Flush(); err != nil {
					t.Fatal(err)
				}
				if n%15 == 0 {
					if got, err := io.ReadAll(c.Reader()); err != nil || !bytes.HasPrefix(got, want) {
						t.Fatalf("%x, %v, want %x", got, err, want)
					}
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				sizes = max(sizes, len(f.object(stores[0].stateKey(id))))
			}
			if sizes > 6<<10 {
				t.Errorf("the state has taken %d bytes", sizes)
			}
			c := takeOver(t, stores[1], id, nowPlacing)
			if name, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err != nil || name != "file" {
				t.Fatal(name, err)
			}
			u, version, err := stores[0].Read(ctx, id)
			if err != nil || !u.Done {
				t.Fatal(u, err)
			}
			if err := stores[1].Swap(ctx, id, version, u); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if got := f.object("pre/fix/file"); got != string(want) {
				t.Errorf("%x, want %x", got, want)
			}
			if list := f.keys(true); len(list) != 1 {
				t.Errorf("left besides the state: %v", list)
			}
		})
	}
}

func TestContent_ManyPartsDoNotMakeTheStateLonger(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 4, 1)
	id := newUpload(t, s, -1)
	var want strings.Builder
	for i := range 150 {
		c := takeOver(t, s, id, nil)
		text := fmt.Sprintf("%03d", i) // a short part in each epoch
		want.WriteString(text)
		io.WriteString(c, text)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var r record
	if err := json.Unmarshal([]byte(f.object(s.stateKey(id))), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) > mostRuns || r.Index == "" || r.Before.Parts < 100 {
		t.Errorf("%d runs, index %q, %+v", len(r.Runs), r.Index, r.Before)
	}
	c := takeOver(t, s, id, nowPlacing)
	defer c.Close()
	if got, err := io.ReadAll(c.Reader()); err != nil || string(got) != want.String() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err != nil {
		t.Fatal(err)
	}
	if got := f.object("pre/fix/file"); got != want.String() {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
}

// nearlyPlaced returns an upload with this content that is about to get its name.
func nearlyPlaced(t *testing.T, s *Store, id, content string) weirhttp.UploadContent {
	t.Helper()
	c := takeOver(t, s, id, nil)
	io.WriteString(c, content)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	return takeOver(t, s, id, nowPlacing)
}

// beforeComplete calls do before the store completes the first multipart upload from now on.
func (f *fake) beforeComplete(do func()) {
	var once bool
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = func(r *http.Request) bool {
		if once || r.Method != "POST" || !r.URL.Query().Has("uploadId") {
			return false
		}
		once = true
		f.mu.Unlock()
		defer f.mu.Lock()
		do()
		return false
	}
}

func TestFinish_AnOlderRequestCannotCreateTheFileAsWell(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	a, b := f.open(t, 4, 2), f.open(t, 4, 2)
	id := newUpload(t, a, 10)
	older := nearlyPlaced(t, a, id, "0123456789")
	defer older.Close()

	// The older request is interrupted just before it completes its upload: a newer one
	// takes over, finds the name taken, and stores the file under the next one.
	var newer weirhttp.UploadContent
	f.beforeComplete(func() {
		f.mu.Lock()
		f.store("pre/fix/file", []byte("other"), "")
		f.mu.Unlock()
		newer = takeOver(t, b, id, nowPlacing)
		if name, _, err := newer.Finish(weirhttp.UploadTarget{Name: "file"}); err != nil || name != "file (2)" {
			t.Errorf("the newer request: %q, %v", name, err)
		}
		f.mu.Lock()
		delete(f.objects, "pre/fix/file") // the name is free again
		f.mu.Unlock()
	})
	if name, _, err := older.Finish(weirhttp.UploadTarget{Name: "file"}); !errors.Is(err, weirhttp.ErrUploadChanged) {
		t.Errorf("the older request: %q, %v", name, err)
	}
	newer.Close()
	if list := f.keys(false); len(list) != 1 || list[0] != "pre/fix/file (2)" || f.object(list[0]) != "0123456789" {
		t.Errorf("%v", list)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.uploads) > 0 {
		t.Errorf("%d multipart uploads are left", len(f.uploads))
	}
}

func TestFinish_StoresTheWholeFileWhateverTheProcessRemembers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"01234567", "0"} { // parts, and only a tail
		f := newFake(t)
		s := f.open(t, 4, 2)
		id := newUpload(t, s, int64(len(text)))
		c := takeOver(t, s, id, nil)
		older := s.remembered(id)
		io.WriteString(c, text)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		s.know(id, older)
		if _, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err != nil {
			t.Fatal(err)
		}
		if got := f.object("pre/fix/file"); got != text {
			t.Errorf("%q, want %q", got, text)
		}
		c.Close()
	}
}

func TestFinish_StoresNoFileThatLacksBytes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"01234567", "0"} {
		f := newFake(t)
		c, err := f.open(t, 4, 2).Receive(ctx, -1)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		c.(*content).size++
		if name, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err == nil {
			t.Errorf("%s was stored", name)
		}
		c.Close()
		if list := f.keys(false); len(list) > 0 {
			t.Errorf("stored: %v", list)
		}
	}
}

func TestFinish_CopiesAPartAgainIfTheStoreFailsBehind200(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 4, 2)
	c, err := s.Receive(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "0123456789")
	failed := 0
	f.mu.Lock()
	f.hide = func(r *http.Request) bool {
		if r.Header.Get("X-Amz-Copy-Source") == "" || failed > 0 {
			return false
		}
		failed++
		return true
	}
	f.mu.Unlock()
	if _, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err != nil {
		t.Error(err)
	}
	if got := f.object("pre/fix/file"); got != "0123456789" || failed != 1 {
		t.Errorf("%q after %d failures", got, failed)
	}
}

func TestFlush_DoesNotGuessWhetherTheStateWasSaved(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"01234567", "0"} {
		f := newFake(t)
		s := f.open(t, 4, 2)
		id := newUpload(t, s, -1)
		c := takeOver(t, s, id, nil)
		io.WriteString(c, text)
		lost := false
		f.mu.Lock()
		state := "/bucket/" + s.stateKey(id)
		f.lose = func(r *http.Request) bool {
			now := r.Method == "PUT" && r.URL.Path == state && !lost
			lost = lost || now
			return now
		}
		f.deny = func(r *http.Request) bool { return r.Method == "GET" && r.URL.Path == state }
		f.mu.Unlock()
		if err := c.Flush(); err == nil || errors.Is(err, weirhttp.ErrUploadChanged) {
			t.Errorf("%q: %v", text, err)
		}
		f.mu.Lock()
		f.deny = nil
		f.mu.Unlock()
		c.Close()
		c = takeOver(t, s, id, nil)
		if got, err := io.ReadAll(c.Reader()); err != nil || string(got) != text || c.Size() != int64(len(text)) {
			t.Errorf("%q of %d bytes, %v; want %q", got, c.Size(), err, text)
		}
		c.Close()
	}
}

func TestContent_ReservesLittleOftenOnlyNearTheQuota(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 1<<20, 1<<19)
	s.quota = 1_000_000
	c, err := s.Receive(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 900 {
		if _, err := c.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	f.mu.Lock()
	n := f.requests["PUT"]
	f.mu.Unlock()
	if n > 40 {
		t.Errorf("%d reservations", n)
	}
	if _, err := c.Write(make([]byte, 100<<10)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beyond the quota: %v", err)
	}
}

func TestStore_AListingThatIsCancelledIsNotComplete(t *testing.T) {
	t.Parallel()
	s := newFake(t).open(t, 4, 2)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var last error
	for _, err := range s.b.list(gone, "", true) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("list: %v", last)
	}
	if _, err := s.b.hasAny(gone, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("hasAny: %v", err)
	}
}

func TestRemove_WaitsForNoRequestThatIsAboutToCreateTheFile(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	a, b := f.open(t, 4, 2), f.open(t, 4, 2)
	id := newUpload(t, a, 10)
	c := nearlyPlaced(t, a, id, "0123456789")
	defer c.Close()
	f.beforeComplete(func() {
		_, version, err := b.Read(ctx, id)
		if err == nil {
			err = b.Remove(ctx, id, version)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if name, _, err := c.Finish(weirhttp.UploadTarget{Name: "file"}); err == nil {
		t.Errorf("%s was created after its upload was removed", name)
	}
	if list := append(f.keys(false), f.keys(true)...); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
}

func TestContent_WaitsForMemoryUntilItsRequestEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 1<<20, 1<<19)
	s.budget = weir.NewBudget(1 << 20)
	first, err := s.Receive(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(first, "x")
	gone, cancel := context.WithCancel(ctx)
	second, err := s.Receive(gone, -1)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := io.WriteString(second, "y")
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	second.Close()
	first.Close()
	if s.budget.Used() != 0 {
		t.Errorf("%d bytes are still taken", s.budget.Used())
	}
}

func TestReceive_FilesOfAFormDoNotWaitForEachOthersMemory(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 8, 4)
	s.budget = weir.NewBudget(8)
	list := make([]weirhttp.UploadContent, 12)
	text := func(i int) string { return strings.Repeat(string(rune('a'+i)), i) } // less and more than a part
	for i := range list {
		c, err := s.Receive(ctx, -1)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text(i))
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		list[i] = c
	}
	for i, c := range list {
		name := fmt.Sprint("file", i)
		if got, _, err := c.Finish(weirhttp.UploadTarget{Name: name}); err != nil || got != name {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if got := f.object("pre/fix/" + name); got != text(i) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, c := range list {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if list := f.keys(true); len(list) > 0 || s.budget.Used() != 0 {
		t.Errorf("left: %v, %d bytes", list, s.budget.Used())
	}
}

func TestProbe_SaysWhichCheckHasFailed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.ignore = true
	s := f.open(t, 8<<20, 5<<20)
	err := s.Probe(ctx)
	if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "exactly one succeeds (8 succeeded)") {
		t.Errorf("%v", err)
	}
	if list := f.keys(true); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
	f.mu.Lock()
	f.ignore = false
	f.mu.Unlock()
	if err := s.Probe(ctx); err != nil {
		t.Error(err)
	}
	if list := f.keys(true); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
}

func TestSweep_RemovesWhatKilledProcessesLeft(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.open(t, 4, 2)
	s.quota = 1 << 20
	c, err := s.Receive(ctx, 100) // a request that dies with its process
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "0123456789")
	if err := c.(*content).settle(); err != nil {
		t.Fatal(err)
	}
	id := newUpload(t, s, 7)
	if len(f.keys(true)) < 4 {
		t.Fatal(f.keys(true))
	}
	claim := func(string) (func(), bool) { return func() {}, true }
	if err := s.Sweep(ctx, time.Now().Add(-time.Hour), claim); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(ctx, id); err != nil {
		t.Error(err)
	}
	if err := s.Sweep(ctx, time.Now().Add(time.Hour), claim); err != nil {
		t.Fatal(err)
	}
	if list := f.keys(true); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
	c.Close()
}
