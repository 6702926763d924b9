package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

// part is the size of the parts of an upload that holds them in memory, filePart that of
// the parts of a file.
const (
	part     = 5<<20 + 23<<10
	filePart = 8<<20 + 23<<10
)

// quick makes retries quick, so that tests are.
var quick = endpoint.HTTPOptions{Backoff: func(int) time.Duration { return time.Millisecond }}

func put(t *testing.T, s s3.Store, bucket, key string, from io.Reader, o endpoint.SinkOptions) error {
	t.Helper()
	o.HTTP = quick
	sink, err := s.Sink("s3://"+bucket+"/"+key, o)
	if err != nil {
		t.Fatal(err)
	}
	return weir.FromReader(from).To(sink).Run(t.Context())
}

func get(t *testing.T, s s3.Store, bucket, key string, o endpoint.SourceOptions) ([]byte, error) {
	t.Helper()
	o.HTTP = quick
	in, err := s.Source("s3://"+bucket+"/"+key, o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = in.Stream().To(weir.ToWriter(&b)).Run(t.Context())
	return b.Bytes(), err
}

func TestObject_ComesBackAsItWasSent(t *testing.T) {
	name, s := bucket(t, nil)
	for _, n := range []int{0, 1, 70_000, part - 1, part, part + 1, 2 * part, 3*part + 5, filePart - 1, filePart, filePart + 1, 2 * filePart} {
		for _, kind := range []string{"unknown length", "known length", "reopened"} {
			key := fmt.Sprintf("dir/%d-%v", n, kind)
			data := random(n)
			var o endpoint.SinkOptions
			if kind != "unknown length" {
				o.Size = int64(n)
			}
			if kind == "reopened" {
				o.Reopen = reopens(t, data)
			}
			if err := put(t, s, name, key, bytes.NewReader(data), o); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if !bytes.Equal(stored(t, name, key), data) {
				t.Errorf("%s: the store has other bytes", key)
			}
			for _, parallel := range []int{0, 1, 3} {
				s.Parallel = parallel
				got, err := get(t, s, name, key, endpoint.SourceOptions{})
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, %d in parallel: %d bytes, %v", key, parallel, len(got), err)
				}
			}
			s.Parallel = 0
		}
	}
	if left := parts(t, name); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
}

// reopens returns content for SinkOptions.Reopen, and checks that it is opened once
// and closed.
func reopens(t *testing.T, data []byte) func() (endpoint.ReaderAtCloser, error) {
	c := &content{Reader: bytes.NewReader(data)}
	t.Cleanup(func() {
		if c.opened != 1 || c.closed != 1 {
			t.Errorf("the content was opened %d times and closed %d times", c.opened, c.closed)
		}
	})
	return func() (endpoint.ReaderAtCloser, error) {
		c.opened++
		return c, nil
	}
}

type content struct {
	*bytes.Reader
	opened, closed int
}

func (c *content) Close() error {
	c.closed++
	return nil
}

