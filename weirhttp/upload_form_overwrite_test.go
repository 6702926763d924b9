package weirhttp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-go/weir/weirhttp"
)

// refusing is a store in which a file called "refused" gets no name.
type refusing struct{ *memory }

func (s refusing) Receive(ctx context.Context, n int64) (weirhttp.UploadContent, error) {
	c, err := s.memory.Receive(ctx, n)
	return refusedContent{c}, err
}

type refusedContent struct{ weirhttp.UploadContent }

func (c refusedContent) Finish(to weirhttp.UploadTarget) (string, bool, error) {
	if to.Name == "refused" {
		return "", false, errors.New("the store is down")
	}
	return c.UploadContent.Finish(to)
}

func TestForm_ThatFailsLeavesOnlyFilesThatReplacedOthers(t *testing.T) {
	t.Parallel()
	for _, overwrite := range []bool{false, true} {
		store := refusing{newMemory()}
		var mu sync.Mutex
		var done []string
		u := &weirhttp.Uploads{Store: store, Overwrite: overwrite, Log: slog.New(slog.DiscardHandler), Done: func(got weirhttp.Received) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, got.Name)
		}}
		s := httptest.NewServer(u)
		defer s.Close()
		send := func(want int, text string, names ...string) {
			t.Helper()
			var body strings.Builder
			for _, name := range names {
				fmt.Fprintf(&body, "--b\r\nContent-Disposition: form-data; name=f; filename=%s\r\n\r\n%s\r\n", name, text)
			}
			body.WriteString("--b--\r\n")
			if resp, answer := ask(t, "POST", s.URL, body.String(), "Content-Type", "multipart/form-data; boundary=b"); resp.StatusCode != want {
				t.Errorf("overwrite %v, %q: %s %s", overwrite, names, resp.Status, answer)
			}
		}
		send(201, "old", "a")
		mu.Lock()
		done = nil
		mu.Unlock()
		send(500, "new", "fresh", "a", "refused", "late")
		want, wantDone := map[string]string{"a": "old"}, []string(nil)
		if overwrite {
			want, wantDone = map[string]string{"a": "new"}, []string{"a"}
		}
		got := map[string]string{}
		store.mu.Lock()
		for name, f := range store.files {
			got[name] = string(f.data)
		}
		store.mu.Unlock()
		if !maps.Equal(got, want) {
			t.Errorf("overwrite %v: the files are %q, want %q", overwrite, got, want)
		}
		mu.Lock()
		if !slices.Equal(done, wantDone) {
			t.Errorf("overwrite %v: Done was called for %q, want %q", overwrite, done, wantDone)
		}
		mu.Unlock()
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	}
}
