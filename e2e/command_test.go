package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/s3"
)

// command prepares a run of the command.
func command(ctx context.Context, s s3.Store, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, weirPath, args...)
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+s.Endpoint, "AWS_ACCESS_KEY_ID="+s.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+s.SecretAccessKey)
	return c
}

// runs runs the command and returns its exit code and what it said.
func runs(t *testing.T, s s3.Store, args ...string) (code int, said string) {
	t.Helper()
	var b bytes.Buffer
	c := command(t.Context(), s, args...)
	c.Stderr = &b
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), b.String()
}

func TestCommand_CopiesAndPipes(t *testing.T) {
	name, s := bucket(t, nil)
	dir := files(t, map[string][]byte{"log": bytes.Repeat([]byte("a line\n"), 100_000), "sub/x": random(10)})
	log, url := filepath.Join(dir, "log"), "s3://"+name+"/"
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{0, "copied 683.6 KiB", []string{"copy", log, url + "k/"}},
		{0, "piped", []string{"pipe", url + "k/log", "gzip", url + "k/log.gz"}},
		{0, "piped", []string{"pipe", url + "k/log.gz?endpoint=" + s.Endpoint, "gunzip", filepath.Join(dir, "back")}},
		{0, "copied", []string{"copy", url + "k/log", url + "k/log2"}},
		{0, "2 files", []string{"copy", dir, url + "tree/", "--exclude", "back"}},
		{0, "0 files; 2 were there already", []string{"copy", dir, url + "tree/", "--exclude", "back"}},
		{0, "copied", []string{"copy", url + "tree/", filepath.Join(dir, "new")}},
		{0, "1 deleted", []string{"copy", url + "tree/", filepath.Join(dir, "new"), "--delete", "--exclude", "nothing"}},
		{4, "already exists", []string{"copy", "-n", log, url + "k/"}},
		{0, "copied", []string{"copy", "-n", log, url + "k/fresh"}},
		{4, "file already exists", []string{"copy", "-n", url + "k/log", log}},
		{3, "no such object", []string{"copy", url + "none", dir}},
		{3, "no such bucket", []string{"copy", "s3://no-such-bucket/none", dir}},
		{4, "no such bucket", []string{"copy", log, "s3://no-such-bucket/none"}},
		{3, "no object has a key that begins with this prefix", []string{"copy", url + "none/", filepath.Join(dir, "none")}},
		{2, "--preserve does not work", []string{"copy", "-p", url + "tree/", dir}},
		{2, "--verify does not work", []string{"copy", "--verify", url + "tree/", dir}},
		{2, "unknown setting", []string{"copy", url + "k/log?x=y", dir}},
		{2, "needs a local folder", []string{"copy", url + "tree/", url + "tree2/"}},
		{2, "--no-clobber", []string{"copy", "-n", "--resume", url + "k/log", dir}},
	} {
		if len(c.args) > 4 && c.args[3] == "--delete" {
			if err := os.WriteFile(filepath.Join(dir, "new", "more"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		code, said := runs(t, s, c.args...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("weir %q exited with %d, want %d, and said %q, want %q", c.args, code, c.code, said, c.says)
		}
		if code != 0 && !strings.Contains(said, "try: ") {
			t.Errorf("weir %q names no way out: %q", c.args, said)
		}
	}
	for _, file := range []string{"back", "new/log"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("a line\n"), 100_000)) {
			t.Errorf("%s: %d bytes, %v", file, len(got), err)
		}
	}
}

func TestCommand_WithoutCredentialsOrStoreSaysSo(t *testing.T) {
	_, s := bucket(t, nil)
	log := filepath.Join(files(t, map[string][]byte{"log": random(10)}), "log")
	none := s
	none.AccessKeyID, none.SecretAccessKey = "", ""
	if code, said := runs(t, none, "copy", log, "s3://bucket/k"); code != 4 || !strings.Contains(said, "no credentials") || !strings.Contains(said, "aws configure") {
		t.Errorf("without credentials: %d, %q", code, said)
	}
	away := s
	away.Endpoint = "http://127.0.0.1:1"
	if code, said := runs(t, away, "copy", "s3://bucket/k", "-"); code != 3 || !strings.Contains(said, "connection refused") {
		t.Errorf("without a store: %d, %q", code, said)
	}
}

func TestCommand_ResumesADownload(t *testing.T) {
	data := random(20 << 20)
	name, s := bucket(t, nil)
	if err := put(t, s, name, "k", bytes.NewReader(data), sinkOptions); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	c := command(ctx, s, "copy", "s3://"+name+"/k", filepath.Join(dir, "k"), "--keep-partial", "--rate", "4MiB/s")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		list, _ := filepath.Glob(filepath.Join(dir, "*part"))
		if len(list) == 0 {
			return false
		}
		st, err := os.Stat(list[0])
		return err == nil && st.Size() > 1<<20
	})
	cancel() // SIGKILL
	c.Wait()
	if code, said := runs(t, s, "copy", "s3://"+name+"/k", filepath.Join(dir, "k"), "--resume"); code != 0 || !strings.Contains(said, "on top of") {
		t.Errorf("exited with %d and said %q", code, said)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "k")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// waitFor waits for something that another process does.