func TestObject_StartsAtAnOffsetOfTheSameVersionOnly(t *testing.T) {
	name, s := bucket(t, nil)
	data := random(100_000)
	if err := put(t, s, name, "k", bytes.NewReader(data), endpoint.SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	in, err := s.Source("s3://"+name+"/k", endpoint.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := in.Stat(t.Context())
	if err != nil || info.Size != 100_000 || !info.Resumable || info.Validator == "" || info.Name != "k" {
		t.Fatalf("info %+v, %v", info, err)
	}
	got, err := get(t, s, name, "k", endpoint.SourceOptions{Offset: 60_000, Validator: info.Validator})
	if err != nil || !bytes.Equal(got, data[60_000:]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := put(t, s, name, "k", bytes.NewReader(random(100_001)), endpoint.SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, s, name, "k", endpoint.SourceOptions{Offset: 60_000, Validator: info.Validator}); !errors.Is(err, endpoint.ErrChanged) || len(got) > 0 {
		t.Errorf("%d bytes, %v; want ErrChanged before the first byte", len(got), err)
	}
}

func TestUpload_GetsThroughFaults(t *testing.T) {
	slow := answers(http.StatusServiceUnavailable, "SlowDown")
	failing := answers(http.StatusInternalServerError, "InternalError")
	for _, c := range []struct {
		name, kind string
		n          int
		fault      fault
	}{
		{"overloaded at a part", "part", 3, slow},
		{"error at a part", "part", 3, failing},
		{"conflict at a part", "part", 1, answers(http.StatusConflict, "OperationAborted")},
		{"connection breaks in a part", "part", 3, breaks(1 << 20)},
		{"answer to a part lost", "part", 3, loses},
		{"slow parts", "part", 2, delays(100 * time.Millisecond)},
		{"overloaded at the beginning", "begin", 2, slow},
		{"overloaded at the end", "complete", 2, slow},
		{"200 with an error at the end", "complete", 2, answers(http.StatusOK, "InternalError")},
		{"answer to the end lost", "complete", 1, loses},
		{"all answers to the end lost", "complete", 100, loses},
		{"connection breaks at the end", "complete", 2, breaks(10)},
		{"overloaded at a small object", "put", 3, slow},
		{"connection breaks in a small object", "put", 3, breaks(1000)},
		{"answer to a small object lost", "put", 1, loses},
		{"all answers to a small object lost", "put", 100, loses},
	} {
		for _, way := range []string{"", "exclusive", "reopened", "exclusive reopened"} {
			t.Run(c.name+" "+way, func(t *testing.T) {
				p := newProxy(t, func(kind string, n int, _ *http.Request) fault {
					if kind == c.kind && n < c.n {
						return c.fault
					}
					return nil
				})
				name, s := bucket(t, p)
				s.PartSize = 5 << 20
				size := 2*part + 77
				if c.kind == "put" {
					size = 50_000
				}
				data := random(size)
				o := endpoint.SinkOptions{Exclusive: strings.Contains(way, "exclusive")}
				if strings.Contains(way, "reopened") {
					o.Reopen = reopens(t, data)
				}
				if err := put(t, s, name, "a/b", bytes.NewReader(data), o); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(stored(t, name, "a/b"), data) {
					t.Error("the store has other bytes")
				}
				if p.seen(c.kind) < 2 && c.n > 1 {
					t.Errorf("the fault was met %d times", p.seen(c.kind))
				}
				if left := parts(t, name); len(left) > 0 {
					t.Errorf("parts are left: %q", left)
				}
			})
		}
	}
}

// A conflict means that another writer was in the middle of its request. The store
// then drops a multipart upload.
func TestUpload_BeginsAgainAfterAConflict(t *testing.T) {
	conflict := answers(http.StatusConflict, "ConditionalRequestConflict")
	for _, c := range []struct {
		name, kind string
		size       int
		reopened   bool
		times      int
		want       error // nil: success
	}{
		{"small", "put", 1000, false, 2, nil},
		{"small, from a file", "put", 1000, true, 2, nil},
		{"parts from a file", "complete", 2*part + 5, true, 2, nil},
		{"parts that nobody has any more", "complete", 2*part + 5, false, 1, errConflict},
		{"small, for ever", "put", 1000, false, 1000, errConflict},
		{"parts, for ever", "complete", 2*part + 5, true, 1000, errConflict},
	} {
		for _, other := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the other one succeeds: %v", c.name, other), func(t *testing.T) {
				var name string
				winner := []byte("of the other one")
				p := newProxy(t, func(kind string, n int, _ *http.Request) fault {
					if kind != c.kind || n >= c.times {
						return nil
					}
					if other {
						if err := os.WriteFile(filepath.Join(gateway.root, name, "k"), winner, 0o644); err != nil {
							t.Error(err)
						}
					}
					return conflict
				})
				var s s3.Store
				name, s = bucket(t, p)
				data := random(c.size)
				o := endpoint.SinkOptions{Exclusive: true}
				if c.reopened {
					o.Reopen = reopens(t, data)
				}
				err := put(t, s, name, "k", bytes.NewReader(data), o)
				var e *s3.Error
				switch {
				case other:
					if !errors.Is(err, fs.ErrExist) || !bytes.Equal(stored(t, name, "k"), winner) {
						t.Errorf("%v; the object of the other one must stay", err)
					}
				case c.want == nil:
					if err != nil || !bytes.Equal(stored(t, name, "k"), data) {
						t.Error(err)
					}
				case !errors.As(err, &e) || e.Code != c.want.Error():
					t.Errorf("%v; want %v", err, c.want)
				default:
					absent(t, name, "k")
				}
				if n := p.seen(c.kind); n > 8 {
					t.Errorf("%d requests", n)
				}
				if left := parts(t, name); len(left) > 0 {
					t.Errorf("parts are left: %q", left)
				}
			})
		}
	}
}

