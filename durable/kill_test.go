package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
)

// childEnv makes the test binary run one flow: "SOURCE DESTINATION STAGE DEATH".
const childEnv = "WEIR_DURABLE_CHILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		if err := child(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child runs a flow and kills itself in the call of the sink with the number
// that args end with.
func child(args []string) error {
	src, err := durable.From(args[0], endpoint.HTTPOptions{})
	if err != nil {
		return err
	}
	var o durable.Options
	if args[2] == "gzip" {
		o.Stage = gzipStage()
	}
	death, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	return durable.Flow(src, &deadly{Sink: durable.File(args[1], 0o666), left: death}, o).Run(context.Background())
}

// deadly kills its process in one of its calls. It saves often.
type deadly struct {
	durable.Sink
	left int
}

func (d *deadly) Pace() (int64, time.Duration, time.Duration) {
	return 50_000, 10 * time.Millisecond, 10 * time.Millisecond
}

func (d *deadly) call() {
	if d.left--; d.left == 0 {
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			p.Kill()
		}
		select {}
	}
}

func (d *deadly) Write(ctx context.Context, p []byte) (int, error) {
	d.call()
	n, err := d.Sink.Write(ctx, p)
	d.call()
	return n, err
}

func (d *deadly) Save(ctx context.Context, c durable.Checkpoint) error {
	d.call()
	err := d.Sink.Save(ctx, c)
	d.call()
	return err
}

func (d *deadly) Commit(ctx context.Context, c durable.Checkpoint) error {
	d.call()
	err := d.Sink.Commit(ctx, c)
	d.call()
	return err
}

func TestFlow_SurvivesKillAtAnyCallOfItsSink(t *testing.T) {
	t.Parallel()
	data := text(2<<20 + 321)
	dir := t.TempDir()
	file := filepath.Join(dir, "source")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "source", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(server.Close)
	kills := 3
	if os.Getenv("WEIR_LONG") != "" {
		kills = 40
	}
	for _, src := range []string{file, server.URL + "/source"} {
		for name, st := range map[string]*durable.Stage{"none": nil, "gzip": gzipStage()} {
			scheme, _, _ := strings.Cut(filepath.ToSlash(src), ":")
			t.Run(filepath.Base(scheme)+" "+name, func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				random := rand.New(rand.NewPCG(seed, 0))
				dst := filepath.Join(t.TempDir(), "result")
				killed := 0
				for i := 0; ; i++ {
					death := 0
					if i < kills {
						death = 1 + random.IntN(1<<random.IntN(8))
					}
					ended := runChild(t, src, dst, name, death)
					if ended && death == 0 {
						break
					}
					if ended { // it had less to do than that: begin anew
						if err := os.Remove(dst); err != nil {
							t.Fatal(err)
						}
						continue
					}
					killed++
				}
				got, err := os.ReadFile(dst)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, output(t, data, st)) {
					t.Error("the result differs from that of an uninterrupted run")
				}
				if left, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(left) != 1 {
					t.Errorf("left behind: %v, %v", left, err)
				}
				t.Logf("killed %d times", killed)
			})
		}
	}
}

// runChild runs a flow in a process of its own and reports whether it ended well.
// It fails the test if it failed in another way than by being killed.
func runChild(t *testing.T, src, dst, stage string, death int) (ended bool) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", childEnv, src, dst, stage, death))
	var stderr bytes.Buffer
	c.Stderr = &stderr
	err := c.Run()
	var ee *exec.ExitError
	switch {
	case err == nil:
		return true
	case errors.As(err, &ee) && stderr.Len() == 0:
		return false
	}
	t.Fatalf("%v: %s", err, stderr.String())
	return false
}

// leave runs a flow to dst that fails after so many bytes of its source, and has
// saved all of them.
func leave(t *testing.T, src *memorySource, dst string, n int64) {
	t.Helper()
	src.faults = []int64{n}
	if err := durable.Flow(src, everyByte{durable.File(dst, 0o666)}, durable.Options{}).Run(context.Background()); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
}

// everyByte saves after each Write.
type everyByte struct{ durable.Sink }

func (everyByte) Pace() (int64, time.Duration, time.Duration) { return 500, time.Hour, time.Hour }

func fileFlow(src durable.Source, dst string) *weir.Flow {
	return durable.Flow(src, durable.File(dst, 0o666), durable.Options{})
}

