package weirhttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/weirhttp/internal/meter"
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
	if want := (Entry{Name: "notes.txt", Size: 5, Modified: modified, Href: "./notes.txt"}); notes != want {
		t.Errorf("%+v, want %+v", notes, want)
	}
}

func TestTransfers_TopAreThoseThatWaitLongestForTheirClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reg Transfers
		ctx := withTransfers(t.Context(), &reg)
		var all []*transfer
		for i := range 100 {
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			direction := Download
			if i%2 == 1 {
				direction = Upload
			}
			x := begin(r, direction, "file", 1000)
			x.meter.Enter(meter.Client)
			time.Sleep(time.Second)
			x.meter.Enter(meter.Moving)
			if i == 42 {
				x.meter.Enter(meter.Client) // and waits on
			}
			all = append(all, x)
		}
		top := reg.Top(3)
		if len(top) != 3 || top[0].ID != 43 || top[0].Waited != 58*time.Second || top[1].ID != 1 || top[1].Waited != time.Second || top[2].ID != 2 {
			t.Errorf("%+v", top)
		}
		if top[0].Upload || !top[2].Upload || top[0].State != string(StateClient) || top[0].Size != 1000 || top[0].Client == "" {
			t.Errorf("%+v", top)
		}
		if list := reg.List(); list[42].Summary() != (report.Transfer{
			ID: 43, Method: "GET", Name: "file", Client: top[0].Client, Start: top[0].Start, Size: 1000, State: string(StateClient),
		}) {
			t.Errorf("%+v", list[42].Summary())
		}
		if n := len(reg.Top(1000)); n != 100 {
			t.Errorf("%d of 100", n)
		}
		if rep, ok := reg.ReportOf(43); !ok || rep.Verdict.Stage != "client" {
			t.Errorf("%v, %+v", ok, rep)
		}
		for i, x := range all {
			var err error
			if i%4 == 0 || i == 1 {
				err = errors.New("left")
			}
			x.end(err)
		}
		if _, ok := reg.ReportOf(43); ok {
			t.Error("a transfer that has ended has a report")
		}
		if got, want := reg.Totals(), (Totals{Succeeded: 74, Failed: 26, UploadsSucceeded: 49, UploadsFailed: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