var errConflict = errors.New("ConditionalRequestConflict")

func TestUpload_FailsIfTheReopenedContentDiffers(t *testing.T) {
	name, s := bucket(t, nil)
	s.PartSize = 5 << 20
	for _, n := range []int{1, 1000, part, part + 1, 2*part + 5} {
		for _, at := range []int{0, n - 1} {
			data := random(n)
			changed := bytes.Clone(data)
			changed[at] ^= 1
			for kind, now := range map[string][]byte{"changed": changed, "shorter": data[:at]} {
				err := put(t, s, name, "k", bytes.NewReader(data), endpoint.SinkOptions{Size: int64(n), Reopen: reopens(t, now)})
				if err == nil || !strings.Contains(err.Error(), "source changed while it was read") {
					t.Errorf("%d bytes, %s at %d: %v", n, kind, at, err)
				}
				absent(t, name, "k")
			}
		}
	}
	boom := errors.New("boom")
	err := put(t, s, name, "k", bytes.NewReader(random(10)), endpoint.SinkOptions{
		Reopen: func() (endpoint.ReaderAtCloser, error) { return nil, boom },
	})
	if !errors.Is(err, boom) {
		t.Errorf("%v; want the error of Reopen", err)
	}
	if left := parts(t, name); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
}

func TestUpload_ThatFailsLeavesNothing(t *testing.T) {
	always := func(kind string, f fault) func(string, int, *http.Request) fault {
		return func(k string, _ int, _ *http.Request) fault {
			if k == kind {
				return f
			}
			return nil
		}
	}
	for _, c := range []struct {
		name string
		plan func(string, int, *http.Request) fault
		most int // requests of that kind
		kind string
	}{
		{"overloaded for ever at a part", always("part", answers(http.StatusServiceUnavailable, "SlowDown")), 24, "part"},
		{"refused part", always("part", answers(http.StatusForbidden, "AccessDenied")), 3, "part"},
		{"second part refused", func(k string, n int, r *http.Request) fault {
			if k == "part" && r.URL.Query().Get("partNumber") == "2" {
				return answers(http.StatusBadRequest, "BadDigest")
			}
			return nil
		}, 4, "part"},
		{"200 with an error for ever", always("complete", answers(http.StatusOK, "InternalError")), 7, "complete"},
		{"200 with a final error", always("complete", answers(http.StatusOK, "InvalidPart")), 1, "complete"},
		{"refused end", always("complete", answers(http.StatusForbidden, "AccessDenied")), 1, "complete"},
		{"conflict at the end", always("complete", answers(http.StatusConflict, "ConditionalRequestConflict")), 1, "complete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProxy(t, c.plan)
			name, s := bucket(t, p)
			err := put(t, s, name, "k", bytes.NewReader(random(3*part)), endpoint.SinkOptions{})
			if err == nil {
				t.Fatal("no error")
			}
			if n := p.seen(c.kind); n > c.most {
				t.Errorf("%d requests, at most %d make sense (%v)", n, c.most, err)
			}
			absent(t, name, "k")
			if left := parts(t, name); len(left) > 0 {
				t.Errorf("parts are left: %q (%v)", left, err)
			}
		})
	}
}

