package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"github.com/weir-go/weir/s3"
)

const (
	accessKey = "access"
	secretKey = "secret-for-tests"
)

// gateway is the S3 server that all tests of this package talk to: a real one,
// over a folder.
var gateway struct {
	skip string // why there is none
	url  string
	root string // its buckets are folders in it
}

// checkout is the root of the repository: the gateway changes the working folder
// of its process.
var checkout string

// weirPath is the command, built from this tree.
var weirPath string

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		if err := child(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		os.Unsetenv(name)
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if checkout, err = filepath.Abs(".."); err != nil {
		panic(err)
	}
	weirPath = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", weirPath, "./cmd/weir")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build weir: %v\n%s", err, out)
		return 1
	}
	stop := startGateway(filepath.Join(dir, "store"))
	defer stop()
	return m.Run()
}

func startGateway(root string) (stop func()) {
	stop = func() {}
	if err := os.Mkdir(root, 0o755); err != nil {
		panic(err)
	}
	if err := (meta.XattrMeta{}).Test(root); err != nil {
		gateway.skip = "the gateway needs extended attributes in " + root + ": " + err.Error()
		return stop
	}
	be, err := posix.New(root, meta.XattrMeta{}, posix.PosixOpts{Concurrency: 64, CopyObjectThreshold: 5 << 30})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess: accessKey, RootUserSecret: secretKey, Ports: []string{addr}, Quiet: true, KeepAlive: true,
			MaxConnections: 1024, MaxRequests: 512, MultipartMaxParts: 10_000,
		})
	}()
	gateway.url, gateway.root = "http://"+addr, root
	for deadline := time.Now().Add(30 * time.Second); ; {
		if resp, err := http.Get(gateway.url); err == nil {
			resp.Body.Close()
			break
		}
		select {
		case err := <-ended:
			panic(fmt.Sprint("gateway: ", err))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			panic("the gateway does not answer")
		}
	}
	return func() {
		cancel()
		<-ended
	}
}

// bucket makes a bucket of the test's own, and returns its name and how to reach
// the gateway, through p if that is not nil.
func bucket(t *testing.T, p *proxy) (string, s3.Store) {
	t.Helper()
	if gateway.skip != "" {
		t.Skip(gateway.skip)
	}
	dir, err := os.MkdirTemp(gateway.root, "bucket-")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return name, storeOf(p)
}

// storeOf says how to reach the gateway, through p if that is not nil.
func storeOf(p *proxy) s3.Store {
	s := s3.Store{Endpoint: gateway.url, AccessKeyID: accessKey, SecretAccessKey: secretKey, Region: "us-east-1"}
	if p != nil {
		s.Endpoint = p.url
	}
	return s
}

// objects returns the keys of a bucket.
func objects(t *testing.T, bucket string) (list []string) {
	t.Helper()
	root := filepath.Join(gateway.root, bucket)
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".sgwtmp" {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			rel, _ := filepath.Rel(root, name)
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// stored returns what the gateway has under a key, as a file of its folder.
func stored(t *testing.T, bucket, key string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(gateway.root, bucket, filepath.FromSlash(key)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// absent fails if the key exists.
func absent(t *testing.T, bucket, key string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(gateway.root, bucket, filepath.FromSlash(key))); err == nil {
		t.Errorf("%s exists", key)
	}
}

// parts returns the files of parts that unfinished uploads to the bucket hold.
func parts(t *testing.T, bucket string) (list []string) {
	t.Helper()
	dir := filepath.Join(gateway.root, bucket, ".sgwtmp", "multipart")
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// noise is a stream of bytes that no compression shortens and that differ
// everywhere, made without keeping them.
type noise struct {
	n    int64
	seed uint64
}

func (r *noise) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.n)]
	for i := range p {
		r.seed ^= r.seed << 13
		r.seed ^= r.seed >> 7
		r.seed ^= r.seed << 17
		p[i] = byte(r.seed >> 32)
	}
	r.n -= int64(len(p))
	return len(p), nil
}

func random(n int) []byte {
	b, err := io.ReadAll(&noise{int64(n), uint64(n) + 88172645463325252})
	if err != nil {
		panic(err)
	}
	return b
}
