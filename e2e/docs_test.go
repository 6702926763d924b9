package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs_ScaleShowsCommandsThatRun runs what docs/scale.md shows, in order and
// in one folder, against the gateway of these tests.
func TestDocs_ScaleShowsCommandsThatRun(t *testing.T) {
	name, s := bucket(t, nil)
	edges := natsServer(t, nil).ClientURL()
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string][]byte{"access.log": bytes.Repeat([]byte("a line\n"), 1000)})
	bin := t.TempDir()
	if err := os.Symlink(weirPath, filepath.Join(bin, "weir")); err != nil {
		t.Skip(err)
	}
	ran := 0
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		killed := strings.HasPrefix(command, "timeout -s KILL ")
		if !ok || !strings.HasPrefix(command, "weir ") && !killed {
			continue // the store and the variables are set up already
		}
		ran++
		c := exec.CommandContext(t.Context(), "sh", "-c", strings.NewReplacer("s3://logs/", "s3://"+name+"/", "nats://127.0.0.1", edges).Replace(command))
		c.Dir = dir
		c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+s.Endpoint, "AWS_ACCESS_KEY_ID="+s.AccessKeyID,
			"AWS_SECRET_ACCESS_KEY="+s.SecretAccessKey, "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := c.CombinedOutput(); err != nil != killed {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands were run", ran)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "copy.log")); err != nil || len(got) != 7000 {
		t.Errorf("copy.log: %d bytes, %v", len(got), err)
	}
}
