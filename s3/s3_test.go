package s3_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/tree"
)

func TestURL_WrongOnesAreRefusedBeforeAnythingIsOpened(t *testing.T) {
	for name, says := range map[string]string{
		"s3://bucket":                              "folder",
		"s3://bucket/":                             "folder",
		"s3://bucket/dir/":                         "folder",
		"s3:///key":                                "missing bucket",
		"s3://host:9000/bucket/key":                "?endpoint=",
		"s3://id:secret@bucket/key":                "credentials in the URL",
		"s3://bucket/key#1":                        "%23",
		"s3://bucket/key?x=y":                      "unknown setting",
		"s3://bucket/key?endpoint=host":            "http://host:port",
		"s3://bucket/key?parallel=0":               "1 to 64",
		"s3://bucket/key?part-size=1MiB":           "5 MiB",
		"s3://bucket/key?anonymous=maybe":          "true or false",
		"s3://bucket/" + strings.Repeat("k", 1025): "at most 1024",
		"s3://bucket/a%00b":                        "zero bytes",
	} {
		_, err := endpoint.Source(name, endpoint.SourceOptions{})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("source %s: %v", name, err)
		}
		if _, err := endpoint.Sink(name, endpoint.SinkOptions{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("sink %s: %v", name, err)
		}
	}
	for _, name := range []string{"s3://bucket", "s3://bucket/", "s3://bucket/dir/", "s3://bucket/dir/?region=x"} {
		if !s3.IsFolder(name) {
			t.Errorf("%s is no folder", name)
		}
	}
	for _, name := range []string{"s3://bucket/key", "dir/", "https://host/dir/", "-", "s3://bucket/key?x=a/"} {
		if s3.IsFolder(name) {
			t.Errorf("%s is a folder", name)
		}
	}
}

func TestSink_HoldsItsPartsAndNoMoreThanItsObject(t *testing.T) {
	const part = 5<<20 + 23<<10
	for _, c := range []struct {
		s    s3.Store
		size int64
		want int64
	}{
		{s3.Store{}, 0, 5*part + part/8},
		{s3.Store{Parallel: 1}, 0, part + part/8},
		{s3.Store{Parallel: 8}, 0, 8*part + part/8},
		{s3.Store{PartSize: 16 << 20}, 0, 5*(16<<20+23<<10) + (16<<20+23<<10)/8},
		{s3.Store{}, 1000, 1000 + 125},
		{s3.Store{}, part, part + part/8},
		{s3.Store{}, part + 1, 2*part + part/8},
		{s3.Store{Parallel: 8}, 3 * part, 3*part + part/8},
	} {
		k, err := c.s.Sink("s3://bucket/key", endpoint.SinkOptions{Size: c.size})
		if err != nil || k.Holds != c.want {
			t.Errorf("%+v, %d bytes: holds %d, %v; want %d", c.s, c.size, k.Holds, err, c.want)
		}
	}
	// What can be read again is not held.
	r, err := s3.Store{}.Sink("s3://bucket/key", endpoint.SinkOptions{Size: 3 * part, Reopen: func() (endpoint.ReaderAtCloser, error) { return nil, nil }})
	if err != nil || r.Holds > 256<<10 {
		t.Errorf("reopened: holds %d, %v", r.Holds, err)
	}
	// 5 TiB fit into 10,000 parts, none of them larger than 5 GiB.
	k, err := s3.Store{Parallel: 1}.Sink("s3://bucket/key", endpoint.SinkOptions{Size: 5 << 40})
	if err != nil || k.Holds < (5<<40)/10_000 || k.Holds > 1<<30 {
		t.Errorf("5 TiB: holds %d, %v", k.Holds, err)
	}
}

