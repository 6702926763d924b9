package weirhttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/weirhttp"
)

// faulty is a store, and the function Done, that panic where told.
type faulty struct {
	*memory
	clients sync.Map // their addresses

	mu sync.Mutex // guards the fields below
	at string     // the method; "": none
	n  int        // panics
}

// arm makes the next call of a method panic.
func (f *faulty) arm(at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.n = at, 0
}

// fired reports whether the method has panicked, and disarms it.
func (f *faulty) fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = ""
	return f.n > 0
}

func (f *faulty) call(at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == at {
		f.n++
		f.at = ""
		panic("fault in " + at)
	}
}

func (f *faulty) done(weirhttp.Received) { f.call("Done") }

func (f *faulty) Stat(ctx context.Context, name string) (weirhttp.StoredFile, error) {
	f.call("Stat")
	return f.memory.Stat(ctx, name)
}

func (f *faulty) Create(ctx context.Context, id string, s weirhttp.UploadState) error {
	f.call("Create")
	return f.memory.Create(ctx, id, s)
}

func (f *faulty) Read(ctx context.Context, id string) (weirhttp.UploadState, string, error) {
	f.call("Read")
	return f.memory.Read(ctx, id)
}

func (f *faulty) Swap(ctx context.Context, id, version string, s weirhttp.UploadState) error {
	f.call("Swap")
	return f.memory.Swap(ctx, id, version, s)
}

func (f *faulty) Append(ctx context.Context, id string, epoch int64, lost func()) (weirhttp.UploadContent, error) {
	f.call("Append")
	c, err := f.memory.Append(ctx, id, epoch, lost)
	return faultyContent{c, f}, err
}

func (f *faulty) Receive(ctx context.Context, n int64) (weirhttp.UploadContent, error) {
	f.call("Receive")
	c, err := f.memory.Receive(ctx, n)
	return faultyContent{c, f}, err
}

func (f *faulty) Sweep(ctx context.Context, before time.Time, claim func(string) (func(), bool)) error {
	err := f.memory.Sweep(ctx, before, func(id string) (func(), bool) {
		release, ok := claim(id)
		f.call("Sweep")
		return release, ok
	})
	f.call("Sweep")
	return err
}

type faultyContent struct {
	weirhttp.UploadContent
	f *faulty
}

func (c faultyContent) Write(p []byte) (int, error) {
	c.f.call("Write")
	return c.UploadContent.Write(p)
}

func (c faultyContent) Size() int64 {
	c.f.call("Size")
	return c.UploadContent.Size()
}

func (c faultyContent) Flush() error {
	c.f.call("Flush")
	return c.UploadContent.Flush()
}

func (c faultyContent) Finish(to weirhttp.UploadTarget) (string, bool, error) {
	c.f.call("Finish")
	return c.UploadContent.Finish(to)
}

func (c faultyContent) Close() error {
	defer c.f.call("Close")
	return c.UploadContent.Close()
}

var faults = []string{"Stat", "Create", "Read", "Swap", "Append", "Receive", "Write", "Size", "Flush", "Finish", "Close", "Done"}

// faultyServer serves uploads into a store that can panic.
func faultyServer(t *testing.T) (f *faulty, url string) {
	t.Helper()
	f = &faulty{memory: newMemory()}
	u := &weirhttp.Uploads{Store: f, Done: f.done, Overwrite: true, Log: slog.New(slog.DiscardHandler)}
	s := httptest.NewUnstartedServer(u)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http reports each panic
	s.Config.ConnState = func(c net.Conn, _ http.ConnState) { f.clients.Store(c.RemoteAddr().String(), true) }
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, s.URL
}

// try sends a request and returns its status, 0 if the connection breaks.
func try(t *testing.T, method, url, body string, head ...string) (int, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if ctx.Err() != nil {
		t.Errorf("%s %s is stuck", method, url)
	}
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, resp.Header
}

