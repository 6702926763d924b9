// Package storetest checks the duties of every store for uploads.
package storetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir/weirhttp"
)

// Store is a store as the tests need it: files can be read back.
type Store interface {
	weirhttp.FileStore
	weirhttp.UploadStore
}

// Run runs the tests. setup makes an empty store and returns a function that opens it once
// more, as another process would.
func Run(t *testing.T, setup func(t *testing.T) (open func() Store)) {
	for _, c := range []struct {
		name string
		f    func(t *testing.T, open func() Store)
	}{
		{"create", testCreate}, {"swap", testSwap}, {"append", testAppend}, {"take over", testTakeOver},
		{"lost", testLost}, {"finish", testFinish}, {"finish twice", testFinishTwice}, {"names", testNames},
		{"receive", testReceive}, {"withdraw", testWithdraw}, {"remove", testRemove}, {"sweep", testSweep}, {"files", testFiles},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, setup(t)) })
	}
}

var ctx = context.Background()

func none() {}

func newID() string {
	b := make([]byte, 26)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz234567"[rand.N(32)]
	}
	return string(b)
}

func create(t *testing.T, s Store) string {
	t.Helper()
	id := newID()
	if err := s.Create(ctx, id, weirhttp.UploadState{Epoch: 1, Size: -1, Data: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	return id
}

// next swaps in the next epoch and returns it.
func next(t *testing.T, s Store, id string) int64 {
	t.Helper()
	return change(t, s, id, func(u *weirhttp.UploadState) { u.Epoch++ }).Epoch
}

func change(t *testing.T, s Store, id string, f func(*weirhttp.UploadState)) weirhttp.UploadState {
	t.Helper()
	u, version, err := s.Read(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	f(&u)
	if err := s.Swap(ctx, id, version, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func open1(t *testing.T, s Store, id string, epoch int64) weirhttp.UploadContent {
	t.Helper()
	c, err := s.Append(ctx, id, epoch, none)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c weirhttp.UploadContent, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, c weirhttp.UploadContent) {
	t.Helper()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, c weirhttp.UploadContent) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func content(t *testing.T, c weirhttp.UploadContent, want string) {
	t.Helper()
	if all, err := io.ReadAll(c.Reader()); err != nil || string(all) != want {
		t.Errorf("%q, %v; want %q", all, err, want)
	}
}

func file(t *testing.T, s Store, name, want string) {
	t.Helper()
	f, err := s.Stat(ctx, name)
	if err != nil {
		t.Error(err)
		return
	}
	body, err := s.Open(ctx, f, 0, f.Size)
	if err != nil {
		t.Error(err)
		return
	}
	defer body.Close()
	if all, err := io.ReadAll(body); err != nil || string(all) != want || f.Folder || f.Version == "" || f.Name != name {
		t.Errorf("%s: %q, %v, %+v; want %q", name, all, err, f, want)
	}
}

func testCreate(t *testing.T, open func() Store) {
	a, b := open(), open()
	if _, _, err := a.Read(ctx, newID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an upload that does not exist: %v", err)
	}
	id := create(t, a)
	if err := b.Create(ctx, id, weirhttp.UploadState{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an id that is taken: %v", err)
	}
	u, version, err := b.Read(ctx, id)
	if err != nil || version == "" || u.Epoch != 1 || string(u.Data) != `{"a":1}` || u.Size != -1 || u.Offset != 0 || u.Placing || u.Done {
		t.Errorf("%+v, %q, %v", u, version, err)
	}
}

func testSwap(t *testing.T, open func() Store) {
	stores := []Store{open(), open()}
	id := create(t, stores[0])
	u, version, err := stores[0].Read(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			mine := u
			mine.Size = int64(i)
			switch err := stores[i%2].Swap(ctx, id, version, mine); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, weirhttp.ErrUploadChanged):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 16 swaps won", won.Load())
	}
	// The same state again does not bring back an old version.
	change(t, stores[1], id, func(now *weirhttp.UploadState) { *now = u })
	if err := stores[0].Swap(ctx, id, version, u); !errors.Is(err, weirhttp.ErrUploadChanged) {
		t.Errorf("a version from before: %v", err)
	}
	if err := stores[0].Swap(ctx, newID(), version, u); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an upload that does not exist: %v", err)
	}
}

func testAppend(t *testing.T, open func() Store) {
	a := open()
	id := create(t, a)
	c := open1(t, a, id, 1)
	write(t, c, "0123456789")
	if err := c.Cut(7); err != nil || c.Size() != 7 {
		t.Errorf("%d bytes, %v", c.Size(), err)
	}
	write(t, c, "abc")
	content(t, c, "0123456abc")
	if err := c.Checkpoint(); err != nil {
		t.Error(err)
	}
	flush(t, c)
	if u, _, err := open().Read(ctx, id); err != nil || u.Offset != 10 {
		t.Errorf("after Flush: %+v, %v", u, err)
	}
	write(t, c, "def")
	flush(t, c)
	closed(t, c)
	if u, _, err := open().Read(ctx, id); err != nil || u.Offset != 13 {
		t.Errorf("after Close: %+v, %v", u, err)
	}
	next(t, a, id)
	if _, err := a.Append(ctx, id, 1, none); !errors.Is(err, weirhttp.ErrUploadChanged) {
		t.Errorf("an epoch that is over: %v", err)
	}
	c = open1(t, a, id, 2)
	write(t, c, "!")
	content(t, c, "0123456abcdef!")
	closed(t, c)
}

func testTakeOver(t *testing.T, open func() Store) {
	a, b := open(), open()
	id := create(t, a)
	older := open1(t, a, id, 1)
	write(t, older, "older")
	flush(t, older)
	newer := open1(t, b, id, next(t, b, id))
	write(t, newer, "+newer")
	flush(t, newer)
	_, werr := io.WriteString(older, "zombie")
	if ferr := older.Flush(); werr == nil && !errors.Is(ferr, weirhttp.ErrUploadChanged) {
		t.Errorf("the older request has saved: %v", ferr)
	}
	if _, _, err := older.Finish(weirhttp.UploadTarget{Name: "zombie"}); err == nil {
		t.Error("the older request has finished")
	}
	closed(t, older)
	content(t, newer, "older+newer")
	closed(t, newer)
	if u, _, err := a.Read(ctx, id); err != nil || u.Offset != 11 {
		t.Errorf("%+v, %v", u, err)
	}
}

func testLost(t *testing.T, open func() Store) {
	a, b := open(), open()
	id := create(t, a)
	lost := make(chan struct{})
	c, err := a.Append(ctx, id, 1, func() { close(lost) })
	if err != nil {
		t.Fatal(err)
	}
	next(t, b, id)
	<-lost
	closed(t, c)
}

// place says that the upload is complete, and finishes it.
func place(t *testing.T, s Store, id string, c weirhttp.UploadContent, name string) (string, bool, error) {
	t.Helper()
	change(t, s, id, func(u *weirhttp.UploadState) { u.Placing, u.Size = true, c.Size() })
	return c.Finish(weirhttp.UploadTarget{Name: name})
}

func testFinish(t *testing.T, open func() Store) {
	a, b := open(), open()
	id := create(t, a)
	c := open1(t, a, id, 1)
	write(t, c, "whole")
	flush(t, c)
	if name, replaced, err := place(t, a, id, c, "folder/a"); err != nil || replaced || name != "folder/a" {
		t.Errorf("%s, %v, %v", name, replaced, err)
	}
	// The process stops here, and another one finds the upload.
	if u, _, err := b.Read(ctx, id); err != nil || !u.Done || u.Placing || u.Offset != 5 {
		t.Errorf("%+v, %v", u, err)
	}
	closed(t, c)
	file(t, b, "folder/a", "whole")
}

func testFinishTwice(t *testing.T, open func() Store) {
	a, b := open(), open()
	id := create(t, a)
	c := open1(t, a, id, 1)
	write(t, c, "whole")
	flush(t, c)
	if name, _, err := place(t, a, id, c, "a"); err != nil || name != "a" {
		t.Fatal(name, err)
	}
	// Another request has read the state before, and has not seen that it is done.
	again := open1(t, b, id, next2(t, b, id))
	if name, _, err := again.Finish(weirhttp.UploadTarget{Name: "a"}); err != nil || name != "a" {
		t.Errorf("%s, %v", name, err)
	}
	closed(t, c)
	closed(t, again)
	if _, err := a.Stat(ctx, "a (2)"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was stored twice: %v", err)
	}
	file(t, a, "a", "whole")
}

// next2 is next for an upload that is still being placed although Read says it is done.
func next2(t *testing.T, s Store, id string) int64 {
	t.Helper()
	return change(t, s, id, func(u *weirhttp.UploadState) { u.Epoch++; u.Placing, u.Done = true, false }).Epoch
}

func testNames(t *testing.T, open func() Store) {
	stores := []Store{open(), open()}
	names := make([]string, 4)
	var wg sync.WaitGroup
	for i := range names {
		c, err := stores[i%2].Receive(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, string(rune('a'+i)))
		wg.Go(func() {
			var err error
			if names[i], _, err = c.Finish(weirhttp.UploadTarget{Name: "one.txt"}); err != nil {
				t.Error(err)
			}
			closed(t, c)
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, name := range names {
		if seen[name] || !strings.HasPrefix(name, "one") {
			t.Errorf("the names are %q", names)
		}
		seen[name] = true
		file(t, stores[0], name, string(rune('a'+i)))
	}
}

func testReceive(t *testing.T, open func() Store) {
	a := open()
	for _, size := range []int64{4, -1} {
		c, err := a.Receive(ctx, size)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "lost")
		closed(t, c)
	}
	c, err := a.Receive(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	if name, _, err := c.Finish(weirhttp.UploadTarget{Name: "empty"}); err != nil || name != "empty" {
		t.Errorf("%s, %v", name, err)
	}
	closed(t, c)
	file2 := 0
	for f, err := range a.List(ctx, ".") {
		if err != nil || f.Name != "empty" || f.Size != 0 {
			t.Errorf("%+v, %v", f, err)
		}
		file2++
	}
	if file2 != 1 {
		t.Errorf("%d files", file2)
	}
}

func testWithdraw(t *testing.T, open func() Store) {
	a := open()
	c, err := a.Receive(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "x")
	name, _, err := c.Finish(weirhttp.UploadTarget{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Withdraw(); err != nil {
		t.Error(err)
	}
	closed(t, c)
	if _, err := a.Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func testRemove(t *testing.T, open func() Store) {
	a, b := open(), open()
	id := create(t, a)
	_, version, err := a.Read(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	c := open1(t, b, id, next(t, b, id))
	write(t, c, "some")
	flush(t, c)
	if err := a.Remove(ctx, id, version); !errors.Is(err, weirhttp.ErrUploadChanged) {
		t.Errorf("a version from before: %v", err)
	}
	_, version, _ = a.Read(ctx, id)
	if err := a.Remove(ctx, id, version); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Read(ctx, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed upload: %v", err)
	}
	_, werr := io.WriteString(c, "more")
	if ferr := c.Flush(); werr == nil && ferr == nil {
		t.Error("a removed upload has saved more")
	}
	closed(t, c)
	if _, _, err := b.Read(ctx, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the removed upload is back: %v", err)
	}
}

func testSweep(t *testing.T, open func() Store) {
	a, b := open(), open()
	old, busy := create(t, a), create(t, b)
	complete := create(t, b)
	c := open1(t, b, complete, 1)
	write(t, c, "whole")
	flush(t, c)
	if _, _, err := place(t, b, complete, c, "whole"); err != nil {
		t.Fatal(err)
	}
	closed(t, c)
	claim := func(id string) (func(), bool) { return none, id != busy }
	if err := a.Sweep(ctx, time.Now().Add(-time.Hour), claim); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Read(ctx, old); err != nil {
		t.Errorf("an upload that is not old: %v", err)
	}
	if err := a.Sweep(ctx, time.Now().Add(time.Hour), claim); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{old, complete} {
		if _, _, err := a.Read(ctx, id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an old upload: %v", err)
		}
	}
	if _, _, err := a.Read(ctx, busy); err != nil {
		t.Errorf("an upload in use: %v", err)
	}
	file(t, a, "whole", "whole")
}

func testFiles(t *testing.T, open func() Store) {
	a := open()
	want := map[string]bool{"a.txt": false, "sub": true, "sub-b": false}
	for _, name := range []string{"a.txt", "sub/one", "sub/two", "sub-b"} {
		c, err := a.Receive(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "0123456789")
		if _, _, err := c.Finish(weirhttp.UploadTarget{Name: name}); err != nil {
			t.Fatal(err)
		}
		closed(t, c)
	}
	for f, err := range a.List(ctx, ".") {
		if err != nil {
			t.Fatal(err)
		}
		folder, ok := want[f.Name]
		if !ok || folder != f.Folder || !folder && f.Size != 10 {
			t.Errorf("unexpected %+v", f)
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	n := 0
	for f, err := range a.List(ctx, "sub") {
		if err != nil || !strings.HasPrefix(f.Name, "sub/") {
			t.Errorf("%+v, %v", f, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d files in the folder", n)
	}
	if f, err := a.Stat(ctx, "sub"); err != nil || !f.Folder {
		t.Errorf("%+v, %v", f, err)
	}
	f, err := a.Stat(ctx, "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	body, err := a.Open(ctx, f, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	if part, err := io.ReadAll(body); err != nil || string(part) != "3456" {
		t.Errorf("%q, %v", part, err)
	}
	body.Close()
	f.Version = "another"
	body, err = a.Open(ctx, f, 0, 10)
	if err == nil {
		_, err = io.ReadAll(body)
		body.Close()
	}
	if !errors.Is(err, weirhttp.ErrChanged) {
		t.Errorf("another version: %v", err)
	}
}