func TestRequest_ToAStoreIsSignedUnlessItIsAnonymous(t *testing.T) {
	s := newStub(t)
	for _, anonymous := range []bool{false, true} {
		s.Anonymous = anonymous
		in, err := s.Source("s3://bucket/key", endpoint.SourceOptions{HTTP: quick})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Stat(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := s.seen("HEAD")[len(s.seen("HEAD"))-1]
		if signed := r.Header.Get("Authorization") != ""; signed == anonymous {
			t.Errorf("anonymous %v: Authorization %q", anonymous, r.Header.Get("Authorization"))
		}
	}
}

func TestStore_ReadsProfilesAndVariables(t *testing.T) {
	s := newStub(t)
	dir := t.TempDir()
	config, credentials := filepath.Join(dir, "config"), filepath.Join(dir, "credentials")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "[default]\nregion = eu-north-1\n[profile other]\nregion = eu-south-1\nendpoint_url = "+s.Endpoint+"\n")
	write(credentials, "[default]\naws_access_key_id = DEFAULTID\naws_secret_access_key = x\n[other]\naws_access_key_id = OTHERID\naws_secret_access_key = y\n")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", config)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", credentials)
	for _, c := range []struct {
		name, want string
		env        map[string]string
	}{
		{"s3://bucket/key", "DEFAULTID/", map[string]string{"AWS_ENDPOINT_URL": s.Endpoint}},
		{"s3://bucket/key", "/eu-north-1/", map[string]string{"AWS_ENDPOINT_URL_S3": s.Endpoint}},
		{"s3://bucket/key?profile=other", "OTHERID/", nil},
		{"s3://bucket/key?profile=other", "/eu-south-1/", nil},
		{"s3://bucket/key", "OTHERID/", map[string]string{"AWS_PROFILE": "other"}},
		{"s3://bucket/key", "ENVID/", map[string]string{"AWS_ENDPOINT_URL": s.Endpoint, "AWS_ACCESS_KEY_ID": "ENVID", "AWS_SECRET_ACCESS_KEY": "z"}},
		{"s3://bucket/key?region=here", "/here/", map[string]string{"AWS_ENDPOINT_URL": s.Endpoint, "AWS_REGION": "there"}},
		{"s3://bucket/key", "/there/", map[string]string{"AWS_ENDPOINT_URL": s.Endpoint, "AWS_REGION": "there"}},
	} {
		func() {
			for name, value := range c.env {
				os.Setenv(name, value)
				defer os.Setenv(name, "")
			}
			in, err := endpoint.Source(c.name, endpoint.SourceOptions{HTTP: quick})
			if err != nil {
				t.Fatal(err)
			}
			before := len(s.seen("HEAD"))
			if _, err := in.Stat(t.Context()); err != nil {
				t.Fatalf("%s, %v: %v", c.name, c.env, err)
			}
			if got := s.seen("HEAD")[before].Header.Get("Authorization"); !strings.Contains(got, c.want) {
				t.Errorf("%s, %v: %q lacks %q", c.name, c.env, got, c.want)
			}
		}()
	}
	for name, says := range map[string]string{"s3://bucket/key?profile=nobody": `no profile "nobody"`} {
		in, err := endpoint.Source(name, endpoint.SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Stat(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUpload_FallsBackToMD5WhereTheStoreKnowsNoChecksums(t *testing.T) {
	s := newStub(t)
	s.object = func(w http.ResponseWriter, r *http.Request, key string) {
		if r.Method == http.MethodPut && r.Header.Get("X-Amz-Checksum-Crc64nvme") != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
			return
		}
		s.serve(w, r, key)
	}
	sink, err := s.Sink("s3://bucket/key", endpoint.SinkOptions{HTTP: quick})
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.FromReader(strings.NewReader("text")).To(sink).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	puts := s.seen("PUT")
	if len(puts) != 2 || puts[1].Header.Get("Content-Md5") == "" {
		t.Errorf("%d requests, the last with %v", len(puts), puts[len(puts)-1].Header)
	}
}

func TestRequest_ErrorsThatCannotBeRepairedAreNotRepeated(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		most   int
		text   string
		is     error
	}{
		{403, "AccessDenied", 1, "access denied", fs.ErrPermission},
		{403, "RequestTimeTooSkewed", 1, "clock", fs.ErrPermission},
		{400, "ExpiredToken", 1, "session token has expired", nil},
		{404, "NoSuchBucket", 1, "no such bucket bucket", fs.ErrNotExist},
		{301, "PermanentRedirect", 1, "another region", nil},
		{409, "OperationAborted", 7, "OperationAborted", nil},
		{429, "TooManyRequests", 7, "overloaded", nil},
		{503, "SlowDown", 7, "overloaded (SlowDown) (7 attempts)", nil},
		{500, "InternalError", 7, "InternalError", nil},
	} {
		s := newStub(t)
		s.object = func(w http.ResponseWriter, r *http.Request, _ string) { refuse(w, c.status, c.code, "told") }
		sink, err := s.Sink("s3://bucket/key", endpoint.SinkOptions{HTTP: quick})
		if err != nil {
			t.Fatal(err)
		}
		err = weir.FromReader(strings.NewReader("text")).To(sink).Run(t.Context())
		var e *s3.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.code, err)
			continue
		}
		if strings.Contains(e.Reason(), e.URL) {
			t.Errorf("%s: the reason %q names the URL", c.code, e.Reason())
		}
		if n := len(s.seen("PUT")); n != c.most {
			t.Errorf("%s: %d requests, want %d", c.code, n, c.most)
		}
	}
}

