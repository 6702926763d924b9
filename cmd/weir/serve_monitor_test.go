package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/weir-go/weir/monitor"
)

// getFrom sends a GET to the server, with headers as "name: value".
func getFrom(t *testing.T, url string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestServe_MonitorShowsASlowClientUntilTheServerEnds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "film.mkv"), noise(64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, dir, "--min-rate", "1MiB", "--stall", "1m")
	slow := getFrom(t, s.url+"film.mkv") // and takes nothing of it
	var snap monitor.Snapshot
	for snap.Transfers["files"].Rows["1"].State != "waiting for the client" {
		if err := json.NewDecoder(getFrom(t, s.url+"_weir/status.json").Body).Decode(&snap); err != nil {
			t.Fatal(err)
		}
	}
	row := snap.Transfers["files"].Rows["1"]
	if row.Name != "film.mkv" || row.Size != 64<<20 || row.Kind != "download" || !strings.HasPrefix(row.Client, "127.0.0.1:") {
		t.Errorf("%+v", row)
	}
	if snap.Memory.Limit == 0 || snap.Transfers["files"].Active != 1 {
		t.Errorf("%+v", snap)
	}
	var f monitor.Flow
	if err := json.NewDecoder(getFrom(t, s.url+"_weir/transfer.json?group=files&id=1").Body).Decode(&f); err != nil || len(f.Stages) < 2 {
		t.Errorf("%v, %+v", err, f)
	}
	slow.Body.Close()

	// A viewer gets little, and --min-rate does not mean it. The server does not
	// wait for it.
	events := bufio.NewReader(getFrom(t, s.url+"_weir/events").Body)
	var last string
	for n := 0; n < 12; {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d events: %v", n, err)
		}
		if strings.HasPrefix(line, "data: ") {
			n++
		}
	}
	out := s.end()
	for {
		line, err := events.ReadString('\n')
		if strings.HasPrefix(line, "data: ") {
			last = line
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(last, `"closed":true`) {
		t.Errorf("the last event is %q", last)
	}
	if strings.Contains(out, "were cut") {
		t.Errorf("the server waited for a viewer:\n%s", out)
	}
}

func TestServe_MonitorAnswersThisMachineOnlyAndLeavesThePageItsFiles(t *testing.T) {
	s := startServe(t, t.TempDir(), "--host", "files.example")
	for _, tt := range []struct {
		path, header string
		want         int
	}{
		{"_weir/", "", 200},
		{"_weir/status.txt", "", 200},
		{"_weir/metrics", "", 200},
		{"_weir/history.json", "", 200},
		{"_weir/monitor.js", "", 200},
		{"_weir/monitor.css", "", 200},
		{"_weir/draw.js", "", 200},
		{"_weir/worker.js", "", 200},
		{"_weir/trace", "", 409}, // nothing is recorded unless asked
		{"_weir/trace", "X-Forwarded-For: 192.0.2.1", 403},
		{"_weir/page.css", "", 200},
		{"_weir/icon.svg", "", 200},
		{"_weir/nothing", "", 404},
		{"_weir/page.css", "X-Forwarded-For: 192.0.2.1", 200},
		{"_weir/", "X-Forwarded-For: 192.0.2.1", 403},
		{"_weir/status.json", "X-Forwarded-For: 192.0.2.1", 403},
		{"_weir/events", "Via: 1.1 proxy", 403},
		{"_weir/metrics", "Host: files.example", 403},
		{"_weir/metrics", "Host: evil.example", 421},
	} {
		var headers []string
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		if resp := getFrom(t, s.url+tt.path, headers...); resp.StatusCode != tt.want {
			t.Errorf("%s with %q: %s, want %d", tt.path, tt.header, resp.Status, tt.want)
		}
	}
}

func TestServe_MonitorIsForUsersWhereThereAreAny(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte("ann:"+string(hash)+":r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, t.TempDir(), "--auth", users)
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:sesame"))
	for _, name := range []string{"", "status.json", "events", "metrics"} {
		// Users may come from elsewhere, and through a proxy.
		if resp := getFrom(t, s.url+"_weir/"+name, basic, "X-Forwarded-For: 192.0.2.1"); resp.StatusCode != http.StatusOK {
			t.Errorf("%q with a password: %s", name, resp.Status)
		}
		if resp := getFrom(t, s.url+"_weir/"+name); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q without a password: %s", name, resp.Status)
		}
	}
}
