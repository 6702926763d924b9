package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A full disk of the server stops the flow with an error that says so, and when
// there is room again, it continues.
func TestEdge_SurvivesAFullDiskOfTheServer(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", store, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("a small file system can be mounted by root only: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(store, 0) })
	port := freePort(t)
	server, _ := start(t, fmt.Sprintf("server %s %d", store, port))
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	url := fmt.Sprintf("nats://127.0.0.1:%d/logs", port)
	in, out := noiseFile(t, 80<<20), filepath.Join(dir, "out")
	waitFor(t, func() bool { return canConnect(port) })
	producer, said := start(t, "produce "+in+" "+url+"?stall=2s")
	if err := producer.Wait(); err == nil || !strings.Contains(said.String(), "disk is full") {
		t.Fatalf("the producer ended with %v and said %q", err, said)
	}
	t.Logf("the producer said: %s", said)
	server.Process.Kill()
	server.Wait()
	if err := syscall.Mount("tmpfs", store, "tmpfs", syscall.MS_REMOUNT, "size=400m"); err != nil {
		t.Fatal(err)
	}
	again, _ := start(t, fmt.Sprintf("server %s %d", store, port))
	t.Cleanup(func() { again.Process.Kill(); again.Wait() })
	waitFor(t, func() bool { return canConnect(port) })
	producer, said = start(t, "produce "+in+" "+url)
	if err := consume(t.Context(), edge(t, url), out); err != nil {
		t.Fatal(err)
	}
	if err := producer.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	sameFiles(t, out, in)
}
