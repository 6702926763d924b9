package s3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

func TestDurableSink_RefusesWhatCannotHaveACheckpoint(t *testing.T) {
	for name, want := range map[string]string{
		"s3://bucket/folder/":                      "folder",
		"s3://bucket/" + strings.Repeat("k", 1020): "at most 1014",
		"s3://bucket/k?part-size=1MiB":             "part-size",
		"https://host/k":                           "invalid URL",
	} {
		if _, err := (s3.Store{}).DurableSink(name, endpoint.HTTPOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %q", name, err, want)
		}
	}
	k, err := s3.Store{}.DurableSink("s3://bucket/key", endpoint.HTTPOptions{})
	if err != nil || k.Holds() < 6*5<<20 {
		t.Errorf("%v, holds %d bytes", err, k.Holds())
	}
}

// pending is an unfinished upload of a stub.
type pending struct {
	id, key string
	began   time.Time
	parts   []int // their sizes
}

// uploads answers the requests about multipart uploads, and those about the state of
// a flow. The rest goes to the stub.
type uploads struct {
	*stub

	mu    sync.Mutex // guards the rest
	state string     // text of the state object; empty: there is none
	deny  func(r *http.Request) bool
	list  []pending
	did   []string // requests that changed something
}

// stateTime is when the state was written.
var stateTime = time.Now().Add(-time.Hour).Truncate(time.Second)

func newUploads(t *testing.T, list ...pending) *uploads {
	u := &uploads{stub: newStub(t), list: list}
	u.object = u.answer
	return u
}

