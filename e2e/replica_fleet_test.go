package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// replica is a process of weir serve.
type replica struct {
	cmd  *exec.Cmd
	url  string
	said chan struct{} // closed when its standard error has ended
	log  bytes.Buffer  // may be read after said
}

// fleet is a number of replicas that share a store, and a proxy that sends each request to
// the next one, as a load balancer without sticky sessions does.
type fleet struct {
	t    *testing.T
	args []string
	url  string // of the proxy
	most int64  // resident memory of a replica at its end, in bytes

	mu       sync.Mutex // guards the fields below
	replicas []*replica // nil: being restarted
	turn     int
	passed   map[string]int // requests by method
}

func startFleet(t *testing.T, n int, bucket string, args ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, replicas: make([]*replica, n), passed: map[string]int{}}
	f.args = append([]string{"serve", "--store", "s3://" + bucket + "/files", "--uploads", ".", "--listen", "127.0.0.1:0", "--json"}, args...)
	var wg sync.WaitGroup
	for i := range f.replicas {
		wg.Go(func() { f.start(i) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for i := range f.replicas {
			f.stop(i, os.Interrupt)
		}
	})
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to, err := url.Parse(f.next(r.In.Method))
			if err != nil {
				t.Error(err)
			}
			r.SetURL(to)
			r.Out.Host = r.In.Host // a Location leads back to the proxy
		},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewUnstartedServer(proxy)
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// start starts replica i.
func (f *fleet) start(i int) {
	c := command(context.Background(), storeOf(nil), f.args...)
	stderr, err := c.StderrPipe()
	if err != nil {
		f.t.Error(err)
		return
	}
	if err := c.Start(); err != nil {
		f.t.Error(err)
		return
	}
	r := &replica{cmd: c, said: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(r.said)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			fmt.Fprintln(&r.log, in.Text())
			var line struct{ Type, URL string }
			if json.Unmarshal(in.Bytes(), &line) == nil && line.Type == "start" {
				ready <- line.URL
			}
		}
	}()
	select {
	case r.url = <-ready:
	case <-r.said:
		f.t.Errorf("a replica has ended: %s", r.log.String())
		c.Wait()
		return
	}
	f.mu.Lock()
	f.replicas[i] = r
	f.mu.Unlock()
}

// stop ends replica i.
func (f *fleet) stop(i int, sig os.Signal) {
	f.mu.Lock()
	r := f.replicas[i]
	f.replicas[i] = nil
	f.mu.Unlock()
	if r == nil {
		return
	}
	f.weigh(r)
	r.cmd.Process.Signal(sig)
	<-r.said
	r.cmd.Wait()
	if strings.Contains(r.log.String(), "panic") {
		f.t.Errorf("a replica has panicked:\n%s", r.log.String())
	}
}

// weigh notes the most resident memory that a replica has had.
func (f *fleet) weigh(r *replica) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return // not on this system
	}
	if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text); m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		f.mu.Lock()
		f.most = max(f.most, n<<10)
		f.mu.Unlock()
	}
}

// next returns the URL of the replica whose turn it is.
func (f *fleet) next(method string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passed[method]++
	for range f.replicas {
		f.turn++
		if r := f.replicas[f.turn%len(f.replicas)]; r != nil {
			return r.url
		}
	}
	return "http://127.0.0.1:1/" // all are being restarted
}

// send sends one request and returns the status and the header of the answer.
func send(ctx context.Context, method, url string, body io.Reader, size int64, head ...string) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.ContentLength = size
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	// A server error, and a request that the server could not read, are errors too.
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode >= 500 || resp.StatusCode == 400) {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp.StatusCode, resp.Header, err
}

// tusUpload is a client that uploads a file by tus and never gives up before its context ends.
type tusUpload struct {
	base string
	name string
	data []byte
	most int    // bytes of a request
	js   string // the folder of tus-js-client, if that sends the file

	at      string // URL of the upload
	told    int64  // the largest offset that a server has acknowledged
	retries int
}

var tusHead = []string{"Tus-Resumable", "1.0.0"}

func (u *tusUpload) run(ctx context.Context) error {
	if u.js != "" {
		return u.runJS(ctx)
	}
	for u.at == "" {
		meta := "filename " + base64.StdEncoding.EncodeToString([]byte(u.name))
		status, head, err := send(ctx, "POST", u.base+"/_upload/", nil, 0, append([]string{"Upload-Length", fmt.Sprint(len(u.data)), "Upload-Metadata", meta}, tusHead...)...)
		if err == nil && status != 201 {
			return fmt.Errorf("creation: %d", status)
		}
		if err != nil {
			if err := u.again(ctx, err); err != nil {
				return err
			}
			continue
		}
		to, err := url.Parse(head.Get("Location"))
		if err != nil {
			return err
		}
		u.at = u.base + to.Path
	}
	for {
		status, head, err := send(ctx, "HEAD", u.at, nil, 0, tusHead...)
		if err != nil {
			if err := u.again(ctx, err); err != nil {
				return err
			}
			continue
		}
		off, perr := strconv.ParseInt(head.Get("Upload-Offset"), 10, 64)
		if status != 200 || perr != nil {
			return fmt.Errorf("HEAD: %d, %v", status, head)
		}
		if off < u.told {
			return fmt.Errorf("the offset went back from %d to %d", u.told, off)
		}
		if u.told = off; off == int64(len(u.data)) {
			return nil
		}
		if err := u.patches(ctx); err != nil {
			return err
		}
	}
}