func waitFor(t *testing.T, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestCommand_KilledInAnUploadLeavesNothingVisibleAndTheNextRunSweeps(t *testing.T) {
	name, s := bucket(t, nil)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		r, w := io.Pipe()
		c := command(t.Context(), s, "pipe", "-", "s3://"+name+"/k")
		c.Stdin = r
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go io.Copy(w, &noise{4 * part, 3})
		waitFor(t, func() bool { return len(parts(t, name)) >= 3 })
		c.Process.Signal(signal)
		w.Close()
		c.Wait()
		absent(t, name, "k")
		if left := len(parts(t, name)); signal == syscall.SIGTERM && left > 0 || signal == syscall.SIGKILL && left == 0 {
			t.Errorf("after %v %d parts are left", signal, left)
		}
	}
	// A day later. The gateway can still store a part that it had received, which is new
	// then, and is removed by the next run.
	old := time.Now().Add(-25 * time.Hour)
	waitFor(t, func() bool {
		err := filepath.WalkDir(filepath.Join(gateway.root, name, ".sgwtmp", "multipart"), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				err = os.Chtimes(path, old, old)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := put(t, s, name, "k", &noise{part + 1, 4}, sinkOptions); err != nil {
			t.Fatal(err)
		}
		return len(parts(t, name)) == 0
	})
}

// base is what the command takes beside its ceiling: the program, its stacks and
// what the garbage collector has not collected yet.
const base = 28 << 20

func TestCommand_MakesFewerRequestsAtATimeToFitIntoItsMemory(t *testing.T) {
	name, s := bucket(t, nil)
	data := random(2*part + 70_000)
	for _, verb := range []string{"copy", "pipe"} {
		up := command(t.Context(), s, verb, "-q", "--memory", "12MiB", "-", "s3://"+name+"/k")
		up.Stdin = bytes.NewReader(data)
		if out, err := up.CombinedOutput(); err != nil || !bytes.Equal(stored(t, name, "k"), data) {
			t.Errorf("%s, upload: %v: %s", verb, err, out)
		}
		var got, said bytes.Buffer
		down := command(t.Context(), s, verb, "-q", "--memory", "3MiB", "s3://"+name+"/k", "-")
		down.Stdout, down.Stderr = &got, &said
		if err := down.Run(); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%s, download: %v: %s", verb, err, &said)
		}
		down = command(t.Context(), s, verb, "--memory", "3MiB", "s3://"+name+"/k?parallel=4", "-")
		if out, err := down.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("too small")) {
			t.Errorf("%s, with 4 requests at a time: %v: %s", verb, err, out)
		}
	}
}

func TestCommand_UploadOfUnknownLengthStaysWithinItsCeiling(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the command knows its peak on Linux")
	}
	name, s := bucket(t, nil)
	size := int64(400 << 20)
	if testing.Short() {
		size = 200 << 20
	}
	for _, c := range []struct {
		what string
		in   io.Reader
		args []string
	}{
		{"upload", &noise{size, 5}, []string{"pipe", "-", "s3://" + name + "/k", "--json"}},
		{"download", nil, []string{"pipe", "s3://" + name + "/k", "-", "--json"}},
	} {
		var said bytes.Buffer
		cmd := command(t.Context(), s, c.args...)
		cmd.Stdin, cmd.Stderr = c.in, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v: %s", c.what, err, said.String())
		}
		found := regexp.MustCompile(`"ceiling":(\d+)`).FindStringSubmatch(said.String())
		if found == nil {
			t.Fatalf("%s: no ceiling in %s", c.what, said.String())
		}
		ceiling, _ := strconv.ParseInt(found[1], 10, 64)
		// What the command says of itself: the kernel counts what we had before the
		// command was there, too.
		found = regexp.MustCompile(`"process":(\d+)`).FindStringSubmatch(said.String())
		if found == nil {
			t.Fatalf("%s: no peak in %s", c.what, said.String())
		}
		peak, _ := strconv.ParseInt(found[1], 10, 64)
		t.Logf("%s of %d MiB: peak %d MiB, ceiling %d MiB", c.what, size>>20, peak>>20, ceiling>>20)
		if peak > ceiling+base {
			t.Errorf("%s: peak %d MiB is more than the ceiling of %d MiB and %d MiB", c.what, peak>>20, ceiling>>20, base>>20)
		}
	}
	os.Remove(filepath.Join(gateway.root, name, "k"))
}

// A collector that runs all the time took half of the processor time of a download.
func TestCommand_CollectsSeldomWhileItCopies(t *testing.T) {
	name, s := bucket(t, nil)
	dir := files(t, map[string][]byte{"data": random(128 << 20)})
	object := "s3://" + name + "/k"
	for _, args := range [][]string{
		{"copy", "-q", filepath.Join(dir, "data"), object},
		{"copy", "-q", object, filepath.Join(dir, "back")},
		{"copy", "-q", object + "?parallel=1", filepath.Join(dir, "back1")},
		{"copy", "-q", object + "?parallel=4", filepath.Join(dir, "back4")},
	} {
		c := command(t.Context(), s, args...)
		c.Env = append(c.Env, "GODEBUG=gctrace=1")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if n := bytes.Count(out, []byte("\ngc ")); n > 60 {
			t.Errorf("%q: %d collections", args[1:], n)
		}
	}
}
