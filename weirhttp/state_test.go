package weirhttp

import (
	"context"
	"encoding/json"
	"github.com/weir-go/weir/weirhttp/internal/meter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirtest"
)

func TestState_FollowsThePhaseOfATransfer(t *testing.T) {
	for _, tc := range []struct {
		kind  Direction
		phase meter.Phase
		want  TransferState
	}{
		{Download, meter.Moving, StateSending},
		{Upload, meter.Moving, StateReceiving},
		{Download, meter.Client, StateClient},
		{Upload, meter.Client, StateClient},
		{Download, meter.Rate, StateRate},
		{Upload, meter.Rate, StateRate},
	} {
		x := transfer{info: Transfer{Direction: tc.kind, ID: 1}}
		x.meter.Enter(tc.phase)
		if got := x.look(); got.State != tc.want || got.ID != 1 {
			t.Errorf("%s in phase %d: %q, want %q", tc.kind, tc.phase, got.State, tc.want)
		}
	}
}

// The disk is what a download waits for if its flow's source is outside, and an
// upload if its sink is.
func TestState_NamesTheEndThatAFlowWaitsFor(t *testing.T) {
	for _, tc := range []struct {
		kind         Direction
		read, write  time.Duration
		want         TransferState
		whatIsSlower string
	}{
		{Download, time.Second, 0, StateDisk, "reading"},
		{Download, 0, time.Second, StateClient, "writing"},
		{Upload, time.Second, 0, StateClient, "reading"},
		{Upload, 0, time.Second, StateDisk, "writing"},
	} {
		synctest.Test(t, func(t *testing.T) {
			source := weirtest.Source[byte]{Values: []byte("some text"), Repeat: true, Delay: tc.read}
			sink := weirtest.Sink[byte]{Forget: true, Delay: tc.write}
			flow := source.Stream().Async(weir.Bytes(4 << 10)).To(sink.Sink())
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			x := transfer{info: Transfer{Direction: tc.kind}}
			go func() { ended <- flow.Run(ctx) }()
			synctest.Wait()
			x.watch(flow)
			time.Sleep(10 * time.Second)
			if got := x.look().State; got != tc.want {
				t.Errorf("%s, and %s is slow: %q, want %q", tc.kind, tc.whatIsSlower, got, tc.want)
			}
			cancel()
			<-ended
		})
	}
}

func TestState_IsEndedWhenDoneIsCalled(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var ended []Transfer
	ctx := WithDone(t.Context(), func(x Transfer, err error) {
		if err != nil {
			t.Error(err)
		}
		ended = append(ended, x)
	})
	before := DefaultTransfers.Totals()
	w := httptest.NewRecorder()
	Files(root).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/notes.txt", nil))
	if len(ended) != 1 || ended[0].State != StateEnded || ended[0].Moved != 5 || ended[0].Direction != Download {
		t.Fatalf("%+v", ended)
	}
	var after Totals = DefaultTransfers.Totals()
	if after.Succeeded != before.Succeeded+1 || after.Failed != before.Failed || after.BytesOut != before.BytesOut+5 {
		t.Errorf("%+v, and before %+v", after, before)
	}
}

func TestEntry_IsWhatAListingShowsOfAFile(t *testing.T) {
	dir := t.TempDir()
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, modified, modified); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "zoo"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := Files(root)
	h.List = true
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
	var list Listing
	if err := json.NewDecoder(strings.NewReader(w.Body.String())).Decode(&list); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	if len(list.Entries) != 2 {
		t.Fatalf("%+v", list.Entries)
	}
	folder, notes := list.Entries[0], list.Entries[1]
	if folder.Name != "zoo" || !folder.Folder || folder.Size != 0 {
		t.Errorf("%+v", folder)
	}
	notes.Modified = notes.Modified.UTC()
	if want := (Entry{Name: "notes.txt", Size: 5, Modified: modified}); notes != want {
		t.Errorf("%+v, want %+v", notes, want)
	}
}