// wantNoTransfer checks that no transfer of a client of the server is left.
func (f *faulty) wantNoTransfer(t *testing.T, after string) {
	t.Helper()
	var left []weirhttp.Transfer
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		left = left[:0]
		for _, x := range weirhttp.DefaultTransfers.List() {
			if _, mine := f.clients.Load(x.Client); mine {
				left = append(left, x)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: transfers are left: %v", after, left)
}

func TestUploads_PanicEndsItsRequestAndNothingElse(t *testing.T) {
	t.Parallel()
	f, url := faultyServer(t)
	form := "--b\r\nContent-Disposition: form-data; name=f; filename=faulty-form\r\n\r\nhello\r\n--b--\r\n"
	for _, fault := range faults {
		for _, r := range []struct {
			method, path, body string
			head               []string
		}{
			{"PUT", "/faulty-put", "hello", nil},
			{"POST", "/", form, []string{"Content-Type", "multipart/form-data; boundary=b"}},
			{"POST", "/?name=faulty-http", "hello", []string{"Upload-Complete", "?1"}},
			{"POST", "/?name=faulty-part", "hello", []string{"Upload-Complete", "?0"}},
			{"POST", "/", "hello", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "5", "Upload-Metadata", "filename ZmF1bHR5LXR1cw==", "Content-Type", "application/offset+octet-stream"}},
		} {
			what := fault + " in " + r.method + " " + r.path
			f.arm(fault)
			status, _ := try(t, r.method, url+r.path, r.body, r.head...)
			if fired := f.fired(); fired && status/100 == 2 && fault != "Close" {
				t.Errorf("%s: status %d", what, status)
			}
			f.wantNoTransfer(t, what)
			if status, _ := try(t, r.method, url+r.path, r.body, r.head...); status/100 != 2 {
				t.Errorf("after %s: status %d", what, status)
			}
		}
	}
}

func TestUploads_PanicLeavesAResumableUploadUsable(t *testing.T) {
	t.Parallel()
	f, url := faultyServer(t)
	for _, protocol := range []string{"HTTP", "tus"} {
		create := []string{"Upload-Complete", "?0", "Upload-Length", "5"}
		patch := []string{"Upload-Complete", "?1", "Content-Type", "application/partial-upload"}
		var each []string
		if protocol == "tus" {
			create = []string{"Upload-Length", "5", "Upload-Metadata", "filename ZmF1bHR5LXJlc3VtZWQ="}
			patch = []string{"Content-Type", "application/offset+octet-stream"}
			each = []string{"Tus-Resumable", "1.0.0"}
		}
		for _, fault := range faults {
			what := fault + " in an append of " + protocol
			status, h := try(t, "POST", url+"/?name=faulty-resumed", "", append(create, each...)...)
			if status != http.StatusCreated {
				t.Fatalf("%s: creation: %d", what, status)
			}
			at := url + h.Get("Location")
			f.arm(fault)
			status, _ = try(t, "PATCH", at, "hello", append(append(patch, "Upload-Offset", "0"), each...)...)
			if fired := f.fired(); fired && status/100 == 2 && fault != "Close" {
				t.Errorf("%s: status %d", what, status)
			}
			f.wantNoTransfer(t, what)
			status, h = try(t, "HEAD", at, "", each...)
			if status/100 != 2 {
				t.Errorf("after %s: HEAD %d", what, status)
				continue
			}
			if offset := h.Get("Upload-Offset"); offset != "5" || h.Get("Upload-Complete") == "?0" {
				if status, _ := try(t, "PATCH", at, "hello"[len("hello")*btoi(offset == "5"):], append(append(patch, "Upload-Offset", offset), each...)...); status/100 != 2 {
					t.Errorf("after %s: the rest behind %s: %d", what, offset, status)
				}
			}
			if file, err := f.memory.Stat(t.Context(), "faulty-resumed"); err != nil || file.Size != 5 {
				t.Errorf("after %s: the file is %+v, %v", what, file, err)
			}
			f.memory.mu.Lock()
			clear(f.memory.files)
			f.memory.mu.Unlock()
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestUploads_SweepThatPanicsEndsNothing(t *testing.T) {
	t.Parallel()
	for _, claimed := range []bool{false, true} {
		t.Run(fmt.Sprintf("claimed %t", claimed), func(t *testing.T) {
			f, url := faultyServer(t)
			var at string
			if claimed { // or the sweep finds nothing to claim, and panics at its end
				status, h := try(t, "POST", url+"/?name=faulty-old", "", "Upload-Complete", "?0", "Upload-Length", "5")
				if at = h.Get("Location"); status != http.StatusCreated {
					t.Fatalf("creation: %d", status)
				}
				f.memory.mu.Lock()
				for _, u := range f.memory.uploads {
					u.changed = time.Now().AddDate(-1, 0, 0)
				}
				f.memory.mu.Unlock()
			}
			f.arm("Sweep")
			var text safeBuffer
			u := &weirhttp.Uploads{Store: f, Log: slog.New(slog.NewTextHandler(&text, nil))}
			s := httptest.NewServer(u)
			defer s.Close()
			if status, _ := try(t, "PUT", s.URL+"/faulty-swept", "hello"); status != http.StatusCreated {
				t.Errorf("status %d", status)
			}
			for end := time.Now().Add(10 * time.Second); !strings.Contains(text.String(), "fault in Sweep"); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the panic is not in the log")
				}
			}
			if claimed {
				if status, _ := try(t, "PATCH", s.URL+at, "hello", "Upload-Offset", "0", "Upload-Complete", "?1", "Content-Type", "application/partial-upload"); status != http.StatusCreated {
					t.Errorf("the upload that was claimed: status %d", status)
				}
			}
			if err := u.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

type safeBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
