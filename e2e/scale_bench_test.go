package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkScale moves 512 MiB to and from the gateway with weir and with other
// installed tools, one after the other: the rows of "make bench-scale". Each
// run is a separate process. MiB is its largest resident memory, and cpu-s is
// its processor time. On Linux, anon-MiB is the largest part of the memory that is
// its own, and file-MiB the part that is pages of its program, which the kernel
// shares and can drop. The gateway works in the process of the benchmark, so its
// time does not count.
func BenchmarkScale(b *testing.B) {
	if gateway.skip != "" {
		b.Skip(gateway.skip)
	}
	timer, err := exec.LookPath("time")
	if err != nil {
		b.Skip("GNU time is not installed: Debian package time")
	}
	const size = 512 << 20
	dir := b.TempDir()
	bucket := "bench"
	if err := os.MkdirAll(filepath.Join(gateway.root, bucket), 0o755); err != nil {
		b.Fatal(err)
	}
	file, back := noiseFile(b, size), filepath.Join(dir, "back")
	weir := asReleased(b, dir)
	type tool struct{ name, up, stream, down string }
	tools := []tool{
		{"weir", weir + " copy -q FILE s3://BUCKET/KEY", weir + " copy -q - s3://BUCKET/KEY", weir + " copy -q s3://BUCKET/KEY BACK"},
		{"rclone", "rclone copyto --ignore-times FILE s:BUCKET/KEY", "rclone rcat s:BUCKET/KEY", "rclone copyto s:BUCKET/KEY BACK"},
		{"aws", "aws s3 cp --quiet FILE s3://BUCKET/KEY", "aws s3 cp --quiet - s3://BUCKET/KEY", "aws s3 cp --quiet s3://BUCKET/KEY BACK"},
		{"s5cmd", "s5cmd cp FILE s3://BUCKET/KEY", "s5cmd pipe s3://BUCKET/KEY", "s5cmd cp s3://BUCKET/KEY BACK"},
	}
	os.Unsetenv("AWS_CA_BUNDLE") // rclone refuses to run with it
	env := append(os.Environ(), "AWS_ENDPOINT_URL="+gateway.url, "S3_ENDPOINT_URL="+gateway.url, "AWS_ACCESS_KEY_ID="+accessKey,
		"AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"RCLONE_CONFIG_S_TYPE=s3", "RCLONE_CONFIG_S_PROVIDER=Other", "RCLONE_CONFIG_S_ENDPOINT="+gateway.url,
		"RCLONE_CONFIG_S_ACCESS_KEY_ID="+accessKey, "RCLONE_CONFIG_S_SECRET_ACCESS_KEY="+secretKey, "RCLONE_CONFIG_S_REGION=us-east-1",
		"RCLONE_CONFIG_S_NO_CHECK_BUCKET=true", // the gateway answers 500 to the request that creates one again
		"RCLONE_CONFIG="+filepath.Join(dir, "rclone.conf"))
	// A tool compares what it downloads with the checksums it knows: rclone with the MD5
	// that it notes in its own large uploads, weir also with the store's checksum.
	for _, way := range []struct {
		name    string
		command func(tool) string
		from    *tool // uploads the object first
	}{
		{"upload", func(t tool) string { return t.up }, nil},
		{"upload-unknown-length", func(t tool) string { return t.stream }, nil},
		{"download", func(t tool) string { return t.down }, &tools[0]},
		{"download-of-rclone", func(t tool) string { return t.down }, &tools[1]},
	} {
		words := func(command string) []string {
			return strings.Fields(strings.NewReplacer("FILE", file, "BACK", back, "BUCKET", bucket, "KEY", way.name).Replace(command))
		}
		if way.from != nil {
			up := words(way.from.up)
			if _, err := exec.LookPath(up[0]); err != nil {
				continue
			}
			c := exec.Command(up[0], up[1:]...)
			c.Env = env
			if out, err := c.CombinedOutput(); err != nil {
				b.Fatalf("%q: %v: %s", up, err, out)
			}
		}
		for _, tool := range tools {
			b.Run(way.name+"/"+tool.name, func(b *testing.B) {
				command := words(way.command(tool))
				if _, err := exec.LookPath(command[0]); err != nil {
					b.Skip(command[0] + " is not installed")
				}
				b.SetBytes(size)
				for b.Loop() {
					os.Remove(back)
					args := append([]string{"-f", "%e %U %S %M"}, command...)
					c := exec.Command(timer, args...)
					var said bytes.Buffer
					c.Env, c.Stderr = env, &said
					if way.name == "upload-unknown-length" {
						in, err := os.Open(file)
						if err != nil {
							b.Fatal(err)
						}
						defer in.Close()
						c.Stdin = struct{ io.Reader }{in} // a pipe: it has no length
					}
					if err := c.Start(); err != nil {
						b.Fatal(err)
					}
					peaks := watchChild(c.Process.Pid)
					if err := c.Wait(); err != nil {
						b.Fatalf("%q: %v: %s", command, err, &said)
					}
					lines := strings.Split(strings.TrimSpace(said.String()), "\n")
					var wall, user, system, kib float64
					if _, err := fmt.Sscan(lines[len(lines)-1], &wall, &user, &system, &kib); err != nil {
						b.Fatalf("%q: %v: %s", command, err, &said)
					}
					b.ReportMetric(kib/1024, "MiB")
					b.ReportMetric(user+system, "cpu-s")
					if anon, file := peaks(); anon > 0 {
						b.ReportMetric(anon/1024, "anon-MiB")
						b.ReportMetric(file/1024, "file-MiB")
					}
				}
			})
		}
	}
}

// asReleased builds the command as "make release" does: linked statically and without
// tables for debuggers. Both change how much memory the pages of a program take, and
// the other tools are released in the same way.
func asReleased(b *testing.B, dir string) string {
	name := filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, "./cmd/weir")
	build.Dir = checkout
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build weir: %v\n%s", err, out)
	}
	return name
}

// watchChild watches the memory of the child of a process until peaks is called, which
// returns the largest figures in KiB, 0 where the system does not tell.
func watchChild(parent int) (peaks func() (anon, file float64)) {
	var anon, file float64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
			status, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(children)) + "/status")
			for line := range strings.Lines(string(status)) {
				var kib float64
				if n, _ := fmt.Sscanf(line, "RssAnon: %f", &kib); n == 1 {
					anon = max(anon, kib)
				}
				if n, _ := fmt.Sscanf(line, "RssFile: %f", &kib); n == 1 {
					file = max(file, kib)
				}
			}
		}
	}()
	return func() (float64, float64) {
		close(stop)
		<-ended
		return anon, file
	}
}