// runJS lets tus-js-client send the file.
func (u *tusUpload) runJS(ctx context.Context) error {
	file, err := os.CreateTemp("", "weir-e2e-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(u.data)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "node", "upload.js", u.base+"/_upload/", file.Name(), fmt.Sprint(u.most), u.name)
	c.Dir = u.js
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("tus-js-client: %w: %s", err, out)
	}
	return nil
}

// jsFolder is the folder of tus-js-client. A store changes the working directory.
var jsFolder, _ = filepath.Abs("../weirhttp/testdata/tus-js")

// jsClient returns jsFolder, or "" if the client cannot run here.
func jsClient(t *testing.T) string {
	t.Helper()
	_, err := exec.LookPath("node")
	if _, serr := os.Stat(filepath.Join(jsFolder, "node_modules", "tus-js-client")); err != nil || serr != nil {
		t.Log("all clients are this test's own: node is missing, or npm ci has not run in weirhttp/testdata/tus-js")
		return ""
	}
	return jsFolder
}

// patches sends the rest of the file, until a request fails.
func (u *tusUpload) patches(ctx context.Context) error {
	for u.told < int64(len(u.data)) {
		n := min(int64(u.most/2+rand.N(u.most/2)), int64(len(u.data))-u.told)
		status, head, err := send(ctx, "PATCH", u.at, bytes.NewReader(u.data[u.told:u.told+n]), n,
			append([]string{"Upload-Offset", fmt.Sprint(u.told), "Content-Type", "application/offset+octet-stream"}, tusHead...)...)
		switch {
		case err != nil, status == 423, status == 409:
			return u.again(ctx, err)
		case status != 204:
			return fmt.Errorf("PATCH: %d, %v", status, head)
		}
		if u.told += n; head.Get("Upload-Offset") != fmt.Sprint(u.told) {
			return fmt.Errorf("PATCH to %d was answered with %v", u.told, head)
		}
	}
	return nil
}

// again waits a moment after a failure that may pass.
func (u *tusUpload) again(ctx context.Context, err error) error {
	u.retries++
	select {
	case <-time.After(time.Duration(20+rand.N(50)) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

func TestReplicas_LoseNothingWhileOneAfterAnotherIsKilled(t *testing.T) {
	name, _ := bucket(t, nil)
	const memory = 64 << 20
	f := startFleet(t, 3, name, "--memory", "64MiB", "--access-log=false")
	size, most, wait := 1<<20, 400<<10, 90*time.Second
	if long() {
		size, most, wait = 64<<20, 24<<20, 20*time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()

	over := make(chan struct{})
	var kills atomic.Int64
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(2 * time.Second):
			}
			i := int(kills.Add(1)-1) % len(f.replicas)
			f.stop(i, os.Kill)
			f.start(i)
		}
	})
	const uploads = 20
	js := jsClient(t)
	clients := make([]*tusUpload, uploads)
	var wg sync.WaitGroup
	var running atomic.Int64
	for i := range clients {
		c := &tusUpload{base: f.url, name: fmt.Sprintf("file-%02d.bin", i), data: random(size + i*1000 + 17), most: most}
		if clients[i] = c; i%4 == 0 {
			c.js = js
		}
		running.Add(1)
		wg.Go(func() {
			defer running.Add(-1)
			if err := c.run(ctx); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
	// There must be kills while uploads run, however fast they are.
	wg.Wait()
	for round := 0; kills.Load() < 3 && !t.Failed(); round++ {
		c := &tusUpload{base: f.url, name: fmt.Sprintf("more-%02d.bin", round), data: random(size), most: most}
		clients = append(clients, c)
		if err := c.run(ctx); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	close(over)
	killer.Wait()
	retries := 0
	for _, c := range clients {
		retries += c.retries
	}
	t.Logf("%d kills, %d retries, %d MiB at most; requests: %v", kills.Load(), retries, f.most>>20, f.passed)
	if t.Failed() {
		return
	}

	// Through any replica, every file is what its client has sent.
	for _, c := range clients {
		resp, err := http.Get(f.url + "/" + c.name)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, c.data) {
			t.Errorf("%s: %d bytes of %d, %v", c.name, len(got), len(c.data), err)
		}
	}
	for i := range f.replicas {
		f.stop(i, os.Interrupt)
	}
	if ceiling := int64(memory + replicaBase); f.most > ceiling {
		t.Errorf("a replica took %d MiB; the ceiling is %d MiB", f.most>>20, ceiling>>20)
	}
	swept(t, name, "files", len(clients))
}

// replicaBase is what a replica may take in addition to --memory.
const replicaBase = 64 << 20

// swept sweeps a store, and fails if it has more than n files, or anything else.
func swept(t *testing.T, bucket, prefix string, n int) {
	t.Helper()
	store := openAt(t, bucket, prefix, nil)
	if err := store.Sweep(t.Context(), time.Now().Add(time.Hour), func(string) (func(), bool) { return func() {}, true }); err != nil {
		t.Error(err)
	}
	files := 0
	for _, key := range objects(t, bucket) {
		if strings.Contains(key, "/.weir-uploads/") {
			t.Errorf("left: %s", key)
			continue
		}
		files++
	}
	if files != n {
		t.Errorf("%d files, want %d: %v", files, n, objects(t, bucket))
	}
	if list := parts(t, bucket); len(list) > 0 {
		t.Errorf("left parts: %v", list)
	}
}