func TestRequest_WaitsNoLongerThanAllowed(t *testing.T) {
	s := newStub(t)
	s.object = func(w http.ResponseWriter, r *http.Request, _ string) {
		w.Header().Set("Retry-After", "3600")
		refuse(w, 503, "SlowDown", "told")
	}
	sink, err := s.Sink("s3://bucket/key", endpoint.SinkOptions{HTTP: quick})
	if err != nil {
		t.Fatal(err)
	}
	err = weir.FromReader(strings.NewReader("text")).To(sink).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1h0m0s") || len(s.seen("PUT")) != 1 {
		t.Errorf("%d requests, %v", len(s.seen("PUT")), err)
	}
}

// slowly sends what is written to it at 64 MiB a second or less.
type slowly struct{ http.ResponseWriter }

func (s slowly) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, 64<<10) {
		time.Sleep(time.Millisecond) // of the store
		m, err := s.ResponseWriter.Write(piece)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestDownload_MakesMoreRequestsWhereOneIsSlow(t *testing.T) {
	data := make([]byte, 24<<20+77)
	for i := range data {
		data[i] = byte(i >> 9 * 7)
	}
	for _, c := range []struct {
		query string
		first string // Range of the first request
		many  bool
	}{
		{"", "", true},
		{"?parallel=1", "", false},
		{"?parallel=4", "bytes=0-4194303", true},
	} {
		t.Run(c.query, func(t *testing.T) {
			t.Parallel()
			s := newStub(t)
			s.object = func(w http.ResponseWriter, r *http.Request, _ string) {
				w.Header().Set("ETag", `"etag"`)
				http.ServeContent(slowly{w}, r, "", written, bytes.NewReader(data))
			}
			in, err := s.Source("s3://bucket/key"+c.query, endpoint.SourceOptions{HTTP: quick})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := in.Stream().To(weir.ToWriter(&got)).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), data) {
				t.Error("the bytes differ")
			}
			var ranges []string
			for _, r := range s.seen("GET") {
				ranges = append(ranges, r.Header.Get("Range"))
			}
			if !slices.Contains(ranges, c.first) || len(ranges) > 1 != c.many {
				t.Errorf("ranges %q", ranges)
			}
			if c.first == "" && c.many && len(ranges) > 6 { // one, and the rest without the 4 MiB that judge it
				t.Errorf("ranges %q: some bytes were asked for twice", ranges)
			}
		})
	}
}

