package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3"
)

// farStore is a store without a network. A part takes a while.
type farStore struct {
	takes  time.Duration           // for each part
	shares bool                    // several parts take longer
	answer func(part, try int) int // its status

	mu    sync.Mutex // guards the rest
	tries map[string]int
	now   int // parts that are sent
	most  int
}

func (s *farStore) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		s.part(w, r, q.Get("partNumber"))
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprint(w, `<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPost:
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `<?xml version="1.0"?><CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>key</Key><ETag>"all"</ETag></CompleteMultipartUploadResult>`)
	default:
		fmt.Fprint(w, `<?xml version="1.0"?><ListMultipartUploadsResult></ListMultipartUploadsResult>`)
	}
	if r.Body != nil {
		r.Body.Close()
	}
	return w.Result(), nil
}

func (s *farStore) part(w http.ResponseWriter, r *http.Request, number string) {
	s.mu.Lock()
	s.tries[number]++
	try := s.tries[number]
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
	}()
	io.Copy(io.Discard, r.Body)
	d := s.takes
	if s.shares {
		s.mu.Lock()
		d *= time.Duration(s.now)
		s.mu.Unlock()
	}
	time.Sleep(d)
	var n int
	fmt.Sscan(number, &n)
	if status := s.answer(n, try); status != http.StatusOK {
		refuse(w, status, "SlowDown", "made by the test")
		return
	}
	w.Header().Set("ETag", `"part"`)
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestUpload_SendsMorePartsAtATimeOnlyIfThatMakesItFaster(t *testing.T) {
	always := func(int, int) int { return http.StatusOK }
	for name, c := range map[string]struct {
		takes    time.Duration
		shares   bool
		parallel int
		answer   func(part, try int) int
		want     int
	}{
		"a store nearby":                   {50 * time.Millisecond, false, 0, always, 2},
		"a store far away":                 {120 * time.Millisecond, false, 0, always, 5},
		"a store very far away":            {time.Second, false, 0, always, 5},
		"a slow line":                      {time.Second, true, 0, always, 3},
		"a store nearby, with a setting":   {50 * time.Millisecond, false, 3, always, 3},
		"a store far away, with a setting": {time.Second, false, 1, always, 1},
		"an overloaded store": {time.Second, false, 0, func(part, try int) int {
			if try == 1 {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farStore{takes: c.takes, shares: c.shares, answer: c.answer, tries: map[string]int{}}
				store := s3.Store{
					Endpoint: "http://store.invalid", AccessKeyID: "id", SecretAccessKey: "secret", Region: "r",
					Parallel: c.parallel, Transport: far,
				}
				sink, err := store.Sink("s3://bucket/key", endpoint.SinkOptions{HTTP: quick})
				if err != nil {
					t.Fatal(err)
				}
				const part, parts = 5<<20 + 23<<10, 40
				content := io.LimitReader(zeros{}, parts*part)
				if err := weir.FromReader(content).To(sink).Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if far.most != c.want {
					t.Errorf("%d parts at a time, want %d", far.most, c.want)
				}
				if len(far.tries) != parts {
					t.Errorf("%d parts, want %d", len(far.tries), parts)
				}
			})
		})
	}
}