func (u *uploads) answer(w http.ResponseWriter, r *http.Request, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	q := r.URL.Query()
	id := q.Get("uploadId")
	at := slices.IndexFunc(u.list, func(p pending) bool { return p.id == id && p.key == key })
	switch {
	case u.deny != nil && u.deny(r):
		io.Copy(io.Discard, r.Body)
		refuse(w, http.StatusForbidden, "AccessDenied", "made by the test")
	case r.Method == "GET" && q.Has("uploads"):
		fmt.Fprint(w, `<ListMultipartUploadsResult>`)
		for _, p := range u.list {
			if strings.HasPrefix(p.key, q.Get("prefix")) {
				fmt.Fprintf(w, `<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>`, p.key, p.id, p.began.UTC().Format(time.RFC3339Nano))
			}
		}
		fmt.Fprint(w, `</ListMultipartUploadsResult>`)
	case r.Method == "POST" && q.Has("uploads"):
		u.list = append(u.list, pending{"new", key, time.Now(), nil})
		u.did = append(u.did, "begin")
		fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>new</UploadId></InitiateMultipartUploadResult>`)
	case id != "" && at < 0:
		refuse(w, http.StatusNotFound, "NoSuchUpload", "made by the test")
	case r.Method == "GET" && id != "":
		fmt.Fprint(w, `<ListPartsResult>`)
		for i, size := range u.list[at].parts {
			fmt.Fprintf(w, `<Part><PartNumber>%d</PartNumber><Size>%d</Size><LastModified>%s</LastModified></Part>`, i+1, size, u.list[at].began.UTC().Format(time.RFC3339Nano))
		}
		fmt.Fprint(w, `</ListPartsResult>`)
	case r.Method == "DELETE" && id != "":
		u.list = slices.Delete(u.list, at, at+1)
		u.did = append(u.did, "abort "+id)
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(key, ".weir-flow") && r.Method == "GET":
		if u.state == "" {
			refuse(w, http.StatusNotFound, "NoSuchKey", "made by the test")
			return
		}
		w.Header().Set("ETag", `"state"`)
		http.ServeContent(w, r, "", stateTime, strings.NewReader(u.state))
	case strings.HasSuffix(key, ".weir-flow") && r.Method == "PUT":
		u.did = append(u.did, "save")
		u.serve(w, r, key)
	default:
		u.serve(w, r, key)
	}
}

// left returns the ids of the uploads that are left.
func (u *uploads) left() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.list {
		ids = append(ids, p.id)
	}
	return ids
}

// begun is the state of a flow that has announced that it begins an upload.
const begun = `{"mark":"m","checkpoint":{},"nonce":"n","part_size":5266432,"tail":0,"tail_sum":0}` + "\n"

func TestDurableSink_AbortsTheUploadOfAKilledRunAndNoOther(t *testing.T) {
	begin := func(t *testing.T) *uploads {
		u := newUploads(t,
			pending{"dead", "k", stateTime.Add(2 * time.Second), nil},
			pending{"dead, repeated", "k", stateTime.Add(9 * time.Second), nil},
			pending{"before the state", "k", stateTime.Add(-time.Minute), nil},
			pending{"alive", "k", stateTime.Add(5 * time.Second), []int{8<<20 + 23<<10}},
			pending{"young", "k", time.Now(), nil},
			pending{"of another key", "k2", stateTime.Add(2 * time.Second), nil},
		)
		u.state = begun
		return u
	}
	others := []string{"before the state", "alive", "young", "of another key"}
	all := append([]string{"dead", "dead, repeated"}, others...)

	t.Run("killed", func(t *testing.T) {
		u := begin(t)
		k, err := u.DurableSink("s3://bucket/k", quick)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := u.left(); !slices.Equal(left, others) {
			t.Errorf("left: %q, want %q", left, others)
		}
		if len(u.did) == 0 || u.did[0] != "save" {
			t.Errorf("requests %q; the state comes first, so that a run that is alive cannot store its id", u.did)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("alive", func(t *testing.T) { // it stores the id between our two requests
		u := begin(t)
		object := u.object
		u.object = func(w http.ResponseWriter, r *http.Request, key string) {
			if r.Method == "PUT" {
				io.Copy(io.Discard, r.Body)
				refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "made by the test")
				return
			}
			object(w, r, key)
		}
		k, err := u.DurableSink("s3://bucket/k", quick)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(t.Context()); !errors.Is(err, durable.ErrInUse) {
			t.Errorf("error %v", err)
		}
		if left := u.left(); !slices.Equal(left, all) {
			t.Errorf("left: %q, want %q", left, all)
		}
	})
	t.Run("nobody may list", func(t *testing.T) {
		u := begin(t)
		u.deny = func(r *http.Request) bool { return r.Method == "GET" && r.URL.Query().Has("uploads") }
		k, err := u.DurableSink("s3://bucket/k", quick)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(t.Context()); err != nil {
			t.Error(err)
		}
		k.Close()
		if left := u.left(); !slices.Equal(left, all) {
			t.Errorf("left: %q, want %q", left, all)
		}
	})
}

// A run that cannot store the id of its upload has to abort it: nobody else knows it.
func TestDurableSink_LeavesNoUploadThatNoStateNames(t *testing.T) {
	u := newUploads(t)
	saves := 0
	u.deny = func(r *http.Request) bool {
		if r.Method == "PUT" && strings.HasSuffix(r.URL.Path, ".weir-flow") {
			saves++
		}
		return saves == 2
	}
	k, err := u.DurableSink("s3://bucket/k?part-size=5MiB", quick)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = k.Write(t.Context(), make([]byte, 6<<20))
	if e := (*s3.Error)(nil); !errors.As(err, &e) || e.StatusCode != http.StatusForbidden {
		t.Errorf("error %v", err)
	}
	u.mu.Lock()
	u.deny = nil
	u.mu.Unlock()
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if want := []string{"save", "begin", "abort new"}; !slices.Equal(u.did, want) {
		t.Errorf("requests %q, want %q", u.did, want)
	}
}

func TestDurableSink_BeginsAgainWhereAnUploadWithoutPartsIsGone(t *testing.T) {
	u := newUploads(t)
	u.state = strings.Replace(begun, `"nonce"`, `"upload":"gone","nonce"`, 1)
	k, err := u.DurableSink("s3://bucket/k", quick)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(t.Context()); err != nil {
		t.Error(err)
	}
	k.Close()
}

func TestSink_SweepsOldUploadsWithoutPartsOfItsOwnKeyOnly(t *testing.T) {
	old := time.Now().Add(-25 * time.Hour)
	u := newUploads(t,
		pending{"dead", "k", old, nil},
		pending{"young", "k", time.Now(), nil},
		pending{"of a longer key", "k2", old, nil},
		pending{"foreign", "k", old, []int{6 << 20}},
	)
	open := func() {
		t.Helper()
		s, err := u.Sink("s3://bucket/k?part-size=5MiB", endpoint.SinkOptions{HTTP: quick})
		if err != nil {
			t.Fatal(err)
		}
		w, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, 6<<20))
		if c, ok := w.(io.Closer); ok {
			c.Close() // not committed, so its own upload is aborted
		}
	}
	want := []string{"young", "of a longer key", "foreign"}
	open()
	if left := u.left(); !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
	u.mu.Lock()
	u.list = append(u.list, pending{"of a flow", "k", old, nil}, pending{"marked, of a flow", "k", old, []int{5<<20 + 23<<10}})
	u.state = strings.Replace(begun, `"nonce"`, `"upload":"of a flow","nonce"`, 1)
	u.mu.Unlock()
	open()
	if left, want := u.left(), append(want, "of a flow"); !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q: a state names it", left, want)
	}
}
