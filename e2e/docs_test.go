package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
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
	ports := ownPorts(t)
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		killed := strings.HasPrefix(command, "timeout -s KILL ")
		if !ok || !strings.HasPrefix(command, "weir ") && !strings.HasPrefix(command, "curl ") && !killed {
			continue // the store and the variables are set up already
		}
		ran++
		command = strings.NewReplacer("s3://logs/", "s3://"+name+"/", "nats://127.0.0.1", edges,
			"rate:10MiB/s", "rate:1KiB/s" /* the log is small here */).Replace(ports.Replace(command))
		c := exec.CommandContext(t.Context(), "sh", "-c", command)
		c.Dir = dir
		c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+s.Endpoint, "AWS_ACCESS_KEY_ID="+s.AccessKeyID,
			"AWS_SECRET_ACCESS_KEY="+s.SecretAccessKey, "PATH="+bin+":"+os.Getenv("PATH"))
		if strings.HasPrefix(command, "weir serve ") {
			stays(t, c)
			continue
		}
		c.Args = append([]string{"timeout", "60"}, c.Args...) // some wait for what another command sends
		if c.Path, err = exec.LookPath("timeout"); err != nil {
			t.Skip(err)
		}
		if out, err := c.CombinedOutput(); err != nil != killed {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands were run", ran)
	}
	for _, name := range []string{"copy.log", "served.log"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(got) != 7000 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// ownPorts replaces the ports of the page by free ones.
func ownPorts(t *testing.T) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, port := range []string{"8081", "8082", "8083"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // when all have one
		pairs = append(pairs, "127.0.0.1:"+port, l.Addr().String())
	}
	return strings.NewReplacer(pairs...)
}

// stays starts a server, waits until it is ready, and ends it with the test.
func stays(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.Args[2] = "exec " + c.Args[2] // so that the signal reaches it
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan string)
	go func() {
		var said strings.Builder
		for in := bufio.NewScanner(stderr); in.Scan(); {
			fmt.Fprintln(&said, in.Text())
			if strings.HasPrefix(in.Text(), "serving") {
				close(ready)
			}
		}
		ended <- said.String()
	}()
	select {
	case <-ready:
	case said := <-ended:
		t.Fatalf("%s has ended: %s", c, said)
	}
	t.Cleanup(func() {
		c.Process.Signal(os.Interrupt)
		<-ended
		c.Wait()
	})
}
