package weirhttp

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// lengthCase is a way to send a stream of an announced length.
type lengthCase struct {
	coding string
	flush  time.Duration
	kind   string // "": guessed from the first bytes
	header bool   // the length is announced in the header of the answer
	h2     bool
}

func (c lengthCase) String() string {
	return fmt.Sprintf("%s, flush %v, type %q, in the header %v, HTTP/2 %v", c.coding, c.flush, c.kind, c.header, c.h2)
}

func TestResponse_NoStreamOfAnotherLengthLooksComplete(t *testing.T) {
	const announced = 5000
	var cases []lengthCase
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		for _, flush := range []time.Duration{0, -1} {
			for _, kind := range []string{"text/plain", ""} {
				for _, header := range []bool{false, true} {
					cases = append(cases, lengthCase{coding, flush, kind, header, false}, lengthCase{coding, flush, kind, header, true})
				}
			}
		}
	}
	for _, c := range cases {
		var n atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := Response{Type: c.kind, Flush: c.flush, Size: announced}
			if c.header {
				p.Size = 0
				w.Header().Set("Content-Length", strconv.Itoa(announced))
			}
			p.Send(w, r, weir.FromReader(strings.NewReader(strings.Repeat("a line of text\n", 700)[:n.Load()])))
		})
		var change []func(*http.Server)
		if c.h2 {
			change = append(change, withTLS)
		}
		s, client := guarded(t, &Guard{}, h, change...), browser(t)
		for _, stream := range []int64{0, 3000, announced - 1, announced, announced + 1, 9000} {
			n.Store(stream)
			req, err := http.NewRequest("GET", s.url("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", c.coding)
			resp, err := client.Do(req)
			whole := false
			if err == nil {
				var body []byte
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if whole = err == nil && resp.StatusCode == http.StatusOK; whole {
					if got := decode(t, resp, string(body)); int64(len(got)) != stream {
						t.Errorf("%v: a stream of %d bytes arrived as %d", c, stream, len(got))
					}
				}
			}
			if whole != (stream == announced) {
				t.Errorf("%v: a stream of %d bytes, announced as %d, looks complete: %v (error %v)", c, stream, announced, whole, err)
			}
		}
	}
}
