package weirhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFolderStore_IsAStoreForUploads(t *testing.T) {
	t.Parallel()
	testUploadStore(t, func(t *testing.T) (func() uploadStore, func(name string) (string, error)) {
		dir := t.TempDir()
		open := func() uploadStore {
			d, err := openFolder(&settings{dir: dir, log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.close() })
			return newFolderStore(d)
		}
		return open, func(name string) (string, error) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			return string(data), err
		}
	})
}

// testUploadStore checks what every store must do. setup returns a function that opens the
// same empty store once more, as another process would, and one that reads a finished file.
func testUploadStore(t *testing.T, setup func(t *testing.T) (open func() uploadStore, file func(name string) (string, error))) {
	ctx := context.Background()
	none := func() {}
	create := func(t *testing.T, s uploadStore) string {
		t.Helper()
		id := newUploadID()
		if err := s.create(ctx, id, uploadState{Deferred: true, Metadata: map[string]string{"name": "a"}}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	// next swaps in the next epoch and returns it.
	next := func(t *testing.T, s uploadStore, id string) int64 {
		t.Helper()
		state, version, err := s.read(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		state.Epoch++
		if err := s.swap(ctx, id, version, state); err != nil {
			t.Fatal(err)
		}
		return state.Epoch
	}
	write := func(t *testing.T, c uploadContent, text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	closed := func(t *testing.T, c uploadContent) {
		t.Helper()
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}

	t.Run("create", func(t *testing.T) {
		open, _ := setup(t)
		a, b := open(), open()
		if _, _, err := a.read(ctx, newUploadID()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an upload that does not exist: %v", err)
		}
		id := create(t, a)
		if err := b.create(ctx, id, uploadState{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("an id that is taken: %v", err)
		}
		state, version, err := b.read(ctx, id)
		if err != nil || version == "" || state.Epoch != 1 || state.Metadata["name"] != "a" || !state.Deferred || state.Offset != 0 {
			t.Errorf("%+v, %q, %v", state, version, err)
		}
	})

	t.Run("swap", func(t *testing.T) {
		open, _ := setup(t)
		stores := []uploadStore{open(), open()}
		id := create(t, stores[0])
		state, version, err := stores[0].read(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				mine := state
				mine.Metadata = map[string]string{"name": strconv.Itoa(i)}
				switch err := stores[i%2].swap(ctx, id, version, mine); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, errChanged):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 32 swaps won", won.Load())
		}
		// The same state again does not bring back an old version.
		_, now, _ := stores[1].read(ctx, id)
		if err := stores[1].swap(ctx, id, now, state); err != nil {
			t.Fatal(err)
		}
		if err := stores[0].swap(ctx, id, version, state); !errors.Is(err, errChanged) {
			t.Errorf("a version from before: %v", err)
		}
		if err := stores[0].swap(ctx, newUploadID(), version, state); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an upload that does not exist: %v", err)
		}
	})

	t.Run("append", func(t *testing.T) {
		open, _ := setup(t)
		a := open()
		id := create(t, a)
		c, err := a.append(ctx, id, 1, none)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "0123456789")
		if err := c.cut(7); err != nil || c.size() != 7 {
			t.Errorf("%d bytes, %v", c.size(), err)
		}
		write(t, c, "abc")
		if all, err := io.ReadAll(c.content()); err != nil || string(all) != "0123456abc" {
			t.Errorf("%q, %v", all, err)
		}
		if err := c.flush(); err != nil {
			t.Error(err)
		}
		closed(t, c)
		if state, _, err := open().read(ctx, id); err != nil || state.Offset != 10 {
			t.Errorf("%+v, %v", state, err)
		}
		next(t, a, id)
		if _, err := a.append(ctx, id, 1, none); !errors.Is(err, errChanged) {
			t.Errorf("an epoch that is over: %v", err)
		}
	})

	t.Run("take over", func(t *testing.T) {
		open, _ := setup(t)
		a, b := open(), open()
		id := create(t, a)
		lost := make(chan struct{})
		older, err := a.append(ctx, id, 1, func() { close(lost) })
		if err != nil {
			t.Fatal(err)
		}
		write(t, older, "older")
		epoch := next(t, b, id)
		go func() { // the older request
			<-lost
			io.WriteString(older, "+")
			older.close()
		}()
		newer, err := b.append(ctx, id, epoch, none)
		if err != nil {
			t.Fatal(err)
		}
		write(t, newer, "newer")
		if all, err := io.ReadAll(newer.content()); err != nil || string(all) != "older+newer" {
			t.Errorf("%q, %v", all, err)
		}
		closed(t, newer)
	})

	t.Run("take over while another request waits", func(t *testing.T) {
		open, _ := setup(t)
		a, b := open(), open()
		id := create(t, a)
		c, err := a.append(ctx, id, 1, none)
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		older := next(t, b, id)
		go func() {
			_, err := b.append(ctx, id, older, none)
			waits <- err
		}()
		next(t, a, id)
		if err := <-waits; !errors.Is(err, errChanged) {
			t.Errorf("the request that has waited: %v", err)
		}
		closed(t, c)
	})

	t.Run("finish", func(t *testing.T) {
		open, file := setup(t)
		a, b := open(), open()
		id := create(t, a)
		c, err := a.append(ctx, id, 1, none)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "whole")
		state, version, err := a.read(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		state.Phase, state.Size, state.Deferred = uploadPlacing, 5, false
		if err := a.swap(ctx, id, version, state); err != nil {
			t.Fatal(err)
		}
		if err := a.allows("a", rule{}); err != nil {
			t.Error(err)
		}
		got, replaced, err := c.finish("a", rule{}, false)
		if want := (Received{Name: "a", Size: 5}); err != nil || replaced || got != want {
			t.Errorf("%+v, %v, %v", got, replaced, err)
		}
		closed(t, c)
		if text, err := file("a"); err != nil || text != "whole" {
			t.Errorf("%q, %v", text, err)
		}
		// The process stops here, and another one finds the upload.
		if state, _, err := b.read(ctx, id); err != nil || state.Phase != uploadDone || state.Offset != 5 {
			t.Errorf("%+v, %v", state, err)
		}
		if err := b.allows("a", rule{mode: onlyNew}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a name that is taken: %v", err)
		}
	})

	t.Run("finish that is refused", func(t *testing.T) {
		open, file := setup(t)
		a := open()
		for i, text := range []string{"first", "second"} {
			id := create(t, a)
			c, err := a.append(ctx, id, 1, none)
			if err != nil {
				t.Fatal(err)
			}
			write(t, c, text)
			_, _, err = c.finish("a", rule{mode: onlyNew}, false)
			if (err != nil) != (i > 0) {
				t.Errorf("%s: %v", text, err)
			}
			closed(t, c)
			if i == 0 {
				continue
			}
			if state, _, err := a.read(ctx, id); err != nil || state.Phase != uploadArriving || state.Offset != 6 {
				t.Errorf("%+v, %v", state, err)
			}
		}
		if text, err := file("a"); err != nil || text != "first" {
			t.Errorf("%q, %v", text, err)
		}
	})

	t.Run("remove", func(t *testing.T) {
		open, _ := setup(t)
		a, b := open(), open()
		id := create(t, a)
		_, version, _ := a.read(ctx, id)
		epoch := next(t, b, id)
		if err := a.remove(ctx, id, version); !errors.Is(err, errChanged) {
			t.Errorf("a version from before: %v", err)
		}
		lost := make(chan struct{})
		c, err := a.append(ctx, id, epoch, func() { close(lost) })
		if err != nil {
			t.Fatal(err)
		}
		_, version, _ = b.read(ctx, id)
		if err := b.remove(ctx, id, version); err != nil {
			t.Skip("this system cannot remove what is being written:", err)
		}
		<-lost
		closed(t, c)
		if _, _, err := a.read(ctx, id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a removed upload: %v", err)
		}
	})

	t.Run("sweep", func(t *testing.T) {
		open, _ := setup(t)
		a, b := open(), open()
		old, busy, written := create(t, a), create(t, a), create(t, a)
		c, err := b.append(ctx, written, 1, none)
		if err != nil {
			t.Fatal(err)
		}
		released := 0
		claim := func(id string) (func(), bool) { return func() { released++ }, id != busy }
		if err := a.sweep(ctx, time.Now().Add(-time.Hour), claim); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.read(ctx, old); err != nil || released != 2 {
			t.Errorf("an upload that is not old: %v; %d released", err, released)
		}
		if err := a.sweep(ctx, time.Now().Add(time.Hour), claim); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.read(ctx, old); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an old upload: %v", err)
		}
		for _, id := range []string{busy, written} {
			if _, _, err := a.read(ctx, id); err != nil {
				t.Errorf("an upload in use: %v", err)
			}
		}
		closed(t, c)
	})
}

// sweeping is a store whose sweep ends only with its context.
type sweeping struct {
	UploadStore
	began chan time.Time
}

func (s sweeping) Sweep(ctx context.Context, before time.Time, _ func(string) (func(), bool)) error {
	s.began <- before
	<-ctx.Done()
	return ctx.Err()
}

func TestUploads_CloseInterruptsASweepOfAStore(t *testing.T) {
	t.Parallel()
	s := sweeping{began: make(chan time.Time)}
	u := &Uploads{Store: s, Expire: time.Second, Log: slog.New(slog.DiscardHandler)}
	d, err := u.open()
	if err != nil {
		t.Fatal(err)
	}
	d.users.Done()
	before := <-s.began
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	// Another process can be receiving what is younger.
	if age := time.Since(before); age < 24*time.Hour {
		t.Errorf("the sweep removes what is %v old", age)
	}
}
