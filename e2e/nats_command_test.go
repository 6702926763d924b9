package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-go/weir/s3"
)

func TestCommand_ListsDescribesAndDropsEdges(t *testing.T) {
	s := natsServer(t, nil)
	dir := files(t, map[string][]byte{"log": random(3 << 20)})
	log, server, url := filepath.Join(dir, "log"), s.ClientURL(), edgeOn(s, "logs")
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{0, "no edges", []string{"edge", "ls", server}},
		{1, "weir: open " + url + ": no such edge\n  try: weir edge ls " + server + ", to see which there are\n", []string{"edge", "info", url}},
		{0, "3 MiB", []string{"pipe", log, url + "?max=64MiB"}},
		{0, "64 MiB", []string{"edge", "ls", server}},
		{0, "ended", []string{"edge", "ls", server}},
		{0, "written   3145728 bytes, ended", []string{"edge", "info", url}},
		{0, "3 MiB behind", []string{"edge", "info", url}},
		{0, "saved at byte 3145728", []string{"edge", "info", url}},
		{0, "", []string{"pipe", url, filepath.Join(dir, "back")}},
		{0, "read", []string{"edge", "ls", server}},
		{0, "freed     3145728 bytes, 0 B behind", []string{"edge", "info", url}},
		{0, "dropped " + url, []string{"edge", "drop", url}},
		{0, "no edges", []string{"edge", "ls", server}},
		{1, "weir: drop " + url + ": no such edge\n  try: weir edge ls " + server + ", to see which there are\n", []string{"edge", "drop", url}},
	} {
		out := edgeCommand(t, c.code, c.args...)
		if !strings.Contains(out, c.says) {
			t.Errorf("weir %q said %q, want %q", c.args, out, c.says)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "back")); err != nil || string(got) != string(random(3<<20)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCommand_DescribesEdgesAsJSON(t *testing.T) {
	s := natsServer(t, nil)
	url := edgeOn(s, "logs")
	if err := produce(t, url, random(1000)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ls", "info"} {
		var got struct {
			Type                   string
			Name, URL, Server      string
			Held, Max              int64
			Written, Freed, Behind int64
			Ended, Consumer        bool
		}
		target := url
		if command == "ls" {
			target = s.ClientURL()
		}
		out := edgeCommand(t, 0, "edge", command, target, "--json")
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got.Type != "edge" || got.Name != "logs" || got.URL != url || got.Written != 1000 || got.Behind != 1000 || !got.Ended || got.Max != 1<<30 || got.Held < 1000 {
			t.Errorf("edge %s: %s", command, out)
		}
	}
}

// edgeCommand runs the command and returns everything that it said.
func edgeCommand(t *testing.T, code int, args ...string) string {
	t.Helper()
	c := command(t.Context(), s3.Store{}, args...)
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		t.Errorf("weir %q exited with %d, want %d: %s", args, got, code, out)
	}
	return string(out)
}