func TestDownload_GivesUpAStoreThatStalls(t *testing.T) {
	s := newStub(t)
	release := make(chan struct{})
	s.object = func(w http.ResponseWriter, r *http.Request, key string) {
		if r.Method == http.MethodGet {
			w.Header().Set("ETag", `"etag"`)
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("ten bytes."))
			w.(http.Flusher).Flush()
			<-release
			return
		}
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Content-Length", "100")
	}
	defer close(release)
	o := quick
	o.Stall, o.Attempts = 20*time.Millisecond, 2
	in, err := s.Source("s3://bucket/key", endpoint.SourceOptions{HTTP: o})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Stream().To(weir.Discard[byte]()).Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestCopy_RefusesKeysThatLeadOutOfTheFolderAndCopiesTheOthers(t *testing.T) {
	s := newStub(t)
	s.keys = []string{
		"p/", "p/../up", "p/./here", "p//double", "p/a", "p/a/b", "p/abs//etc/passwd", "p/dir/../../up", "p/dir/x",
		"p/linked", "p/" + strings.Repeat("n", 256), "p/slash/", "p/x\x00y",
	}
	top := t.TempDir()
	dir := filepath.Join(top, "in", "dir")
	outside := filepath.Join(top, "outside")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "linked")); err != nil {
		t.Skip(err)
	}
	var names, collisions, others int
	c := &s3.Copy{From: "s3://bucket/p/", To: dir, Store: s.Store, Failed: func(err error) {
		switch {
		case errors.Is(err, s3.ErrName):
			names++
		case errors.Is(err, s3.ErrCollision):
			collisions++
		default:
			others++
			t.Logf("another failure: %v", err)
		}
	}}
	if err := c.Run(t.Context()); !errors.As(err, new(*tree.IncompleteError)) {
		t.Fatal(err)
	}
	// Of a and a/b one fails: as a collision, or since a is no folder.
	if names != 8 || collisions < 1 || collisions+others != 2 {
		t.Errorf("%d names, %d collisions and %d others were refused", names, collisions, others)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "dir", "x")); err != nil || string(got) != "p/dir/x" {
		t.Errorf("dir/x: %q, %v", got, err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "mine" {
		t.Errorf("a file outside was written through a symbolic link: %q", got)
	}
	if _, err := os.Stat(filepath.Join(top, "in", "up")); err == nil {
		t.Error("a key led out of the folder")
	}
	if list, _ := filepath.Glob(filepath.Join(dir, ".*")); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
}

func TestCopy_RefusesAListingThatIsNotInOrder(t *testing.T) {
	s := newStub(t)
	s.keys = []string{"p/b", "p/a"}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := (&s3.Copy{From: "s3://bucket/p/", To: dir, Store: s.Store, Delete: true}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "a")); !bytes.Equal(got, []byte("mine")) {
		t.Errorf("a is %q now", got)
	}
}

func TestStore_TrustsTheCertificatesOfTheBundle(t *testing.T) {
	plain := newStub(t)
	server := httptest.NewTLSServer(plain)
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s := plain.Store
	s.Endpoint = server.URL
	ask := func() error {
		in, err := s.Source("s3://bucket/key", endpoint.SourceOptions{HTTP: quick})
		if err != nil {
			t.Fatal(err)
		}
		_, err = in.Stat(t.Context())
		return err
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	if err := ask(); err == nil || len(plain.seen("HEAD")) > 0 {
		t.Errorf("a certificate that nobody vouches for was accepted: %v", err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if err := ask(); err != nil {
		t.Error(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle+".none")
	if err := ask(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bundle that is not there: %v", err)
	}
}

// A verdict says that a slow source or sink waits for the store.
func TestFlow_WaitsForTheStore(t *testing.T) {
	s := newStub(t)
	in, err := s.Source("s3://bucket/in", endpoint.SourceOptions{HTTP: quick})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Sink("s3://bucket/out", endpoint.SinkOptions{HTTP: quick})
	if err != nil {
		t.Fatal(err)
	}
	flow := in.Stream().To(out)
	if err := flow.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, st := range flow.Report().Stages {
		if st.Peer != "the store" {
			t.Errorf("%s %s waits for %q", st.Kind, st.Name, st.Peer)
		}
	}
}

func TestError_AdvisesWhatToSetWhereTheStoreHasNoAddress(t *testing.T) {
	for host, want := range map[string]string{
		"logs.s3.amazonaws.com": "set AWS_REGION; for a store that is not Amazon's, set AWS_ENDPOINT_URL or add ?endpoint=",
		"minio.example":         "check AWS_ENDPOINT_URL or ?endpoint=: minio.example does not resolve",
	} {
		e := &s3.Error{Op: "read", URL: "s3://logs/x", Err: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}}
		if e.Advice() != want {
			t.Errorf("%s: %q", host, e.Advice())
		}
		if want := "read s3://logs/x: dial tcp: lookup " + host + ": no such host"; e.Error() != want {
			t.Errorf("%q, want %q", e, want)
		}
	}
}