func TestUpload_IsAbsentWhenItsSourceFailsOrTheFlowIsCancelled(t *testing.T) {
	name, s := bucket(t, nil)
	boom := errors.New("boom")
	for _, n := range []int{0, 1000, part + 1, 3*part + 5} {
		err := put(t, s, name, "k", io.MultiReader(bytes.NewReader(random(n)), failing{boom}), endpoint.SinkOptions{})
		if !errors.Is(err, boom) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		absent(t, name, "k")

		ctx, cancel := context.WithCancelCause(t.Context())
		sink, err := s.Sink("s3://"+name+"/k", endpoint.SinkOptions{HTTP: quick})
		if err != nil {
			t.Fatal(err)
		}
		err = weir.FromReader(io.MultiReader(bytes.NewReader(random(n)), cancelling{cancel, boom})).To(sink).Run(ctx)
		if !errors.Is(err, boom) {
			t.Errorf("cancelled after %d bytes: %v", n, err)
		}
		absent(t, name, "k")
	}
	// An announced length is kept.
	if err := put(t, s, name, "k", bytes.NewReader(random(part+5)), endpoint.SinkOptions{Size: part + 6}); err == nil {
		t.Error("fewer bytes than announced are no error")
	}
	absent(t, name, "k")
	if left := parts(t, name); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

// cancelling ends the flow and then waits for nothing.
type cancelling struct {
	cancel context.CancelCauseFunc
	cause  error
}

func (r cancelling) Read([]byte) (int, error) {
	r.cancel(r.cause)
	return 0, r.cause
}

func TestUpload_ExclusiveHasOneWinner(t *testing.T) {
	name, s := bucket(t, nil)
	for _, size := range []int{1000, part + 1000} {
		key := fmt.Sprint("k", size)
		writers := 8
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				errs[i] = put(t, s, name, key, &noise{int64(size), uint64(i + 1)}, endpoint.SinkOptions{Exclusive: true})
			})
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			var e *s3.Error
			switch {
			case err == nil && won >= 0:
				t.Errorf("%s: writers %d and %d both won", key, won, i)
			case err == nil:
				won = i
			case !errors.Is(err, fs.ErrExist) && !(errors.As(err, &e) && e.Code == "ConditionalRequestConflict"):
				t.Errorf("%s: %v", key, err)
			}
		}
		if won < 0 {
			t.Fatalf("%s: nobody won: %v", key, errs)
		}
		want, _ := io.ReadAll(&noise{int64(size), uint64(won + 1)})
		if !bytes.Equal(stored(t, name, key), want) {
			t.Errorf("%s: the object is not that of the winner", key)
		}
	}
	if left := parts(t, name); len(left) > 0 {
		t.Errorf("parts are left: %q", left)
	}
}

