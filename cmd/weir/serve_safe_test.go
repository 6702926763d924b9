package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestServe_CertificateThatIsGivenIsShown(t *testing.T) {
	t.Parallel()
	made, err := selfSigned("127.0.0.1:0", []string{"files.example"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, []byte("alpha"), dir, "public", "a.txt")
	s := startServe(t, filepath.Join(dir, "public"),
		"--tls-cert", put(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}), dir, "cert.pem"),
		"--tls-key", put(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), dir, "key.pem"))
	if !strings.HasPrefix(s.url, "https://") {
		t.Errorf("it says %s", s.url)
	}
	given, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(given)
	for _, two := range []bool{false, true} {
		wire := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "files.example"}, ForceAttemptHTTP2: two}
		answer, err := (&http.Client{Transport: wire}).Get(s.url + "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(body) != "alpha" || !answer.TLS.PeerCertificates[0].Equal(given) || (answer.ProtoMajor == 2) != two {
			t.Errorf("%q over %s, %v", body, answer.Proto, err)
		}
		wire.CloseIdleConnections()
	}
}

// TestServe_UploadIsOnStableStorageIfToldSo looks at the system calls that are made
// until the answer comes.
func TestServe_UploadIsOnStableStorageIfToldSo(t *testing.T) {
	if runtime.GOOS != "linux" || exec.Command("strace", "-D", "-o", os.DevNull, "true").Run() != nil {
		t.Skip("there is no strace, or it may not trace")
	}
	weir, err := exec.LookPath("weir")
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	traced := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexec strace -D -f -qq -y -e trace=fsync,fdatasync -o '%s' '%s' \"$@\"\n", trace, weir)
	if err := os.WriteFile(filepath.Join(traced, "weir"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", traced+":"+os.Getenv("PATH"))
	for _, sync := range []bool{false, true} {
		in := t.TempDir()
		s := startServe(t, t.TempDir(), "--uploads", in, fmt.Sprintf("--sync=%v", sync))
		s.store(t, "a.txt", "alpha")
		calls, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		s.end()
		same(t, filepath.Join(in, "a.txt"), []byte("alpha"))
		var file, folder bool
		for _, m := range regexp.MustCompile(`sync\(\d+<(.*?)>`).FindAllSubmatch(calls, -1) {
			if string(m[1]) == in {
				folder = true // the name
			} else if strings.HasPrefix(string(m[1]), in+"/") {
				file = true
			}
		}
		if file != sync || folder != sync {
			t.Errorf("with --sync=%v the file is brought to it: %v, and its name: %v:\n%s", sync, file, folder, calls)
		}
	}
}
