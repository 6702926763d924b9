package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-go/weir/monitor"
)

// The process ends when its run does, also while its page is open, and the page
// learns how it ended.
func TestUI_ProcessEndsWithItsRunWhileAPageIsOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command("weir", "pipe", "-", "grepout:secretword", "tee:secretfile.txt", filepath.Join(dir, "out.txt"), "--ui", "--json")
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var start struct{ Type, UI string }
	if err := json.Unmarshal([]byte(first), &start); err != nil || start.Type != "start" || !strings.HasPrefix(start.UI, "http://127.0.0.1:") {
		t.Fatalf("the first line is %q, %v", first, err)
	}
	if _, err := io.WriteString(stdin, "a line\n"); err != nil {
		t.Fatal(err)
	}
	events := getFrom(t, start.UI+"events")
	r := bufio.NewReader(events.Body)
	text, err := io.ReadAll(getFrom(t, start.UI+"metrics").Body)
	if err != nil || !strings.Contains(string(text), `weir_flow_running{flow="pipe"} 1`) || !strings.Contains(string(text), `stage="tee"`) {
		t.Errorf("%v\n%s", err, text)
	}
	if strings.Contains(string(text), "secret") || strings.Contains(string(text), "out.txt") {
		t.Errorf("a name of the user's is a label:\n%s", text)
	}
	var snap monitor.Snapshot
	if err := json.NewDecoder(getFrom(t, start.UI+"status.json").Body).Decode(&snap); err != nil || snap.Running != 1 || len(snap.Flows) != 1 {
		t.Errorf("%v, %+v", err, snap)
	}
	if resp := getFrom(t, start.UI, "Host: evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a false name gets %s", resp.Status)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(all), `"closed":true`) || !strings.Contains(string(all), `"succeeded"`) {
		t.Errorf("the page gets, in the end, %v, %s", err, all)
	}
	rest, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), `"type":"summary"`) {
		t.Errorf("%v: %s", err, rest)
	}
	if out, err := os.ReadFile(filepath.Join(dir, "secretfile.txt")); err != nil || string(out) != "a line\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestUI_AddressIsOfThisMachineOnly(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "80": "127.0.0.1:80", "localhost:80": "127.0.0.1:80", "[::1]:80": "[::1]:80",
		"0.0.0.0:80": "", "192.0.2.1:80": "", "example.org:80": "", "[::]:80": "", "127.0.0.1": "", "x": "",
	} {
		if got, err := loopback(addr); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", addr, got, err)
		}
	}
}
