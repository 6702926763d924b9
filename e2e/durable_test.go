package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// piped runs weir pipe until it succeeds, and kills it before, several times. The
// run is slowed down by a limit of the rate, which is not a part of what has to stay
// the same.
func piped(t *testing.T, run func(args ...string) *exec.Cmd, words ...string) {
	t.Helper()
	kills := 3
	if os.Getenv("WEIR_LONG") != "" {
		kills = 10
	}
	slow := append([]string{"pipe", "-q", words[0], "rate:24MiB/s"}, words[1:]...)
	for range kills {
		c := run(slow...)
		var said bytes.Buffer
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond) // of the test: any moment will do
		c.Process.Kill()
		c.Wait()
		if c.ProcessState.Success() {
			return // it was quicker than its death
		}
		if c.ProcessState.Exited() {
			t.Fatalf("weir ended by itself: %s", said.String())
		}
	}
	c := run(append([]string{"pipe"}, words...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// unpacked decompresses a gzip file that must have one member.
func unpacked(t *testing.T, data []byte) []byte {
	t.Helper()
	r := bytes.NewReader(data)
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	got, err := io.ReadAll(z)
	if err != nil || r.Len() > 0 {
		t.Fatalf("%v, %d bytes behind the first member", err, r.Len())
	}
	return got
}

func TestDurable_SurvivesKillBetweenFilesAndTheStore(t *testing.T) {
	name, s := bucket(t, nil)
	run := func(args ...string) *exec.Cmd { return command(t.Context(), s, args...) }
	data := random(24<<20 + 12345)
	dir := files(t, map[string][]byte{"data": data})
	file, object := filepath.Join(dir, "data"), "s3://"+name+"/data"
	spool := "spool:" + filepath.Join(dir, "spool")
	if out, err := run("copy", file, object).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	piped(t, run, file, spool, "gzip", "s3://"+name+"/packed?part-size=5MiB")
	packed := stored(t, name, "packed")
	if !bytes.Equal(unpacked(t, packed), data) {
		t.Error("the object has other data")
	}
	piped(t, run, object, "gzip", spool, filepath.Join(dir, "packed"))
	if got, err := os.ReadFile(filepath.Join(dir, "packed")); err != nil || !bytes.Equal(got, packed) {
		t.Errorf("the file differs from the object: %v", err)
	}
	piped(t, run, object, spool, "s3://"+name+"/copy")
	if !bytes.Equal(stored(t, name, "copy"), data) {
		t.Error("the copy differs")
	}

	if left := parts(t, name); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
	for _, dir := range []string{dir, filepath.Join(gateway.root, name)} {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if n := e.Name(); !strings.HasPrefix(n, ".sgw") && n != "data" && n != "packed" && n != "copy" {
				t.Errorf("%s is left", n)
			}
		}
	}
}

// A run that dies between the beginning of a multipart upload and the moment at which
// its id is stored leaves an upload without parts that no state names.
func TestDurable_KilledWhileItBeginsAnUploadLeavesNone(t *testing.T) {
	data := random(12<<20 + 5)
	for _, c := range []struct {
		name string
		kind string
		n    int  // which request of that kind
		done bool // the store gets the request
	}{
		{"before it announces the upload", "put", 0, false},
		{"after it has announced the upload", "put", 0, true},
		{"before it begins", "begin", 0, false},
		{"after it has begun", "begin", 0, true},
		{"before it stores the id", "put", 1, false},
		{"after it has stored the id", "put", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex // guards process
			var process *os.Process
			p := newProxy(t, func(kind string, n int, _ *http.Request) fault {
				mu.Lock()
				defer mu.Unlock()
				if process == nil || kind != c.kind || n != c.n {
					return nil
				}
				return func(p *proxy, w http.ResponseWriter, r *http.Request) {
					if c.done {
						p.pass.ServeHTTP(httptest.NewRecorder(), r)
					}
					process.Kill()
					hangUp(w)
				}
			})
			name, s := bucket(t, p)
			core := client(t, storeOf(nil))
			// Another program uploads to the same key, and has sent something.
			foreign, err := core.NewMultipartUpload(t.Context(), name, "k", putOptions)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := core.PutObjectPart(t.Context(), name, "k", foreign, 1, strings.NewReader("x"), 1, partOptions); err != nil {
				t.Fatal(err)
			}
			dir := files(t, map[string][]byte{"data": data})
			args := []string{"pipe", "-q", filepath.Join(dir, "data"), "spool:" + filepath.Join(dir, "spool"), "s3://" + name + "/k?part-size=5MiB"}
			run := command(t.Context(), s, args...)
			mu.Lock()
			err = run.Start()
			process = run.Process
			mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			run.Wait()
			if run.ProcessState.Exited() {
				t.Fatalf("it was not killed: code %d", run.ProcessState.ExitCode())
			}
			if code, said := runs(t, storeOf(nil), args...); code != 0 {
				t.Fatalf("code %d: %s", code, said)
			}
			if !bytes.Equal(stored(t, name, "k"), data) {
				t.Error("the object has other data")
			}
			list, err := core.ListMultipartUploads(t.Context(), name, "", "", "", "", 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Uploads) != 1 || list.Uploads[0].UploadID != foreign {
				t.Errorf("unfinished uploads %+v, want only that of the other program", list.Uploads)
			}
		})
	}
}