func TestDownload_GetsThroughFaults(t *testing.T) {
	data := random(5*4<<20 + 12345)
	for _, c := range []struct {
		name  string
		plan  func(n int, r *http.Request) fault
		first bool // of the requests for the bytes, only the first ones fail
	}{
		{"overloaded", func(n int, _ *http.Request) fault {
			if n < 3 {
				return answers(http.StatusServiceUnavailable, "SlowDown")
			}
			return nil
		}, true},
		{"connection breaks before the answer", func(n int, _ *http.Request) fault {
			if n%3 == 0 {
				return breaks(0)
			}
			return nil
		}, false},
		{"each answer is cut short", func(n int, r *http.Request) fault {
			if n < 40 {
				return truncates(700_000)
			}
			return nil
		}, false},
		{"slow answers", func(n int, _ *http.Request) fault { return delays(30 * time.Millisecond) }, false},
	} {
		for _, parallel := range []int{0, 1, 4} {
			t.Run(fmt.Sprintf("%s, %d in parallel", c.name, parallel), func(t *testing.T) {
				p := newProxy(t, func(kind string, n int, r *http.Request) fault {
					if kind == "get" {
						return c.plan(n, r)
					}
					return nil
				})
				name, s := bucket(t, p)
				if err := os.WriteFile(filepath.Join(gateway.root, name, "k"), data, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := put(t, s, name, "k", bytes.NewReader(data), endpoint.SinkOptions{}); err != nil {
					t.Fatal(err)
				}
				s.Parallel = parallel
				got, err := get(t, s, name, "k", endpoint.SourceOptions{})
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
	}
}

func TestDownload_NeverJoinsTwoVersions(t *testing.T) {
	data := random(6 * 4 << 20)
	for _, parallel := range []int{0, 1, 4} {
		var name string
		var s s3.Store
		var once sync.Once
		direct := s3.Store{Endpoint: gateway.url, AccessKeyID: accessKey, SecretAccessKey: secretKey, Region: "us-east-1"}
		p := newProxy(t, func(kind string, n int, r *http.Request) fault {
			if kind != "get" {
				return nil
			}
			if n == 0 {
				return truncates(3 << 20)
			}
			once.Do(func() {
				if err := put(t, direct, name, "k", bytes.NewReader(random(len(data)+1)), endpoint.SinkOptions{}); err != nil {
					t.Error(err)
				}
			})
			return nil
		})
		name, s = bucket(t, p)
		if err := put(t, s, name, "k", bytes.NewReader(data), endpoint.SinkOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Parallel = parallel
		got, err := get(t, s, name, "k", endpoint.SourceOptions{})
		if !errors.Is(err, endpoint.ErrChanged) || !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("%d in parallel: %d bytes, %v; want ErrChanged behind bytes of the first version", parallel, len(got), err)
		}
	}
}

func TestDownload_ComparesWithTheChecksumOfTheStore(t *testing.T) {
	for _, size := range []int{1000, 3 * part} {
		for _, parallel := range []int{0, 1, 4} {
			p := newProxy(t, func(kind string, n int, r *http.Request) fault {
				if kind == "get" && n == 0 {
					return corrupts
				}
				return nil
			})
			name, s := bucket(t, p)
			if err := put(t, s, name, "k", bytes.NewReader(random(size)), endpoint.SinkOptions{}); err != nil {
				t.Fatal(err)
			}
			s.Parallel = parallel
			if _, err := get(t, s, name, "k", endpoint.SourceOptions{}); !errors.Is(err, endpoint.ErrDigest) {
				t.Errorf("%d bytes, %d in parallel: %v; want ErrDigest", size, parallel, err)
			}
		}
	}
}

func TestObject_ErrorsSayWhatIsWrong(t *testing.T) {
	name, s := bucket(t, nil)
	wrongSecret, wrongKey := s, s
	wrongSecret.SecretAccessKey, wrongKey.AccessKeyID = "x", "nobody"
	for _, c := range []struct {
		name   string
		s      s3.Store
		bucket string
		code   string
		is     error
	}{
		{"no object", s, name, "NoSuchKey", fs.ErrNotExist},
		{"no bucket", s, "no-such-bucket", "NoSuchBucket", fs.ErrNotExist},
		{"wrong secret", wrongSecret, name, "SignatureDoesNotMatch", fs.ErrPermission},
		{"wrong key", wrongKey, name, "XAdminUserNotFound", nil},
	} {
		_, err := get(t, c.s, c.bucket, "k", endpoint.SourceOptions{})
		var e *s3.Error
		if !errors.As(err, &e) || e.Code != c.code || c.is != nil && !errors.Is(err, c.is) || e.Advice() == "" {
			t.Errorf("read, %s: %v", c.name, err)
		}
		if c.code == "NoSuchKey" {
			continue
		}
		err = put(t, c.s, c.bucket, "k", bytes.NewReader(random(10)), endpoint.SinkOptions{})
		if !errors.As(err, &e) || e.Code != c.code || c.is != nil && !errors.Is(err, c.is) || e.Advice() == "" {
			t.Errorf("write, %s: %v", c.name, err)
		}
	}
}
