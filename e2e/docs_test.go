package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestDocs_ScaleShowsCommandsThatRun runs what docs/scale.md shows, in order and
// in one folder, against the gateway of these tests.
func TestDocs_ScaleShowsCommandsThatRun(t *testing.T) {
	name, s := bucket(t, nil)
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string][]byte{"access.log": bytes.Repeat([]byte("a line\n"), 1000)})
	edges := natsServerOfPage(t, string(text), dir).ClientURL()
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

// natsServerOfPage starts a server with the configuration that the page writes.
func natsServerOfPage(t *testing.T, page, dir string) *server.Server {
	t.Helper()
	for line := range strings.Lines(page) {
		command := strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if !strings.HasSuffix(command, "> nats.conf") {
			continue
		}
		c := exec.Command("sh", "-c", command)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	conf, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if conf.Host != "127.0.0.1" || conf.Port != 0 {
		t.Errorf("the page starts a server on %s:%d", conf.Host, conf.Port)
	}
	return natsServer(t, func(o *server.Options) {
		o.Host, o.JetStream, o.SyncAlways = conf.Host, conf.JetStream, conf.SyncAlways
	})
}

// TestDocs_NameTheServersThatTheTestsUse holds the versions that docs/scale.md installs
// to those that these tests run.
func TestDocs_NameTheServersThatTheTestsUse(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(checkout, "docs", "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(checkout, "e2e", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"github.com/versity/versitygw", "github.com/nats-io/nats-server/v2"} {
		used := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(mod)
		if used == nil || !regexp.MustCompile(regexp.QuoteMeta("go install "+module)+`\S*@`+string(used[1])+`\n`).Match(page) {
			t.Errorf("the page installs another version of %s than the tests use, %q", module, used)
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