func TestFile_RefusesAPartThatIsNotWhatItWrote(t *testing.T) {
	t.Parallel()
	data := text(3000)
	for name, spoil := range map[string]func(part string) error{
		"changed":   func(part string) error { return os.WriteFile(part, bytes.Repeat([]byte("x"), 3000), 0o666) },
		"truncated": func(part string) error { return os.Truncate(part, 499) },
		"removed":   os.Remove,
		"damaged checkpoint": func(part string) error {
			return os.WriteFile(part+".json", []byte("{"), 0o600)
		},
		"a folder": func(part string) error { return errors.Join(os.Remove(part), os.Mkdir(part, 0o777)) },
	} {
		dst := filepath.Join(t.TempDir(), "result")
		leave(t, &memorySource{version: "v", data: data}, dst, 2000)
		if err := spoil(dst + ".weir-flow"); err != nil {
			t.Fatal(err)
		}
		src := &memorySource{version: "v", data: data}
		if err := fileFlow(src, dst).Run(context.Background()); err == nil || src.read > 0 {
			t.Errorf("%s: error %v after %d bytes, want an error before the first", name, err, src.read)
		} else if !strings.Contains(err.Error(), ".weir-flow") {
			t.Errorf("%s: error %q does not name the file", name, err)
		}
		// The way out that the message names.
		if err := errors.Join(os.RemoveAll(dst+".weir-flow"), os.Remove(dst+".weir-flow.json")); err != nil {
			t.Fatal(err)
		}
		if err := fileFlow(src, dst).Run(context.Background()); err != nil {
			t.Errorf("%s: begun anew: %v", name, err)
		}
	}
}

func TestFile_ContinuesAndCutsWhatWasNotSaved(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "result")
	data := text(3000)
	leave(t, &memorySource{version: "v", data: data}, dst, 2000)
	f, err := os.OpenFile(dst+".weir-flow", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("y"), 5000)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	src := &memorySource{version: "v", data: data}
	if err := fileFlow(src, dst).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, data) || src.read != 1000 {
		t.Errorf("%d bytes, %v; read %d bytes of the source, want 1000", len(got), err, src.read)
	}
}

// begun starts a flow to the file dst and returns when that is open. finish lets the flow
// end, and returns its error.
func begun(dst string) (finish func() error) {
	wait := make(chan struct{})
	src := &memorySource{version: "v", data: text(3000), wait: wait}
	ended, opened := make(chan error), make(chan struct{})
	go func() {
		ended <- durable.Flow(src, durable.File(dst, 0o666), durable.Options{Opened: func(durable.Checkpoint) { close(opened) }}).Run(context.Background())
	}()
	<-opened
	return func() error {
		close(wait)
		return <-ended
	}
}

func TestFile_IsForOneRunAtATime(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "result")
	finish := begun(dst)
	if err := fileFlow(&memorySource{version: "v", data: text(3000)}, dst).Run(context.Background()); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("error %v, want ErrInUse", err)
	}
	if err := finish(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, text(3000)) {
		t.Error("the second run has spoiled the first:", err)
	}
}

func TestFile_WaitsForARunThatEnds(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "result")
	finish := begun(dst)
	done := make(chan error, 1)
	go func() { done <- fileFlow(&memorySource{version: "v", data: text(3000)}, dst).Run(context.Background()) }()
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
		return
	case <-time.After(50 * time.Millisecond):
	}
	if err := errors.Join(finish(), <-done); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, text(3000)) {
		t.Error("the second run has spoiled the first:", err)
	}
}

func TestFile_ReplacesTheOldFileOnlyAtTheEnd(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "result")
	if err := os.WriteFile(dst, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	data := text(3000)
	leave(t, &memorySource{version: "v", data: data}, dst, 2000)
	if got, err := os.ReadFile(dst); err != nil || string(got) != "old" {
		t.Errorf("after a failure: %q, %v", got, err)
	}
	if err := fileFlow(&memorySource{version: "v", data: data}, dst).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if st, err := os.Stat(dst); err != nil || st.Mode().Perm()&^0o111 != 0o640 && os.PathSeparator == '/' {
		t.Errorf("permissions %v, %v, want those of the old file", st.Mode(), err)
	}
}

func TestFile_BeginsAnewWhenOnlyTheEndOfAnEarlierFlowIsLeft(t *testing.T) {
	t.Parallel()
	dst := filepath.Join(t.TempDir(), "result")
	// A run was killed when the file had its name and its checkpoint was there.
	k := durable.File(dst, 0o666)
	ctx := context.Background()
	if _, err := k.Open(ctx); err != nil {
		t.Fatal(err)
	}
	c := durable.Checkpoint{Source: durable.Position{Version: "v"}, End: true}
	if err := errors.Join(k.Save(ctx, c), k.Commit(ctx, c)); err != nil {
		t.Fatal(err)
	}
	data := text(3000)
	if err := fileFlow(&memorySource{version: "w", data: data}, dst).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestFrom_SaysWhyASourceCannotResume(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/weak" {
			w.Header().Set("ETag", `W/"v1"`)
			w.Header().Set("Accept-Ranges", "bytes")
		} else {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Accept-Ranges", "none")
		}
		w.Write([]byte("hello"))
	}))
	t.Cleanup(plain.Close)
	for name, want := range map[string]string{plain.URL + "/weak": "ETag", plain.URL + "/none": "parts", t.TempDir(): "regular", "-": "standard input"} {
		src, err := durable.From(name, endpoint.HTTPOptions{})
		if err == nil {
			_, err = src.Stat(context.Background())
		}
		if !errors.Is(err, durable.ErrCannotResume) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want ErrCannotResume that mentions %q", name, err, want)
		}
	}
}