func TestDurable_SurvivesKillOnBothSidesOfAnEdge(t *testing.T) {
	server := natsServer(t, nil)
	run := func(args ...string) *exec.Cmd { return exec.CommandContext(t.Context(), weirPath, args...) }
	data := random(80<<20 + 12345)
	dir := files(t, map[string][]byte{"data": data})
	edge := edgeOn(server, "logs") + "?max=64MiB"
	done := make(chan struct{})
	go func() {
		defer close(done)
		piped(t, run, filepath.Join(dir, "data"), edge)
	}()
	piped(t, run, edge, "gzip", filepath.Join(dir, "packed"))
	<-done
	packed, err := os.ReadFile(filepath.Join(dir, "packed"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unpacked(t, packed), data) {
		t.Error("the file has other data")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestDurable_OnlyOneOfTwoRunsWritesAnObject(t *testing.T) {
	name, s := bucket(t, nil)
	data := random(12<<20 + 5)
	dir := files(t, map[string][]byte{"data": data})
	type ended struct {
		code int
		said string
	}
	results := make(chan ended, 2)
	for _, spool := range []string{"a", "b"} { // as on two machines
		go func() {
			c := command(t.Context(), s, "pipe", filepath.Join(dir, "data"), "rate:8MiB/s", "spool:"+filepath.Join(dir, spool), "s3://"+name+"/k?part-size=5MiB")
			out, _ := c.CombinedOutput()
			results <- ended{c.ProcessState.ExitCode(), string(out)}
		}()
	}
	won := 0
	for range 2 {
		switch r := <-results; {
		case r.code == 0:
			won++
		case !strings.Contains(r.said, "in use") && !strings.Contains(r.said, "another flow") && !strings.Contains(r.said, "changed"):
			t.Errorf("code %d: %s", r.code, r.said)
		}
	}
	if won != 1 {
		t.Errorf("%d runs succeeded", won)
	}
	if !bytes.Equal(stored(t, name, "k"), data) {
		t.Error("the object has other data")
	}
}

func TestDurable_InterruptedSaysHowToContinue(t *testing.T) {
	name, s := bucket(t, nil)
	data := random(12 << 20)
	dir := files(t, map[string][]byte{"data": data})
	dst := "s3://" + name + "/k?part-size=5MiB" // the first part is there long before the end
	c := command(t.Context(), s, "pipe", filepath.Join(dir, "data"), "rate:4MiB/s", "spool:"+filepath.Join(dir, "spool"), dst)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		_, err := os.Stat(filepath.Join(gateway.root, name, "k.weir-flow"))
		return err == nil
	})
	c.Process.Signal(syscall.SIGINT)
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(said.String(), "to be continued") {
		t.Errorf("code %d: %s", code, said.String())
	}
	if code, said := runs(t, s, "pipe", filepath.Join(dir, "data"), "spool:"+filepath.Join(dir, "spool"), dst); code != 0 || !strings.Contains(said, "continued at") {
		t.Errorf("code %d: %s", code, said)
	}
	if !bytes.Equal(stored(t, name, "k"), data) {
		t.Error("the object has other data")
	}
}
